"""Made-up pairs of matte and label, square, of any size, the same for a size every time."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha = NDArray[np.float32]
Pair = tuple[Alpha, Alpha]  # matte, label


def hair(size: int, strands: int = 1500) -> Pair:
    """A disc with fine strands as label; the matte is it blurred by noise, as a network's is."""
    rng = np.random.default_rng(size)
    label = _disc(size, 0.25, 200)
    drawn = np.zeros((size, size), np.uint8)
    for angle in rng.uniform(0, 2 * np.pi, strands):
        bend, length = angle + rng.normal(0, 0.3), rng.uniform(0.05, 0.15)
        root = np.array([0.25 * np.cos(angle), 0.3 * np.sin(angle)])
        ends = [root, root + length * np.array([np.cos(bend), np.sin(bend)])]
        (x, y), (u, v) = (((end + 0.5) * size * 16).astype(int).tolist() for end in ends)
        cv2.line(drawn, (x, y), (u, v), int(rng.integers(60, 255)), 1, cv2.LINE_AA, 4)
    return _predicted(np.maximum(label, drawn / 255), rng)


def blob(size: int) -> Pair:
    """A disc with a soft, wavy outline."""
    return _predicted(_disc(size, 0.3, 60, waves=0.03), np.random.default_rng(size))


def noise(size: int) -> Pair:
    """Uniform noise in every pixel as matte, as of a network that has learnt nothing, of the label of `blob`."""
    return np.random.default_rng(size).random((size, size), np.float32), blob(size)[1]


def static(size: int) -> Pair:
    """Independent noise in every pixel of both: the worst case, with a component every few pixels."""
    rng = np.random.default_rng(size)
    return rng.random((size, size), np.float32), rng.random((size, size), np.float32)


MATTES: dict[str, Callable[[int], Pair]] = {"hair": hair, "blob": blob, "noise": noise, "static": static}


def _disc(size: int, radius: float, sharpness: float, waves: float = 0.0) -> NDArray[np.float64]:
    y, x = np.mgrid[:size, :size] / size - 0.5
    distance = radius - np.hypot(x, 0.8 * y) + waves * np.sin(7 * np.arctan2(y, x))
    return np.clip(0.5 + distance * sharpness, 0, 1)


def _predicted(label: NDArray[np.float64], rng: np.random.Generator) -> Pair:
    """The label and, as its prediction, itself with noise on its fractional pixels, blurred, in 8 bits."""
    fractional = (label > 0) & (label < 1)
    rough = label + 0.1 * (rng.random(label.shape) - 0.5) * fractional
    matte = np.rint(np.clip(cv2.GaussianBlur(rough, (0, 0), 1.5), 0, 1) * 255) / 255
    return matte.astype(np.float32), label.astype(np.float32)
