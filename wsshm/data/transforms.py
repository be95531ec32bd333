"""Augmentation by torchvision's v2 transforms, made repeatable per sample."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torchvision.transforms import v2


@functools.lru_cache
def _geometric(size: int) -> v2.Transform:
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.5, 1.0), ratio=(0.85, 1.18), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )


@functools.lru_cache
def _photometric() -> v2.Transform:
    return v2.Compose(
        [
            v2.ColorJitter(brightness=0.3, contrast=0.25, saturation=0.3),
            v2.RandomGrayscale(0.1),
            v2.GaussianNoise(sigma=0.01),
        ]
    )


def cropped(image: Tensor, label: Tensor, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same random crop and mirroring of a picture (3,H,W) and its label (1,H,W), float, resized to (S,S)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        both = _geometric(size)(torch.cat([image, label]))
    return both[:3], both[3:]


def recoloured(image: Tensor, seed: int) -> Tensor:
    """A picture (3,H,W) float in [0,1] with random brightness, contrast, saturation, at times grey, and noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _photometric()(image)
