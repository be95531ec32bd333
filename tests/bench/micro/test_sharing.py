"""The plans of `bench micro sharing` share what they say, and its sums are right."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import sharing
from sweeps.plan import Plan, configurations
from tests.wsshm import tiny
from wsshm.config import parse
from wsshm.cores import usable_cores
from wsshm.errors import UserError
from wsshm.training.planning import plan_run, resolved


@pytest.mark.parametrize(("space", "teachers"), [(sharing.one_teacher(4), 1), (sharing.teachers_apart(4), 4)])
def test_students_share_one_teacher_or_none(tmp_path: Path, space: dict[str, list], teachers: int) -> None:
    base = tiny.config(tiny.make(tmp_path)).model_dump(mode="json")
    plan = parse(sharing.plan(base, 3, 5, space), Plan)
    runs = [resolved(config) for config in configurations(plan)]
    stages = [plan_run(config).stages for config in runs]
    assert {tuple((s.stage.name, s.stage.steps) for s in run) for run in stages} == {(("teacher", 3), ("student", 5))}
    assert len({run[0].address for run in stages}) == teachers
    assert len({run[1].address for run in stages}) == 4
    assert all(config.train.cpus_per_worker == usable_cores() for config in runs), "no two runs at a time"


def test_a_line_holds_what_was_measured_against_the_sums() -> None:
    """T = 10, S = 20: 16 students over one teacher are 330, with one each 480."""
    cells = sharing.compared(16, 10.0, 20.0, 346.5)
    assert cells == ["10.0", "20.0", "0.50", "346.5", "330.0", "+5.0%", "480.0", "1.4 x"]


def test_the_whole_order_of_sweeps_with_costs_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sweeps that take 7 s once, their runs 3 s to start, a step 0.1 s, and 4 s lost where a teacher is shared."""
    swept: list[str] = []

    def fake(folder: Path, name: str, document: dict) -> Generator[None, None, sharing.Cost]:
        swept.append(name.split("-")[0])
        runs = next(iter(document["space"].values()))
        train = document["base"]["train"]
        assert configurations(parse(document, Plan)), "a plan that sweeps takes"
        assert parse(document["base"]).train.cpus_per_worker == usable_cores()
        teachers = 1 if "method.blend.threshold" in document["space"] else len(runs)
        stages = {f"teacher{k}": ("teacher", train["teacher_steps"]) for k in range(teachers)}
        stages |= {f"{name}{k}": ("student", train["steps"] - train["teacher_steps"]) for k in range(len(runs))}
        seconds = 0.0
        for address, (stage, steps) in stages.items():
            file = folder / name / "stages" / address / "final" / "stage.json"
            if not file.exists():  # the teacher that was laid there
                seconds += 0.1 * steps
                file.parent.mkdir(parents=True)
                file.write_text(json.dumps({"stage": {"name": stage}, "seconds": 0.1 * steps}))
        yield from [None] * len(runs)
        found = {f.parts[-3]: json.loads(f.read_text())["seconds"] for f in sharing._results(folder / name)}
        run_s = 3 + seconds / len(runs)
        ends = [7 + run_s * (k + 1) for k in range(len(runs))]
        return sharing.Cost(ends[-1] + 4 * name.startswith("shared"), ends, found)

    monkeypatch.setattr(sharing, "_swept", fake)
    base = {
        "data": {"size": 64},
        "model": {"backbone": "test_efficientnet"},
        "method": {"name": "mlb"},
        "train": {"batch": 8},
    }
    sharing.run(base, students=16, few=4, steps=100, ratios=[0.5, 2.0])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    # wall: S = 3 + 10, T = 6.5 in 65 steps, over one teacher 6.5 + 16 x 13 and the 4 s lost, apart 16 x 19.5
    half = ["0.5", "wall", "65", "6.5", "13.0", "0.50", "218.5", "214.5", "+1.9%", "312.0", "1.4", "x"]
    assert half in lines
    # training: S = 10, T = 26
    double = ["2", "training", "260", "26.0", "10.0", "2.60", "186.0", "186.0", "+0.0%", "576.0", "3.1", "x"]
    assert double in lines
    assert swept == ["first", "longer", "found", "shared", "apart", "shared", "apart", "found"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--ratios", "1,much"], "--ratios takes numbers above 0, not 'much'"),
        (["--ratios", "0"], "--ratios takes numbers above 0"),
        (["--students", "1"], "--students must be at least 2, not 1"),
        (["--few", "1"], "--few must be at least 2, not 1"),
        (["--students", "3"], "--few must be at most --students, not 4 of 3"),
    ],
)
def test_mistakes_are_named(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "sharing", *options], catch_exceptions=False)


@pytest.mark.ray
@pytest.mark.bench
def test_real_sweeps_give_two_lines_for_each_ratio(only_here: Path) -> None:
    options = ["--students", "2", "--few", "2", "--ratios", "1", "--steps", "6"]
    result = CliRunner().invoke(app, ["micro", "sharing", *options], catch_exceptions=False)
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if re.match(r" *1 +(wall|training) ", line)]
    assert len(lines) == 2
    assert all(re.search(r"\d\.\d x *$", line) for line in lines)
    assert not list(only_here.iterdir()), "nothing is left behind"
