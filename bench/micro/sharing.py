"""What many students over one teacher cost, against each with a teacher of its own: real sweeps, one run at a time."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.micro.training import cores, draw, median_and_spread, table, workspace
from bench.provenance import device_name
from bench.terminal import print_whole
from wsshm.commandline import track
from wsshm.errors import UserError

LOOK_EVERY_S = 0.5
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Cost:
    """What a sweep took: `wall_s` from its command to its end, `stages_s` of training by address in `stages` of OUT."""

    wall_s: float
    stages_s: dict[str, float]

    @property
    def training_s(self) -> float:
        """Seconds of training, every stage once."""
        return sum(self.stages_s.values())


@dataclass
class Measured:
    """All sweeps' costs: single ones repeated, the large ones once for each ratio."""

    idle_s: list[float] = field(default_factory=list)  # a sweep all of whose runs are finished
    student: list[Cost] = field(default_factory=list)
    teacher: dict[float, list[Cost]] = field(default_factory=dict)
    shared: dict[float, Cost] = field(default_factory=dict)
    apart: dict[float, Cost] = field(default_factory=dict)


def run(base: dict[str, Any], students: int, steps: int, ratios: list[float]) -> None:
    """Measure and print two lines for each ratio T / S of the teacher's cost to a student's.

    `base` is a configuration without its pictures and steps. Raises UserError where a sweep fails.
    """
    with workspace() as folder:
        base = base | {"data": draw(folder / "data", base["data"]["size"])}
        found = Measured(teacher={ratio: [] for ratio in ratios})
        # Single runs before, between and after the large sweeps: a drift of the machine meets all.
        singles = (len(ratios) + 1) * 2 + len(ratios) * 2
        for _ in track(_all(base, students, steps, found, folder), 1 + singles + 2 * students * len(ratios), "sharing"):
            pass
        _print(base, students, steps, found)


def _all(base: dict[str, Any], students: int, steps: int, found: Measured, folder: Path) -> Iterator[None]:
    first = yield from _swept(folder, "first", plan(base, steps, steps, {"method.blend.threshold": [0.99]}))
    by_name = {json.loads(f.read_text())["stage"]["name"]: f for f in _results(folder / "first")}
    teacher, student = (first.stages_s[by_name[name].parts[-3]] for name in ("teacher", "student"))
    trained = by_name["teacher"].parents[1]
    steps_of = {ratio: max(1, round(steps * ratio * student / teacher)) for ratio in found.teacher}

    def singles(number: int, ratios: list[float]) -> Iterator[None]:
        own = {"method.blend.threshold": [round(0.90 + 0.001 * number, 3)]}
        alone = f"student-{number}"
        # The teacher's stage is laid where the sweep looks for it.
        shutil.copytree(trained, folder / alone / "stages" / trained.name)
        cost = yield from _swept(folder, alone, plan(base, steps, steps, own))
        del cost.stages_s[trained.name]
        found.student.append(cost)
        again = yield from _swept(folder, alone, plan(base, steps, steps, own), again=True)
        found.idle_s.append(again.wall_s)
        for ratio in ratios:
            only = plan(base | {"method": {"name": "matte_only"}}, steps_of[ratio], 0, {"train.seed": [0]})
            found.teacher[ratio].append((yield from _swept(folder, f"teacher-{ratio}-{number}", only)))

    ratios = list(found.teacher)
    for number, ratio in enumerate(ratios):
        yield from singles(number, [ratio, *ratios[:number][-1:]])
        both = steps_of[ratio], steps
        found.shared[ratio] = yield from _swept(folder, f"shared-{ratio}", plan(base, *both, one_teacher(students)))
        found.apart[ratio] = yield from _swept(folder, f"apart-{ratio}", plan(base, *both, teachers_apart(students)))
    yield from singles(len(ratios), ratios[-1:])


def one_teacher(students: int) -> dict[str, list[Any]]:
    """Students that differ in a key of the blend, which no teacher reads."""
    return {"method.blend.threshold": [round(0.1 + 0.7 * k / students, 6) for k in range(students)]}


def teachers_apart(students: int) -> dict[str, list[Any]]:
    """Students that share nothing: weight decay is a part of every stage's address, and these are all but equal.

    So the pictures, their order and the work are the same throughout.
    """
    return {"train.weight_decay": [round(WEIGHT_DECAY + 1e-6 * k, 6) for k in range(students)]}


