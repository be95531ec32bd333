"""SAD, MSE and MAD of a matte, over the whole image or by P3M's rule for the unknown region, and IoU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsshm.metrics.trimap import BACKGROUND, FOREGROUND, UNKNOWN

Array = NDArray[np.float64]
SAD_SCALE = 1000.0


def sad(matte: Array, label: Array) -> float:
    """Sum of absolute differences of two HxW mattes, in thousands of pixels."""
    return float(np.abs(matte - label).sum() / SAD_SCALE)


def mse(matte: Array, label: Array) -> float:
    """Mean squared error over all pixels of two HxW mattes."""
    return float(np.square(matte - label).mean())


def mad(matte: Array, label: Array) -> float:
    """Mean absolute difference over all pixels of two HxW mattes."""
    return float(np.abs(matte - label).mean())


def unknown_errors(matte: Array, label: Array, trimap: NDArray[np.uint8]) -> tuple[float, float | None, float | None]:
    """(SAD, MSE, MAD) of the unknown region as P3M, GFM and AIM compute them.

    The matte is overwritten with 1 where the trimap is 255 and with 0 where it is 0; then SAD is summed over the whole
    image, while MSE and MAD are sums over the whole image divided by the number of unknown pixels. A label that is not
    exactly 0 or 1 in the known region therefore adds a constant that no prediction can avoid. MSE and MAD are None
    where nothing is unknown.
    """
    known = np.where(trimap == FOREGROUND, 1.0, np.where(trimap == BACKGROUND, 0.0, matte))
    total = float(np.abs(known - label).sum())
    count = int((trimap == UNKNOWN).sum())
    if count == 0:
        return total / SAD_SCALE, None, None
    return total / SAD_SCALE, float(np.square(known - label).sum()) / count, total / count


def iou(matte: Array, label: Array) -> float:
    """Intersection over union of the two mattes cut at alpha >= 0.5; 1 where neither holds a person."""
    predicted, true = matte >= 0.5, label >= 0.5
    union = int((predicted | true).sum())
    return float((predicted & true).sum() / union) if union else 1.0
