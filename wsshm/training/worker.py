"""What each worker of a run does: all stages that the run is missing, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from wsshm.blended_labels.run import label_folder
from wsshm.config import RunConfig
from wsshm.errors import UserError, last_sentence
from wsshm.files.location import Location
from wsshm.training.compiling import obstacle_anywhere
from wsshm.training.distributed import World
from wsshm.training.loop import train_stage
from wsshm.training.progress import ProgressFile
from wsshm.training.ray_metrics import Rates
from wsshm.training.run_plan import AddressedStage, RunPlan
from wsshm.training.stages import StageFolder
from wsshm.training.steps import TrainingDiverged
from wsshm.training.workload import epochs_before, run_work, work_of

log = logging.getLogger(__name__)


def run_stages(task: dict[str, Any]) -> dict[str, Any]:
    """What each Ray Train worker runs: all missing stages of the run, in order, up to the one named `until`.

    With `train.workers: 0` it is called in the user's process, without Ray. The caller holds the claims of what is missing:
    nothing is waited for here, where CPUs and GPUs are reserved.
    """
    run: RunPlan = task["run"]
    world = _world(run.config)
    progress = Location.of(task["progress_file"]) if task["progress_file"] and world.rank == 0 else None
    trained: list[str] = []
    error = obstacle_anywhere(world) if run.config.train.compile else ""
    mistake = bool(error)
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        worker = _Worker(run, Location.of(task["stages_root"]), Path(scratch), world)
        clock = Clock(progress, run)
        for note in task["notes"] if world.rank == 0 else ():
            clock.say(note)
        try:
            for entry in () if error else run.stages:
                clock.begin(entry)
                if worker.finds(entry):
                    clock.found(entry)
                else:
                    worker.train(entry, clock)
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
    rank, size = 0, 1
    device = torch.device("cuda" if config.train.gpus_per_worker else "cpu")
    if config.train.workers:
        import ray.train.torch

        context = ray.train.get_context()
        rank, size = context.get_world_rank(), context.get_world_size()
        device = ray.train.torch.get_device() if config.train.gpus_per_worker else device
    elif device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("train.gpus_per_worker asks for a GPU and torch finds none here; set it to 0")
    set_up_torch(config, device)
    return World(rank, size, device)


def set_up_torch(config: RunConfig, device: torch.device) -> None:
    """What this process computes with: so many threads, and on a CPU the same bits each time."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    else:
        torch.set_num_threads(config.train.cpus_per_worker)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # What that would do besides: write to memory before its first use, a seventh of a step's time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Worker:
    """A run's stages on this worker."""

    run: RunPlan
    root: Location
    scratch: Path
    world: World

    def folder(self, entry: AddressedStage) -> StageFolder:
        """Where a stage lies."""
        return StageFolder(self.root, entry.address, self.scratch)

    def finds(self, entry: AddressedStage) -> bool:
        """Whether a stage is there, as the first worker sees it: what others see of shared storage may be older."""
        return bool(self.world.from_first(self.folder(entry).done if self.world.rank == 0 else None))

    def train(self, entry: AddressedStage, clock: Clock) -> None:
        """Train a stage."""
        run, stage, folder, world = self.run, entry.stage, self.folder(entry), self.world
        upstream = {name: self.folder(run.named(name)).model() for name in (stage.start, stage.teacher) if name}
        labelled = label_folder(entry, self.root)
        labels = labelled.fetched(self.scratch) if labelled else None
        if world.rank == 0 and (state := folder.state_progress()):
            clock.found(entry, state["step"])
        report = self.reporter(entry)
        train_stage(stage, run.config, run.sources, folder, upstream, world, clock.step, report, labels, clock.say)
        world.gather(None)  # nobody goes on before the first worker has written the model

    def reporter(self, entry: AddressedStage) -> Callable[[dict[str, float]], None]:
        """Tells Ray of each epoch. `epoch` counts through all comparable stages, those found trained included."""
        if not self.run.config.train.workers:
            return lambda row: None
        import ray.train

        before = epochs_before([e.stage for e in self.run.stages], self.run.config)
        name = entry.stage.name

        def report(row: dict[str, float]) -> None:
            told = {"stage": name, "compares": name in before, "epoch": before.get(name, 0) + int(row["epoch"])}
            ray.train.report({**row, **told})

        return report


class Clock:
    """Sums up a run's work over its stages and tells it to a `ProgressFile`, and its rates to Ray's dashboard."""

    def __init__(self, file: Location | None, run: RunPlan) -> None:
        self.config = run.config
        self.file = ProgressFile(file, run_work(run.config), run.label)
        self.rates = Rates(run.label, run.config.train.batch)
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
        self.rates.step(self.entry.stage.name)
        self.file.tell(self.entry.stage.name, self.before + work_of(self.entry.stage, self.config, step))

    def say(self, note: str) -> None:
        """Something that the user should know, by way of the progress file: a worker's log may never be seen."""
        if self.file.place is None:
            log.warning("%s", note)
        self.file.say(note)
