"""Cutting what a sample shows out of a picture, in 8 bits, for a device to place it exactly.

A map is an affine matrix (2,3) from a sample's pixels (x, y) to a picture's; in both, whole numbers are pixels' edges, so
that the middle of the first pixel is (0.5, 0.5). Of a large picture only what the map shows is cut, and shrunk to at most
`MARGIN` times the sample's resolution; what is left of the map, from the sample to the canvas, is for the device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 1.25
"""How many of a canvas' pixels there may be to one of the sample's: so many a bilinear map shrinks without aliasing."""
REDUCTIONS = (8, 4, 2)
"""By how much pictures are shrunk as they are decoded, as libjpeg does it: whole blocks of so many pixels a side."""
QUICK, QUICK_FACTOR = 1 << 17, 2
"""Cuts of more pixels that shrink by less than this factor are shrunk bilinearly, several times as fast as by areas."""
AROUND = 1  # px beyond what is shown that a bilinear map reads

UInt8 = NDArray[np.uint8]
Float64 = NDArray[np.float64]


class Canvas(NamedTuple):
    """A cut (K,K,C) uint8, K = `canvas_side`, and the map (2,3) from the sample's pixels to its own."""

    pixels: UInt8
    matrix: Float64


def canvas_side(size: int) -> int:
    """The side of the canvases of samples of `size` px."""
    return math.ceil(MARGIN * size)


def scales_of(matrix: Float64) -> Float64:
    """How far (x, y) in the picture one pixel of the sample leads: above 1 the picture is shrunk."""
    return np.hypot(matrix[:, 0], matrix[:, 1])


def reduction_of(matrix: Float64) -> int:
    """By how much, 1 to 8, a picture may be shrunk as it is decoded, so that its map still does not enlarge it."""
    scale = float(scales_of(matrix).min())
    return next((r for r in REDUCTIONS if scale >= r), 1)


def reduced(pixels: UInt8, reduction: int, fill: int | None = None) -> UInt8:
    """Means over blocks of `reduction` px a side, (ceil(H / r), ceil(W / r), ...); beyond the edge is the same as in `cut`."""
    if reduction == 1:
        return pixels
    height, width = (math.ceil(side / reduction) for side in pixels.shape[:2])
    below, right = height * reduction - pixels.shape[0], width * reduction - pixels.shape[1]
    if below or right:
        pixels = _padded(pixels, below, right, fill)
    return _shrunk(pixels, width, height)


def cut(planes: list[UInt8], matrix: Float64, size: int, reduction: int = 1, fill: int | None = None) -> Canvas:
    """What a map shows of a picture, whose planes (H,W) or (H,W,C) become the canvas' channels.

    `matrix` is in pixels of the whole picture, of which `planes` are `reduced`. Beyond the picture its edge is repeated,
    or it is `fill`.
    """
    height, width = planes[0].shape[:2]
    matrix = matrix / reduction
    corners = matrix @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])
    low = np.clip(np.floor(corners.min(1)).astype(int) - AROUND, 0, (width - 1, height - 1))
    high = np.clip(np.ceil(corners.max(1)).astype(int) + AROUND, low + 1, (width, height))
    seen = high - low
    side = canvas_side(size)
    factor = np.minimum(1, np.minimum(MARGIN / scales_of(matrix), side / seen))
    shrunk = np.clip(np.rint(seen * factor).astype(int), 1, np.minimum(seen, side))
    (left, top), (right, bottom) = low, high
    cuts = [plane[top:bottom, left:right] for plane in planes]
    if (shrunk < seen).any():
        quick = seen.prod() > QUICK and (seen < QUICK_FACTOR * shrunk).all()
        cuts = [_shrunk(one, *map(int, shrunk), quick=bool(quick)) for one in cuts]
    pixels = cv2.merge(cuts).astype(np.uint8, copy=False) if len(cuts) > 1 else cuts[0]
    below, beside = side - int(shrunk[1]), side - int(shrunk[0])
    if below or beside:
        pixels = _padded(pixels, below, beside, fill)
    placed = matrix.copy()
    placed[:, 2] -= low
    return Canvas(np.ascontiguousarray(pixels), placed * (shrunk / seen)[:, None])


def _shrunk(pixels: UInt8, width: int, height: int, *, quick: bool = False) -> UInt8:
    how = cv2.INTER_LINEAR if quick else cv2.INTER_AREA
    return cv2.resize(pixels, (width, height), interpolation=how).astype(np.uint8, copy=False)


def _padded(pixels: UInt8, below: int, beside: int, fill: int | None = None) -> UInt8:
    """More rows and columns, as the last (or `fill`); OpenCV pads at most four channels at once."""
    if pixels.ndim == 3 and pixels.shape[2] > 4:
        parts = (pixels[..., k : k + 4] for k in range(0, pixels.shape[2], 4))
        return np.dstack([_padded(part, below, beside, fill) for part in parts])
    how, value = (cv2.BORDER_REPLICATE, 0) if fill is None else (cv2.BORDER_CONSTANT, fill)
    return cv2.copyMakeBorder(pixels, 0, below, 0, beside, how, value=(value,) * 4).astype(np.uint8, copy=False)
