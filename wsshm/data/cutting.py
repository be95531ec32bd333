"""Cutting what a sample shows out of a picture, in 8 bits, for a device to place it exactly.

A map is an affine matrix (2,3) from a sample's pixels (x, y) to a picture's; in both, whole numbers are pixels' edges, so
that the middle of the first pixel is (0.5, 0.5). Of a large picture only what the map shows is cut. An upright box is shrunk
to the sample's resolution, what is turned to at most `MARGIN` times that; what is left of the map, from the sample to the
canvas, is for the device: turning, mirroring, enlarging.
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
"""Cuts of more pixels that shrink by less than this factor, and all by less than `MARGIN`, are shrunk bilinearly, several
times as fast as by areas."""
AROUND = 1  # px beyond what is shown that a bilinear map reads
DIGITS = 6  # of a pixel's place: whole numbers stay whole

UInt8 = NDArray[np.uint8]
Float64 = NDArray[np.float64]


class Canvas(NamedTuple):
    """A cut's planes (h,w) or (h,w,c) uint8, no side above `largest_side`, and the map (2,3) from the sample's pixels to it.

    The planes may be views of a decoded picture.
    """

    planes: tuple[UInt8, ...]
    matrix: Float64

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C), C the channels of all planes."""
        height, width = self.planes[0].shape[:2]
        return height, width, sum(math.prod(plane.shape[2:]) for plane in self.planes)

    @property
    def pixels(self) -> UInt8:
        """The channels of all planes, (h,w,C)."""
        return self.written(np.empty(self.shape, np.uint8))

    def written(self, out: UInt8) -> UInt8:
        """The same, written into `out`."""
        if len(self.planes) == 1:
            np.copyto(out, self.planes[0].reshape(out.shape))
        else:
            cv2.mixChannels(list(self.planes), [out], [k for k in range(out.shape[2]) for _ in range(2)])
        return out


def largest_side(size: int) -> int:
    """The largest side of a canvas of a sample of `size` px."""
    return math.ceil(MARGIN * size)


def scales_of(matrix: Float64) -> Float64:
    """How far (x, y) in the picture one pixel of the sample leads: above 1 the picture is shrunk."""
    return np.hypot(matrix[:, 0], matrix[:, 1])


def reduction_of(matrix: Float64) -> int:
    """By how much, 1 to 8, a picture may be shrunk as it is decoded, so that its map still does not enlarge it."""
    scale = float(scales_of(matrix).min())
    return next((r for r in REDUCTIONS if scale >= r), 1)


def reduced(pixels: UInt8, reduction: int, fill: int | None = None) -> UInt8:
    """Means over blocks of `reduction` px a side, (ceil(H / r), ceil(W / r), ...); beyond the edge is the edge, or `fill`."""
    if reduction == 1:
        return pixels
    height, width = (math.ceil(side / reduction) for side in pixels.shape[:2])
    below, right = height * reduction - pixels.shape[0], width * reduction - pixels.shape[1]
    if below or right:
        pixels = _padded(pixels, below, right, fill)
    return _shrunk(pixels, width, height)


def cut(planes: list[UInt8], matrix: Float64, size: int, reduction: int = 1) -> Canvas:
    """What a map shows of a picture, whose planes (H,W) or (H,W,C) become the canvas' channels.

    `matrix` is in pixels of the whole picture, of which `planes` are `reduced`.
    """
    height, width = planes[0].shape[:2]
    matrix = matrix / reduction
    scales = scales_of(matrix)
    # A box that is shrunk ends where the sample does; elsewhere a bilinear map reads beyond what is shown.
    is_box = not matrix[0, 1] and not matrix[1, 0] and bool((scales >= 1).all())
    margin, around = (1.0, 0) if is_box else (MARGIN, AROUND)
    corners = (matrix @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])).round(DIGITS)
    low = np.clip(np.floor(corners.min(1)).astype(int) - around, 0, (width - 1, height - 1))
    high = np.clip(np.ceil(corners.max(1)).astype(int) + around, low + 1, (width, height))
    seen = high - low
    factor = np.minimum(1, np.minimum(margin / scales, largest_side(size) / seen))
    shrunk = np.clip(np.rint(seen * factor).astype(int), 1, seen)
    (left, top), (right, bottom) = low, high
    cuts = [plane[top:bottom, left:right] for plane in planes]
    if (shrunk < seen).any():
        most = QUICK_FACTOR if seen.prod() > QUICK else MARGIN
        quick = bool((seen < most * shrunk).all())
        cuts = [_shrunk(one, *map(int, shrunk), quick=quick) for one in cuts]
    placed = matrix.copy()
    placed[:, 2] -= low
    return Canvas(tuple(cuts), placed * (shrunk / seen)[:, None])


def _shrunk(pixels: UInt8, width: int, height: int, *, quick: bool = False) -> UInt8:
    how = cv2.INTER_LINEAR if quick else cv2.INTER_AREA
    return cv2.resize(pixels, (width, height), interpolation=how).astype(np.uint8, copy=False)


def _padded(pixels: UInt8, below: int, beside: int, fill: int | None) -> UInt8:
    """More rows and columns, as the last (or `fill`)."""
    how, value = (cv2.BORDER_REPLICATE, 0) if fill is None else (cv2.BORDER_CONSTANT, fill)
    return cv2.copyMakeBorder(pixels, 0, below, 0, beside, how, value=(value,) * 4).astype(np.uint8, copy=False)
