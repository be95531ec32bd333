"""A run is known once: its data is opened once a process, and it goes whole to whoever trains it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.expand import expand
from sweeps.trial import describe
from tests.sweeps import made_up
from tests.sweeps.asking import ROOT
from tests.wsshm import tiny
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError
from wsshm.training.run_plan import RunPlan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny.make(tmp_path / "data")


def runs_of(root: Path) -> list[RunPlan]:
    """Six runs over two sizes of the network's input."""
    base = tiny.config(root, workers=1).model_dump(mode="json")
    space = {"method.blend.band": [0.02, 0.04, 0.08], "data.size": [64, 128]}
    return expand(made_up.plan_of(base=base, space=space, seeds=[0]))


def test_a_manifest_is_opened_once_in_a_process_and_again_when_it_is_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read = Manifest.read.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(Manifest, "read", classmethod(lambda cls, path: opened.append(path.name) or read(cls, path)))
    runs = runs_of(root)
    assert len(runs) == 6
    for run in [*runs, *runs_of(root)]:
        assert len(run.sources.masks) == 8
        describe(run)
    assert sorted(opened) == ["masks.parquet", "mattes.parquet", "test.parquet", "val.parquet"]
    masks = runs[0].sources.masks
    Manifest(masks.root, masks.samples[1:]).write(root / "masks.parquet")
    assert len(runs_of(root)[0].sources.masks) == 7
    assert len(opened) == 5
    with pytest.raises(UserError, match=r"the data of run \w+ is not what it was when the run was planned"):
        _ = runs[0].sources


def test_a_run_goes_to_other_processes_whole_and_without_torch(root: Path) -> None:
    run = runs_of(root)[0]
    sent = pickle.dumps(run)
    assert pickle.loads(sent) == run
    code = "import pickle, sys; pickle.load(sys.stdin.buffer); assert not {'torch', 'timm', 'cv2'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], input=sent, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
