"""What each worker of a run does: all stages that the run is missing, in order."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from wsshm.config import RunConfig, parse
from wsshm.data.sources import Sources, open_sources
from wsshm.distributed import World
from wsshm.engine import TrainingDiverged, train_stage
from wsshm.errors import UserError, last_sentence
from wsshm.progress import ProgressFile
from wsshm.stages import AddressedStage, StageFolder, addressed_stages
from wsshm.work import work_of

POLL_S = 1.0


def run_stages(task: dict[str, Any]) -> dict[str, Any]:
    """What each Ray Train worker runs: all missing stages of the run, in order."""
    config: RunConfig = parse(task["config"])
    world = _world(config)
    sources = open_sources(config.data)
    entries = addressed_stages(config, sources)
    clock = Clock(task["progress_file"] if world.rank == 0 else None, entries, config)
    trained: list[str] = []
    error, mistake = "", False
    try:
        for entry in entries:
            clock.begin(entry)
            if _ensure_stage(entry, entries, config, sources, Path(task["stages_root"]), world, clock):
                trained.append(entry.stage.name)
    except TrainingDiverged as diverged:  # the same on every worker, and would be again: no use in a retry
        error = str(diverged)
    except UserError as wrong:
        if world.size > 1:  # the others may not have met it, and would wait for this worker for ever
            raise
        error, mistake = last_sentence(wrong), True
    return {"trained": trained, "error": error, "mistake": mistake}


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
    return World(rank, size, device)


def _ensure_stage(
    entry: AddressedStage,
    entries: list[AddressedStage],
    config: RunConfig,
    sources: Sources,
    root: Path,
    world: World,
    clock: Clock,
) -> bool:
    """Train a stage unless it is there; wait for another run that trains it. True if it was trained here."""
    folder = StageFolder(root, entry.address)
    upstream = {e.stage.name: StageFolder(root, e.address).final for e in entries}
    while True:
        turn = None
        if world.rank == 0:
            turn = "done" if folder.done else "mine" if folder.try_claim() else "wait"
            if turn == "mine" and folder.done:  # its owner ended between the two looks
                folder.release()
                turn = "done"
        turn = world.from_first(turn)
        if turn == "done":
            return False
        if turn == "mine":
            break
        time.sleep(POLL_S)
    with folder.held() if world.rank == 0 else contextlib.nullcontext():
        train_stage(entry.stage, config, sources, folder, upstream, world, clock.step, ray.train.report)
        world.gather(None)  # nobody goes on before the first worker has written the model
    return True


class Clock:
    """Sums up a run's work over its stages and tells it to a `ProgressFile`."""

    def __init__(self, file: str | None, entries: list[AddressedStage], config: RunConfig) -> None:
        self.config = config
        self.file = ProgressFile(Path(file) if file else None, sum(work_of(e.stage, config) for e in entries))
        self.before = 0.0
        self.entry: AddressedStage | None = None

    def begin(self, entry: AddressedStage) -> None:
        """A stage begins (or is found trained)."""
        if self.entry is not None:
            self.before += work_of(self.entry.stage, self.config)
        self.entry = entry

    def step(self, step: int) -> None:
        """Optimiser steps done in the current stage."""
        assert self.entry is not None
        self.file.tell(self.entry.stage.name, self.before + work_of(self.entry.stage, self.config, step))
