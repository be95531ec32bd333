"""Samples in the straightforward order: whole pictures become floats, and all that follows is done to floats, by one core.

The baseline of `wsshm bench micro loading`: photos by torchvision's transforms, composites by OpenCV. Every picture is
decoded whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

GEOMETRY = v2.Compose([v2.RandomResizedCrop(1, scale=(0.5, 1.0), antialias=True), v2.RandomHorizontalFlip()])
COLOURS = v2.Compose(
    [
        v2.ColorJitter(brightness=0.3, contrast=0.25, saturation=0.3),
        v2.RandomGrayscale(0.1),
        v2.GaussianNoise(sigma=0.01),
    ]
)


def photo(image: Path, mask: Path, size: int) -> tuple[Tensor, Tensor]:
    """A photo (3,S,S) and its mask (1,S,S), the same random crop of both, floats in [0,1]."""
    pixels = torch.from_numpy(_decoded(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    label = torch.from_numpy(_decoded(mask))[None]
    both = _cropped(
        torch.cat([v2.functional.to_dtype(part, torch.float32, scale=True) for part in (pixels, label)]), size
    )
    return COLOURS(both[:3].clamp(0, 1)), (both[3:] > 0.5).float()


def composite(cutout: Path, background: Path, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A cut-out turned, scaled and shifted over a crop of a background: (3,S,S) and its matte (1,S,S), floats in [0,1]."""
    rgba = _decoded(cutout, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    person = _placed(rgba, size, rng)
    scene = torch.from_numpy(_decoded(background, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    behind = _cropped(v2.functional.to_dtype(scene, torch.float32, scale=True), size)
    colours, alpha = person[:3], person[3:].clamp(0, 1)
    return COLOURS((colours + behind * (1 - alpha)).clamp(0, 1)), alpha


def _decoded(path: Path, conversion: int | None = None) -> NDArray[Any]:
    pixels: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def _cropped(maps: Tensor, size: int) -> Tensor:
    GEOMETRY.transforms[0].size = [size, size]
    return GEOMETRY(maps)


def _placed(rgba: NDArray[Any], size: int, rng: np.random.Generator) -> Tensor:
    height, width = rgba.shape[:2]
    scale = size / max(height, width) * rng.uniform(0.8, 1.4)
    if scale < 1:  # warpAffine does not filter when it shrinks
        rgba = cv2.GaussianBlur(rgba, (0, 0), 0.35 / scale)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 4), scale)
    matrix[:, 2] += [size / 2 - width / 2 + size * rng.uniform(-0.25, 0.25), size / 2 - height / 2]
    return torch.from_numpy(cv2.warpAffine(rgba, matrix, (size, size))).permute(2, 0, 1)
