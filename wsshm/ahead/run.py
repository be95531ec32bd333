"""Labels for a training run with `method.blend.when: ahead`: made between its teacher's training and its student's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsshm.ahead.labeller import Task, size_seen
from wsshm.ahead.labels import LabelFolder
from wsshm.ahead.making import Labellers, connect, make_labels
from wsshm.claims import Claim
from wsshm.config import RunConfig
from wsshm.data.manifest import Sample
from wsshm.data.sources import Sources, budgeted
from wsshm.errors import UserError
from wsshm.stages import LABELS_VERSION, RECIPE_VERSION, AddressedStage, digest
from wsshm.storage import Location

POLL_S, REMOTE_POLL_S = 1.0, 5.0


def label_folder(
    entry: AddressedStage, entries: Sequence[AddressedStage], config: RunConfig, sources: Sources, root: Location
) -> LabelFolder | None:
    """Where the labels of a stage lie beside the stages in `root`; None for a stage that has no labels made ahead.

    The address is made of the teacher's, the blend, the pictures and the size: every student with the same shares the
    labels, whatever its budget.
    """
    blend = entry.stage.blend
    if not entry.stage.reads_labels or blend is None:
        return None
    recipe = _recipe(entry, entries, config, sources)
    return LabelFolder(root / digest(recipe), blend)


def ensure_labels(
    entry: AddressedStage,
    entries: Sequence[AddressedStage],
    config: RunConfig,
    sources: Sources,
    root: Location,
    teacher: Path,
) -> None:
    """Make the labels that a stage is missing; `teacher` is its teacher's model folder.

    The run's own workers' share of the cluster is used (none with `train.workers: 0`). Another run that makes the same
    labels is waited for. Raises UserError naming the first picture that could not be labelled, after all others.
    """
    folder = label_folder(entry, entries, config, sources, root)
    if folder is None:
        return
    samples = budgeted(sources.masks, config.budget.masks, config.train.seed, "masks")
    claim = Claim(folder.place / "claim.json")
    recipe = _recipe(entry, entries, config, sources)
    while folder.missing(samples):
        while not claim.try_take():  # another run makes them
            time.sleep(POLL_S if folder.place.local else REMOTE_POLL_S)
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
        connect()  # left open, as for the training that follows
    labelled = make_labels(sources.masks, missing, folder, task, labellers)
    return [failure for _, failure in labelled if failure]


def _labellers(config: RunConfig) -> Labellers | None:
    train = config.train
    return Labellers(train.worker_counts[0], train.cpus_per_worker, train.gpus_per_worker) if train.workers else None


def _recipe(
    entry: AddressedStage, entries: Sequence[AddressedStage], config: RunConfig, sources: Sources
) -> dict[str, Any]:
    assert entry.stage.blend is not None, "a stage that reads labels has a blend"
    return {
        "recipe_version": RECIPE_VERSION,
        "teacher": next(e.address for e in entries if e.stage.name == entry.stage.teacher),
        "blend": entry.stage.blend.model_dump(exclude={"when", "refresh", "teacher"}),
        "masks": sources.masks.fingerprint,
        "labels": LABELS_VERSION,
        "size": size_seen(config.data.size),
    }
