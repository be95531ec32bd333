"""From a configuration to a `RunPlan`: its data opened and checked, its stages addressed, its identity known.

An address is made from everything that changes a stage's numbers, so that runs which need the same stage find it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsshm.blended_labels.labeller import size_seen
from wsshm.config import EXECUTION_KEYS, RunConfig
from wsshm.data.sample import grade_of
from wsshm.data.sources import Sources, available, check_budget, grades_of, masks_by_grade, open_sources
from wsshm.errors import UserError, without_hidden
from wsshm.files import cache, node_cache
from wsshm.files.location import Location
from wsshm.grades import DEFAULT, shortest
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage
from wsshm.models import ARCHITECTURES, families, name_of, weights
from wsshm.models.trial import check_backbone, sizes_met, stride_of
from wsshm.targets import try_label
from wsshm.training.run_plan import AddressedStage, RunPlan

RECIPE_VERSION = "3"
"""Part of every hash: raised whenever a change of code changes what a configuration trains to."""

LABELS_VERSION = "2"
"""The same for stages that read labels made ahead, and for these labels."""

AVERAGE_VERSION = "2"
"""The same for stages whose natural pictures are labelled by the student's average alone (`mean_teacher`)."""


def resolved(config: RunConfig) -> RunConfig:
    """The configuration with its backbone tried and all paths absolute, since workers start in other folders.

    `model.weights: auto` is replaced by what can be had here, and a backbone of one size gets the training's.
    """
    model = config.model
    kwargs = families.fitted(model.backbone, model.backbone_kwargs, config.data.size)
    stride = stride_of(model.backbone, kwargs, model.architecture)
    sizes = sizes_met(config.data.size, config.train.half_resolution > 0, stride)
    check_backbone(model.backbone, kwargs, sizes, model.architecture)
    if named := os.environ.get(cache.VARIABLE):
        os.environ[cache.VARIABLE] = str(Path(named).expanduser().resolve())
    if named := os.environ.get(node_cache.VARIABLE):
        node_cache.use(named)
    origin = weights.resolve(config.model.backbone, config.model.weights)
    place = Location.of(without_hidden(config.data.root or "."))
    root = str(place if place.local is None else place.local.resolve())
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"weights": origin, "backbone_kwargs": kwargs}),
            "data": config.data.model_copy(update={"root": root}),
        }
    )


def plan_run(config: RunConfig, sources: Sources | None = None, beside: bool = False) -> RunPlan:
    """Plan a `resolved` run, over `sources` where they are not those that its configuration names.

    Raises UserError where its budget or its method asks for labels that there are not.
    """
    sources = sources or open_sources(config.data)
    stages = stages_of(config)
    for stage in stages:
        try_label(stage, config.data.size)
    _check_labels(config, stages, sources)
    addressed = _addressed(config, stages, sources)
    mattes, photos = available(config.budget, sources)
    true_mattes = any(stage.uses_true_mattes for stage in stages)
    identity = {
        "recipe_version": RECIPE_VERSION,
        "method": config.method.name,
        "stages": [entry.address for entry in addressed],
        "test": {name: manifest.fingerprint for name, manifest in sources.test.items()},
    }
    return RunPlan(
        config,
        digest(identity),
        tuple(addressed),
        sources.fingerprint,
        # What its annotation costs. Natural pictures that are shown without their masks are no label.
        mattes=mattes * any(stage.uses_mattes for stage in stages) + photos * true_mattes,
        masks_by_grade=masks_by_grade(config.budget, sources) if any(stage.uses_masks for stage in stages) else {},
        beside=beside,
    )


def _check_labels(config: RunConfig, stages: Sequence[Stage], sources: Sources) -> None:
    check_budget(config.budget, sources)
    mattes, masks = available(config.budget, sources)
    for stage in stages:
        pictures = "masks" if stage.uses_masks else "natural pictures (their masks or not)"
        for used, count, key, label in (
            (stage.uses_mattes, mattes, "mattes", "mattes"),
            (stage.uses_photos, masks, "masks", pictures),
        ):
            if used and not count:
                raise UserError(f"the method {config.method.name!r} learns from {label}; raise budget.{key} above 0")
    if any(stage.uses_true_mattes for stage in stages):
        without = [s.id for s in sources.masks.samples if s.matte is None]
        if without:
            raise UserError(
                f"the control {config.method.name!r} needs true mattes of the natural pictures, and {len(without)} of"
                f" data.masks have none ({without[0]!r} is the first); leave this control out"
            )


def _addressed(config: RunConfig, stages: Sequence[Stage], sources: Sources) -> list[AddressedStage]:
    """The stages with their addresses.

    An address covers the stage itself, the model, the optimisation, the label budget (masks by grade) and data it draws
    on, and the addresses of the stages it builds on; not paths, worker counts or devices.
    """
    optimisation = {
        key: value
        for key, value in config.train.model_dump().items()
        if key not in EXECUTION_KEYS and key not in ("steps", "teacher_steps")
    }
    model = config.model.model_dump() | {"weights": weights.identity(config.model.weights)}
    mattes, _ = available(config.budget, sources)
    masks = [sources.masks.fingerprint, shortest(masks_by_grade(config.budget, sources))]
    if set(grades_of(sources.masks)) - {DEFAULT}:  # the manifest's fingerprint covers files alone
        masks.append(digest(sorted((s.id, grade_of(s)) for s in sources.masks.samples)))
    known: dict[str, str] = {}
    result = []
    for stage in stages:
        recipe = {
            "recipe_version": RECIPE_VERSION,
            "stage": stage.recipe(),
            "model": model,
            "optimisation": optimisation,
            "size": config.data.size,
            "mattes": [sources.mattes.fingerprint, sources.backgrounds.fingerprint, mattes]
            if stage.uses_mattes
            else None,
            "masks": masks if stage.uses_photos else None,
            "val": sources.val.fingerprint,
            "upstream": [known[name] for name in (stage.start, stage.teacher) if name],
        }
        if stage.reads_labels:
            recipe["labels"] = LABELS_VERSION
        if stage.photo_label == "average":
            recipe["average"] = AVERAGE_VERSION
        if version := ARCHITECTURES.get(name_of(config.model.architecture)).version:
            recipe["architecture"] = version
        if stage.label and stage.label.version:
            recipe["label"] = [stage.label.name, stage.label.version]
        known[stage.name] = digest(recipe)
        labels = (
            digest(labels_recipe(stage, known[str(stage.teacher)], config, sources)) if stage.reads_labels else None
        )
        result.append(AddressedStage(stage, known[stage.name], labels))
    return result


def labels_recipe(stage: Stage, teacher: str, config: RunConfig, sources: Sources) -> dict[str, Any]:
    """What labels made ahead for a stage depend on: every student with the same shares them, whatever its budget.

    `teacher` is its teacher's address.
    """
    assert stage.blend is not None, "a stage that reads labels has a blend"
    return {
        "recipe_version": RECIPE_VERSION,
        "teacher": teacher,
        "blend": stage.blend.model_dump(exclude={"when", "refresh", "teacher"}),
        "masks": sources.masks.fingerprint,
        "labels": LABELS_VERSION,
        "size": size_seen(config.data.size),
    }


def digest(document: Any) -> str:
    """sha256 of a document's canonical JSON, first 16 hex digits."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=list).encode()).hexdigest()[:16]
