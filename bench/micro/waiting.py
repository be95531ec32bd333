"""Runs in the order of their plan, whose workers wait inside for a stage that another run trains: the plain way.

Ray Train's controller imports this module, which therefore stays light.
"""

from __future__ import annotations

import time
from typing import Any


def drive(run: Any, stages: str, files: str) -> None:
    """Start a run's one worker at once; a Ray task that reserves nothing itself."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    options = run.config.train
    task = {"run": run, "stages_root": stages, "progress_file": None, "notes": []}
    outcome = TorchTrainer(
        work,
        train_loop_config=task,
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": float(options.cpus_per_worker)}),
        run_config=RunConfig(name=run.run_id, storage_path=files),
    ).fit()
    if error := outcome.return_value["error"]:  # type: ignore[attr-defined]
        raise RuntimeError(error)


def work(task: dict) -> Any:
    """In the worker: train each stage, or wait until the run that has claimed it is done with it."""
    from wsshm.files.location import Location
    from wsshm.training.stages import StageFolder
    from wsshm.training.worker import run_stages

    outcome: dict[str, Any] = {"error": ""}
    for entry in task["run"].stages:
        folder = StageFolder(Location.of(task["stages_root"]), entry.address)
        while not (folder.done or outcome["error"]):
            if folder.claim.try_take():
                with folder.claim.held():
                    outcome = run_stages(task | {"until": entry.stage.name})
            else:
                time.sleep(folder.claim.poll_s)
    return outcome
