"""One run of a sweep, as Ray Tune's trial: train, measure, write the rows. Nothing raised here stops the others."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune

from bench import accuracy, provenance
from bench.cost import CostModel
from bench.store import Store
from wsshm.checkpoint import whole_folder
from wsshm.config import RunConfig, parse
from wsshm.data.sources import open_sources
from wsshm.progress import ProgressFile
from wsshm.stages import RECIPE_VERSION
from wsshm.train import Trained, explained, labels_used, train
from wsshm.work import run_work

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a sweep writes: OUT and what lies in it."""

    out: Path

    @property
    def store(self) -> Store:
        """The results store."""
        return Store(self.out / "store")

    @property
    def stages(self) -> Path:
        """Trained stages by address."""
        return self.out / "stages"

    def model(self, run_id: str) -> Path:
        """A finished run's model."""
        return self.out / "models" / run_id

    def progress(self, run_id: str) -> Path:
        """A running run's progress file."""
        return self.out / "progress" / f"{run_id}.json"


def trial(space: dict[str, Any]) -> None:
    """Run the planned run `space["run"]`; its end, good or bad, is a row of the store.

    Tune's processes import this module: it must not draw in what only the sweep's driver needs.
    """
    params = space["run"]
    config: RunConfig = parse(params["config"])
    place, run_id = Place(Path(params["out"])), params["run_id"]
    row: dict[str, Any] = {"run_id": run_id, "plan": params["plan"], "started": provenance.now()}
    mistake = False
    try:
        row |= describe(config)
        trained = train(config, place.stages, place.progress(run_id))
        measured = _on_worker(config, _measure, config, run_id, trained)
        row["device"] = _on_worker(config, provenance.device_name, *_device(config))
        _keep_model(trained, place.model(run_id))
        place.store.write("scores", measured.scores)
        place.store.write("samples", measured.samples)
        place.store.write("epochs", _curves(run_id, trained))
        row |= {
            "status": "finished",
            "stages": [f"{name}:{address}" for name, address in trained.addresses.items()],
            "train_s": trained.train_s,
            "teacher_s": trained.teacher_s,
        }
    except Exception as error:  # whatever it is, the other runs go on and the row says what happened
        log.exception("run %s", run_id)
        failure = explained(error)
        row |= {"status": failure.status, "error": str(failure)}
        mistake = failure.mistake
    # Last, so that a run that is `finished` has all its other rows.
    place.store.write("runs", [row | {"finished": provenance.now()}])
    ProgressFile(place.progress(run_id), run_work(config)).end(row["status"])
    tune.report({"mistake": mistake})


def describe(config: RunConfig) -> dict[str, Any]:
    """What is known of a run before it is trained, as columns of the table `runs`."""
    sources = open_sources(config.data)
    mattes, masks = labels_used(config, sources)
    commit, dirty = provenance.git_state()
    gpus = config.train.gpus_per_worker * config.train.workers
    return {
        "method": config.method.name,
        "architecture": config.model.architecture,
        "backbone": config.model.backbone,
        "weights": config.model.weights,
        "seed": config.train.seed,
        "mattes": mattes,
        "masks": masks,
        "cost_s": CostModel().of(mattes, masks),
        "config": config.model_dump_json(),
        "data_fingerprint": sources.fingerprint,
        "recipe_version": RECIPE_VERSION,
        "steps": config.train.steps,
        "gpus": gpus,
        "workers": config.train.workers,
        "versions": json.dumps(provenance.versions()),
        "git_commit": commit,
        "git_dirty": dirty,
    }


def _on_worker(config: RunConfig, call: Callable[..., T], *arguments: Any) -> T:
    """Call here for a run on CPUs; on a worker's share of a GPU for a run on GPUs, since a driver has none."""
    gpus = config.train.gpus_per_worker
    if not gpus:
        return call(*arguments)
    # DEFAULT: outside the trial's own placement group, which holds next to nothing.
    task = ray.remote(num_cpus=1, num_gpus=gpus, scheduling_strategy="DEFAULT")(call)
    return ray.get(task.remote(*arguments))


def _device(config: RunConfig) -> tuple[str, int | None]:
    """Arguments of `provenance.device_name` for what the run was trained on."""
    return ("cuda", None) if config.train.gpus_per_worker else ("cpu", config.train.cpus_per_worker)


def _measure(config: RunConfig, run_id: str, trained: Trained) -> accuracy.Measured:
    """Score the run's model; for MLB the samples hold its teacher's matte and the blended label too."""
    import torch

    torch.set_num_threads(config.train.cpus_per_worker)
    teacher = None
    if config.method.name == "mlb":
        taught_by = trained.stages[-1]["stage"]["teacher"]
        teacher = accuracy.Teacher(trained.folders[taught_by], config.method.blend)
    device = "cuda" if config.train.gpus_per_worker else "cpu"
    return accuracy.measure(trained.model, open_sources(config.data).test, run_id, teacher=teacher, device=device)


def _keep_model(trained: Trained, target: Path) -> None:
    """The final stage's folder as the run's model; hard links where the filesystem has them."""
    with whole_folder(target) as temporary:
        for file in trained.model.iterdir():
            try:
                os.link(file, temporary / file.name)
            except OSError:
                shutil.copy2(file, temporary / file.name)


def _curves(run_id: str, trained: Trained) -> list[dict[str, Any]]:
    return [
        {"run_id": run_id, "stage": result["stage"]["name"], **point}
        for result in trained.stages
        for point in result["history"]
    ]
