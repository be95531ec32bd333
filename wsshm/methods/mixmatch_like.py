"""MixMatch without its mixing: in each batch composites with their mattes and (half, by default) natural pictures labelled by
what the network says of them, averaged over two views and sharpened. Never reads a mask.

MixMatch (Berthelot et al., arXiv 1905.02249; from reviews of it, and remembered): a label is guessed as the mean prediction
for K = 2 augmented views, sharpened to p^(1/T) / (p^(1/T) + (1-p)^(1/T)) with T = 0.5, and learnt by a squared error whose
weight is ramped up; labelled and unlabelled samples are then mixed (MixUp).

Ours: nothing is mixed, as a stage's label is a rule for a sample and knows no other; the two views are the picture and its
mirror image, and the student sees a third, recoloured; it is the student's moving average that predicts, not the student;
where it sees a boundary its fractional value is kept, as far as it is sure of it, for sharpened it would be none. The ramp
is the one that `mean_teacher` has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveFloat

from wsshm.config import Fraction, RunConfig, Section
from wsshm.methods import Method, options_of, register
from wsshm.methods.average import decay_of
from wsshm.methods.stage import LABELS, PhotoLabel, Stage

if TYPE_CHECKING:  # torch, which reports do without
    from torch import Tensor

    from wsshm.losses import Target
    from wsshm.models.network import MattingOutput
    from wsshm.training.batches import Batch

MATTE_SHARE = 0.5


class Options(Section):
    """Options of `mixmatch_like`."""

    temperature: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """How much guesses are sharpened: 1 leaves them as they are, near 0 they are 0 or 1."""
    weight: PositiveFloat = 1.0
    """Weight of the squared error of natural pictures."""
    ramp: Fraction = 0.3
    """Share of the steps over which that weight is reached."""


def guessed(taught: MattingOutput, temperature: float) -> Tensor:
    """The label (N,1,H,W) made of a prediction: sharpened, as far as it sees no boundary."""
    import torch

    p = taught.matte.clamp(1e-6, 1 - 1e-6)
    sharp = torch.sigmoid(torch.logit(p) / temperature)  # p^(1/T) / (p^(1/T) + (1-p)^(1/T))
    return torch.lerp(sharp, taught.matte, taught.boundary)


def target(batch: Batch, stage: Stage, output: MattingOutput | None) -> Target:
    """The guess, of which the loss terms that all methods have count nothing: `term` is its loss."""
    import torch

    from wsshm.losses import Target

    assert output is not None, "a label that is guessed has a network to guess it"
    none = torch.zeros_like(batch.labels)
    return Target(guessed(output, stage.options["temperature"]), none, none, none)


def term(batch: Batch, stage: Stage, output: MattingOutput, taught: MattingOutput | None) -> Tensor:
    """The mean squared error (N,) of the student's matte."""
    assert taught is not None, "a label that is guessed has a network to guess it"
    return (output.matte - guessed(taught, stage.options["temperature"])).square().mean((1, 2, 3))


def stages(config: RunConfig) -> list[Stage]:
    """One stage on mixed batches; the average is the model in the end. `train.ema` sets another decay."""
    share, options = config.method.matte_share, options_of(config)
    return [
        Stage(
            "student",
            config.train.steps,
            matte_share=MATTE_SHARE if share is None else share,
            photo_label="mixmatch_like",
            photo_weight=options.weight,
            ramp=options.ramp,
            ema_decay=decay_of(config),
            options={"temperature": options.temperature},
        )
    ]


LABELS.register(
    PhotoLabel("mixmatch_like", "the average's sharpened guesses", taught=True, target=target, term=term, mirrored=True)
)
register(
    Method(
        "mixmatch_like",
        stages,
        about="composites, and natural pictures labelled by the average's sharpened guesses",
        reads={"method.matte_share"},
        options=Options,
        colour="#aa4499",
        marker="d",
    )
)
