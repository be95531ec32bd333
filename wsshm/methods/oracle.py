"""Control: MLB's schedule with the true mattes of the natural pictures, where they exist.

It bounds what any label made from a mask can give. Its cost counts every natural picture as a matte.
"""

from wsshm.config import RunConfig
from wsshm.methods import OWN_AVERAGE, Method, register
from wsshm.methods.mlb import TAUGHT, with_label
from wsshm.methods.stage import Stage


def stages(config: RunConfig) -> list[Stage]:
    """MLB's stages with true mattes."""
    return with_label(config, "truth")


register(
    Method(
        "oracle",
        stages,
        about="given true mattes of the natural pictures",
        reads=TAUGHT | {OWN_AVERAGE},
        order=7,
        control=True,
        true_mattes=True,
        colour="#8a8f98",
        marker="*",
    )
)
