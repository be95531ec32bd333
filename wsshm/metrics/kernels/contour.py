"""The boundary F measure of two binary maps, for data that has only masks (Perazzi et al. 2016, DAVIS)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

TOLERANCE_SHARE = 0.008  # of the image's diagonal, as DAVIS


def boundary_f(matte: NDArray[np.floating], label: NDArray[np.floating]) -> float:
    """F measure of the outlines of two HxW maps cut at alpha >= 0.5: 2PR / (P + R).

    Precision and recall are the shares of an outline's pixels that have a pixel of the other outline within
    ceil(0.008 x diagonal) pixels. The outline is where a pixel differs from its right, lower, or lower right neighbour.
    1 where neither map has an outline, 0 where only one has.
    """
    reach = math.ceil(TOLERANCE_SHARE * math.hypot(*label.shape))
    predicted, true = _outline(np.asarray(matte) >= 0.5), _outline(np.asarray(label) >= 0.5)
    if not predicted.any() or not true.any():
        return float(not predicted.any() and not true.any())
    precision, recall = _share_near(predicted, true, reach), _share_near(true, predicted, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    outline = np.zeros_like(mask)
    outline[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    outline[:-1] |= mask[:-1] != mask[1:]
    outline[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return outline


def _share_near(points: NDArray[np.bool_], others: NDArray[np.bool_], reach: int) -> float:
    distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = distance[points] < reach + 1e-3  # squared distances are whole numbers; float32 rounds their roots
    return float(near.mean())
