"""A method of your own, to copy: `joint`, with masks that are as soft at their edges as they are uncertain there.

An annotator's outline is off by some pixels. If the true edge is as likely a little further in as further out, what is
expected of the matte near the outline is the mask blurred by that much, and that is the label here. Nothing says where
along the edge the boundary lies, so that there the boundary's loss counts nothing.

    export WSSHM_PLUGINS=sweeps/examples/my_method.py
    wsshm sweep run sweeps/examples/own-method.yaml

Torch is imported inside `target`, so that reports can be built without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from wsshm.config import RunConfig, Section
from wsshm.methods import Method, options_of, register
from wsshm.methods.stage import LABELS, PhotoLabel, Stage

if TYPE_CHECKING:
    from wsshm.losses import Target
    from wsshm.models.network import MattingOutput
    from wsshm.training.batches import Batch


class Options(Section):
    """Options of `soft_masks`: in a plan `method.options.width`."""

    width: Annotated[float, Field(gt=0.0, le=0.25)] = 0.025
    """How far masks err, as a share of the shorter side; `wsshm data stats` prints it in thousandths."""


def target(batch: Batch, stage: Stage, output: MattingOutput | None) -> Target:
    """The blurred mask: three means over squares, which are close to a Gaussian."""
    import torch
    from torch.nn.functional import avg_pool2d

    from wsshm.losses import Target

    radius = max(1, round(stage.options["width"] * min(batch.labels.shape[-2:])))
    soft = batch.labels
    for _ in range(3):
        soft = avg_pool2d(soft, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    away_from_edge = ((soft - batch.labels).abs() <= 1e-3).to(soft.dtype)
    return Target(soft, torch.zeros_like(soft), torch.ones_like(soft), away_from_edge)


def stages(config: RunConfig) -> list[Stage]:
    """One stage: in each batch as many composites as natural pictures."""
    share = 0.5 if config.method.matte_share is None else config.method.matte_share
    options = options_of(config).model_dump()
    return [Stage("student", config.train.steps, matte_share=share, photo_label="soft_masks", options=options)]


LABELS.register(PhotoLabel("soft_masks", "masks with soft edges", reads="mask", target=target))
register(
    Method(
        "soft_masks",
        stages,
        about="joint with masks blurred as far as they err",
        reads={"method.matte_share"},
        options=Options,
    )
)
