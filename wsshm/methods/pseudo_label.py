"""Pseudo-labels: MLB's schedule with natural pictures labelled by the teacher alone. Never reads a mask.

The label is what the teacher is sure of (Lee, "Pseudo-Label", 2013; a threshold on confidence as in FixMatch,
arXiv 2001.07685); that a boundary pixel keeps its fractional value is ours. What MLB does better than this is due to
the masks.
"""

from wsshm.config import RunConfig
from wsshm.methods import Method, register
from wsshm.methods.mlb import TAUGHT, with_label
from wsshm.methods.stage import Stage


def stages(config: RunConfig) -> list[Stage]:
    """MLB's stages with the teacher's confident pixels as label."""
    return with_label(config, "pseudo")


register(
    Method(
        "pseudo_label",
        stages,
        about="mlb without masks: natural pictures labelled by the teacher alone",
        reads=TAUGHT | {"method.boundary", "method.confidence"},
    )
)