def plan(base: dict[str, Any], teacher_steps: int, student_steps: int, space: dict[str, list[Any]]) -> dict[str, Any]:
    """A plan whose runs take `teacher_steps` and then `student_steps`, one run at a time on this machine."""
    steps = teacher_steps + student_steps
    # Every CPU there is for a run's one worker, so that no two runs fit.
    train = {
        "steps": steps,
        "teacher_steps": teacher_steps,
        "epoch_steps": steps,
        "workers": 1,
        "cpus_per_worker": cores(),
    }
    return {"name": "sharing", "base": base | {"train": base["train"] | train}, "space": space}


def _swept(folder: Path, name: str, document: dict[str, Any], again: bool = False) -> Generator[None, None, Cost]:
    """Run a plan by `python -m sweeps run` and yield once for each run that ends. UserError where one fails."""
    out, file, log = folder / name, folder / f"{name}.yaml", folder / f"{name}.log"
    file.write_text(yaml.safe_dump(document))
    # Ray's files go where all of this goes; a cluster that runs already would train several runs at once.
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment["RAY_TMPDIR"] = str(folder)
    began = time.perf_counter()
    with open(log, "w") as output:
        command = [sys.executable, "-m", "sweeps", "run", str(file), "--out", str(out)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            told, rows = 0, out / "store" / "runs"
            while process.poll() is None:
                try:
                    process.wait(LOOK_EVERY_S)
                except subprocess.TimeoutExpired:
                    ended = 0 if again else len(list(rows.glob("*.parquet")))
                    for _ in range(told, ended):
                        yield
                    told = max(told, ended)
            wall = time.perf_counter() - began
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        said = log.read_text().strip().splitlines() or [f"it ended with status {process.returncode}"]
        raise UserError(f"the sweep {name!r} of this benchmark failed: {said[-1]}")
    for _ in range(told, 1 if again else len(next(iter(document["space"].values())))):
        yield
    return Cost(wall, {f.parts[-3]: json.loads(f.read_text())["seconds"] for f in _results(out)})


def _results(out: Path) -> list[Path]:
    return sorted(out.glob("stages/*/final/stage.json"))


def _print(base: dict[str, Any], students: int, steps: int, found: Measured) -> None:
    idle = statistics.median(found.idle_s)
    print(
        f"{device_name(threads=cores())}; {base['model']['backbone']} at {base['data']['size']} px, batch"
        f" {base['train']['batch']}; {students} students of {steps} steps, one run at a time on all CPUs"
    )
    print(
        "Wall: of the whole command `python -m sweeps run`, less what it takes with nothing to train; each run's start and"
        " scoring are in it, so a teacher alone (T) pays a start that it does not pay before its student in one run."
    )
    print("Training: the seconds that the suite records of each stage, every stage once.")
    form = table("single runs", "measured", "wall s", "middle half", "training s", "middle half")
    singles = {"a student, its teacher found (S)": found.student}
    singles |= {f"a teacher alone (T) for T/S {ratio:g}": costs for ratio, costs in found.teacher.items()}
    for label, costs in singles.items():
        wall = median_and_spread([cost.wall_s - idle for cost in costs])
        form.add_row(label, str(len(costs)), *wall, *median_and_spread([cost.training_s for cost in costs], digits=2))
    form.add_row("a sweep with nothing to train", str(len(found.idle_s)), *median_and_spread(found.idle_s), "", "")
    print_whole(form)
    form = table(
        "T/S", "cost", "T s", "S s", "T/S here", "shared s", f"T + {students} S", "off by", "apart s",
        f"{students} (T + S)", "off by", "sharing saves", left=2,
    )  # fmt: skip
    for ratio, alone in found.teacher.items():
        shared, apart = found.shared[ratio], found.apart[ratio]
        groups = (alone, found.student, [shared], [apart])
        walls = [statistics.median(cost.wall_s for cost in group) - idle for group in groups]
        trained = [statistics.median(cost.training_s for cost in group) for group in groups]
        for kind, seconds in (("wall", walls), ("training", trained)):
            form.add_row(f"{ratio:g}", kind, *compared(students, *seconds))
    print_whole(form)


def compared(students: int, teacher: float, student: float, shared: float, apart: float) -> list[str]:
    """The cells of a line, from seconds: what was measured, what the sums say, how far off they are."""
    one, all_ = teacher + students * student, students * (teacher + student)
    return [
        f"{teacher:.1f}", f"{student:.1f}", f"{teacher / student:.2f}", f"{shared:.1f}", f"{one:.1f}",
        f"{shared / one - 1:+.1%}", f"{apart:.1f}", f"{all_:.1f}", f"{apart / all_ - 1:+.1%}", f"{apart / shared:.1f} x",
    ]  # fmt: skip
