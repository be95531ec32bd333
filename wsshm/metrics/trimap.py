"""Trimaps: their values, and the one that is derived from a label where a data set ships none."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
BOUNDARY = (0.05, 0.95)  # a pixel is fractional, on the boundary, strictly between these
UNKNOWN_SHARE = 0.02  # dilation radius of a derived unknown region, as a share of the shorter side


def boundary(label: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where an HxW label is fractional: 0.05 < alpha < 0.95."""
    low, high = BOUNDARY
    return (label > low) & (label < high)


def unknown_radius(height: int, width: int) -> int:
    """Radius in pixels by which the boundary is dilated: 2 % of the shorter side, at least 1."""
    return max(1, round(UNKNOWN_SHARE * min(height, width)))


def derive_trimap(label: NDArray[np.float64], radius: int) -> NDArray[np.uint8]:
    """An HxW trimap whose unknown region is the label's boundary dilated by an ellipse of `radius` pixels.

    Elsewhere it is 255 where the label is at least 0.95 and 0 where it is at most 0.05.
    """
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    unknown = cv2.dilate(boundary(label).astype(np.uint8), ellipse)
    known = np.where(label >= BOUNDARY[1], FOREGROUND, BACKGROUND)
    return np.where(unknown > 0, UNKNOWN, known).astype(np.uint8)
