"""What a sweep has trained: listed as it is, and pruned without losing what is needed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.store import Store
from sweeps.cli import app
from sweeps.expand import expand
from sweeps.inventory import inventory, list_stages, prune
from sweeps.place import Place
from sweeps.plan import Plan
from tests.sweeps import made_up
from tests.wsshm import tiny
from wsshm.errors import UserError
from wsshm.files.claims import Claim
from wsshm.files.location import Location
from wsshm.files.sealed import sealed
from wsshm.models.checkpoint import CARD, STATE, WEIGHTS, ModelCard, Progress
from wsshm.training.run_plan import AddressedStage, RunPlan
from wsshm.training.stages import RESULT, StageFolder

SIZE = 1000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("data"))


class Sweep:
    """A sweep's folder with made-up stages."""

    def __init__(self, out: Path, plan: Plan) -> None:
        self.plan, self.runs = plan, expand(plan)
        known = {
            run.run_id: made_up.known(run.run_id, run.config, **{e.stage.name: e.address for e in run.stages})
            for run in self.runs
        }
        self.out = made_up.record(out, plan, known)

    @property
    def stages(self) -> Location:
        return Place(Location.of(self.out), self.plan.stages).stages

    def train(self, run: RunPlan, settle: bool = True, **changes: Any) -> None:
        for entry in run.stages:
            self.trained(entry)
        if settle:
            names = [f"{e.stage.name}:{e.address}" for e in run.stages]
            row = made_up.run_row(run.run_id, run.config, stages=names, **changes)
            Store(self.out / "store").write("runs", [row])

    def trained(self, entry: AddressedStage) -> StageFolder:
        folder = StageFolder(self.stages, entry.address)
        with folder.final.new_folder(last=RESULT) as final:
            (final / WEIGHTS).write_bytes(b"w" * SIZE)
            card = ModelCard("unet", "test_efficientnet", {}, "none", [0.5] * 3, [0.5] * 3, 64)
            (final / CARD).write_text(sealed(asdict(card), final, (WEIGHTS,)))
            folder.write_result(final, entry.stage, Progress(seconds=61.0))
        return folder

    def half(self, entry: AddressedStage, step: int = 1) -> StageFolder:
        folder = StageFolder(self.stages, entry.address)
        with folder.new_state(step) as state:
            (state / WEIGHTS).write_bytes(b"w" * SIZE)
            (state / STATE).write_text(json.dumps({"step": step, "seconds": 5.0, "history": []}))
        return folder

    def left(self) -> set[str]:
        return {folder.name for folder in self.stages.listing()}


def sweep(tmp_path: Path, data: Path, **changes: object) -> Sweep:
    """MLB with two bands over one teacher, for one seed."""
    base = tiny.config(data, workers=1).model_dump(mode="json")
    defaults: dict = {"space": {"method.blend.band": [0.02, 0.08]}, "seeds": [0]}
    return Sweep(tmp_path / "out", made_up.plan_of(base=base, **(defaults | changes)))


