"""`bench micro scheduling` trains the plan that it says in both ways, and reads off who computes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import scheduling
from sweeps.expand import expand
from sweeps.order import in_order
from sweeps.plan import Plan
from tests.wsshm import tiny
from wsshm.config import parse
from wsshm.errors import UserError
from wsshm.files.location import Location


def test_both_ways_train_the_same_runs(tmp_path: Path) -> None:
    base = tiny.config(tiny.make(tmp_path / "data")).model_dump(mode="json")
    document = scheduling.plan(base)
    ours = expand(parse(document, Plan))
    plain = scheduling.runs_of(document)
    assert [run.run_id for run in plain] == [run.run_id for run in ours]
    methods = [run.config.method.name for run in plain]
    assert methods == ["mlb", "mlb", "seg_only"] * scheduling.ALONE
    assert len({run.stages[0].address for run in plain if run.config.method.name == "mlb"}) == 1
    ordered = [run.config.method.name for run in in_order(ours, Location.of(tmp_path))]
    assert ordered == ["mlb"] + ["seg_only"] * 4 + ["mlb"] * 7


def test_who_computes_is_told_from_who_waits() -> None:
    use = scheduling.Use()
    use.add(2.0, reserved=3.0, before={1: 5.0, 2: 7.0}, after={1: 6.9, 2: 7.02})  # the third has no worker yet
    assert (use.reserved, use.busy, use.idle) == (6.0, 2.0, 2.0)
    use.add(0.5, reserved=2.0, before={1: 6.9, 2: 7.02}, after={1: 7.4, 3: 0.3})  # another worker has come and computes
    assert (use.reserved, use.busy, use.idle) == (7.0, 3.0, 2.0)
    use.add(2.0, reserved=0.0, before={1: 7.4}, after={1: 7.4})  # a worker whose slot is free already
    assert (use.reserved, use.busy, use.idle) == (7.0, 3.0, 2.0)


def test_a_watch_sees_its_workers_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(scheduling, "WORKER", sys.executable)
    monkeypatch.setattr(scheduling.ray, "available_resources", lambda: {"CPU": 3.0})
    worker = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with scheduling.Watch(4) as watch:
            until = time.monotonic() + 60
            while not watch.use.busy and time.monotonic() < until:
                time.sleep(0.05)
    finally:
        worker.kill()
        worker.wait()
    assert 0 < watch.use.busy <= watch.use.reserved


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--slots", "1"], "--slots must be at least 2, not 1"),
        (["--steps", "10", "--teacher-steps", "10"], "--teacher-steps 10 must be smaller than --steps 10"),
    ],
)
def test_mistakes_are_named(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "scheduling", *options], catch_exceptions=False)


@pytest.mark.ray
@pytest.mark.bench
def test_a_line_for_each_way_ends_in_its_ratio() -> None:
    options = ["--steps", "60", "--teacher-steps", "40"]
    result = CliRunner().invoke(app, ["micro", "scheduling", *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert len([line for line in result.stdout.splitlines() if re.search(r"% +(\d+\.\d x|none in ours) *$", line)]) == 2
