"""Synthetic composites: cut-out people pasted on unrelated backgrounds, with exact alpha.

Composites made of one cut-out are free: they cost no further matte.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Cutout:
    """A person's colours (H,W,3) uint8, straight, not premultiplied, and alpha (H,W) float32."""

    colours: NDArray[np.uint8]
    alpha: Image


SECOND_PERSON = 0.15
MIRRORED = 0.5
TURN_DEGREES = 4.0
ZOOM = (0.8, 1.4)
SHIFT = 0.25
GAIN, TINT = (0.75, 1.2), 0.08


def composite(
    cutouts: list[Cutout], background: NDArray[np.uint8], size: int, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Paste cut-outs, the last in front, on a background crop: (image (S,S,3), matte (S,S)), float32 in [0,1]."""
    image = crop(background, size, rng)
    matte = np.zeros((size, size), np.float32)
    for cutout in cutouts:
        colours, alpha = place(cutout, size, rng)
        colours *= rng.uniform(*GAIN) * (1 + rng.normal(0, TINT, 3)).astype(np.float32)
        image = (np.minimum(colours, alpha[..., None]) + image * (1 - alpha[..., None])).astype(np.float32)
        matte = (alpha + matte * (1 - alpha)).astype(np.float32)
    return np.clip(image, 0, 1).astype(np.float32), np.clip(matte, 0, 1).astype(np.float32)


def place(cutout: Cutout, size: int, rng: np.random.Generator) -> tuple[Image, Image]:
    """A cut-out, randomly scaled, turned, mirrored and shifted, as premultiplied colours (S,S,3) and alpha (S,S).

    A person cut off by the cut-out's lower edge stays cut off by the composite's.
    """
    height, width = cutout.alpha.shape
    premultiplied = np.dstack([cutout.colours.astype(np.float32) / 255 * cutout.alpha[..., None], cutout.alpha])
    if rng.random() < MIRRORED:
        premultiplied = np.ascontiguousarray(premultiplied[:, ::-1])
    scale = size / max(height, width) * rng.uniform(*ZOOM)
    if scale < 1:  # warpAffine does not filter when it shrinks
        premultiplied = cv2.GaussianBlur(premultiplied, (0, 0), 0.35 / scale)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, TURN_DEGREES), scale)
    matrix[:, 2] += [size / 2 - width / 2, size / 2 - height / 2]
    matrix[0, 2] += size * rng.uniform(-SHIFT, SHIFT)
    lower_edge = size / 2 + height * scale / 2
    if cutout.alpha[-1].max() > 0.5:
        matrix[1, 2] += max(0.0, size - lower_edge) + size * rng.uniform(0.01, 0.15)
    else:
        matrix[1, 2] += size * rng.uniform(-SHIFT, SHIFT) / 3
    placed = cv2.warpAffine(premultiplied, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32)
    return placed[..., :3].copy(), np.clip(placed[..., 3], 0, 1)


def crop(background: NDArray[np.uint8], size: int, rng: np.random.Generator) -> Image:
    """A random square of a picture (H,W,3) uint8, mirrored at random, resized to (S,S,3) float32 in [0,1]."""
    height, width = background.shape[:2]
    side = max(1, int(min(height, width) * rng.uniform(0.5, 1.0)))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    square = background[top : top + side, left : left + side]
    resized = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    if rng.random() < MIRRORED:
        resized = resized[:, ::-1]
    return (resized / 255).astype(np.float32)
