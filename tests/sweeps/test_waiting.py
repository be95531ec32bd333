"""A run whose teacher another run trains waits with nothing reserved, whether it was planned or drawn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.store import Store
from tests.sweeps.asking import sweep
from tests.sweeps.test_kills import WORKER, processes
from tests.sweeps.test_search import written
from tests.wsshm import tiny

PLANNED = {"space": {"method.blend.threshold": [0.3, 0.7]}}
DRAWN = {
    "space": {"method.blend.threshold": {"uniform": [0.3, 0.7]}},
    "search": {"algorithm": "optuna", "num_runs": 2},
}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("document", [PLANNED, DRAWN], ids=["planned", "drawn"])
def test_no_worker_waits_for_a_teacher(tmp_path: Path, document: dict[str, Any]) -> None:
    """Of two students on two CPUs or more one has a worker until their teacher is trained, once."""
    out, most = tmp_path / "out", 0
    mine = written(tmp_path, tiny.make(tmp_path / "data"), **document)
    process = sweep(out, "--set", "base.train.teacher_steps=10", plan=mine, wait=False)
    while process.poll() is None:
        workers = len(processes(psutil.Process(process.pid), WORKER))
        if not list(out.glob("stages/*/final/stage.json")):  # the teacher is the first to be there
            most = max(most, workers)
        time.sleep(0.2)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert most == 1
    runs = Store(out / "store").read("runs")
    assert list(runs["status"]) == ["finished"] * 2
    assert len({stages[0] for stages in runs["stages"]}) == 1
    assert len(list(out.glob("stages/*/final/stage.json"))) == 3
