"""Both kinds of labels at once, without a teacher: composites and natural pictures with masks in each batch, half and
half unless `method.matte_share` says otherwise.
"""

from wsshm.config import RunConfig
from wsshm.methods import Method, register
from wsshm.methods.stage import Stage

MATTE_SHARE = 0.5


def stages(config: RunConfig) -> list[Stage]:
    """One stage on mixed batches."""
    share = config.method.matte_share
    return [
        Stage("student", config.train.steps, matte_share=MATTE_SHARE if share is None else share, photo_label="mask")
    ]


register(
    Method(
        "joint",
        stages,
        about="both kinds of labels in every batch",
        reads={"method.matte_share"},
        order=2,
        colour="#009e73",
        marker="D",
    )
)
