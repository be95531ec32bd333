"""What a training sample looks like: random colours, blur, noise and compression, as numbers for a device to apply.

Everything is drawn here, by the sample's own generator; `arithmetic` has no random numbers of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GAIN, TINT = (0.75, 1.2), 0.08
"""A figure's light against its background's: a factor, and how far the three colours' factors spread."""
FIGURE_CONTRAST, FIGURE_SATURATION, CURVE = (0.85, 1.15), (0.75, 1.2), (-0.35, 0.35)
"""And its contrast, saturation and midtones (see `arithmetic.curved`)."""
RELIT = 0.5
"""Share of figures whose contrast, saturation and midtones differ, too."""
FAR_BLURRED, FAR_BLUR = 0.3, (0.003, 0.010)
"""Share of backgrounds out of focus, and their blur's sigma as a share of the side."""
NEAR_BLURRED, NEAR_BLUR = 0.1, (0.002, 0.005)
"""The same of figures."""
BLUR_SIGMAS = 3
GRAINED, GRAIN = 0.3, 0.025
"""Share of composites whose figures and background have noise of their own, and the largest sigma of either."""
BRIGHTNESS, CONTRAST, SATURATION, GREY = 0.3, 0.25, 0.3, 0.1
"""Recolouring of the whole picture: by how much at most, and the share that turns grey."""
NOISE = 0.01
COMPRESSED, QUALITY = 0.15, (35, 90)
"""Share of pictures that look compressed, and the JPEG quality they look like."""
LUMA = np.array([0.299, 0.587, 0.114])
OFFSETS = 2**31

Float32 = NDArray[np.float32]


class Colours(NamedTuple):
    """colour' = matrix (3,3) colour + offset (3,), of colours in [0, 1]."""

    matrix: Float32
    offset: Float32


class FigureLook(NamedTuple):
    """A figure's own light (3,4), midtones (0: as they are) and blur (sigma in px, 0: none).

    The light is a matrix from premultiplied RGBA to premultiplied RGB; of the alpha is what it adds to all colours.
    """

    light: Float32
    curve: float
    blur: float


class Look(NamedTuple):
    """The whole sample: blur of the ground (px), noise of ground and figures, recolouring, noise, JPEG quality (0: none).

    `offsets` (2,) are places in the table of noise: for the noise of its parts and for the whole's.
    """

    blur: float
    grain: tuple[float, float]
    colours: Colours
    noise: float
    quality: float
    offsets: NDArray[np.int64]


def figure_look(size: int, rng: np.random.Generator) -> FigureLook:
    """A random look of a figure in a sample of `size` px."""
    light = rng.uniform(*GAIN) * (1 + rng.normal(0, TINT, 3))
    contrast, saturation, curve = rng.uniform(*FIGURE_CONTRAST), rng.uniform(*FIGURE_SATURATION), rng.uniform(*CURVE)
    if rng.random() >= RELIT:
        contrast, saturation, curve = 1.0, 1.0, 0.0
    matrix = contrast * saturated(saturation) * light[:, None]
    added = np.full((3, 1), 0.5 * (1 - contrast))
    return FigureLook(np.hstack([matrix, added]).astype(np.float32), curve, _blur(NEAR_BLURRED, NEAR_BLUR, size, rng))


def look(size: int, mean: float, composed: bool, rng: np.random.Generator) -> Look:
    """A random look of a sample of `size` px, whose mean grey value is about `mean`; photos have but one part."""
    blur, grain = 0.0, (0.0, 0.0)
    if composed:
        blur = _blur(FAR_BLURRED, FAR_BLUR, size, rng)
        strengths = rng.uniform(0, GRAIN, 2)
        if rng.random() < GRAINED:
            grain = (strengths[0], strengths[1])
    brightness, contrast, saturation = (1 + rng.uniform(-1, 1, 3) * (BRIGHTNESS, CONTRAST, SATURATION)).tolist()
    if rng.random() < GREY:
        saturation = 0.0
    matrix = brightness * contrast * saturated(saturation)
    colours = Colours(matrix.astype(np.float32), np.full(3, brightness * mean * (1 - contrast), np.float32))
    quality = rng.uniform(*QUALITY)
    if rng.random() >= COMPRESSED:
        quality = 0.0
    return Look(blur, grain, colours, NOISE, quality, rng.integers(0, OFFSETS, 2))


def blur_reach(size: int) -> int:
    """How far (px) any blur of a sample of `size` px reaches: the same for all, so that it does not go by the batch."""
    return math.ceil(BLUR_SIGMAS * size * max(FAR_BLUR[1], NEAR_BLUR[1]))


def saturated(factor: float) -> NDArray[np.float64]:
    """The matrix (3,3) that moves colours away from their grey by a factor; 0 makes them grey."""
    return factor * np.eye(3) + (1 - factor) * LUMA


def _blur(share: float, strength: tuple[float, float], size: int, rng: np.random.Generator) -> float:
    sigma = size * rng.uniform(*strength)
    return sigma if rng.random() < share else 0.0
