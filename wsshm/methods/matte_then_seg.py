"""Mattes first, then masks only: the strongest plain baseline, MLB's schedule without a blended label."""

from wsshm.config import RunConfig
from wsshm.methods import TEACHER_STEPS, Method, register
from wsshm.methods.stage import Stage
from wsshm.methods.teacher import teacher


def stages(config: RunConfig) -> list[Stage]:
    """The same first stage as MLB's teacher (and trained only once beside it), then a stage on masks."""
    rest = config.train.steps - config.train.teacher_steps
    return [teacher(config), Stage("student", rest, matte_share=0.0, photo_label="mask", start="teacher")]


register(
    Method(
        "matte_then_seg",
        stages,
        about="mattes first, then masks alone",
        reads={TEACHER_STEPS},
        order=3,
        colour="#56b4e9",
        marker="^",
    )
)
