"""Train one run: all its stages inside one `TorchTrainer.fit` of Ray Train, on one worker or many."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, ScalingConfig
from ray.train import RunConfig as RayRunConfig
from ray.train.torch import TorchTrainer

from wsshm import entry
from wsshm.commandline import DISK_FULL
from wsshm.config import RunConfig
from wsshm.data.sources import Sources, available, check_budget, check_files, open_sources
from wsshm.errors import UserError, last_sentence
from wsshm.methods import stages_of
from wsshm.models import weights
from wsshm.models.encoder import check_backbone
from wsshm.stages import StageFolder, addressed_stages, run_id_of

CACHE_VARIABLE = "WSSHM_CACHE"
"""Names the folder of the embedded data set's pictures."""

log = logging.getLogger(__name__)


class TrainingFailed(RuntimeError):
    """A run that did not finish. `status` is `failed` or `oom`; the message is one sentence.

    `mistake` says that what the user gave is at fault (a broken picture), not the machine or the training.
    """

    def __init__(self, message: str, status: str = "failed", mistake: bool = False) -> None:
        super().__init__(message)
        self.status, self.mistake = status, mistake


@dataclass(frozen=True)
class Trained:
    """A finished training: its identity, where each stage's model lies, what is known of each stage.

    `stages` are results as in `StageFolder.result`, in order; `trained_here` says which of them this call trained
    (the others were found). `train_s` is the wall time of the last stage without its teacher's forward passes;
    `teacher_s` is theirs and that of all stages before, whenever and by whomever they were trained.
    """

    run_id: str
    folders: dict[str, Path]
    stages: list[dict[str, Any]]
    addresses: dict[str, str]
    trained_here: list[str]
    train_s: float
    teacher_s: float

    @property
    def model(self) -> Path:
        """The folder of the run's final model."""
        return list(self.folders.values())[-1]


def resolved(config: RunConfig) -> RunConfig:
    """The configuration with its backbone checked and all paths absolute, since workers start in other folders.

    `model.weights: auto` is replaced by what can be had here.
    """
    check_backbone(config.model.backbone)
    if CACHE_VARIABLE in os.environ:
        os.environ[CACHE_VARIABLE] = str(Path(os.environ[CACHE_VARIABLE]).expanduser().resolve())
    origin = weights.resolve(config.model.backbone, config.model.weights)
    root = str(Path(config.data.root or ".").expanduser().resolve())
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"weights": origin}),
            "data": config.data.model_copy(update={"root": root}),
        }
    )


def checked_sources(config: RunConfig, opened: Sources | None = None) -> Sources:
    """Open a run's data (or take it opened) and hold its budget and method's needs against it, before any training."""
    sources = opened or open_sources(config.data)
    check_budget(config.budget, sources)
    if opened is None:
        check_files(sources)
    stages = stages_of(config)
    mattes, masks = available(config.budget, sources)
    for stage in stages:
        for used, count, label in ((stage.uses_mattes, mattes, "mattes"), (stage.uses_photos, masks, "masks")):
            if used and not count:
                raise UserError(f"the method {config.method.name!r} learns from {label}; raise budget.{label} above 0")
    if any(stage.photo_label == "truth" for stage in stages):
        without = [s.id for s in sources.masks.samples if s.matte is None]
        if without:
            raise UserError(
                f"the control {config.method.name!r} needs true mattes of the natural pictures, and {len(without)} of"
                f" data.masks have none ({without[0]!r} is the first); leave this control out"
            )
    return sources


def labels_used(config: RunConfig, sources: Sources) -> tuple[int, int]:
    """(mattes, masks) that any stage of a run learns from: what its annotation costs."""
    stages = stages_of(config)
    mattes, photos = available(config.budget, sources)
    true_mattes = any(stage.photo_label == "truth" for stage in stages)
    return (
        mattes * any(stage.uses_mattes for stage in stages) + photos * true_mattes,
        photos * (any(stage.uses_photos for stage in stages) and not true_mattes),
    )


