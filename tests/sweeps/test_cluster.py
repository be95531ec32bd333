"""How many runs fit, and what is refused before anything starts."""

from __future__ import annotations

from collections import namedtuple
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from sweeps import cluster, growth, memory
from sweeps.place import Place
from sweeps.plan import configurations, load_plan
from sweeps.settle import Settled
from sweeps.slots import Slots
from sweeps.trial import planned
from wsshm.config import DataConfig, RunConfig, TrainConfig, parse
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.training.run_plan import RunPlan

GIGABYTE = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be in a one-node cluster of some size."""

    def pretend(cpus: float, gpus: float = 0, free: float = 640 * GIGABYTE) -> None:
        node = {"Alive": True, "NodeID": "a", "NodeManagerHostname": "one", "Resources": {"CPU": cpus, "GPU": gpus}}
        monkeypatch.setattr(ray, "nodes", lambda: [node])
        monkeypatch.setattr(memory, "free_bytes", lambda: free)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)

    return pretend


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be in a cluster of nodes with such resources."""

    def pretend(*resources: dict[str, float]) -> None:
        told = [{"Alive": True, "NodeID": str(i), "Resources": node} for i, node in enumerate(resources)]
        monkeypatch.setattr(ray, "nodes", lambda: told)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return pretend


def at_once(todo: int = 100, **train: Any) -> int:
    """How many of `todo` runs go on at once."""
    return cluster.room_for([RunConfig(train=TrainConfig(**train))], todo).at_once


@pytest.mark.parametrize(
    ("cpus", "gpus", "options", "expected"),
    [
        (2, 0, {}, 2),
        (2, 0, {"workers": 2}, 1),  # all that a run's workers ask for, and nothing for what drives them
        (64, 0, {}, 64),
        (64, 0, {"cpus_per_worker": 4, "workers": 2}, 8),
        (33, 4, {"gpus_per_worker": 1}, 4),
        (33, 4, {"gpus_per_worker": 1, "workers": 2}, 2),
        (33, 4, {"gpus_per_worker": 0.5, "loader_workers": 1}, 8),
        (33, 4, {"gpus_per_worker": 0.4}, 8),  # two a GPU
        (33, 4, {"gpus_per_worker": 0.1}, 33),
        (33, 4, {"gpus_per_worker": 0.7}, 4),
        (33, 4, {"gpus_per_worker": 1, "loader_workers": 15}, 2),
    ],
)
def test_as_many_runs_as_their_workers_fit(machine, cpus: int, gpus: int, options: dict, expected: int) -> None:
    machine(cpus, gpus)
    assert at_once(**options) == expected
    assert at_once(todo=1, **options) == 1


def test_an_impossible_request_is_refused(machine) -> None:
    machine(3)
    with pytest.raises(UserError, match=r"asks for 4 CPU \(4 workers\) but the cluster has 3 CPU; lower"):
        at_once(workers=4)
    with pytest.raises(UserError, match=r"asks for .*1 GPU \(1 worker\) .* has 0 GPU"):
        at_once(gpus_per_worker=1)


def test_a_worker_larger_than_any_node_is_refused(nodes) -> None:
    nodes({"CPU": 16.0}, {"CPU": 16.0})
    with pytest.raises(UserError, match=r"asks for 17 CPU, .* 2 nodes have room for 0 of the 1"):
        at_once(cpus_per_worker=17)
    assert at_once(cpus_per_worker=15) == 2


def test_workers_are_not_spread_over_nodes(nodes) -> None:
    """Three nodes of three CPUs have nine, but places for three workers of two."""
    nodes({"CPU": 3.0}, {"CPU": 3.0}, {"CPU": 3.0})
    with pytest.raises(UserError, match=r"room for 3 of the 4"):
        at_once(cpus_per_worker=2, workers=4)
    assert at_once(cpus_per_worker=2, workers=3, batch=6) == 1
    assert at_once(cpus_per_worker=2) == 3
    nodes({"CPU": 4.0}, {"CPU": 4.0})
    assert at_once(cpus_per_worker=4) == 2  # what drives the runs takes no CPU of either node


