"""One run of a sweep, as Ray Tune's trial: train, measure, write the rows. Nothing raised here stops the others."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import ray
from ray import tune

from bench import accuracy, provenance
from bench.cost import CostModel
from bench.disagreement import held_against_masks, judged
from sweeps import objectives
from sweeps.expand import label_of, with_weights
from sweeps.place import Place
from sweeps.plan import Plan, searched_configuration
from sweeps.reporter import EPOCH, EpochReporter, ended_by_tune
from wsshm.checkpoint import CARD
from wsshm.config import RunConfig, parse
from wsshm.data.manifest import Manifest
from wsshm.data.sources import Sources, budgeted, open_sources
from wsshm.errors import UserError, last_sentence
from wsshm.methods import stages_of
from wsshm.progress import ProgressFile
from wsshm.stages import RECIPE_VERSION, StageFolder, addressed_stages, run_id_of
from wsshm.storage import Location
from wsshm.train import explained, labels_used, resolved, train
from wsshm.work import comparable_epochs, run_work

ATTEMPTS = 2
"""How often a run is tried whose failure may have been the machine's."""

T = TypeVar("T")
log = logging.getLogger(__name__)


def trial(space: dict[str, Any]) -> None:
    """Run one planned or drawn run; its end, good or bad, is a row of the store.

    `space["run"]` holds where and what (see `execute`), `space["drawn"]` the values that a search drew. Tune's processes
    import this module: it must not draw in what only the sweep's driver needs.
    """
    task = space["run"]
    place = Place(Location.of(task["out"]), task["stages"])
    try:
        config = configuration(space)
        run_id = run_id_of(config, open_sources(config.data))
    except UserError as error:  # a drawn combination that cannot be, or this node does not see the data
        _tell(task, None, {}, unfit=last_sentence(error))
        return
    if "drawn" in space:
        (place.draws / f"{run_id}.json").write_text(json.dumps(space["drawn"]))
    known = _known(place, run_id)
    if known is not None:  # drawn before
        _tell(task, config, known)
        return
    mistake, label = False, task.get("label") or label_of(config, task["keys"])
    for attempt in range(ATTEMPTS):
        row: dict[str, Any] = {"run_id": run_id, "plan": task["plan"], "started": provenance.now(), **describe(config)}
        try:
            errors = _train_and_measure(config, run_id, place, row, label, reports=task["reports"])
            break
        except Exception as error:  # whatever it is, the other runs go on and the row says what happened
            if ended_by_tune():  # stopped early: the sweep's driver writes the row
                return
            log.exception("run %s", run_id)
            failure = explained(error)
            if not failure.final and attempt + 1 < ATTEMPTS:
                continue
            row |= {"status": failure.status, "error": str(failure)}
            errors, mistake = {}, failure.mistake
            break
    # Last, so that a run that is `finished` has all its other rows.
    place.store.write("runs", [row | {"finished": provenance.now()}])
    ProgressFile(place.progress(run_id), run_work(config), label).end(row["status"])
    _tell(task, config, errors, mistake)


def configuration(space: dict[str, Any]) -> RunConfig:
    """What a trial's run is: given whole, or the plan's base with what a search drew."""
    task = space["run"]
    if "drawn" not in space:
        return parse(task["config"])
    config = searched_configuration(parse(task["document"], Plan), space["drawn"])
    return resolved(with_weights(config, task["weights"]))


def _known(place: Place, run_id: str) -> dict[str, float] | None:
    """The last errors of a run that is settled already."""
    if run_id not in place.store.settled():
        return None
    return objectives.last_errors(place.store, [run_id]).get(run_id, {})


def _train_and_measure(
    config: RunConfig, run_id: str, place: Place, row: dict[str, Any], label: str, reports: bool
) -> dict[str, float]:
    """A whole run, all rows but that of `runs`, which is completed in `row`. Returns its last validation errors."""
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        trained = train(
            config,
            place.stages,
            place.progress(run_id),
            scratch=Path(scratch),
            callbacks=[EpochReporter()] if reports else [],
            label=label,
        )
        _keep_model(trained.model, place.model(run_id))
    measured, taught, device = _on_worker(config, _measure, config, run_id, place, trained.addresses)
    place.store.write("scores", taught)
    place.store.write("scores", measured.scores)
    place.store.write("samples", measured.samples)
    place.store.write("epochs", curves(run_id, trained.stages))
    if trained.workers:
        row |= {"workers": trained.workers, "gpus": trained.workers * config.train.gpus_per_worker}
    row |= {
        "status": "finished",
        "train_s": trained.train_s,
        "teacher_s": trained.teacher_s,
        "device": trained.gpu or device,
    }
    history = trained.stages[-1]["history"]
    last = max(point["epoch"] for point in history)
    return {point["key"]: point["value"] for point in history if point["epoch"] == last}


