"""What many students over one teacher cost, against each with a teacher of its own: real sweeps, one run at a time."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from bench.micro.training import draw, table, workspace
from bench.provenance import device_name
from bench.store import Store
from wsshm.console import own_process, track
from wsshm.cores import usable_cores
from wsshm.errors import UserError
from wsshm.terminal import print_whole

LOOK_EVERY_S = 0.5
WEIGHT_DECAY = 0.01
LONGER = 5  # a second teacher's steps by the first's


@dataclass(frozen=True)
class Cost:
    """What a sweep took: `wall_s` from its command to its end, `ends_s` to the end of each of its runs, `stages_s` of
    training by address in `stages` of OUT."""

    wall_s: float
    ends_s: list[float]
    stages_s: dict[str, float]

    @property
    def run_s(self) -> float:
        """Seconds from the end of one run to that of the next, on average."""
        return (self.ends_s[-1] - self.ends_s[0]) / (len(self.ends_s) - 1)

    @property
    def training_s(self) -> float:
        """Seconds of training, every stage once."""
        return sum(self.stages_s.values())


@dataclass
class Measured:
    """All sweeps' costs. `found`: as many students as share a teacher, but it is there already; before the others and after."""

    found: list[Cost] = field(default_factory=list)
    shared: dict[float, Cost] = field(default_factory=dict)
    apart: dict[float, Cost] = field(default_factory=dict)
    teacher_steps: dict[float, int] = field(default_factory=dict)


def run(base: dict[str, Any], students: int, few: int, steps: int, ratios: list[float]) -> None:
    """Measure and print two lines for each ratio T / S of the teacher's cost to a student's.

    `students` share a teacher; `few` runs are enough to tell what a teacher of one's own adds. `base` is a configuration
    without its pictures and steps. Raises UserError where a sweep fails.
    """
    with workspace() as folder:
        base = base | {"data": draw(folder / "data", base["data"]["size"])}
        found = Measured()
        runs = 2 + 2 * students + len(ratios) * (students + few)
        for _ in track(_all(base, students, few, steps, ratios, found, folder), runs, "sharing"):
            pass
        _print(base, students, few, steps, found)


def _all(
    base: dict[str, Any], students: int, few: int, steps: int, ratios: list[float], found: Measured, folder: Path
) -> Iterator[None]:
    first = yield from _swept(folder, "first", plan(base, steps, steps, one_teacher(1)))
    longer = yield from _swept(folder, "longer", plan(base, LONGER * steps, steps, one_teacher(1)))
    # From two trainings, as the first steps of each are slower.
    step_s = (longer.stages_s[_teacher(folder / "longer")] - first.stages_s[_teacher(folder / "first")]) / (
        (LONGER - 1) * steps
    )
    found.found.append((yield from _found(folder, "found", base, students, steps)))
    for ratio in ratios:
        found.teacher_steps[ratio] = wanted = max(1, round(ratio * found.found[0].run_s / step_s))
        found.shared[ratio] = yield from _swept(
            folder, f"shared-{ratio}", plan(base, wanted, steps, one_teacher(students))
        )
        found.apart[ratio] = yield from _swept(folder, f"apart-{ratio}", plan(base, wanted, steps, teachers_apart(few)))
    found.found.append((yield from _found(folder, "found-again", base, students, steps)))


def _found(folder: Path, name: str, base: dict[str, Any], students: int, steps: int) -> Generator[None, None, Cost]:
    """A sweep of students whose teacher's stage is laid where it looks for it.

    As many as share one below: a sweep's first runs are slower than its later ones.
    """
    teacher = _teacher(folder / "first")
    shutil.copytree(folder / "first" / "stages" / teacher, folder / name / "stages" / teacher)
    cost = yield from _swept(folder, name, plan(base, steps, steps, one_teacher(students)))
    del cost.stages_s[teacher]
    return cost


def _teacher(out: Path) -> str:
    """The address of the one teacher of a sweep."""
    [address] = [f.parts[-3] for f in _results(out) if json.loads(f.read_text())["stage"]["name"] == "teacher"]
    return address


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
        "cpus_per_worker": usable_cores(),
    }
    return {"name": "sharing", "base": base | {"train": base["train"] | train}, "space": space}


