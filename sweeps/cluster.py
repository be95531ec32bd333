"""The Ray cluster that a sweep runs in: joined or started, and asked beforehand whether the sweep fits."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wsshm.config import TrainConfig
from wsshm.errors import UserError

DRIVER_CPUS = 0.01
"""What a trial's own process asks for: it only drives, and Ray refuses 0."""

RUN_BYTES, WORKER_BYTES = 1.3e9, 1.5e9
"""Memory of a run's own processes and of each of its workers: proportional set sizes while quickstart trained, rounded up."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names (a submitted job's is set), else start one here and stop it again."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
    else:
        # One CPU more than there are: the trials' drivers take a hundredth each, and would else keep a whole one idle.
        cpus = len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None
        # Not whatever other cluster may be running on this machine: it may be another sweep's, and end with it.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()


def concurrent_runs(options: TrainConfig) -> int:
    """How many runs the cluster holds at once. UserError where it cannot hold one: Ray would wait for ever."""
    have = ray.cluster_resources()
    workers = max(1, options.workers)
    asks = {
        "CPU": workers * (options.cpus_per_worker + options.loader_workers),
        "GPU": workers * options.gpus_per_worker,
    }
    asks["CPU"] += DRIVER_CPUS
    for kind, amount in asks.items():
        if amount > have.get(kind, 0.0) + 1e-9:
            raise UserError(
                f"each run asks for {amount:g} {kind} ({workers} workers) but the cluster has {have.get(kind, 0.0):g};"
                " lower base.train.workers, cpus_per_worker or gpus_per_worker"
            )
    worker = {"CPU": options.cpus_per_worker + options.loader_workers, "GPU": options.gpus_per_worker}
    if not any(all(node["Resources"].get(k, 0.0) >= amount for k, amount in worker.items()) for node in _nodes()):
        raise UserError(
            f"no node of the cluster has the {worker['CPU']} CPU and {worker['GPU']:g} GPU of one worker; lower"
            " base.train.cpus_per_worker, loader_workers or gpus_per_worker"
        )
    fitting = int(min(have.get(kind, 0.0) / amount for kind, amount in asks.items() if amount) + 1e-9)
    if len(_nodes()) > 1:
        return fitting
    free = _free_memory()
    needed = RUN_BYTES + WORKER_BYTES * workers
    room = fitting if free is None else int(free / needed)
    if room < 1:
        raise UserError(
            f"a run needs about {needed / 1e9:.1f} GB of memory and {(free or 0) / 1e9:.1f} GB are free;"
            " close other programs or use a larger machine"
        )
    if room < fitting:
        log.warning("memory is short: %d instead of %d runs at a time", room, fitting)
    return min(fitting, room)


def check_disk(out: Path, needed: float) -> None:
    """Raise UserError unless `needed` bytes are free where `out` is, so that no sweep stops half-way for it."""
    free = shutil.disk_usage(out).free
    if free < needed:
        raise UserError(
            f"{out} has {free / 1e9:.2f} GB free and the sweep needs about {needed / 1e9:.2f} GB; free some space or"
            " give another place by --out"
        )


def check_shared(out: Path) -> None:
    """Raise UserError where a node of the cluster does not see the folder `out`."""
    nodes = _nodes()
    if len(nodes) < 2:
        return
    marker = out / f".seen-by-all-nodes-{uuid.uuid4().hex}"
    marker.touch()
    try:
        seen = ray.remote(num_cpus=0)(Path.exists)
        answers = {
            node["NodeManagerHostname"]: seen.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(marker)
            for node in nodes
        }
        blind = [name for name, answer in answers.items() if not ray.get(answer)]
    finally:
        marker.unlink(missing_ok=True)
    if blind:
        raise UserError(
            f"the cluster has {len(nodes)} nodes and {blind[0]} does not see {out}; give a folder on storage that all"
            " nodes share by --out"
        )


def _nodes() -> list[dict]:
    return [node for node in ray.nodes() if node["Alive"]]


def _free_memory() -> float | None:
    """Bytes that new processes can use on this machine or in this container, where the system tells."""
    limits = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(float(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" where a container has no limit
        group = Path("/sys/fs/cgroup")
        limits.append(float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return min(limits, default=None)