def test_the_list_tells_each_state(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    made = sweep(tmp_path, data)
    made.train(made.runs[0])
    half = made.half(made.runs[1].stages[-1])
    assert half.claim.try_take()
    (Path(made.stages.path) / "0123").mkdir()
    (Path(made.stages.path) / "0123" / "notes.txt").write_text("mine")
    teacher, student = made.runs[0].stages
    found = {item.address: item for item in inventory(Place(Location.of(made.out)))}
    assert (found[teacher.address].kind, found[teacher.address].users) == ("done", (made.runs[0].run_id,))
    list_stages(Location.of(made.out))
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "teacher" in lines[teacher.address]
    assert "test_efficientnet, 64 px, 2 steps on mattes" in lines[teacher.address]
    assert "done, in 1 min 01 s" in lines[teacher.address]
    assert "photos with blended labels" in lines[student.address]
    held = lines[half.place.name]
    assert f":{os.getpid()}, half-trained at step 1 of 2" in held
    assert "student" in held
    assert "no run yet" in held
    assert "not a stage (holds notes.txt)" in lines["0123"]


def test_what_an_unfinished_run_needs_stays(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    made = sweep(tmp_path, data)
    made.train(made.runs[0])
    made.train(made.runs[1], settle=False)  # trained, and being scored just now
    out = Location.of(made.out)
    student = made.runs[0].stages[-1].address
    before = made.left()
    prune(out, dry_run=True)
    assert "would free" in capsys.readouterr().out
    assert made.left() == before
    prune(out)
    assert made.left() == before - {student}
    printed = capsys.readouterr().out
    assert f"removed {student} student" in printed
    assert "2 of 3 stages stay" in printed
    # A failed run is tried again, so that it needs its stages; a stopped one is not.
    made.train(made.runs[1], status="failed")
    prune(out)
    assert made.left() == before - {student}
    made.train(made.runs[1], status="stopped")
    prune(out)
    assert made.left() == set()


def test_links_to_a_kept_model_free_nothing(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    made = sweep(tmp_path, data, space={"method.name": ["seg_only"]})
    (run,) = made.runs
    made.train(run)
    model = made.out / "models" / run.run_id
    model.mkdir(parents=True)
    final = StageFolder(made.stages, run.stages[0].address).final
    os.link(Path(final.path) / WEIGHTS, model / WEIGHTS)
    prune(Location.of(made.out))
    assert "freed 0.0 MB" in capsys.readouterr().out
    assert (model / WEIGHTS).read_bytes() == b"w" * SIZE
    assert made.left() == set()


def test_leftovers_go_and_what_is_being_trained_stays(tmp_path: Path, data: Path) -> None:
    made = sweep(tmp_path, data, space={"method.name": ["seg_only"]})
    made.train(made.runs[0])
    other = sweep(tmp_path / "other", data)
    abandoned = made.half(other.runs[0].stages[0])
    held = made.half(other.runs[1].stages[-1])
    assert held.claim.try_take()
    foreign = Path(made.stages.path) / "notes"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("")
    prune(Location.of(made.out))
    assert made.left() == {held.place.name, "notes"}
    assert not abandoned.place.exists()


def test_while_optuna_searches_only_single_students_go(tmp_path: Path, data: Path) -> None:
    drawn = sweep(tmp_path, data, space={"method.blend.band": [0.02, 0.04, 0.08]})
    search = {"algorithm": "optuna", "num_runs": 3}
    plan = made_up.plan_of(
        base=drawn.plan.base, space={"method.blend.band": {"uniform": [0.01, 0.1]}}, search=search, seeds=[0]
    )
    made_up.record(drawn.out, plan, {})
    for run in drawn.runs[:2]:
        drawn.train(run)
    drawn.train(drawn.runs[2], settle=False)
    teacher = drawn.runs[0].stages[0].address
    scored = drawn.runs[2].stages[-1].address
    prune(Location.of(drawn.out))
    assert drawn.left() == {teacher, scored}
    drawn.train(drawn.runs[2])
    prune(Location.of(drawn.out))
    assert drawn.left() == set()


def test_shared_stages_are_pruned_only_when_told(tmp_path: Path, data: Path) -> None:
    made = sweep(tmp_path, data, stages=str(tmp_path / "shared"))
    for run in made.runs:
        made.train(run)
    with pytest.raises(UserError, match=r"lie in .*shared, where other sweeps may need them.* --shared"):
        prune(Location.of(made.out))
    assert len(made.left()) == 3
    done = CliRunner().invoke(app, ["stages", str(made.out), "--prune", "--shared"])
    assert done.exit_code == 0, done.output
    assert made.left() == set()
    with pytest.raises(UserError, match="only work with --prune; add it"):
        CliRunner().invoke(app, ["stages", str(made.out), "--dry-run"], catch_exceptions=False)


def test_labels_made_ahead_stay_as_long_as_their_student(tmp_path: Path, data: Path) -> None:
    from wsshm.blended_labels.run import label_folder

    space = {"method.blend.when": ["ahead"], "method.blend.band": [0.02, 0.08]}
    made = sweep(tmp_path, data, space=space)
    folders = []
    for run in made.runs:
        folder = label_folder(run.stages[-1], made.stages)
        assert folder is not None
        folder.add({"made": "up"}, pictures=0, seconds=0.0)  # killed while it made the rest
        for sample in run.sources.masks.samples[:3]:
            folder.write(sample, {"label": b"png", "share": b"png"})
        folders.append(folder.place.name)
    made.train(made.runs[0])
    found = {item.address: item for item in inventory(Place(Location.of(made.out)))}
    assert (found[folders[0]].kind, found[folders[0]].state) == ("labels", "3 pictures")
    prune(Location.of(made.out))
    assert folders[0] not in made.left()
    assert folders[1] in made.left()


def test_what_killed_runs_left_goes_and_is_counted(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    made = sweep(tmp_path, data)
    made.train(made.runs[0], settle=False)
    teacher, student = made.runs[0].stages
    half = made.half(made.runs[1].stages[-1], step=2)
    stages, models = Path(made.stages.path), made.out / "models"
    mark = "0f" * 16
    left = [
        made.half(student).place.local / "state-00000001",  # type: ignore[operator]
        stages / teacher.address / f".final.{mark}",
        stages / half.place.name / f".state-00000004.{mark}",
        models / f".{made.runs[0].run_id}.{mark}",
    ]
    kept = [models / made.runs[0].run_id, models / ".notes", stages / half.place.name / "state-00000002"]
    for folder in [*left, *kept]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).write_bytes(b"w" * 100_000)
    for line in ("would free 0.4 MB", "freed 0.4 MB"):
        assert all(folder.exists() for folder in left)
        prune(Location.of(made.out), dry_run=line.startswith("would"))
        printed = capsys.readouterr().out
        assert line in printed
        assert all(f"leftover of a killed run: {folder}" in printed for folder in left)
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in kept)
    assert StageFolder(made.stages, student.address).done


def test_what_a_living_writer_makes_stays(tmp_path: Path, data: Path) -> None:
    made = sweep(tmp_path, data)
    made.train(made.runs[0], settle=False)
    held = made.half(made.runs[1].stages[-1])
    assert held.claim.try_take()
    assert Claim(Place(Location.of(made.out)).claim).try_take()
    writing = [held.place.local / f".state-2.{'a' * 32}", made.out / "models" / f".run.{'a' * 32}"]  # type: ignore[operator]
    for folder in writing:
        folder.mkdir(parents=True)
    prune(Location.of(made.out))
    assert all(folder.exists() for folder in writing)


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        (RESULT, b"x{", "damaged"),
        (RESULT, b'{"stage": 3, "seconds": "x"}', "damaged"),
        (CARD, None, "damaged"),
        (CARD, "pipe", "damaged"),
        (RESULT, "pipe", "no checkpoint yet"),
    ],
)
def test_damaged_stages_are_listed_and_pruned(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture, name: str, content: bytes | str | None, state: str
) -> None:
    made = sweep(tmp_path, data)
    made.train(made.runs[0])
    student = made.runs[0].stages[-1].address
    file = Path(made.stages.path) / student / "final" / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.unlink()
        if content:
            os.mkfifo(file)
    out = Location.of(made.out)
    list_stages(out)
    rows = [line for line in capsys.readouterr().out.splitlines() if student in line and "/" not in line]
    assert [state in line for line in rows] == [True]
    prune(out)
    assert f"removed {student}" in capsys.readouterr().out
    assert student not in made.left()


def test_a_stage_with_a_damaged_claim_stays_and_is_said_to(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture
) -> None:
    made = sweep(tmp_path, data)
    made.train(made.runs[0])
    student = made.runs[0].stages[-1].address
    StageFolder(made.stages, student).claim.place.write_text("\0")
    prune(Location.of(made.out))
    printed = capsys.readouterr().out
    assert (
        f"kept {student} student: another process has just claimed it, or left a damaged claim.json; rerun" in printed
    )
    assert "2 of 2 stages stay" in printed
    assert student in made.left()
