"""BSHM's three steps: a mask from both kinds of labels, masks of one quality, a matte refined from them.

BSHM (Liu et al., "Boosting Semantic Human Matting with Coarse Annotations", arXiv 2004.04955; from its abstract, read): a
mask prediction network is trained on coarse and fine annotations, a quality unification network brings its masks to one
quality, and a matting refinement network makes the matte from the unified mask and the picture. The abstract adds that such
masks may refine a coarsely annotated set.

Ours: there is one network, and what the other two pass on to it is passed on as labels. The first stage,
`train.teacher_steps` long, learns both kinds at once (as `joint`). The second goes on from its weights, with the natural
pictures' masks unified: within `band` x the shorter side of an annotator's edge, the side that the first stage's matte is
on (above 0.5 or not) replaces the annotator's, as one network errs alike on all pictures and annotators do not. It refines:
nearer to the unified edge than `transition` x the shorter side the mask teaches nothing, and composites alone say what a
matte is. The paper's own loss terms could not be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from wsshm.config import RunConfig, Section
from wsshm.methods import TEACHER_STEPS, Method, options_of, register
from wsshm.methods.stage import LABELS, PhotoLabel, Stage

if TYPE_CHECKING:  # torch, which reports do without
    from wsshm.losses import Target
    from wsshm.models.network import MattingOutput
    from wsshm.training.batches import Batch

MATTE_SHARE = 0.5


class Options(Section):
    """Options of `bshm_like`."""

    band: Annotated[float, Field(gt=0.0, le=1.0)] = 0.04
    """How far an annotator's edge may be moved, as a share of the shorter side."""
    transition: Annotated[float, Field(gt=0.0, le=1.0)] = 0.015
    """Radius of the band around the unified edge that composites alone teach, as a share of the shorter side."""


def target(batch: Batch, stage: Stage, output: MattingOutput | None) -> Target:
    """The unified mask, but for the transition at its edge."""
    import torch

    from wsshm.blending import band_radius, edge_band
    from wsshm.targets import confident

    assert output is not None, "a unified mask has a network that unifies it"
    mask, options = batch.labels, stage.options
    near = edge_band(mask, band_radius(mask, options["band"])) > 0
    unified = torch.where(near, (output.matte > 0.5).to(mask.dtype), mask)
    return confident(unified, options["transition"])


def stages(config: RunConfig) -> list[Stage]:
    """Both kinds, then both with unified masks."""
    share, first = config.method.matte_share, config.train.teacher_steps
    share = MATTE_SHARE if share is None else share
    return [
        Stage("mask", first, matte_share=share, photo_label="mask"),
        Stage(
            "student",
            config.train.steps - first,
            matte_share=share,
            photo_label="bshm_like",
            start="mask",
            teacher="mask",
            options=options_of(config).model_dump(),
        ),
    ]


LABELS.register(PhotoLabel("bshm_like", "masks of one quality", reads="mask", taught=True, target=target))
register(
    Method(
        "bshm_like",
        stages,
        about="joint, then joint with masks that it has brought to one quality",
        reads={TEACHER_STEPS, "method.matte_share"},
        options=Options,
        colour="#882255",
        marker=">",
    )
)
