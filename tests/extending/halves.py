"""A method from outside, as a user would write it: the teacher's matte and the mask, averaged.

Its label is a kind of its own, and how much of it is the teacher's is an option of its own. The tests name this file in
WSSHM_PLUGINS; nothing imports it.
"""

from pydantic import PositiveFloat

from wsshm.config import Section
from wsshm.methods import TEACHER_STEPS, Method, options_of, register
from wsshm.methods.stage import LABELS, PhotoLabel, Stage


class Options(Section):
    """Options of `halves`."""

    share: PositiveFloat = 0.5
    """How much of the label is the teacher's."""


def target(batch, stage, output):
    """The weighted mean of mask and prediction; where they differ, less weight."""
    import torch

    from wsshm.losses import Target

    matte = torch.lerp(batch.labels, output.matte, stage.options["share"])
    weight = 1 - (batch.labels - output.matte).abs()
    return Target(matte, torch.zeros_like(matte), weight, torch.zeros_like(matte))


def stages(config):
    """The shared teacher, then a student that starts from it."""
    rest = config.train.steps - config.train.teacher_steps
    return [
        Stage("teacher", config.train.teacher_steps, matte_share=1.0),
        Stage(
            "student",
            rest,
            matte_share=config.method.matte_share or 0.25,
            photo_label="halves",
            start="teacher",
            teacher="teacher",
            options={"share": options_of(config).share},
        ),
    ]


LABELS.register(PhotoLabel("halves", "means of mask and teacher", reads="mask", taught=True, target=target))
register(
    Method(
        "halves",
        stages,
        about="mlb with the mean of mask and teacher as label",
        options=Options,
        reads={TEACHER_STEPS, "method.matte_share"},
        order=4.5,
        colour="#112233",
        marker="h",
    )
)
