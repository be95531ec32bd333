"""Training methods by name. Each file makes a list of stages; the same engine trains them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wsshm.config import RunConfig
from wsshm.errors import UserError
from wsshm.methods import (
    joint,
    matte_only,
    matte_then_seg,
    mean_teacher,
    mlb,
    mlb_masklabel,
    oracle,
    pseudo_label,
    seg_only,
)
from wsshm.methods.stage import Stage

METHODS: dict[str, Callable[[RunConfig], list[Stage]]] = {
    "matte_only": matte_only.stages,
    "seg_only": seg_only.stages,
    "joint": joint.stages,
    "matte_then_seg": matte_then_seg.stages,
    "mlb": mlb.stages,
    "mlb_masklabel": mlb_masklabel.stages,
    "pseudo_label": pseudo_label.stages,
    "mean_teacher": mean_teacher.stages,
    "oracle": oracle.stages,
}


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of a run, in order. Shares are rounded to whole samples of a batch.

    Raises UserError where a stage would have no steps, or a kind of label no place in a batch.
    """
    stages = []
    for stage in METHODS[config.method.name](config):
        if stage.steps < 1:
            raise UserError(
                f"{config.method.name} has no step left for its stage {stage.name!r}; raise train.steps or lower refresh"
            )
        share = round(stage.matte_share * config.train.batch) / config.train.batch
        if (share > 0, share < 1) != (stage.uses_mattes, stage.uses_photos):
            raise UserError(
                f"a batch of {config.train.batch} cannot hold a share of {stage.matte_share:g} mattes; raise train.batch"
            )
        stages.append(replace(stage, matte_share=share))
    return stages
