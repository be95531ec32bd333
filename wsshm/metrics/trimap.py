"""Trimaps: their values, and the one that is derived from a label where a data set ships none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsshm.metrics.kernels.compiled import compiled
from wsshm.metrics.kernels.strips import STRIP, crew

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
BOUNDARY = (0.05, 0.95)  # a pixel is fractional, on the boundary, strictly between these
UNKNOWN_SHARE = 0.02  # dilation radius of a derived unknown region, as a share of the shorter side
LOW, HIGH = BOUNDARY


def unknown_radius(height: int, width: int) -> int:
    """Radius in pixels by which the boundary is dilated: 2 % of the shorter side, at least 1."""
    return max(1, round(UNKNOWN_SHARE * min(height, width)))


def derive_trimap(label: NDArray[np.floating], radius: int, threads: int | None = None) -> NDArray[np.uint8]:
    """An HxW trimap whose unknown region is the label's boundary dilated by an ellipse of `radius` pixels.

    Elsewhere it is 255 where the label is at least 0.95 and 0 where it is at most 0.05. The ellipse is OpenCV's: a row
    `dy` away reaches round(sqrt(radius^2 - dy^2)) pixels to either side.
    """
    label = np.require(label, np.float32 if label.dtype == np.float32 else np.float64, ["C", "ALIGNED", "WRITEABLE"])
    rows = np.arange(radius + 1)
    # In a row the distance to the nearest boundary pixel says all; beyond the radius it does not matter.
    kind = np.uint8 if radius < np.iinfo(np.uint8).max else np.uint16
    reach = np.rint(radius * np.sqrt(1 - (rows / radius) ** 2)).astype(kind)
    gaps = np.empty(label.shape, kind)
    trimap = np.empty(label.shape, np.uint8)
    with crew(threads, len(label)) as workers:
        workers.sum(len(label), 0, _row_gaps, label, gaps)
        workers.sum(len(label), 0, _widened, gaps, reach, label, trimap)
    return trimap


@compiled
def _row_gaps(first, end, label, gaps, _):
    far = np.iinfo(gaps.dtype).max
    height, width = label.shape
    for y in range(first * STRIP, min(end * STRIP, height)):
        row = gaps[y]
        found = 0
        for x in range(width):
            alpha = np.float64(label[y, x])
            inside = (alpha > LOW) & (alpha < HIGH)
            row[x] = 0 if inside else far
            found += inside
        if found == 0:
            continue
        gap = far
        for x in range(width):
            gap = 0 if row[x] == 0 else min(gap + 1, far)
            row[x] = gap
        gap = far
        for x in range(width - 1, -1, -1):
            gap = min(gap + 1, np.int64(row[x]))
            row[x] = gap


@compiled
def _widened(first, end, gaps, reach, label, trimap, _):
    height, width = gaps.shape
    radius = reach.size - 1
    for y in range(first * STRIP, min(end * STRIP, height)):
        row = trimap[y]
        for x in range(width):
            row[x] = 0
        for near in range(max(0, y - radius), min(height, y + radius + 1)):
            gap, limit = gaps[near], reach[abs(near - y)]
            for x in range(width):
                row[x] |= gap[x] <= limit
        for x in range(width):
            known = FOREGROUND if np.float64(label[y, x]) >= HIGH else BACKGROUND
            row[x] = UNKNOWN if row[x] else known