def _swept(folder: Path, name: str, document: dict[str, Any]) -> Generator[None, None, Cost]:
    """Run a plan by `wsshm sweep run` and yield once for each run that ends. UserError where one fails."""
    out, file, log = folder / name, folder / f"{name}.yaml", folder / f"{name}.log"
    file.write_text(yaml.safe_dump(document))
    # Ray's files go where all of this goes; a cluster that runs already would train several runs at once.
    command, environment = own_process("sweeps", "run", file, "--out", out)
    environment.pop("RAY_ADDRESS", None)
    environment["RAY_TMPDIR"] = str(folder)
    began = time.time()
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            told, rows = 0, out / "store" / "runs"
            while process.poll() is None:
                try:
                    process.wait(LOOK_EVERY_S)
                except subprocess.TimeoutExpired:
                    ended = len(list(rows.glob("*.parquet")))
                    for _ in range(told, ended):
                        yield
                    told = max(told, ended)
            wall = time.time() - began
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        said = log.read_text().strip().splitlines() or [f"it ended with status {process.returncode}"]
        raise UserError(f"the sweep {name!r} of this benchmark failed: {said[-1]}")
    ends = Store(out / "store").read("runs", ["finished"])["finished"].sort_values()
    for _ in range(told, len(ends)):
        yield
    return Cost(
        wall,
        [end.timestamp() - began for end in ends],
        {f.parts[-3]: json.loads(f.read_text())["seconds"] for f in _results(out)},
    )


def _results(out: Path) -> list[Path]:
    return sorted(out.glob("stages/*/final/stage.json"))


def _print(base: dict[str, Any], students: int, few: int, steps: int, found: Measured) -> None:
    student = mean(cost.run_s for cost in found.found)
    once = mean(cost.wall_s for cost in found.found) - students * student
    trained = mean(cost.training_s for cost in found.found) / students
    few_ended = mean(cost.ends_s[few - 1] for cost in found.found)
    between = " and ".join(f"{cost.run_s:.1f}" for cost in found.found)
    print(
        f"{device_name()}; {base['model']['backbone']} at {base['data']['size']} px, batch"
        f" {base['train']['batch']}; students of {steps} steps, one run at a time on all CPUs"
    )
    print(
        f"S, a student whose teacher is there: {student:.1f} s from run to run in sweeps of {students}, the mean of"
        f" {between} s before and after the others, of which {trained:.1f} s train; the rest starts a"
        f" worker, scores and writes. A sweep's own start and report, once: {once:.1f} s, left out below.\n"
        f"T, a teacher: what each of {few} runs that share nothing took beyond the first {few} of those. Wall is of the"
        " whole command `wsshm sweep run`; training is the sum of the seconds that the suite records of each stage."
    )
    form = table(
        "T/S", "cost", "teacher's steps", "T s", "S s", "T/S here", f"{students} shared s", f"T + {students} S",
        "off by", f"{students} (T + S)", "sharing saves", left=2,
    )  # fmt: skip
    for ratio, shared in found.shared.items():
        apart = found.apart[ratio]
        teacher_steps = str(found.teacher_steps[ratio])
        teacher = (apart.ends_s[few - 1] - few_ended) / few
        walls = [teacher, student, shared.wall_s - once]
        training = [apart.training_s / few - trained, trained, shared.training_s]
        for kind, seconds in (("wall", walls), ("training", training)):
            form.add_row(f"{ratio:g}", kind, teacher_steps, *compared(students, *seconds))
    print_whole(form)


def compared(students: int, teacher: float, student: float, shared: float) -> list[str]:
    """The cells of a line, from seconds: what was measured, what the sums say, how far off they are."""
    one, all_ = teacher + students * student, students * (teacher + student)
    return [
        f"{teacher:.1f}", f"{student:.1f}", f"{teacher / student:.2f}", f"{shared:.1f}", f"{one:.1f}",
        f"{shared / one - 1:+.1%}", f"{all_:.1f}", f"{all_ / shared:.1f} x",
    ]  # fmt: skip