def _tell(
    task: dict[str, Any],
    config: RunConfig | None,
    errors: dict[str, float],
    mistake: bool = False,
    unfit: str = "",
) -> None:
    """Report what the search goes by. A run without a result reports no objective, which Optuna takes for failed.

    `over` tells the report of a trial's own end from those of its epochs, `unfit` why there was no run at all.
    """
    latency = task["latency_ms"].get(config.model.backbone) if config else None
    values = errors if latency is None or not errors else {**errors, "latency_ms": latency}
    report = {name: values[name] for name in task["objectives"] if name in values}
    epoch = comparable_epochs(config) if config else 0
    tune.report({EPOCH: epoch, "over": True, "mistake": mistake or bool(unfit), "unfit": unfit, **report})


def describe(config: RunConfig) -> dict[str, Any]:
    """What is known of a run before it is trained, as columns of the table `runs`."""
    sources = open_sources(config.data)
    mattes, masks = labels_used(config, sources)
    commit, dirty = provenance.git_state()
    workers = config.train.worker_counts[-1]
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
        "gpus": workers * config.train.gpus_per_worker,
        "workers": workers,
        "versions": json.dumps(provenance.versions()),
        "git_commit": commit,
        "git_dirty": dirty,
        "stages": [f"{entry.stage.name}:{entry.address}" for entry in addressed_stages(config, sources)],
    }


def _on_worker(config: RunConfig, call: Callable[..., T], *arguments: Any) -> T:
    """Call here for a run on CPUs; on a worker's share of a GPU for a run on GPUs, since a driver has none."""
    gpus = config.train.gpus_per_worker
    if not gpus:
        return call(*arguments)
    # DEFAULT: outside the trial's own placement group, which holds next to nothing.
    task = ray.remote(num_cpus=1, num_gpus=gpus, scheduling_strategy="DEFAULT")(call)
    return ray.get(task.remote(*arguments))


def _measure(
    config: RunConfig, run_id: str, place: Place, addresses: dict[str, str]
) -> tuple[accuracy.Measured, list[dict[str, Any]], str]:
    """Score the run's model; for MLB the samples hold its teacher's matte and the blended label too.

    Also holds its teacher against the masks, and says on what: any node may have been asked, which fetches the models
    itself.
    """
    import torch

    torch.set_num_threads(config.train.cpus_per_worker)
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        stages = {name: StageFolder(place.stages, address, Path(scratch)) for name, address in addresses.items()}
        teacher, last = None, stages[list(stages)[-1]]
        if config.method.name == "mlb":
            taught_by = last.result()["stage"]["teacher"]  # None: by its own average, which is the model
            model = (stages[taught_by] if taught_by else last).model()
            teacher = accuracy.Teacher(model, config.method.blend)
        gpu, sources = bool(config.train.gpus_per_worker), open_sources(config.data)
        on = "cuda" if gpu else "cpu"
        measured = accuracy.measure(last.model(), sources.test, run_id, teacher=teacher, device=on)
        taught = [
            row
            for name in _judges(config)
            for row in held_against_masks(
                stages[name].model(),
                addresses[name],
                _unjudged(config, sources, place, addresses[name]),
                config.data.masks,
                device=on,
            )
        ]
    device = ("cuda", None) if gpu else ("cpu", config.train.cpus_per_worker)
    return measured, taught, provenance.device_name(*device)


def _judges(config: RunConfig) -> list[str]:
    """The stages that teach others what a mask means, and have seen no mask themselves."""
    stages = {stage.name: stage for stage in stages_of(config)}
    teachers = dict.fromkeys(stage.teacher for stage in stages.values() if stage.teacher and stage.uses_masks)
    return [name for name in teachers if not stages[name].uses_photos]


def _unjudged(config: RunConfig, sources: Sources, place: Place, address: str) -> Manifest:
    """The run's photos that no run with this teacher has held it against yet."""
    known = judged(place.store, address, config.data.masks)
    photos = budgeted(sources.masks, config.budget.masks, config.train.seed, "masks")
    return Manifest(sources.masks.root, (photo for photo in photos if photo.id not in known))


def _keep_model(model: Path, target: Location) -> None:
    """The final stage's folder as the run's model; hard links where the filesystem has them."""
    with target.new_folder(last=CARD) as temporary:
        for file in model.iterdir():
            try:
                os.link(file, temporary / file.name)
            except OSError:
                shutil.copy2(file, temporary / file.name)


def curves(run_id: str, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table `epochs` from stages' results (their description and history)."""
    return [
        {"run_id": run_id, "stage": result["stage"]["name"], **point}
        for result in stages
        for point in result["history"]
    ]
