"""Plugins on a cluster whose processes were started without them: joined, and as a job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from ray.cluster_utils import Cluster

from tests.sweeps.asking import ROOT
from tests.sweeps.test_submit import real_cluster
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


def test_a_job_takes_it_along(tmp_path: Path) -> None:
    mine = tmp_path / "elsewhere" / "my halves.py"
    mine.parent.mkdir()
    mine.write_text(HALVES.read_text())
    with real_cluster(tmp_path, port=24410) as (address, environment):
        environment |= {"PYTHONPATH": str(ROOT), plugins.VARIABLE: "elsewhere/my halves.py"}
        command = [sys.executable, "-m", "sweeps", "submit", "smoke", "--out", "out", "--address", address]
        command += ["--set", "space={method.name: [halves]}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = pq.read_table(tmp_path / "out" / "store" / "runs").to_pylist()
    assert (row["method"], row["status"]) == ("halves", "finished")
    assert "plugin plugin_0_my_halves.py" in json.loads(row["versions"])
