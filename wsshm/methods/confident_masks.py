"""Confident areas of masks: `joint`, but for the pixels near a mask's edge, which teach nothing.

In-Context Matting (arXiv 2403.15789) learns from mattes and from the masks of a segmentation set; of the latter, its section
4.2 says (read), it "only backpropagates the loss from the confident areas", so that imprecise edges do no harm, by L1.

Ours: which areas are confident (those further from the mask's edge than `band` x the shorter side: what they take, the
paper leaves to a reference), the loss terms (those of all methods here), half a batch of each kind. Their network, a
diffusion model that is shown an example, is not ours. What this does better than `joint` is due to what masks say wrongly
near their edges; what MLB does better than this, to what its teacher says there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from wsshm.config import RunConfig, Section
from wsshm.methods import Method, options_of, register
from wsshm.methods.stage import LABELS, PhotoLabel, Stage

if TYPE_CHECKING:  # torch, which reports do without
    from wsshm.losses import Target
    from wsshm.models.network import MattingOutput
    from wsshm.training.batches import Batch

MATTE_SHARE = 0.5


class Options(Section):
    """Options of `confident_masks`."""

    band: Annotated[float, Field(gt=0.0, le=1.0)] = 0.04
    """Radius of the band around the mask's edge in which it is not confident, as a share of the shorter side."""


def target(batch: Batch, stage: Stage, output: MattingOutput | None) -> Target:
    """The mask, but for the band around its edge."""
    from wsshm.targets import confident

    return confident(batch.labels, stage.options["band"])


def stages(config: RunConfig) -> list[Stage]:
    """One stage on mixed batches."""
    share = config.method.matte_share
    return [
        Stage(
            "student",
            config.train.steps,
            matte_share=MATTE_SHARE if share is None else share,
            photo_label="confident_masks",
            options=options_of(config).model_dump(),
        )
    ]


LABELS.register(PhotoLabel("confident_masks", "the confident areas of masks", reads="mask", target=target))
register(
    Method(
        "confident_masks",
        stages,
        about="joint without what masks say near their edges",
        reads={"method.matte_share"},
        options=Options,
        colour="#999933",
        marker="8",
    )
)
