"""SGHM's order: masks first, then mattes with what was learnt of masks held fast.

SGHM (Chen et al., "Robust Human Matting via Semantic Guidance", arXiv 2210.05210; from its abstract and published code,
read): a segmentation network is trained from many masks, and a light matting module, trained from some 200 mattes, is given
its features and its mask (thresholded at 0.5); meanwhile the segmentation's weights are frozen.

Ours: there is one network with one head, without an input for a mask, so that nothing can be frozen and given. Instead the
first stage, `train.teacher_steps` long, learns natural pictures with their masks; the second goes on from its weights with
composites and their mattes (half of each batch by default), while on natural pictures the first stage's own thresholded
prediction keeps being taught, but for a band around its edge, where composites alone say what a matte is. No mask is read in
the second stage.
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
    """Options of `sghm_like`."""

    band: Annotated[float, Field(gt=0.0, le=1.0)] = 0.04
    """Radius of the band around the predicted mask's edge that composites alone teach, as a share of the shorter side."""


def target(batch: Batch, stage: Stage, output: MattingOutput | None) -> Target:
    """The mask that the first stage predicts, but for the band around its edge."""
    from wsshm.targets import confident

    assert output is not None, "a predicted mask has a network that predicts it"
    return confident((output.matte > 0.5).float(), stage.options["band"])


def stages(config: RunConfig) -> list[Stage]:
    """Masks, then mattes."""
    share, first = config.method.matte_share, config.train.teacher_steps
    return [
        Stage("mask", first, matte_share=0.0, photo_label="mask"),
        Stage(
            "student",
            config.train.steps - first,
            matte_share=MATTE_SHARE if share is None else share,
            photo_label="sghm_like",
            start="mask",
            teacher="mask",
            options=options_of(config).model_dump(),
        ),
    ]


LABELS.register(PhotoLabel("sghm_like", "masks that an earlier stage predicts", taught=True, target=target))
register(
    Method(
        "sghm_like",
        stages,
        about="masks first, then mattes with the masks that were learnt",
        reads={TEACHER_STEPS, "method.matte_share"},
        options=Options,
        colour="#117733",
        marker="h",
    )
)
