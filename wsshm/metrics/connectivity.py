"""The connectivity error (Rhemann et al. 2009), convention `p3m` without its flaw on empty predictions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEPS = 10  # thresholds i / 10
TOLERANCE = 0.15  # a smaller distance from the connected level counts as connected
SCALE = 1000.0


def connectivity_error_map(matte: Array, label: Array) -> Array:
    """Each pixel's share of Conn, HxW: |phi(matte) - phi(label)| / 1000. Its sum is the measure.

    The source region at threshold t is the largest 4-connected component of (matte >= t and label >= t). A pixel's
    level l is the last threshold before the first one whose source region leaves it out, 1 if none does;
    phi = 1 - d where d = alpha - l is at least 0.15, else 1. Where a threshold has no component its source region is
    empty; the code published with P3M skips such thresholds instead, which gives an all-zero prediction an error of 0.
    """
    level = np.ones_like(label)
    inside = np.ones(label.shape, dtype=bool)
    agreed = np.minimum(matte, label)
    for step in range(1, STEPS + 1):
        source = _largest_component(agreed >= step / STEPS)
        level[inside & ~source] = (step - 1) / STEPS
        inside &= source
    return np.abs(_phi(matte, level) - _phi(label, level)) / SCALE


def _phi(alpha: Array, level: Array) -> Array:
    distance = alpha - level
    return 1.0 - distance * (distance >= TOLERANCE)


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected component; of equal ones that whose first pixel in reading order comes first."""
    _, components, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]  # without label 0, which is the background
    if areas.size == 0:
        return np.zeros_like(mask)
    largest = 1 + np.flatnonzero(areas == areas.max())
    if len(largest) > 1:
        largest = components.ravel()[np.isin(components, largest).ravel().argmax()]
    return components == largest
