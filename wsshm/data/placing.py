"""Where in a training sample its pictures lie: random maps from the sample's pixels to theirs (see `cutting`)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsshm.data.compose import MIRRORED, SHIFT, TURN_DEGREES, ZOOM
from wsshm.data.cutting import reduction_of

CROP_AREA, CROP_SHAPE = (0.5, 1.0), (0.85, 1.18)
"""A photo's crop: its share of the picture, and its width over its height."""
BACKGROUND_SIDE = (0.5, 1.0)
"""A background's crop: its side as a share of the shorter side."""
CROP_TRIES = 10
CUT_OFF = 0.5
"""Alpha on the lower edge above which a person goes on below it."""
SUNK = (0.01, 0.15)
"""By how much of the sample's side such a person's lower edge is below the sample's."""

Float64 = NDArray[np.float64]
Size = tuple[int, int]


def photo_map(picture: Size, size: int, rng: np.random.Generator) -> Float64:
    """A random crop of a picture (width, height), mirrored at random; the same distribution as torchvision's
    RandomResizedCrop.
    """
    width, height = picture
    # Where no try fits, as in a picture that is far from square: the middle.
    wide, high = min(width, round(height * CROP_SHAPE[1])), min(height, round(width / CROP_SHAPE[0]))
    left, top = (width - wide) // 2, (height - high) // 2
    for _ in range(CROP_TRIES):
        area = width * height * rng.uniform(*CROP_AREA)
        shape = math.exp(rng.uniform(*np.log(CROP_SHAPE)))
        across, down = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < across <= width and 0 < down <= height:
            wide, high = across, down
            left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
            break
    return _of_box(left, top, max(1, wide), max(1, high), size, mirrored=rng.random() < MIRRORED)


def background_map(picture: Size, size: int, rng: np.random.Generator) -> Float64:
    """A random square of a picture (width, height), mirrored at random."""
    width, height = picture
    side = max(1, int(min(picture) * rng.uniform(*BACKGROUND_SIDE)))
    left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    return _of_box(left, top, side, side, size, mirrored=rng.random() < MIRRORED)


class Placement(NamedTuple):
    """How a cut-out is scaled, turned, mirrored and shifted; shifts in shares of the sample's side."""

    mirrored: bool
    zoom: float
    degrees: float
    beside: float
    below: float
    sunk: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Placement:
        """A random one."""
        return cls(
            mirrored=bool(rng.random() < MIRRORED),
            zoom=rng.uniform(*ZOOM),
            degrees=float(np.clip(rng.normal(0, TURN_DEGREES), -3 * TURN_DEGREES, 3 * TURN_DEGREES)),
            beside=rng.uniform(-SHIFT, SHIFT),
            below=rng.uniform(-SHIFT, SHIFT) / 3,
            sunk=rng.uniform(*SUNK),
        )

    def map(self, cutout: Size, size: int, cut_off: bool) -> Float64:
        """The map from a sample of `size` px to a cut-out (width, height).

        A person `cut_off` by the cut-out's lower edge stays cut off by the sample's.
        """
        width, height = cutout
        scale = size / max(cutout) * self.zoom
        turn = math.radians(self.degrees)
        cosine, sine = math.cos(turn) / scale, math.sin(turn) / scale
        x = size / 2 + size * self.beside
        y = size / 2 + (max(0.0, size / 2 - height * scale / 2) + size * self.sunk if cut_off else size * self.below)
        matrix = np.array([[cosine, -sine, width / 2], [sine, cosine, height / 2]])
        matrix[:, 2] -= matrix[:, :2] @ (x, y)
        if self.mirrored:
            matrix[0] = (0, 0, width) - matrix[0]
        return matrix


def _of_box(left: int, top: int, wide: int, high: int, size: int, *, mirrored: bool) -> Float64:
    # Of whole blocks of a picture that is shrunk as it is decoded, so that what is cut is the box.
    block = reduction_of(_scaled(wide, high, size))
    left, top, wide, high = (side // block * block for side in (left, top, wide, high))
    matrix = _scaled(wide, high, size)
    matrix[:, 2] = left, top
    if mirrored:
        matrix[0] = (-matrix[0, 0], 0, left + wide)
    return matrix


def _scaled(wide: int, high: int, size: int) -> Float64:
    return np.array([(wide / size, 0, 0), (0, high / size, 0)], np.float64)
