"""Where a matte has to be estimated: the band in which several opinions about a photo, its mask among them, do not agree.

The mean of all opinions is near 1 where everybody sees the person, near 0 where nobody does. What is between is soft edges,
which are soft in most opinions, and what some see otherwise than the rest. One alone among five or more is outvoted, but not
near an edge, where it may be the one that sees hair. All lengths are relative to the person's size, the square root of
their area.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

OUTVOTED = 0.21
"""Of the mean opinion: up to this from 0 or 1 a pixel is known, if it is not near an edge. One of five comes to 0.2."""
SURE = 0.1
"""The same near an edge."""
NEAR = 0.06
"""How far from what is not known on other grounds that is, of the person's size."""
MARGIN = 0.012
"""How far the band goes on beyond that, of the person's size: a mask's outline and a network's are off by some pixels."""
THICK = 0.08
"""The radius of the largest circle that fits into the band, of the person's size: what is thicker is no edge, but somebody
or something (a bystander, a bag) that opinions do not agree about."""
WIDE = 0.5
"""The band's share of the person: where it is wider, little is known of where the person is."""

DISAGREE, TOO_WIDE = "who is there is not agreed on", "the band is too wide"


def band(opinions: Sequence[Float32]) -> UInt8:
    """The trimap (H, W) of mattes and masks (H, W) in [0, 1]: 0 background, 128 unknown, 255 foreground."""
    mean = np.mean(opinions, axis=0)
    size = float(np.sqrt(mean.sum()))
    edge = _grown((mean > OUTVOTED) & (mean < 1 - OUTVOTED), NEAR * size)
    unknown = _grown((mean > SURE) & (mean < 1 - SURE) & edge, MARGIN * size)
    return np.where(unknown, 128, np.where(mean > 0.5, 255, 0)).astype(np.uint8)


def _grown(where: NDArray[np.bool_], by: float) -> NDArray[np.bool_]:
    """All within `by` pixels, at least 1."""
    radius = max(1, round(by))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(where.astype(np.uint8), disc) > 0


def fault(trimap: UInt8) -> str | None:
    """Why no matte should be estimated in a band, `DISAGREE` or `TOO_WIDE`; None where one can be."""
    unknown = trimap == 128
    known, between = float((trimap == 255).sum()), float(unknown.sum())
    if not known or known + between == trimap.size:
        return DISAGREE
    reach = cv2.distanceTransform(unknown.astype(np.uint8), cv2.DIST_L2, 5).max()
    if reach > THICK * np.sqrt(known + between / 2):
        return DISAGREE
    return TOO_WIDE if between > WIDE * (known + between / 2) else None
