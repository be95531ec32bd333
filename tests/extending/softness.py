"""A measure of a user's own: how much softer or harder a matte is than its label."""

import numpy as np

from wsshm.measures import Measure, register


def softness(matte, label, where):
    if not where.any():
        return None
    return abs(float(np.mean((matte * (1 - matte) - label * (1 - label))[where])))


register(
    Measure(
        "softness",
        "Softness",
        "difference of the mean of alpha (1 - alpha)",
        value=softness,
        regions=("whole", "unknown", "boundary"),
        reported=("whole",),
        further=("unknown",),
        scale=1e3,
        printed_unit="10⁻³",
    )
)
