"""Control: MLB in all but the label inside the band, which stays the mask.

Same teacher, same steps, same loss terms, same boundary map. What MLB does better than this is due to the blended
values alone.
"""

from wsshm.config import RunConfig
from wsshm.methods import Method, register
from wsshm.methods.mlb import BLENDED, with_label
from wsshm.methods.stage import Stage


def stages(config: RunConfig) -> list[Stage]:
    """MLB's stages with the mask's values."""
    return with_label(config, "masklabel")


register(
    Method(
        "mlb_masklabel",
        stages,
        about="mlb in all but the label inside the band, which stays the mask",
        reads=BLENDED,
        order=6,
        control=True,
        colour="#8a8f98",
        marker="P",
    )
)
