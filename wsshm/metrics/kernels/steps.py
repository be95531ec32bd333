"""Conn's eleven thresholds, 0 to 1 by tenths: public codes put them an ulp apart, and 8-bit values meet them.

`ARANGE`, P3M's: i * 0.1 in float64, as NumPy's arange(0, 1.1, 0.1) has them. 0.3, 0.6 and 0.7 are then one ulp above
their decimal, so that 153/255 does not reach 0.6; and a pixel's level is kept in float32.
`TENTHS`, MATLAB's 0:0.1:1 in Deep Image Matting's evaluation: i / 10 in float64.
`SINGLE`, Robust Video Matting's: alpha and i / 10 compared in float32.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from wsshm.metrics.kernels.compiled import compiled

STEPS = 10
ARANGE, TENTHS, SINGLE = range(3)
NEAR = 1e-5  # more than any two of the thresholds of one step lie apart
TENTH_HIGH = 0x1999999999999 / 2**52  # 0.1 to 49 bits, so that small multiples are exact
TENTH_LOW = float(Fraction(1, 10) - Fraction(TENTH_HIGH))


@compiled
def tenths(step):
    """step / 10 for 0 .. 10, rounded as the division rounds it, and several times faster."""
    return step * TENTH_HIGH + step * TENTH_LOW


@compiled
def arange(step):
    """The element of numpy.arange(0, 1.1, 0.1), for 0 .. 10."""
    return step * 0.1


@compiled
def steps_reached(alpha, rule):
    """The number of thresholds above 0 that an alpha in [0,1], a float64, reaches."""
    if rule == SINGLE:
        single = np.float32(alpha)
        step = np.int32(single * np.float32(STEPS) + np.float32(NEAR))
        return step - (single < np.float32(tenths(np.float64(step))))
    step = np.int32(alpha * STEPS + NEAR)
    least = arange(np.float64(step)) if rule == ARANGE else tenths(np.float64(step))
    return step - (alpha < least)


@compiled
def level_of(step, rule):
    """The level at which a pixel counts as connected that a step's source region holds, a float64."""
    level = tenths(np.float64(step))
    return np.float64(np.float32(level)) if rule == ARANGE else level
