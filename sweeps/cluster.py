"""The Ray cluster that a sweep runs in: joined or started, and asked beforehand whether the sweep fits."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from wsshm.config import TrainConfig
from wsshm.errors import UserError, last_sentence
from wsshm.storage import Location

DRIVER_CPUS = 0.01
"""What a trial's own process asks for: it only drives, and Ray refuses 0."""

RUN_BYTES, WORKER_BYTES = 1.3e9, 1.5e9
"""Memory of a run's own processes and of each of its workers: proportional set sizes while quickstart trained, rounded up."""

POLL_S = "0.5"
"""How often Ray Train looks for workers' reports, in a cluster started here: each epoch waits for it (2 s by default)."""

STARTS = 2
"""How often a cluster is started here before it is given up: Ray waits half a minute, too short for a busy machine."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names (a submitted job's is set), else start one here and stop it again.

    With Ray's dashboard: what frees the workers' places of a run that was stopped or killed asks it who is dead.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", POLL_S)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if "RAY_ADDRESS" in os.environ:
            ray.init(**quiet)
        else:
            # One CPU more than there are: the trials' drivers take a hundredth each, and would else keep a whole one idle.
            cpus = len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None
            _start(num_cpus=cpus, **quiet)
    except Exception as error:  # Ray raises nothing narrower
        where = f"the cluster at {os.environ['RAY_ADDRESS']}" if "RAY_ADDRESS" in os.environ else "a cluster here"
        raise UserError(
            f"Ray could not reach or start {where} ({last_sentence(error)}); where the machine is overloaded, try again"
        ) from error
    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()


def _start(**options: Any) -> None:
    for attempt in range(STARTS):
        try:
            # Not whatever other cluster may be running on this machine: it may be another sweep's, and end with it.
            with known_to_its_processes():
                ray.init(address="local", include_dashboard=True, **options)
            return
        except Exception:  # Ray raises nothing narrower
            ray.shutdown()
            if attempt + 1 == STARTS:
                raise
            log.info("Ray did not start in time; starting it again")


@contextlib.contextmanager
def known_to_its_processes() -> Iterator[None]:
    """The cluster started within is the one that its own processes ask about themselves, by its address.

    They look for any cluster on the machine otherwise; where another runs, what frees the places of a killed run gives up or,
    worse, is told that the run is dead, and this sweep waits for ever for its places or loses them.
    """
    with socket.socket() as free:
        free.bind(("", 0))
        port = os.environ.get("RAY_GCS_SERVER_PORT") or str(free.getsockname()[1])
    told = {"RAY_GCS_SERVER_PORT": port, "RAY_ADDRESS": f"127.0.0.1:{port}"}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def concurrent_runs(options: TrainConfig) -> int:
    """How many runs the cluster holds at once. UserError where it cannot hold one: Ray would wait for ever."""
    have = ray.cluster_resources()
    worker = {"CPU": float(options.cpus_per_worker + options.loader_workers), "GPU": options.gpus_per_worker}
    fewest, most = options.worker_counts[0], options.worker_counts[-1]
    for kind, amount in worker.items():
        asked = fewest * amount + (DRIVER_CPUS if kind == "CPU" else 0)
        if asked > have.get(kind, 0.0) + 1e-9:
            raise UserError(
                f"each run asks for {asked:g} {kind} ({fewest} workers) but the cluster has {have.get(kind, 0.0):g};"
                " lower base.train.workers, cpus_per_worker or gpus_per_worker"
            )
    places = sum(_workers_on(node, worker) for node in _nodes())
    if places < fewest:
        raise UserError(
            f"a worker asks for {worker['CPU']:g} CPU and {worker['GPU']:g} GPU, and the cluster's {len(_nodes())} nodes"
            f" have room for {places} of the {fewest} that each run needs; lower base.train.workers, cpus_per_worker,"
            " loader_workers or gpus_per_worker"
        )
    # Elastic runs get all they can use, rather than many a little.
    asks = {"CPU": most * worker["CPU"] + DRIVER_CPUS, "GPU": most * worker["GPU"]}
    fitting = int(min(have.get(kind, 0.0) / amount for kind, amount in asks.items() if amount) + 1e-9)
    fitting = max(1, min(fitting, places // most))
    if len(_nodes()) > 1:
        return fitting
    free = _free_memory()
    needed = RUN_BYTES + WORKER_BYTES * fewest
    room = fitting if free is None else int(free / needed)
    if room < 1:
        raise UserError(
            f"a run needs about {needed / 1e9:.1f} GB of memory and {(free or 0) / 1e9:.1f} GB are free;"
            " close other programs or use a larger machine"
        )
    if room < fitting:
        log.warning("memory is short: %d instead of %d runs at a time", room, fitting)
    return min(fitting, room)


def check_disk(out: Location, needed: float) -> None:
    """Raise UserError unless `needed` bytes are free where `out` is, so that no sweep stops half-way for it.

    An object store has no end that could be asked for.
    """
    if out.local is None:
        return
    free = shutil.disk_usage(out.local).free
    if free < needed:
        raise UserError(
            f"{out} has {free / 1e9:.2f} GB free and the sweep needs about {needed / 1e9:.2f} GB; free some space or"
            " give another place by --out"
        )


def _workers_on(node: dict, worker: dict[str, float]) -> int:
    """How many workers a node has room for: none is spread over two."""
    return int(min(node["Resources"].get(kind, 0.0) / amount for kind, amount in worker.items() if amount) + 1e-9)


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
