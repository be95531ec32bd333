"""How long runs will take, judged by earlier runs: rows of a store, scaled by work, pixels and batch.

A rate is the seconds that one worker needs for one pixel of one picture in one optimiser step. Only runs of the same
architecture, backbone, precision and device count. Importing this module imports neither torch nor ray.
"""

from __future__ import annotations

import heapq
import json
import statistics
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

import pandas as pd

from bench.store import FINISHED, Store
from reports.load import as_document, flatten
from wsshm.config import RunConfig, TrainConfig, parse
from wsshm.cores import usable_cores
from wsshm.errors import UserError
from wsshm.methods.stage import Stage
from wsshm.models import text_of
from wsshm.training.workload import run_work, work_of

COLUMNS = ["run_id", "status", "config", "stages", "train_s", "teacher_s", "workers", "device", "started", "finished"]


@dataclass(frozen=True)
class Kind:
    """What a rate depends on."""

    architecture: str
    backbone: str
    precision: str
    device: str

    @classmethod
    def of(cls, config: RunConfig) -> Kind:
        """The kind of a run."""
        train = config.train
        device = f"{train.gpus_per_worker:g} GPU" if train.gpus_per_worker else f"{train.cpus_per_worker} CPU"
        return cls(text_of(config.model.architecture), config.model.backbone, train.precision, device)

    def __str__(self) -> str:
        return f"{self.architecture}/{self.backbone} in {self.precision} on {self.device} a worker"


@dataclass(frozen=True)
class Rate:
    """Seconds of one worker for a pixel, the median over `rows` earlier runs on `devices`."""

    seconds: float
    rows: int
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Rates:
    """Rates by kind; `beside_s` is what a run takes besides its training (start, scoring), None if unknown."""

    known: dict[Kind, Rate] = field(default_factory=dict)
    beside_s: float | None = None

    @classmethod
    def read(cls, store: Store) -> Rates:
        """The rates of a store's finished runs; none if there is no store.

        Not of elastic runs: their rows hold one number of workers, and their time was spent under several.
        """
        if not store.exists():
            return cls()
        rows = store.read("runs", COLUMNS)
        rows = rows[(rows["status"] == FINISHED) & rows["config"].notna() & rows["train_s"].notna()]
        rows = rows[~rows["config"].map(_elastic).astype(bool)]
        rows = rows.assign(training_s=rows["train_s"] + rows["teacher_s"].astype(float).fillna(0))
        found: dict[Kind, list[tuple[float, str]]] = {}
        for row in rows.itertuples():
            try:
                config: RunConfig = parse(json.loads(str(row.config)))
                pixels = run_work(config) * _pixels(config)
            except (UserError, ValueError):  # a row of another release
                continue
            workers = 1 if pd.isna(row.workers) else max(1, row.workers)
            found.setdefault(Kind.of(config), []).append((row.training_s * workers / pixels, str(row.device)))
        return cls(
            {
                kind: Rate(statistics.median(s for s, _ in rates), len(rates), tuple(sorted({d for _, d in rates})))
                for kind, rates in found.items()
            },
            _beside(rows),
        )

    def stage_s(self, stage: Stage, config: RunConfig) -> float | None:
        """Wall time of a stage's training, None if no earlier run tells.

        Workers are taken to share it evenly; of an elastic number there are taken to be as many as may be.
        """
        rate = self.known.get(Kind.of(config))
        if rate is None:
            return None
        return rate.seconds * work_of(stage, config) * _pixels(config) / config.train.worker_counts[-1]

    def task(self, stages: Iterable[tuple[str, Stage]], config: RunConfig, made: Set[str] = frozenset()) -> Task | None:
        """A run whose stages with these addresses are to be trained, but for those `made`; None if no earlier run tells."""
        seconds = {address: self.stage_s(stage, config) for address, stage in stages}
        known = tuple((address, s) for address, s in seconds.items() if s is not None and address not in made)
        return None if None in seconds.values() else Task(known, self.beside_s or 0.0)


def runs_here(options: TrainConfig) -> int:
    """How many such runs this machine's processors (GPUs are ignored) can train at a time; 0 if none fits."""
    return usable_cores() // (options.worker_counts[-1] * (options.cpus_per_worker + options.loader_workers))


@dataclass(frozen=True)
class Task:
    """A run as the estimate sees it: its stages' addresses with their seconds, and its time besides them."""

    stages: tuple[tuple[str, float], ...]
    beside_s: float = 0.0


def total(tasks: Iterable[Task]) -> float:
    """Seconds of all runs one after another; a stage that several need counts once."""
    tasks = list(tasks)
    return sum({address: seconds for task in tasks for address, seconds in task.stages}.values()) + sum(
        task.beside_s for task in tasks
    )


def wall(tasks: Sequence[Task], at_once: int) -> float:
    """Seconds until the last run ends where `at_once` go on at a time, in order.

    A run that needs a stage which another one is training waits for it and keeps its place meanwhile, as in a sweep.
    """
    free = [0.0] * at_once
    ready: dict[str, float] = {}
    for task in tasks:
        now = heapq.heappop(free)
        for address, seconds in task.stages:
            if address not in ready:
                ready[address] = now + seconds
            now = max(now, ready[address])
        heapq.heappush(free, now + task.beside_s)
    return max(free)


def _elastic(config: str) -> bool:
    return isinstance(flatten(as_document(config)).get("train.workers"), list)


def _pixels(config: RunConfig) -> int:
    """Pixels of one optimiser step at full size."""
    return config.train.batch * config.data.size**2


def _beside(rows: pd.DataFrame) -> float | None:
    """Median of what runs took besides training, over those that trained all their stages themselves."""
    times, seen = [], set[str]()
    for row in rows.sort_values("started").itertuples():
        addresses = set(row.stages) if row.stages is not None else set()
        rest = (row.finished - row.started).total_seconds() - row.training_s
        # A run that found a stage, or went on from a checkpoint, was shorter than its training.
        if not addresses & seen and rest > 0:
            times.append(rest)
        seen |= addresses
    return statistics.median(times) if times else None
