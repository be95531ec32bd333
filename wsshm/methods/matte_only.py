"""Mattes only: what the synthetic composites alone can teach. Never sees a mask."""

from wsshm.config import RunConfig
from wsshm.methods import Method, register
from wsshm.methods.stage import Stage


def stages(config: RunConfig) -> list[Stage]:
    """One stage on composites."""
    return [Stage("student", config.train.steps, matte_share=1.0)]


register(
    Method("matte_only", stages, about="composites with their mattes alone", order=0, colour="#cc79a7", marker="v")
)
