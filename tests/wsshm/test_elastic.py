"""`train.workers: [fewest, most]` on a cluster that grows and shrinks under a run."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.train import ScalingConfig, UserCallback

import wsshm.train
from tests.wsshm import tiny
from wsshm.train import resolved, train

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS, EPOCH_STEPS = 60, 10  # enough for Ray to look for workers while it trains
LOOK_EVERY_S = 2.0  # Ray's own is a minute


class Workers(UserCallback):
    """Writes a line for each report: how many workers there were. It runs where Ray Train's controller does."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        with open(self.file, "a") as file:
            print(len(metrics), file=file)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that runs nothing and one node with room for one worker."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_run_takes_a_worker_that_comes_and_goes_on_without_one_that_is_lost(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = functools.partial(ScalingConfig, elastic_resize_monitor_interval_s=LOOK_EVERY_S)
    monkeypatch.setattr(wsshm.train, "ScalingConfig", often)
    reports = tmp_path / "reports.txt"
    over = threading.Event()

    def seen() -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in reports.read_text().split()]
        return []

    def wait_for(condition: Callable[[], bool]) -> None:
        while not condition() and not over.is_set():
            time.sleep(0.1)

    def change_the_cluster() -> None:
        wait_for(lambda: len(seen()) >= 2)
        node = cluster.add_node(num_cpus=1)
        wait_for(lambda: seen().count(2) >= 3)
        cluster.remove_node(node, allow_graceful=False)

    changing = threading.Thread(target=change_the_cluster)
    changing.start()
    try:
        config = tiny.config(
            tiny.make(tmp_path / "data"), "joint", workers=[1, 2], steps=EPOCHS * EPOCH_STEPS, epoch_steps=EPOCH_STEPS
        )
        trained = train(resolved(config), tmp_path / "stages", callbacks=[Workers(reports)])
    finally:
        over.set()
        changing.join()
    assert [workers for workers, _ in groupby(seen())] == [1, 2, 1]
    [stage] = trained.stages
    epochs = [point["epoch"] for point in stage["history"] if point["key"] == "val_sad"]
    assert epochs == sorted(set(epochs)), "no epoch is there twice"
    assert len(epochs) == EPOCHS, "and none is missing"
