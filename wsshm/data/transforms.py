"""Augmentation by torchvision's v2 transforms, made repeatable per sample."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

CROP = v2.RandomResizedCrop(1, scale=(0.5, 1.0), ratio=(0.85, 1.18))
MIRRORED = 0.5


@functools.lru_cache
def _photometric() -> v2.Transform:
    return v2.Compose(
        [
            v2.ColorJitter(brightness=0.3, contrast=0.25, saturation=0.3),
            v2.RandomGrayscale(0.1),
            v2.GaussianNoise(sigma=0.01),
        ]
    )


def cropped(image: NDArray[np.uint8], maps: Sequence[NDArray], size: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same random crop and mirroring of a picture (H,W,3) uint8 and of maps (H,W): floats (3,S,S) and (maps,S,S).

    Only the crop becomes floats, of which a large picture would have four times as many bytes as it came with.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        box = CROP.make_params([torch.empty(image.shape[:2], device="meta")])
        mirrored = bool(torch.rand(1) < MIRRORED)
    rows = slice(box["top"], box["top"] + box["height"])
    columns = slice(box["left"], box["left"] + box["width"])
    label = np.stack([one[rows, columns] for one in maps]).astype(np.float32)
    picture = torch.from_numpy(image[rows, columns]).permute(2, 0, 1).float() / 255
    both = v2.functional.resize(torch.cat([picture, torch.from_numpy(label)]), [size, size], antialias=True)
    if mirrored:
        both = both.flip(-1)
    return both[:3], both[3:]


def recoloured(image: Tensor, seed: int) -> Tensor:
    """A picture (3,H,W) float in [0,1] with random brightness, contrast, saturation, at times grey, and noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _photometric()(image)
