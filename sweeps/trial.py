"""One run of a sweep, as Ray Tune's trial: train, measure, write the rows. Nothing raised here stops the others."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import ray
from ray import tune

from bench import accuracy, provenance
from bench.cost import CostModel
from bench.disagreement import held_against_masks, judged
from bench.graded import column_of
from bench.model_page import provenance as provenance_of
from bench.store import stage_column
from sweeps import objectives
from sweeps.expand import labelled, with_weights
from sweeps.place import Place
from sweeps.plan import Plan, searched_configuration
from sweeps.reporter import EPOCH, EpochReporter, ended_by_tune
from wsshm.config import RunConfig, parse
from wsshm.data.manifest import Manifest
from wsshm.data.sources import budgeted_masks
from wsshm.errors import UserError, last_sentence, redacted
from wsshm.files.location import Location
from wsshm.grades import GRADES
from wsshm.models import text_of
from wsshm.models.card import PAGE, page
from wsshm.models.checkpoint import CARD, check_model
from wsshm.training.planning import RECIPE_VERSION, plan_run, resolved
from wsshm.training.progress import ProgressFile
from wsshm.training.run import explained, train
from wsshm.training.run_plan import RunPlan
from wsshm.training.stages import GivenUp, StageFolder
from wsshm.training.workload import comparable_epochs, run_work

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
        run = planned(space)
    except UserError as error:  # a drawn combination that cannot be, or this node does not see the data
        _tell(task, None, {}, unfit=last_sentence(error))
        return
    if "drawn" in space:
        (place.draws / f"{run.run_id}.json").write_text(json.dumps(space["drawn"]))
    known = _known(place, run.run_id)
    if known is not None:  # drawn before
        _tell(task, run.config, known)
        return
    mistake = False
    for attempt in range(ATTEMPTS):
        row: dict[str, Any] = {"plan": task["plan"], "started": provenance.now(), **describe(run)}
        try:
            errors = _train_and_measure(run, place, row, task)
            place.traceback(run.run_id).delete()  # of an earlier try
            break
        except Exception as error:  # whatever it is, the other runs go on and the row says what happened
            if ended_by_tune():  # stopped early: the sweep's driver writes the row
                return
            log.exception("run %s", run.run_id)
            failure = explained(error)
            with contextlib.suppress(OSError):  # a full disk, say, which is why the run failed
                place.traceback(run.run_id).write_text(redacted(traceback.format_exc()))
            if not failure.final and attempt + 1 < ATTEMPTS:
                continue
            row |= {"status": failure.status, "error": str(failure)}
            errors, mistake = {}, failure.mistake
            if failure.address:
                why = GivenUp(task["invocation"], str(failure), failure.status, failure.mistake)
                StageFolder(place.stages, failure.address).give_up(why)
            break
    # Last, so that a run that is `finished` has all its other rows.
    place.store.write("runs", [row | {"finished": provenance.now()}])
    ProgressFile(place.progress(run.run_id), run_work(run.config), run.label).end(row["status"])
    _tell(task, run.config, errors, mistake)


def planned(space: dict[str, Any]) -> RunPlan:
    """A trial's run: given whole, or the plan's base with what a search drew."""
    task = space["run"]
    if "drawn" not in space:
        return _on_workers(task["run"])
    config = searched_configuration(parse(task["document"], Plan), space["drawn"])
    config = resolved(with_weights(config, task["weights"]))
    return _on_workers(labelled(plan_run(config), task["keys"]))


def _on_workers(run: RunPlan) -> RunPlan:
    """The run for a worker of Ray Train. Without one (`workers: 0`) it would train in this process, which is Tune's and
    reserves nothing, and in which Ray refuses Ray Train's calls."""
    config = run.config
    if config.train.workers:
        return run
    return replace(run, config=config.model_copy(update={"train": config.train.model_copy(update={"workers": 1})}))


def _known(place: Place, run_id: str) -> dict[str, float] | None:
    """The last errors of a run that is settled already."""
    if run_id not in place.store.settled():
        return None
    return objectives.last_errors(place.store, [run_id]).get(run_id, {})


def _train_and_measure(run: RunPlan, place: Place, row: dict[str, Any], task: dict[str, Any]) -> dict[str, float]:
    """A whole run, all rows but that of `runs`, which is completed in `row`. Returns its last validation errors."""
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        trained = train(
            run,
            place.stages,
            place.progress(run.run_id),
            scratch=Path(scratch),
            callbacks=[EpochReporter()] if task["reports"] else [],
            invocation=task["invocation"],
        )
        _keep_model(trained.model, place.model(run.run_id))
        card = check_model(trained.model)
    measured, taught, device = _on_worker(run.config, _measure, run, place)
    place.store.write("scores", taught)
    place.store.write("scores", measured.scores)
    known = provenance_of(run.config, run.run_id, run.mattes, run.masks_by_grade, measured.scores, CostModel())
    (place.model(run.run_id) / PAGE).write_text(redacted(page(card, known)))
    place.store.write("samples", measured.samples)
    place.store.write("epochs", curves(run.run_id, trained.stages))
    if trained.workers:
        row |= {"workers": trained.workers, "gpus": trained.workers * run.config.train.gpus_per_worker}
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
    """Report what the search minimises. A run without a result reports no objective, which Optuna takes for failed.

    `over` tells the report of a trial's own end from those of its epochs, `unfit` why there was no run at all.
    """
    latency = task["latency_ms"].get(config.model.backbone) if config else None
    values = errors if latency is None or not errors else {**errors, "latency_ms": latency}
    report = {name: values[name] for name in task["objectives"] if name in values}
    epoch = comparable_epochs(config) if config else 0
    tune.report({EPOCH: epoch, "over": True, "mistake": mistake or bool(unfit), "unfit": unfit, **report})


