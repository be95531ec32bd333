"""Both kinds of labels at once, without a teacher: half of each batch composites, half natural pictures with masks."""

from wsshm.config import RunConfig
from wsshm.methods.stage import Stage

MATTE_SHARE = 0.5


def stages(config: RunConfig) -> list[Stage]:
    """One stage on mixed batches."""
    return [Stage("student", config.train.steps, matte_share=MATTE_SHARE, photo_label="mask")]
