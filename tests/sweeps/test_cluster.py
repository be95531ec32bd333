"""How many runs fit, and what is refused before anything starts."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
import ray

from sweeps import cluster
from wsshm.config import TrainConfig
from wsshm.errors import UserError
from wsshm.storage import Location

GIGABYTE = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be in a one-node cluster of some size."""

    def pretend(cpus: float, gpus: float = 0, free: float = 640 * GIGABYTE) -> None:
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": cpus, "GPU": gpus})
        node = {"Alive": True, "NodeID": "a", "NodeManagerHostname": "one", "Resources": {"CPU": cpus, "GPU": gpus}}
        monkeypatch.setattr(ray, "nodes", lambda: [node])
        monkeypatch.setattr(cluster, "_free_memory", lambda: free)

    return pretend


@pytest.mark.parametrize(
    ("cpus", "gpus", "options", "expected"),
    [
        (3, 0, {}, 2),  # a local two-core machine, as `cluster` starts it
        (65, 0, {}, 64),
        (65, 0, {"cpus_per_worker": 4, "workers": 2}, 8),
        (33, 4, {"gpus_per_worker": 1}, 4),
        (33, 4, {"gpus_per_worker": 1, "workers": 2}, 2),
        (33, 4, {"gpus_per_worker": 0.5, "loader_workers": 1}, 8),
        (33, 4, {"gpus_per_worker": 1, "loader_workers": 15}, 2),
    ],
)
def test_as_many_runs_as_their_workers_fit(machine, cpus: int, gpus: int, options: dict, expected: int) -> None:
    machine(cpus, gpus)
    assert cluster.concurrent_runs(TrainConfig(**options)) == expected


def test_an_impossible_request_is_refused(machine) -> None:
    machine(3)
    for workers in (3, 4):  # three workers would fit, but not beside the process that drives them
        with pytest.raises(
            UserError, match=rf"asks for {workers}.01 CPU \({workers} workers\) but the cluster has 3; lower"
        ):
            cluster.concurrent_runs(TrainConfig(workers=workers, batch=12))
    with pytest.raises(UserError, match=r"asks for 1 GPU .* has 0"):
        cluster.concurrent_runs(TrainConfig(gpus_per_worker=1))


def test_a_worker_larger_than_any_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 32.0})
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 16.0}}] * 2)
    with pytest.raises(UserError, match=r"asks for 17 CPU .* 2 nodes have room for 0 of the 1"):
        cluster.concurrent_runs(TrainConfig(cpus_per_worker=17))
    assert cluster.concurrent_runs(TrainConfig(cpus_per_worker=15)) == 2


def test_workers_are_not_spread_over_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three nodes of three CPUs have nine, but places for three workers of two."""
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 9.0})
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 3.0}}] * 3)
    with pytest.raises(UserError, match=r"room for 3 of the 4"):
        cluster.concurrent_runs(TrainConfig(cpus_per_worker=2, workers=4))
    assert cluster.concurrent_runs(TrainConfig(cpus_per_worker=2, workers=3, batch=6)) == 1
    assert cluster.concurrent_runs(TrainConfig(cpus_per_worker=2)) == 3


def test_elastic_runs_need_their_fewest_workers_and_get_their_most(machine) -> None:
    machine(33, 4)
    assert cluster.concurrent_runs(TrainConfig(gpus_per_worker=1, workers=(1, 2))) == 2
    assert cluster.concurrent_runs(TrainConfig(gpus_per_worker=1, workers=(2, 8), batch=840)) == 1
    with pytest.raises(UserError, match=r"asks for 6 GPU \(6 workers\) but the cluster has 4"):
        cluster.concurrent_runs(TrainConfig(gpus_per_worker=1, workers=(6, 8), batch=168))


def test_short_memory_means_fewer_runs_and_none_is_an_error(machine) -> None:
    machine(9, free=2.5 * (cluster.RUN_BYTES + cluster.WORKER_BYTES))
    assert cluster.concurrent_runs(TrainConfig()) == 2
    machine(9, free=0.5 * GIGABYTE)
    with pytest.raises(UserError, match=r"needs about 2.8 GB of memory and 0.5 GB are free"):
        cluster.concurrent_runs(TrainConfig())


def test_a_full_disk_is_found_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(cluster.shutil, "disk_usage", lambda path: usage(10 * GIGABYTE, 9 * GIGABYTE, GIGABYTE))
    cluster.check_disk(Location.of(tmp_path), 0.9 * GIGABYTE)
    with pytest.raises(UserError, match=r"1.00 GB free and the sweep needs about 2.00 GB"):
        cluster.check_disk(Location.of(tmp_path), 2 * GIGABYTE)


def test_a_cluster_that_did_not_start_in_time_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict] = []

    def start(**options: object) -> None:
        calls.append(options)
        if len(calls) < outcomes:
            raise Exception("The current node timed out during startup")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", start)
    outcomes = 2
    with cluster.cluster():
        assert [call["address"] for call in calls] == ["local", "local"]
    calls.clear()
    outcomes = 99
    with pytest.raises(UserError, match=r"timed out during startup.*overloaded, try again"), cluster.cluster():
        pass
    assert len(calls) == 2
