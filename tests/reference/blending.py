"""The blend's neighbourhoods by their definition: OpenCV's dilation, and windows that are summed whole around each pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def dilated(mask: Map, radius: int) -> Map:
    """An H x W map of 0 and 1 dilated by OpenCV's ellipse; the border is no edge."""
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


def summed(values: Map, size: int) -> Map:
    """The sum of an H x W map over a window of an odd `size` around each pixel, as far as it lies inside."""
    reach = size // 2
    result = np.empty_like(values)
    for y, x in np.ndindex(values.shape):
        result[y, x] = values[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].sum()
    return result
