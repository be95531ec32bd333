"""Mattes only: what the synthetic composites alone can teach. Never sees a mask."""

from wsshm.config import RunConfig
from wsshm.methods.stage import Stage


def stages(config: RunConfig) -> list[Stage]:
    """One stage on composites."""
    return [Stage("student", config.train.steps, matte_share=1.0)]
