"""Whatever is killed in the middle of a sweep, every run is there once at the end, with the numbers of a quiet sweep."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from bench.store import Store
from sweeps.cluster import known_to_its_processes
from tests.sweeps.asking import half_trained, scores_of, states, sweep, wait_for
from tests.sweeps.trained_here import trained_here

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Two runs that share nothing, with enough epochs to be caught in the middle of.
OPTIONS = [
    *("--set", "space={method.name: [mlb, seg_only]}"),
    *("--set", "base.train.steps=24"),
    *("--set", "base.train.teacher_steps=12"),
    *("--set", "base.train.epoch_steps=4"),
]
WORKER, TRIAL = "ray::RayTrainWorker", "ray::ImplicitFunc"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs, undisturbed."""
    return trained_here(tmp_path_factory.mktemp("quiet") / "out", *OPTIONS)


def same(out: Path, quiet: Path) -> None:
    """Every run once, finished, with equal scores and learning curves."""
    runs, expected = (Store(place / "store").read("runs").set_index("run_id").sort_index() for place in (out, quiet))
    assert list(runs.index) == list(expected.index)
    assert set(runs["status"]) == {"finished"}
    files = list((out / "store" / "runs").glob("*.parquet"))
    assert sum(len(pd.read_parquet(file)) for file in files) == len(expected)
    pd.testing.assert_frame_equal(scores_of(out), scores_of(quiet), rtol=1e-6)
    curves = [
        Store(place / "store").read("epochs").sort_values(["run_id", "stage", "epoch", "key"], ignore_index=True)
        for place in (out, quiet)
    ]
    pd.testing.assert_frame_equal(*curves, rtol=1e-6)


def processes(of: psutil.Process, title: str) -> list[psutil.Process]:
    """Processes of a sweep's own cluster by the title that Ray gives them."""
    found = []
    for process in of.children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def another() -> Iterator[Cluster]:
    """Somebody else's cluster on the same machine, with which nothing is to be confused."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.long
@pytest.mark.usefixtures("another")
def test_processes_of_runs_are_killed(quiet: Path, tmp_path: Path) -> None:
    """The workers, and once others have gone on the trials: the same sweep recovers by itself."""
    out = tmp_path / "out"
    process = sweep(out, *OPTIONS, wait=False)
    for title in (WORKER, TRIAL):
        known = states(out)
        wait_for(lambda known=known: states(out) - known, process)
        victims = processes(psutil.Process(process.pid), title)
        assert victims, "there was nothing to kill"
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    same(out, quiet)


def test_the_driver_is_killed_and_the_same_command_goes_on(quiet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = sweep(out, *OPTIONS, wait=False)
    wait_for(lambda: half_trained(out), process)
    process.kill()
    process.wait()
    assert not Store(out / "store").finished()
    again = sweep(out, *OPTIONS)
    assert again.returncode == 0, again.err  # type: ignore[attr-defined]
    same(out, quiet)


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    """A head that runs nothing and two nodes with room for one run each."""
    with known_to_its_processes():  # as `ray start` leaves it in a file for them
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield cluster
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()


@pytest.mark.long
def test_a_node_is_lost(quiet: Path, tmp_path: Path, nodes: Cluster) -> None:
    """With all the processes on it: its runs go on elsewhere from their last checkpoint."""
    out = tmp_path / "out"
    two = [nodes.add_node(num_cpus=2) for _ in range(2)]
    nodes.wait_for_nodes()
    process = sweep(out, *OPTIONS, wait=False, env={"RAY_ADDRESS": nodes.address})
    busy: list = []

    def training() -> bool:
        raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in two]
        busy[:] = [node for node, raylet in zip(two, raylets, strict=True) if processes(raylet, WORKER)]
        return half_trained(out) and bool(busy)

    wait_for(training, process)
    nodes.remove_node(busy[0], allow_graceful=False)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    same(out, quiet)
