"""The Ray cluster that a sweep runs in: joined or started, and asked beforehand whether the sweep fits."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import ray

from sweeps import growth, memory
from sweeps.watch import Watch
from wsshm import ray_cluster
from wsshm.config import ACCELERATOR, RunConfig
from wsshm.cores import usable_cores
from wsshm.errors import UserError
from wsshm.files.location import Location

DRIVER = {"CPU": 0.0, "memory": 1e6}
"""What a trial's own process asks for: it only drives, so that workers may have every CPU. Ray refuses to be asked for
nothing, and every node has memory."""

POLL_S = "0.5"
"""How often Ray Train looks for workers' reports, in a cluster started here: each epoch waits for it (2 s by default)."""

OBJECT_STORE_BYTES = 256_000_000
"""Shared memory for what Ray hands over, on this machine: labels made ahead, and little else."""

STARTS = 2
"""How often a cluster is started here before it is given up: Ray waits half a minute, too short for a busy machine."""

PROCESSES_LATER = {"prestart_worker_first_driver": False}
"""Ray's settings of a cluster started here: it would start a process a CPU before anybody asks for one, without the
environment that Ray Tune's and Ray Train's processes ask for, so that none of them is ever used."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def cluster() -> Iterator[Watch]:
    """Join the cluster that RAY_ADDRESS names (a submitted job's is set), else start one here and stop it again.

    Yields what looks after it: a cluster that dies ends the block with ClusterLost.

    With Ray's dashboard: what frees the workers' places of a run that was stopped or killed asks it who is dead.
    """
    if ray.is_initialized():
        with Watch() as watch:
            yield watch
        return
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", POLL_S)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if ray_cluster.named():
        ray_cluster.join(ray_cluster.named(), ray_cluster.ADDRESS_VARIABLE, **quiet)
    else:
        _start(num_cpus=usable_cores(), object_store_memory=OBJECT_STORE_BYTES, **quiet)
    logging.getLogger("ray").setLevel(logging.WARNING)
    with Watch() as watch:
        try:
            yield watch
        finally:
            watch.stop.set()
            ray.shutdown()


def _start(**options: Any) -> None:
    for attempt in range(1, STARTS + 1):
        try:
            # Not whatever other cluster may be running on this machine: it may be another sweep's, and end with it.
            with known_to_its_processes():
                ray_cluster.start(include_dashboard=True, _system_config=PROCESSES_LATER, **options)
            return
        except ray_cluster.NotStarted:
            ray.shutdown()
            if attempt == STARTS:
                raise
            log.info("Ray did not start in time; starting it again")


@contextlib.contextmanager
def known_to_its_processes() -> Iterator[None]:
    """Pin RAY_ADDRESS so that processes of the cluster started inside never attach to another one.

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


@dataclass(frozen=True)
class Ask:
    """What a run asks of the cluster: `fewest` to `most` workers, each with its resources, and memory in all.

    `streaming` are the CPUs that make each worker's samples, one by one on whichever nodes have them free.
    """

    worker: tuple[tuple[str, float], ...]
    fewest: int
    most: int
    bytes: float
    streaming: int = 0

    @classmethod
    def of(cls, config: RunConfig) -> Ask:
        """What a run with this configuration asks for."""
        options = config.train
        worker = tuple(config.worker_resources.items())
        counts = options.worker_counts
        return cls(worker, counts[0], counts[-1], memory.of_run(config), config.stream_cpus)

    def places(self, nodes: Iterable[growth.Resources]) -> int:
        """How many of its workers these nodes hold: none is spread over two, nor are two shares of a GPU on two GPUs."""
        return sum(min(_held(node.get(kind, 0.0), kind, amount) for kind, amount in self.worker) for node in nodes)

    def at_once(self, nodes: Iterable[growth.Resources]) -> int:
        """How many such runs these nodes hold. Elastic runs get all they can use, rather than many a little."""
        nodes = list(nodes)
        places = self.places(nodes)
        if self.streaming:
            places = min(places, int(_cpus(nodes) / self.cpus + 1e-9))
        return max(int(places >= self.fewest), places // self.most)

    @property
    def cpus(self) -> float:
        """CPUs of a worker and of those that make its samples."""
        return dict(self.worker).get("CPU", 0.0) + self.streaming

    def _told(self) -> str:
        """What a run's workers ask for, in words."""
        own = [f"{self.fewest * amount:g} {kind}" for kind, amount in self.worker if not kind.startswith(ACCELERATOR)]
        return f"{' and '.join(own)} ({self.fewest} worker{'s' * (self.fewest != 1)})"

    def refuse(self, nodes: list[growth.Resources]) -> NoReturn:
        """Raise UserError: these nodes, all there are or may come, hold no such run; Ray would wait for ever."""
        for kind, amount in self.worker:
            have = sum(node.get(kind, 0.0) for node in nodes)
            if kind.startswith(ACCELERATOR) and not have:
                types = {name for node in nodes for name in node if name.startswith(ACCELERATOR)}
                found = ", ".join(sorted(name.removeprefix(ACCELERATOR) for name in types)) or "none"
                raise UserError(
                    f"no node has the GPU {kind.removeprefix(ACCELERATOR)!r} of base.train.accelerator (there is {found});"
                    " name one of these, or leave it out"
                )
            if self.fewest * amount > have + 1e-9:
                raise UserError(
                    f"each run asks for {self._told()} but the cluster has {have:g} {kind}; lower base.train.workers,"
                    " gpus_per_worker, cpus_per_worker or loader_workers (each a CPU more)"
                )
        if self.streaming and self.places(nodes) >= self.fewest:
            raise UserError(
                f"each run asks for {self.fewest * self.cpus:g} CPU ({self.fewest} workers, and for each {self.streaming} on"
                f" which Ray Data makes its samples) but the cluster has {_cpus(nodes):g}; lower base.train.loader_workers or"
                " workers"
            )
        each = " and ".join(f"{amount:g} {kind}" for kind, amount in self.worker if not kind.startswith(ACCELERATOR))
        raise UserError(
            f"a worker asks for {each}, and the cluster's {len(nodes)} nodes have room for {self.places(nodes)} of the"
            f" {self.fewest} that each run needs; lower base.train.workers, cpus_per_worker, loader_workers or"
            " gpus_per_worker"
        )


def _cpus(nodes: Iterable[growth.Resources]) -> float:
    return sum(node.get("CPU", 0.0) for node in nodes)


def _held(has: float, kind: str, amount: float) -> int:
    """How often a node that `has` so much of a resource holds an amount of it: shares of GPUs, one GPU at a time."""
    if kind == "GPU" and amount < 1:
        return int(has) * int(1 / amount + 1e-9)
    return int(has / amount + 1e-9)


@dataclass(frozen=True)
class Room:
    """How many runs go on at once, what they ask for, and whether the cluster grows."""

    at_once: int
    asks: frozenset[Ask]
    growing: bool = False

    def holds_a_run(self, nodes: Iterable[dict[str, Any]]) -> bool:
        """Whether living nodes hold one of the runs, or others are to come."""
        resources = [node["Resources"] for node in nodes]
        return self.growing or any(ask.at_once(resources) for ask in self.asks)


def room_for(configs: Iterable[RunConfig], todo: int) -> Room:
    """How many of `todo` runs the cluster holds at once. UserError where it cannot hold one: Ray would wait for ever.

    Of a cluster that grows it is what its autoscaler may bring, or all of them where that is not known: what waits is what
    an autoscaler goes by.
    """
    asks = frozenset(map(Ask.of, configs))
    nodes, growing = growth.up(), False
    fitting = min(ask.at_once(nodes) for ask in asks)
    if fitting < todo and ray_cluster.named():
        fitting, growing, nodes = _grown(asks, todo, nodes)
    if not fitting:
        next(ask for ask in asks if not ask.at_once(nodes)).refuse(nodes)
    if len(nodes) == 1 and not growing:
        fitting = memory.limited(fitting, max(ask.bytes for ask in asks))
    return Room(min(fitting, todo), asks, growing)


def _grown(asks: frozenset[Ask], todo: int, nodes: list[growth.Resources]) -> tuple[int, bool, list[growth.Resources]]:
    """How many runs a cluster may come to hold, whether it grows at all, and the nodes that it may come to have."""
    largest = max(asks, key=lambda ask: ask.most * (sum(amount for _, amount in ask.worker) + ask.streaming))
    bundles = [dict(largest.worker), *[{"CPU": 1.0}] * largest.streaming]
    growth.ask_for(bundles * (largest.fewest * min(todo, growth.UNBOUNDED)))
    try:
        coming = growth.may_come()
        possible = [*nodes, *coming]
        if not coming and not growth.grows():
            return min(ask.at_once(nodes) for ask in asks), False, nodes
        fitting = min(ask.at_once(possible) for ask in asks) if coming else min(todo, growth.UNBOUNDED)
        if fitting and not all(ask.at_once(nodes) for ask in asks):
            log.info("waiting for the cluster to grow")
            if not growth.wait_for_room(lambda living: all(ask.at_once(living) for ask in asks)):
                return 0, True, growth.up()
        return fitting, True, possible
    finally:
        growth.ask_for([])  # from now on the runs that wait are the demand


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
