"""A run's stages as one `TorchTrainer.fit` of Ray Train, after a look at whether the cluster can hold it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from wsshm import config as ours
from wsshm.errors import UserError
from wsshm.ray_cluster import connect
from wsshm.training import entry


def fit(config: ours.RunConfig, task: dict[str, Any], callbacks: Sequence[UserCallback]) -> dict[str, Any]:
    """What the first worker returns of `wsshm.training.worker.run_stages`.

    Raises UserError where the cluster cannot hold the run, and whatever Ray raises where a worker fails.
    """
    options = config.train
    _require(config)
    # Ray's own files; no checkpoint of ours goes there, so they need not be where all nodes see them.
    with TemporaryDirectory(prefix="wsshm-ray-") as ray_files:
        trainer = TorchTrainer(
            entry.work,  # its return value comes back, whatever Ray's annotation says
            train_loop_config=task,
            scaling_config=ScalingConfig(
                num_workers=options.workers,  # type: ignore[arg-type]  # (fewest, most) is right
                use_gpu=options.gpus_per_worker > 0,
                resources_per_worker=config.worker_resources,
            ),
            run_config=RunConfig(
                name=f"run-{os.getpid()}-{time.time_ns()}",
                storage_path=ray_files,
                failure_config=FailureConfig(max_failures=options.max_failures),
                callbacks=list(callbacks),  # type: ignore[arg-type]  # its annotation is Tune's older one
            ),
        )
        outcome: dict[str, Any] = trainer.fit().return_value  # type: ignore[attr-defined]
    return outcome


def _require(config: ours.RunConfig) -> None:
    connect()
    have, workers = ray.cluster_resources(), config.train.worker_counts[0]
    for kind, amount in config.worker_resources.items():
        if amount * workers > have.get(kind, 0.0) + 1e-9:
            raise UserError(
                f"the run asks for {amount * workers:g} {kind} ({workers} workers x {amount:g}) but the cluster has"
                f" {have.get(kind, 0.0):g}; lower train.workers, cpus_per_worker or gpus_per_worker"
            )
    own, streaming = config.worker_resources["CPU"], config.stream_cpus
    if streaming and workers * (own + streaming) > have["CPU"] + 1e-9:
        raise UserError(
            f"the run asks for {workers * (own + streaming):g} CPU ({workers} workers x {own:g}, and for each {streaming} on"
            f" which Ray Data makes its samples) but the cluster has {have['CPU']:g}, of which"
            f" {ray.available_resources().get('CPU', 0.0):g} are free; lower train.loader_workers or train.workers"
        )
