"""The teacher that several methods share: trained on composites, it predicts matte and boundary."""

from wsshm.config import RunConfig
from wsshm.methods.stage import Stage


def teacher(config: RunConfig) -> Stage:
    """A stage on composites only, `train.teacher_steps` long."""
    return Stage("teacher", config.train.teacher_steps, matte_share=1.0)
