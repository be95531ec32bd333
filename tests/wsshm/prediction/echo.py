"""Stand-ins for networks, and pictures."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from wsshm.models import checkpoint
from wsshm.prediction.matter import Matter

CARD = checkpoint.ModelCard("unet", "echo", {}, "none", [0.5] * 3, [0.5] * 3, size=64)
RNG = np.random.default_rng(3)


class Output(NamedTuple):
    matte: torch.Tensor
    boundary: torch.Tensor


class Echo(torch.nn.Module):
    """Answers with the input's red as matte and green as boundary, and remembers what it was given."""

    stride = 32

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> Output:
        self.seen = images
        self.calls.append(tuple(images.shape))
        return Output(images[:, :1], images[:, 1:2])


class Starved(Echo):
    def forward(self, images: torch.Tensor) -> Output:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte")


class Lost(Echo):
    def forward(self, images: torch.Tensor) -> Output:
        return Output(images[:, :1] * torch.nan, images[:, 1:2])


def matter(model: torch.nn.Module | None = None, protocol: str = "native", **options) -> Matter:
    """A stand-in, by default `Echo`, as `wsshm.load` would return it."""
    return Matter(model or Echo(), CARD, device="cpu", protocol=protocol, **options)


def picture(height: int, width: int) -> np.ndarray:
    """Smooth blobs of colour, H x W x 3 uint8."""
    small = RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
