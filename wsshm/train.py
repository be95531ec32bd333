"""Train one run: all its stages inside one `TorchTrainer.fit` of Ray Train, on one worker or many."""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, ScalingConfig, UserCallback
from ray.train import RunConfig as RayRunConfig
from ray.train.torch import TorchTrainer

from wsshm import entry as ray_entry
from wsshm.ahead.making import connect
from wsshm.ahead.run import ensure_labels, label_folder
from wsshm.commandline import DISK_FULL
from wsshm.config import RunConfig
from wsshm.data.sources import Sources, available, check_budget, check_files, open_sources
from wsshm.errors import UserError, last_sentence
from wsshm.methods import stages_of
from wsshm.models import weights
from wsshm.models.encoder import check_backbone
from wsshm.stages import StageFolder, addressed_stages, run_id_of
from wsshm.storage import Location

CACHE_VARIABLE = "WSSHM_CACHE"
"""Names the folder of the embedded data set's pictures."""

log = logging.getLogger(__name__)


class TrainingFailed(RuntimeError):
    """A run that did not finish. `status` is `failed` or `oom`; the message is one sentence.

    `mistake` says that what the user gave is at fault (a broken picture), not the machine or the training; `final`
    that trying again would come to the same.
    """

    def __init__(self, message: str, status: str = "failed", mistake: bool = False, final: bool = False) -> None:
        super().__init__(message)
        self.status, self.mistake, self.final = status, mistake, final or mistake


@dataclass(frozen=True)
class Trained:
    """A finished training: its identity, where each stage lies, what is known of each stage.

    `stages` are results as in `StageFolder.result`, in order; `trained_here` says which of them this call trained
    (the others were found), `workers` and `gpu` on how many workers and which GPU, if any. `train_s` is the wall time
    of the last stage without its teacher's forward passes; `teacher_s` is theirs (or that of labels made ahead) and
    that of all stages before, whenever and by whomever they were trained.
    """

    run_id: str
    folders: dict[str, StageFolder]
    stages: list[dict[str, Any]]
    addresses: dict[str, str]
    trained_here: list[str]
    workers: int | None
    gpu: str | None
    train_s: float
    teacher_s: float

    @property
    def model(self) -> Path:
        """A local folder with the run's final model."""
        return list(self.folders.values())[-1].model()


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
        pictures = "masks" if stage.uses_masks else "natural pictures (their masks or not)"
        for used, count, key, label in (
            (stage.uses_mattes, mattes, "mattes", "mattes"),
            (stage.uses_photos, masks, "masks", pictures),
        ):
            if used and not count:
                raise UserError(f"the method {config.method.name!r} learns from {label}; raise budget.{key} above 0")
    if any(stage.photo_label == "truth" for stage in stages):
        without = [s.id for s in sources.masks.samples if s.matte is None]
        if without:
            raise UserError(
                f"the control {config.method.name!r} needs true mattes of the natural pictures, and {len(without)} of"
                f" data.masks have none ({without[0]!r} is the first); leave this control out"
            )
    return sources


def labels_used(config: RunConfig, sources: Sources) -> tuple[int, int]:
    """(mattes, masks) that any stage of a run learns from: what its annotation costs.

    Natural pictures that are shown without their masks (`budget.masks` says how many) are no label.
    """
    stages = stages_of(config)
    mattes, photos = available(config.budget, sources)
    true_mattes = any(stage.photo_label == "truth" for stage in stages)
    return (
        mattes * any(stage.uses_mattes for stage in stages) + photos * true_mattes,
        photos * any(stage.uses_masks for stage in stages),
    )


