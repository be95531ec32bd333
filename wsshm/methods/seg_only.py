"""Masks only: natural pictures with the annotator's mask as if it were a matte. Never sees a matte."""

from wsshm.config import RunConfig
from wsshm.methods import Method, register
from wsshm.methods.stage import Stage


def stages(config: RunConfig) -> list[Stage]:
    """One stage on natural pictures."""
    return [Stage("student", config.train.steps, matte_share=0.0, photo_label="mask")]


register(
    Method("seg_only", stages, about="natural pictures with their masks alone", order=1, colour="#e69f00", marker="s")
)
