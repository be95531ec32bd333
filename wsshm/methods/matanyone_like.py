"""MatAnyone's supervision by masks: composites as in `joint`, and masks that teach the matte itself, by the label in the core
and by the picture in the band around their edges.

MatAnyone (Yang et al., arXiv 2501.14677; sections 3.2 and H.3 were read) supervises the matting head, not one beside it,
with segmentation data: L1 in the core, where a mask is as good as a matte, and 1.5 x the scaled directional distance
consistency loss (`wsshm.distance_consistency`) in the boundary region. It is a method for video, with a memory of earlier
frames and three training stages; this supervision begins in the second.

Ours: stills, and one stage, in which each batch holds both kinds; the loss terms of the core are those of all methods here,
in place of L1 alone; that the boundary's loss is a mean over its pixels; what the boundary region is (a band of `band` x the
shorter side around the mask's edge), how large a "small window" is (11 px) and how many pixels are compared (10), which the
sections that were read do not say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveFloat

from wsshm.config import RunConfig
from wsshm.methods import Method, options_of, register
from wsshm.methods.confident_masks import target
from wsshm.methods.stage import LABELS, PhotoLabel, Stage
from wsshm.methods.windows import Windows

if TYPE_CHECKING:  # torch, which reports do without
    from torch import Tensor

    from wsshm.models.network import MattingOutput
    from wsshm.training.batches import Batch

MATTE_SHARE = 0.5


class Options(Windows):
    """Options of `matanyone_like`."""

    weight: PositiveFloat = 1.5
    """Weight of the scaled distance consistency, a mean over the band's pixels."""


def term(batch: Batch, stage: Stage, output: MattingOutput, taught: MattingOutput | None) -> Tensor:
    """The weighted mean loss (N,) of the band's pixels; 0 for a picture without any."""
    from wsshm.distance_consistency import distance_consistency

    options = stage.options
    band = 1 - target(batch, stage, None).weight
    assert batch.plain is not None, "a label with a loss of its own has plain pictures"
    loss = distance_consistency(output.matte, batch.plain, band, options["window"], options["neighbours"], scaled=True)
    return options["weight"] * loss.sum((1, 2, 3)) / band.sum((1, 2, 3)).clamp_min(1)


def stages(config: RunConfig) -> list[Stage]:
    """One stage on mixed batches."""
    share = config.method.matte_share
    return [
        Stage(
            "student",
            config.train.steps,
            matte_share=MATTE_SHARE if share is None else share,
            photo_label="matanyone_like",
            options=options_of(config).model_dump(),
        )
    ]


LABELS.register(
    PhotoLabel(
        "matanyone_like", "masks in their core, colours near their edges", reads="mask", target=target, term=term
    )
)
register(
    Method(
        "matanyone_like",
        stages,
        about="joint with scaled distance consistency near the masks' edges",
        reads={"method.matte_share"},
        options=Options,
        colour="#332288",
        marker="p",
    )
)