def train(
    config: RunConfig,
    stages_root: Location | Path,
    progress_file: Location | None = None,
    *,
    scratch: Path | None = None,
    callbacks: Sequence[UserCallback] = (),
    label: str = "",
) -> Trained:
    """Train a run (`resolved`, with `checked_sources`) or find it trained, and return where its models lie.

    Finished stages are taken from `stages_root`, a half-trained one goes on from its checkpoint. `train.workers: 0`
    trains in this process, without a cluster. Labels that are made ahead (`blend.when: ahead`) are made by Ray Data
    between two fits, once their teacher is trained. `scratch` is a local folder for copies of models from an object store,
    `callbacks` are called by Ray Train at each epoch, `label` names the run in its progress file. Raises
    TrainingFailed.
    """
    root = Location.of(stages_root)
    sources = open_sources(config.data)
    stages = addressed_stages(config, sources)
    folders = {entry.stage.name: StageFolder(root, entry.address, scratch) for entry in stages}
    fit = _Fit(config, root, progress_file, list(callbacks), label)
    for entry in stages:
        if entry.stage.reads_labels and not folders[entry.stage.name].done:
            taught_by = str(entry.stage.teacher)
            if not folders[taught_by].done:
                fit.up_to(taught_by)
            try:
                ensure_labels(entry, stages, config, sources, root, folders[taught_by].model())
            except UserError as error:
                raise explained(error) from error
    if not all(folder.done for folder in folders.values()):
        fit.up_to(stages[-1].stage.name)
    results = [folder.result() for folder in folders.values()]
    ahead = [label_folder(entry, stages, config, sources, root) for entry in stages]
    labelling = sum(labels.seconds_for(available(config.budget, sources)[1]) for labels in ahead if labels)
    return Trained(
        run_id=run_id_of(config, sources),
        folders=folders,
        stages=results,
        addresses={entry.stage.name: entry.address for entry in stages},
        trained_here=fit.trained,
        workers=fit.workers,
        gpu=fit.gpu,
        train_s=results[-1]["seconds"] - results[-1]["teacher_forward_s"],
        teacher_s=sum(r["seconds"] for r in results[:-1]) + results[-1]["teacher_forward_s"] + labelling,
    )


@dataclass
class _Fit:
    """A run's training by Ray Train; `trained`, `workers` and `gpu` say what it came to."""

    config: RunConfig
    root: Location
    progress_file: Location | None
    callbacks: list[UserCallback]
    label: str
    trained: list[str] = field(default_factory=list)
    workers: int | None = None
    gpu: str | None = None

    def up_to(self, stage: str) -> None:
        """Train all missing stages up to `stage`, inside one `TorchTrainer.fit`."""
        options = self.config.train
        gpu = options.gpus_per_worker > 0
        resources = {"CPU": float(options.cpus_per_worker + options.loader_workers)}
        if gpu:
            resources["GPU"] = options.gpus_per_worker
        if options.workers:
            _require(resources, options.worker_counts[0])
        # Ray's own files; no checkpoint of ours goes there, so they need not be where all nodes see them.
        with TemporaryDirectory(prefix="wsshm-ray-") as ray_files:
            trainer = TorchTrainer(
                ray_entry.work,  # its return value comes back, whatever Ray's annotation says
                train_loop_config={
                    "config": self.config.model_dump(mode="json"),
                    "stages_root": str(self.root),
                    "progress_file": str(self.progress_file) if self.progress_file else None,
                    "until": stage,
                    "label": self.label,
                },
                scaling_config=ScalingConfig(
                    num_workers=options.workers,  # type: ignore[arg-type]  # (fewest, most) is right
                    use_gpu=gpu,
                    resources_per_worker=resources if options.workers else None,
                ),
                run_config=RayRunConfig(
                    name=f"run-{os.getpid()}-{time.time_ns()}",
                    storage_path=ray_files,
                    failure_config=FailureConfig(max_failures=options.max_failures),
                    callbacks=self.callbacks,  # type: ignore[arg-type]  # its annotation is Tune's older one
                ),
            )
            try:
                outcome: dict[str, Any] = trainer.fit().return_value  # type: ignore[attr-defined]
            except ray.train.TrainingFailedError as error:
                raise explained(error) from error
        if outcome["error"]:
            raise TrainingFailed(outcome["error"], mistake=outcome["mistake"], final=True)
        self.trained += outcome["trained"]
        self.workers, self.gpu = outcome["workers"], outcome["gpu"]


def _require(resources: dict[str, float], workers: int) -> None:
    connect()
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
    memory = re.search(r"OutOfMemory|out of memory|\bOOM\b", str(error))
    # A GPU's memory is as small the next time; a machine's was short because of what else ran on it.
    final = memory is not None and "CUDA" in str(error)
    return TrainingFailed(f"{type(cause).__name__}: {last_sentence(cause)}", "oom" if memory else "failed", final=final)
