"""Labels for a training run with `method.blend.when: ahead`: made between its teacher's training and its student's."""

from __future__ import annotations

import time
from pathlib import Path

from wsshm.blended_labels.labeller import Task, size_seen
from wsshm.blended_labels.labels import LabelFolder
from wsshm.blended_labels.making import Labellers, make_labels
from wsshm.config import RunConfig
from wsshm.data.manifest import Sample
from wsshm.data.sources import Sources, budgeted_masks
from wsshm.errors import UserError
from wsshm.files.claims import Claim
from wsshm.files.location import Location
from wsshm.training.planning import labels_recipe
from wsshm.training.run_plan import AddressedStage, RunPlan


def label_folder(entry: AddressedStage, root: Location) -> LabelFolder | None:
    """Where the labels of a stage lie beside the stages in `root`; None for a stage that has no labels made ahead."""
    if entry.labels is None or entry.stage.blend is None:
        return None
    return LabelFolder(root / entry.labels, entry.stage.blend)


def ensure_labels(entry: AddressedStage, run: RunPlan, root: Location, teacher: Path) -> None:
    """Make the labels that a run's stage is missing; `teacher` is its teacher's model folder.

    The run's own workers' share of the cluster is used (none with `train.workers: 0`). Another run that makes the same
    labels is waited for. Raises UserError naming the first picture that could not be labelled, after all others.
    """
    folder = label_folder(entry, root)
    if folder is None:
        return
    config, sources = run.config, run.sources
    samples = budgeted_masks(sources, config.budget, config.train.seed)
    claim = Claim(folder.place / "claim.json")
    recipe = labels_recipe(entry.stage, run.named(entry.stage.teacher).address, config, sources)
    while folder.missing(samples):
        while not claim.try_take():  # another run makes them
            time.sleep(claim.poll_s)
        with claim.held():
            missing = folder.missing(samples)
            if not missing:
                break
            folder.add(recipe, 0, 0.0)  # says at once what the folder is
            device = "cuda" if config.train.gpus_per_worker else "cpu"
            began = time.perf_counter()
            task = Task.of(teacher, folder.blend, size_seen(config.data.size), device)
            failures = _made(sources, missing, folder, task, _labellers(config))
            folder.add(recipe, len(missing) - len(failures), time.perf_counter() - began)
        if failures:
            raise UserError(failures[0])


def _made(
    sources: Sources,
    missing: list[Sample],
    folder: LabelFolder,
    task: Task,
    labellers: Labellers | None,
) -> list[str]:
    if labellers:
        from wsshm.ray_cluster import connect

        connect()  # left open, as for the training that follows
    labelled = make_labels(sources.masks, missing, folder, task, labellers)
    return [failure for _, failure in labelled if failure]


def _labellers(config: RunConfig) -> Labellers | None:
    train = config.train
    if not train.workers:
        return None
    return Labellers(train.worker_counts[0], train.cpus_per_worker, train.gpus_per_worker, train.accelerator_resource)