def describe(run: RunPlan) -> dict[str, Any]:
    """What is known of a run before it is trained, as columns of the table `runs`."""
    config = run.config
    commit, dirty = provenance.git_state()
    workers = config.train.worker_counts[-1]
    return {
        "run_id": run.run_id,
        "method": config.method.name,
        "architecture": text_of(config.model.architecture),
        "backbone": config.model.backbone,
        "weights": config.model.weights,
        "seed": config.train.seed,
        "mattes": run.mattes,
        "masks": run.masks,
        **{column_of(grade): run.masks_by_grade.get(grade, 0) for grade in GRADES},
        "cost_s": CostModel().of(run.mattes, run.masks_by_grade),
        "config": redacted(config.model_dump_json()),
        "data_fingerprint": run.data_fingerprint,
        "recipe_version": RECIPE_VERSION,
        "steps": config.train.steps,
        "gpus": workers * config.train.gpus_per_worker,
        "workers": workers,
        "versions": json.dumps(provenance.versions()),
        "git_commit": commit,
        "git_dirty": dirty,
        "stages": stage_column({entry.stage.name: entry.address for entry in run.stages}),
    }


def _on_worker(config: RunConfig, call: Callable[..., T], *arguments: Any) -> T:
    """Call here, or on a worker's share of a node: for a run on GPUs, since a driver has none, and where this node is for
    driving only (a head without CPUs)."""
    options = config.train
    if not options.gpus_per_worker and _has_cpus(ray.get_runtime_context().get_node_id()):
        return call(*arguments)
    # DEFAULT: outside the trial's own placement group, which holds next to nothing.
    task = ray.remote(
        num_cpus=1 if options.gpus_per_worker else options.cpus_per_worker,
        num_gpus=options.gpus_per_worker,
        resources=options.accelerator_resource,
        scheduling_strategy="DEFAULT",
    )(call)
    return ray.get(task.remote(*arguments))


def _has_cpus(node_id: str) -> bool:
    return any(node["NodeID"] == node_id and node["Resources"].get("CPU") for node in ray.nodes())


def _measure(run: RunPlan, place: Place) -> tuple[accuracy.Measured, list[dict[str, Any]], str]:
    """Score the run's model; with blended labels the samples hold its teacher's matte and such a label too.

    Also compares its teacher with the masks, and says on what: any node may have been asked, which fetches the models
    itself.
    """
    import torch

    config, addresses = run.config, {entry.stage.name: entry.address for entry in run.stages}
    torch.set_num_threads(config.train.cpus_per_worker)
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        stages = {name: StageFolder(place.stages, address, Path(scratch)) for name, address in addresses.items()}
        on = "cuda" if config.train.gpus_per_worker else "cpu"
        model, teacher = accuracy.SavedModel(stages[list(stages)[-1]].model(), device=on), None
        student = run.stages[-1].stage
        if student.photo_label == "blended" and student.blend:
            # Without a teacher it is its own average, which is the model.
            taught_by = stages[student.teacher].model() if student.teacher else None
            teaching = accuracy.SavedModel(taught_by, model.rule, on) if taught_by else model
            teacher = accuracy.Teacher(teaching, student.blend)
        measured = accuracy.measure(model, run.sources.test, run.run_id, teacher=teacher)
        taught = [
            row
            for name in _judges(run)
            for row in held_against_masks(
                stages[name].model(),
                addresses[name],
                _unjudged(run, place, addresses[name]),
                redacted(config.data.masks),
                device=on,
            )
        ]
    device = ("cuda", None) if on == "cuda" else ("cpu", config.train.cpus_per_worker)
    return measured, taught, provenance.device_name(*device)


def _judges(run: RunPlan) -> list[str]:
    """The stages that teach others what a mask means, and have seen no mask themselves."""
    stages = {entry.stage.name: entry.stage for entry in run.stages}
    teachers = dict.fromkeys(stage.teacher for stage in stages.values() if stage.teacher and stage.uses_masks)
    return [name for name in teachers if not stages[name].uses_photos]


def _unjudged(run: RunPlan, place: Place, address: str) -> Manifest:
    """The run's photos that no run with this teacher has compared it with yet."""
    config, masks = run.config, run.sources.masks
    known = judged(place.store, address, redacted(config.data.masks))
    photos = budgeted_masks(run.sources, config.budget, config.train.seed)
    return Manifest(masks.root, (photo for photo in photos if photo.id not in known))


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
