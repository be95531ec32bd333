"""Directional distance consistency by its definition: every pixel's window, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def distance_consistency(
    matte: Float64, image: Float64, band: Float64, window: int, neighbours: int, scaled: bool
) -> Float64:
    """The loss of each pixel of a matte (H,W) over a picture (H,W,3), 0 outside the band (H,W)."""
    height, width = matte.shape
    reach = window // 2
    loss = np.zeros((height, width))
    for y, x in np.argwhere(band > 0):
        seen = [
            (v, u)
            for v in range(max(0, y - reach), min(height, y + reach + 1))
            for u in range(max(0, x - reach), min(width, x + reach + 1))
        ]
        others = [(float(np.linalg.norm(image[y, x] - image[v, u])), v, u) for v, u in seen if (v, u) != (y, x)]
        contrast = 1.0
        if scaled:
            by_light = sorted(seen, key=lambda place: image[place].mean())
            dark, light = ([image[place] for place in part] for part in (by_light[:neighbours], by_light[-neighbours:]))
            contrast = float(np.linalg.norm(np.mean(light, 0) - np.mean(dark, 0)))
        nearest = sorted(others)[:neighbours]
        loss[y, x] = np.mean([abs((matte[y, x] - matte[v, u]) * contrast - far) for far, v, u in nearest])
    return loss
