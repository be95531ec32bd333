"""Plugins on a cluster whose processes were started without them, joined; jobs are in `tests/sweeps/test_submit.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.cluster_utils import Cluster

from tests.sweeps.asking import ROOT
from tests.wsshm import tiny
from wsshm import plugins

pytestmark = [pytest.mark.ray, pytest.mark.slow]
HALVES = Path(__file__).with_name("halves.py")


def test_workers_of_a_joined_cluster_know_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tiny.config(tiny.make(tmp_path / "data")).model_dump(mode="json")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        monkeypatch.setenv(plugins.VARIABLE, str(HALVES))
        command = [sys.executable, "-m", "wsshm", "train", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out")]
        command += ["--set", "method.name=halves", "--set", "train.workers=1"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "model" / "model.json").read_text())["method"] == "halves"