def test_samples_are_made_on_whatever_cpus_the_workers_leave(nodes) -> None:
    def streaming(**train: Any) -> int:
        config = {"data": {"loading": "ray"}, "train": train}
        return cluster.room_for([parse(config)], 100).at_once

    nodes({"CPU": 2.0, "GPU": 2.0}, {"CPU": 8.0}, {"CPU": 6.0})
    assert streaming(gpus_per_worker=1, loader_workers=4) == 2
    assert streaming(gpus_per_worker=1, loader_workers=7) == 2
    assert streaming(gpus_per_worker=1, loader_workers=8) == 1
    assert streaming(gpus_per_worker=1, loader_workers=7, workers=2) == 1
    with pytest.raises(UserError, match=r"asks for 18 CPU \(2 workers, and for each 8 .* but the cluster has 16"):
        streaming(gpus_per_worker=1, loader_workers=8, workers=2)


def test_a_kind_of_gpu_is_waited_for_where_it_is(nodes) -> None:
    """As Ray says what its nodes have; another kind's nodes hold nothing."""
    large = {"CPU": 32.0, "GPU": 4.0, "accelerator_type:A100": 1.0}
    nodes(large, {"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0}, {"CPU": 8.0})
    assert at_once(gpus_per_worker=1) == 5
    assert at_once(gpus_per_worker=1, accelerator="A100") == 4
    assert at_once(gpus_per_worker=1, accelerator="T4") == 1
    with pytest.raises(UserError, match=r"no node has the GPU 'H100' of base.train.accelerator \(there is A100, T4\)"):
        at_once(gpus_per_worker=1, accelerator="H100")
    with pytest.raises(UserError, match=r"a worker asks for 1 CPU and 1 GPU, and .* room for 1 of the 2"):
        at_once(gpus_per_worker=1, accelerator="T4", workers=2)


def test_elastic_runs_need_their_fewest_workers_and_get_their_most(machine) -> None:
    machine(33, 4)
    assert at_once(gpus_per_worker=1, workers=(1, 2)) == 2
    assert at_once(gpus_per_worker=1, workers=(2, 8), batch=840) == 1
    with pytest.raises(UserError, match=r"asks for 6 CPU and 6 GPU \(6 workers\) but the cluster has 4 GPU"):
        at_once(gpus_per_worker=1, workers=(6, 8), batch=168)


def test_short_memory_means_fewer_runs_and_none_is_an_error(machine) -> None:
    needed = memory.of_run(RunConfig())
    machine(9, free=2.5 * needed)
    assert at_once() == 2
    machine(9, free=0.5 * GIGABYTE)
    with pytest.raises(UserError, match=r"needs about \d\.\d GB of memory and 0\.5 GB are free; .* base\.data\.size"):
        at_once()


def test_quickstart_goes_on_one_run_at_a_time_where_6_gb_are_left(machine) -> None:
    """Of which Ray itself and the sweep take 1.5 GB: four and a half are left once they are there."""
    machine(4, free=4.5 * GIGABYTE)
    quickstart = configurations(load_plan("quickstart"))
    assert cluster.room_for(quickstart, len(quickstart)).at_once == 1
    machine(4, free=7 * GIGABYTE)
    assert cluster.room_for(quickstart, len(quickstart)).at_once == 2


def test_a_run_at_a_larger_size_or_batch_takes_more_memory() -> None:
    def bytes_of(size: int, **train: Any) -> float:
        return memory.of_run(RunConfig(data=DataConfig(size=size), train=TrainConfig(**train)))

    assert bytes_of(192) == pytest.approx(1.5e9 + 0.5e9 + 4000 * 16 * 192**2)
    assert bytes_of(128, batch=32) == bytes_of(128) + memory.PIXEL_BYTES * 16 * 128**2
    assert bytes_of(128, batch=32, accumulate=2) == bytes_of(128)
    assert bytes_of(192, gpus_per_worker=1) == bytes_of(128, gpus_per_worker=1)


class TestGrowing:
    """A cluster that RAY_ADDRESS names and whose autoscaler brings nodes."""

    @pytest.fixture(autouse=True)
    def _joined(self, nodes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[list[dict]] = []
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        monkeypatch.setattr(growth, "request_resources", lambda bundles: self.asked.append(bundles))
        monkeypatch.setattr(growth, "may_come", list)
        monkeypatch.setattr(growth, "LOOK_EVERY_S", 0.01)
        monkeypatch.setattr(growth, "NOTICE_S", 0.05)

    def test_one_that_brings_nodes_gets_all_runs_as_its_demand(self, nodes, monkeypatch: pytest.MonkeyPatch) -> None:
        """From a head without CPUs, which would hold no run."""
        nodes({"CPU": 0.0})

        def launching() -> bool:
            nodes({"CPU": 0.0}, {"CPU": 4.0})
            return True

        monkeypatch.setattr(growth, "launching", launching)
        room = cluster.room_for([RunConfig(train=TrainConfig(cpus_per_worker=2, workers=2))], 5)
        assert (room.at_once, room.growing) == (5, True)
        assert self.asked == [[{"CPU": 2.0}] * 10, []]
        assert room.holds_a_run([])  # others are to come

    def test_one_whose_node_types_are_known_is_asked_for_what_it_can_bring(
        self, nodes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nodes({"CPU": 4.0})
        monkeypatch.setattr(growth, "may_come", lambda: [{"CPU": 4.0}] * 3)
        assert cluster.room_for([RunConfig(train=TrainConfig(cpus_per_worker=2))], 50).at_once == 8
        with pytest.raises(UserError, match=r"a worker asks for 5 CPU, and the cluster's 4 nodes have room for 0"):
            at_once(cpus_per_worker=5)

    def test_one_that_does_not_grow_is_refused_as_ever(self, nodes, monkeypatch: pytest.MonkeyPatch) -> None:
        nodes({"CPU": 2.0})
        monkeypatch.setattr(growth, "launching", lambda: False)
        monkeypatch.setattr(memory, "free_bytes", lambda: 640.0 * GIGABYTE)
        with pytest.raises(UserError, match=r"asks for 4 CPU \(4 workers\) but the cluster has 2"):
            at_once(workers=4)
        assert at_once() == 2
        assert self.asked[-1] == []


def test_node_types_that_the_autoscaler_told_of_are_counted_without_those_that_are_up(
    nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = {"CPU": 0.0, "node:__internal_head__": 1.0}
    nodes(head, {"CPU": 8.0, "GPU": 1.0})
    groups = [
        SimpleNamespace(resources={"CPU": 8, "GPU": 1}, max_count=3),
        SimpleNamespace(resources={"CPU": 16}, max_count=2),
        SimpleNamespace(resources={"memory": 1}, max_count=1),  # the head's own
    ]
    told = SimpleNamespace(node_group_configs=groups)
    monkeypatch.setattr(growth, "state", SimpleNamespace(get_cluster_config=lambda: told))
    assert sorted(growth.may_come(), key=str) == sorted([{"CPU": 8.0, "GPU": 1.0}] * 2 + [{"CPU": 16.0}] * 2, key=str)
    monkeypatch.setattr(growth, "state", SimpleNamespace(get_cluster_config=lambda: None))
    assert growth.may_come() == []


def test_slots_are_counted_in_workers(nodes) -> None:
    nodes({"CPU": 4.0}, {"CPU": 3.0})
    room = cluster.Room(3, frozenset({cluster.Ask((("CPU", 2.0),), 2, 2, 1e9)}))
    settled = Settled(Place(Location.of("/nowhere")))
    slots = Slots(settled.place, room, 5, settled)
    settled.ended += 3  # of five runs two are left
    told = slots.counted([{"CPU": 4.0}, {"CPU": 3.0}], {"CPU": 2.5})
    assert told == {"nodes": 2, "total": 3, "used": 2, "free": 1, "asked": 4}


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
    monkeypatch.setattr(cluster, "Watch", lambda: nullcontext(SimpleNamespace(stop=Event())))
    with cluster.cluster():
        assert [call["address"] for call in calls] == ["local", "local"]
    calls.clear()
    outcomes = 99
    with pytest.raises(UserError, match=r"timed out during startup.*overloaded, try again"), cluster.cluster():
        pass
    assert len(calls) == 2


def test_without_workers_a_sweeps_run_has_one() -> None:
    """Ray Train's calls are refused in Ray Tune's process, where `workers: 0` would train."""
    run = RunPlan(RunConfig(train=TrainConfig(workers=0)), "a", (), "b", 1, {"polygon": 1})
    assert planned({"run": {"run": run}}) == replace(run, config=RunConfig())
