"""A whole sweep on an object store: finished, reported, shown by `status`, and rerun."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bench.store import Store
from tests.object_store import bucket
from tests.sweeps.asking import ROOT, scores_of, sweep
from tests.sweeps.trained_here import trained_here
from wsshm.files.location import Location

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]
OPTIONS = [
    "--set",
    "base.train.epoch_steps=4",
    "--set",
    "speed.models=[test_efficientnet]",
    "--set",
    "speed.sizes=[64]",
]


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with bucket() as template:
        yield template.format("sweep")


def test_a_sweep_on_an_object_store(uri: str, tmp_path: Path) -> None:
    process = sweep(uri, *OPTIONS)
    assert process.returncode == 0, process.err  # type: ignore[attr-defined]
    assert f"report: {Location.of(uri) / 'report' / 'index.html'}" in process.out  # type: ignore[attr-defined]
    out = Location.of(uri)
    assert sorted(place.name for place in out.listing()) == [
        *("best.json", "models", "plan.yaml", "report", "runs.json", "stages", "store")
    ]
    store = Store(str(out / "store"))
    (run_id,) = store.finished()
    assert (out / "models" / run_id / "model.safetensors").is_file()
    assert f"| run | `{run_id}` |" in (out / "models" / run_id / "README.md").read_text()
    assert "mlb" in (out / "report" / "index.html").read_text()
    assert {stage.listing()[0].name for stage in (out / "stages").listing()} == {"final"}

    again = sweep(uri, *OPTIONS)
    assert again.returncode == 0
    assert "1 run, 1 finished already" in again.err  # type: ignore[attr-defined]

    status = subprocess.run(
        [sys.executable, "-m", "sweeps", "status", uri], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "finished" in status.stdout

    here = trained_here(tmp_path, *OPTIONS)
    pd.testing.assert_frame_equal(scores_of(str(out / "store")), scores_of(here), rtol=1e-6)
