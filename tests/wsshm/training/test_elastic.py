"""`train.workers: [fewest, most]` on a cluster that grows and shrinks under a run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.sweeps.asking import ROOT, wait_for
from tests.wsshm.training.elastic_run import EPOCHS

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that runs nothing and one node with room for one worker."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.long
def test_a_run_takes_a_worker_that_comes_and_goes_on_without_one_that_is_lost(tmp_path: Path, cluster: Cluster) -> None:
    def seen() -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in (tmp_path / "reports.txt").read_text().split()]
        return []

    with open(tmp_path / "log.txt", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.wsshm.training.elastic_run", str(tmp_path)],
            cwd=ROOT,
            env=os.environ | {"RAY_ADDRESS": cluster.address},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(lambda: len(seen()) >= 2, process)
            node = cluster.add_node(num_cpus=1)
            wait_for(lambda: seen().count(2) >= 3, process)
            cluster.remove_node(node, allow_graceful=False)
            process.wait(600)
        finally:
            process.kill()
    assert process.returncode == 0, (tmp_path / "log.txt").read_text()
    assert [workers for workers, _ in groupby(seen())] == [1, 2, 1]
    [result] = (tmp_path / "stages").glob("*/final/stage.json")
    epochs = [point["epoch"] for point in json.loads(result.read_text())["history"] if point["key"] == "val_sad"]
    assert epochs == sorted(set(epochs)), "no epoch is there twice"
    assert len(epochs) == EPOCHS, "and none is missing"
