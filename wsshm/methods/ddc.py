"""DDC: masks alone, and in the band around their edges the picture itself. Never sees a matte.

"Training Matting Models without Alpha Labels" (Liu et al., arXiv 2408.10539, AAAI 2025). From its abstract and published
code (read): a trimap's known pixels are taught by L1, and 10 x the directional distance consistency loss
(`wsshm.distance_consistency`, windows of 11 px) spreads alpha from them into the unknown ones. Their trimaps are exact
mattes' own, widened.

Ours: the unknown region is a band around the edge of an annotator's mask, of one width, `band`; the loss terms of the known
pixels are those of all methods here, in place of L1; the distances are those of the picture before recolouring, compression
and noise. Boundaries are taught as in `seg_only`: none away from the mask's edge.
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


class Options(Windows):
    """Options of `ddc`."""

    weight: PositiveFloat = 10.0
    """Weight of the distance consistency, a sum over the band's pixels divided by all pixels."""


def term(batch: Batch, stage: Stage, output: MattingOutput, taught: MattingOutput | None) -> Tensor:
    """The weighted loss (N,) of the band's pixels, summed, divided by the number of all pixels."""
    from wsshm.distance_consistency import distance_consistency

    options = stage.options
    band = 1 - target(batch, stage, None).weight
    assert batch.plain is not None, "a label with a loss of its own has plain pictures"
    loss = distance_consistency(output.matte, batch.plain, band, options["window"], options["neighbours"])
    return options["weight"] * loss.mean((1, 2, 3))


def stages(config: RunConfig) -> list[Stage]:
    """One stage on natural pictures."""
    options = options_of(config).model_dump()
    return [Stage("student", config.train.steps, matte_share=0.0, photo_label="ddc", options=options)]


LABELS.register(PhotoLabel("ddc", "masks, and colours near their edges", reads="mask", target=target, term=term))
register(
    Method(
        "ddc",
        stages,
        about="masks alone, with distance consistency near their edges",
        options=Options,
        colour="#44aa99",
        marker="<",
    )
)