def train(config: RunConfig, stages_root: Path, progress_file: Path | None = None) -> Trained:
    """Train a run (`resolved`, with `checked_sources`) or find it trained, and return where its models lie.

    Finished stages are taken from `stages_root`, a half-trained one goes on from its checkpoint. `train.workers: 0`
    trains in this process, without a cluster. Raises TrainingFailed.
    """
    sources = open_sources(config.data)
    stages = addressed_stages(config, sources)
    folders = {entry.stage.name: StageFolder(stages_root.resolve(), entry.address) for entry in stages}
    missing = [entry.stage.name for entry in stages if not folders[entry.stage.name].done]
    here = _fit(config, stages_root.resolve(), progress_file) if missing else []
    results = [folders[entry.stage.name].result() for entry in stages]
    return Trained(
        run_id=run_id_of(config, sources),
        folders={name: folder.final for name, folder in folders.items()},
        stages=results,
        addresses={entry.stage.name: entry.address for entry in stages},
        trained_here=here,
        train_s=results[-1]["seconds"] - results[-1]["teacher_forward_s"],
        teacher_s=sum(r["seconds"] for r in results[:-1]) + results[-1]["teacher_forward_s"],
    )


def _fit(config: RunConfig, stages_root: Path, progress_file: Path | None) -> list[str]:
    options = config.train
    gpu = options.gpus_per_worker > 0
    resources = {"CPU": float(options.cpus_per_worker + options.loader_workers)}
    if gpu:
        resources["GPU"] = options.gpus_per_worker
    if options.workers:
        _require(resources, options.workers)
    name = f"run-{os.getpid()}-{time.time_ns()}"
    ray_files = stages_root.parent / "ray"
    trainer = TorchTrainer(
        entry.work,  # its return value comes back, whatever Ray's annotation says
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "stages_root": str(stages_root),
            "progress_file": str(progress_file.resolve()) if progress_file else None,
        },
        scaling_config=ScalingConfig(
            num_workers=options.workers, use_gpu=gpu, resources_per_worker=resources if options.workers else None
        ),
        run_config=RayRunConfig(
            name=name,
            storage_path=str(ray_files),
            failure_config=FailureConfig(max_failures=options.max_failures),
        ),
    )
    try:
        outcome: dict[str, Any] = trainer.fit().return_value  # type: ignore[attr-defined]
    except ray.train.TrainingFailedError as error:
        raise explained(error) from error
    finally:
        shutil.rmtree(ray_files / name, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run's files may be there
            ray_files.rmdir()
    if outcome["error"]:
        raise TrainingFailed(outcome["error"], mistake=outcome["mistake"])
    return outcome["trained"]


def _require(resources: dict[str, float], workers: int) -> None:
    if not ray.is_initialized():
        # Like a sweep: RAY_ADDRESS's cluster, else one of its own.
        ray.init(address=os.environ.get("RAY_ADDRESS", "local"), log_to_driver=False, logging_level=logging.ERROR)
    have = ray.cluster_resources()
    for kind, amount in resources.items():
        if amount * workers > have.get(kind, 0.0) + 1e-9:
            raise UserError(
                f"the run asks for {amount * workers:g} {kind} ({workers} workers x {amount:g}) but the cluster has"
                f" {have.get(kind, 0.0):g}; lower train.workers, cpus_per_worker or gpus_per_worker"
            )


def explained(error: BaseException) -> TrainingFailed:
    """Any error of a run, Ray's nested ones too, as one sentence and a status (`failed` or `oom`)."""
    if isinstance(error, TrainingFailed):
        return error
    failures = getattr(error, "worker_failures", None) or {}
    cause: BaseException = next(iter(failures.values()), error)
    cause = getattr(cause, "cause", None) or cause
    if isinstance(cause, UserError):
        return TrainingFailed(last_sentence(cause), mistake=True)
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingFailed(DISK_FULL.format(where=cause.filename or "a file"))
    memory = any(word in str(error) for word in ("OutOfMemory", "out of memory", "OOM"))
    return TrainingFailed(f"{type(cause).__name__}: {last_sentence(cause)}", "oom" if memory else "failed")
