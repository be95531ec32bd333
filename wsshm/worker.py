"""What each worker of a run does: all stages that the run is missing, in order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray.train
import ray.train.torch
import torch

from wsshm.ahead.run import label_folder
from wsshm.config import RunConfig, parse
from wsshm.data.sources import Sources, open_sources
from wsshm.distributed import World
from wsshm.engine import TrainingDiverged, train_stage
from wsshm.errors import UserError, last_sentence
from wsshm.progress import ProgressFile
from wsshm.stages import AddressedStage, StageFolder, addressed_stages
from wsshm.storage import Location
from wsshm.work import comparable, epochs_of, work_of

POLL_S, REMOTE_POLL_S = 1.0, 5.0


def run_stages(task: dict[str, Any]) -> dict[str, Any]:
    """What each Ray Train worker runs: all missing stages of the run, in order, up to the one named `until`."""
    config: RunConfig = parse(task["config"])
    world = _world(config)
    sources = open_sources(config.data)
    entries = addressed_stages(config, sources)
    root, progress = Location.of(task["stages_root"]), task["progress_file"]
    trained: list[str] = []
    error, mistake = "", False
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        run = _Run(config, sources, entries, root, Path(scratch), world)
        clock = Clock(Location.of(progress) if progress and world.rank == 0 else None, entries, config, task["label"])
        try:
            for entry in entries:
                clock.begin(entry)
                if run.ensure(entry, clock):
                    trained.append(entry.stage.name)
                if entry.stage.name == task["until"]:
                    break
        except TrainingDiverged as diverged:  # the same on every worker, and would be again: no use in a retry
            error = str(diverged)
        except UserError as wrong:
            if world.size > 1:  # the others may not have met it, and would wait for this worker for ever
                raise
            error, mistake = last_sentence(wrong), True
    gpu = torch.cuda.get_device_name() if world.device.type == "cuda" else None
    return {"trained": trained, "error": error, "mistake": mistake, "workers": world.size, "gpu": gpu}


def _world(config: RunConfig) -> World:
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    if config.train.gpus_per_worker > 0:
        device = ray.train.torch.get_device()
        torch.backends.cudnn.benchmark = True
    else:
        device = torch.device("cpu")
        torch.set_num_threads(config.train.cpus_per_worker)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # What that would do besides: write to memory before its first use, a seventh of a step's time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return World(rank, size, device)


@dataclass(frozen=True)
class _Run:
    """A run's stages on this worker."""

    config: RunConfig
    sources: Sources
    entries: list[AddressedStage]
    root: Location
    scratch: Path
    world: World

    def folder(self, entry: AddressedStage) -> StageFolder:
        """Where a stage lies."""
        return StageFolder(self.root, entry.address, self.scratch)

    def ensure(self, entry: AddressedStage, clock: Clock) -> bool:
        """Train a stage unless it is there; wait for another run that trains it. True if it was trained here."""
        folder, world = self.folder(entry), self.world
        while True:
            turn = None
            if world.rank == 0:
                turn = "done" if folder.done else "mine" if folder.claim.try_take() else "wait"
                if turn == "mine" and folder.done:  # its owner ended between the two looks
                    folder.claim.release()
                    turn = "done"
            turn = world.from_first(turn)
            if turn == "done":
                clock.found(entry)
                return False
            if turn == "mine":
                break
            time.sleep(POLL_S if folder.place.local else REMOTE_POLL_S)
        with folder.claim.held() if world.rank == 0 else contextlib.nullcontext():
            names = {name for name in (entry.stage.start, entry.stage.teacher) if name}
            upstream = {e.stage.name: self.folder(e).model() for e in self.entries if e.stage.name in names}
            labelled = label_folder(entry, self.entries, self.config, self.sources, self.root)
            labels = labelled.fetched(self.scratch) if labelled else None
            report = self.reporter(entry)
            if world.rank == 0 and (state := folder.state_progress()):
                clock.found(entry, state["step"])
            train_stage(entry.stage, self.config, self.sources, folder, upstream, world, clock.step, report, labels)
            world.gather(None)  # nobody goes on before the first worker has written the model
        return True

    def reporter(self, entry: AddressedStage) -> Callable[[dict[str, float]], None]:
        """Tells Ray of each epoch. `epoch` counts through all comparable stages, those found trained included."""
        stages = [e.stage for e in self.entries]
        compares = entry.stage in comparable(stages)
        earlier = comparable(stages)[: comparable(stages).index(entry.stage)] if compares else []
        before = sum(epochs_of(stage.steps, self.config) for stage in earlier)

        def report(row: dict[str, float]) -> None:
            told = {"stage": entry.stage.name, "compares": compares, "epoch": before + int(row["epoch"])}
            ray.train.report({**row, **told})

        return report


class Clock:
    """Sums up a run's work over its stages and tells it to a `ProgressFile`."""

    def __init__(
        self, file: Location | None, entries: list[AddressedStage], config: RunConfig, label: str = ""
    ) -> None:
        self.config = config
        self.file = ProgressFile(file, sum(work_of(e.stage, config) for e in entries), label)
        self.before = 0.0
        self.entry: AddressedStage | None = None

    def begin(self, entry: AddressedStage) -> None:
        """A stage begins (or is found trained)."""
        if self.entry is not None:
            self.before += work_of(self.entry.stage, self.config)
        self.entry = entry

    def found(self, entry: AddressedStage, steps: int | None = None) -> None:
        """The stage was there, or so many steps of it: no work of this run's."""
        self.file.found += work_of(entry.stage, self.config, steps)

    def step(self, step: int) -> None:
        """Optimiser steps done in the current stage."""
        assert self.entry is not None
        self.file.tell(self.entry.stage.name, self.before + work_of(self.entry.stage, self.config, step))
