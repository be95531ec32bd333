"""The arithmetic of training samples on any device: batches of float pictures (N,C,S,S) in [0, 1], numbers for each sample.

Every function is a function of its arguments alone. They are written with elementwise operations, a bilinear gather and
matrix products in full precision: libraries' blurs are convolutions, which a GPU may compute in TF32, and their JPEG jumps
where a coefficient is rounded, so that devices would differ by more than rounding.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NOISE_SEED, NOISE_VALUES = 0, 1 << 22
BLUR_REACH = 3  # sigmas
BLOCK = 8
# Annex K of ITU-T T.81, as all encoders have them.
LUMA_STEPS = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMA_STEPS = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
    99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
FROM_YCC = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def warped(canvases: Tensor, matrices: Tensor, size: int, *, beyond: str) -> Tensor:
    """Canvases (N,K,K,C) uint8 seen through maps (N,2,3) from samples' pixels to theirs, bilinearly: (N,C,S,S) in [0, 1].

    `beyond` the canvas is its edge ("border") or nothing ("zeros").
    """
    side = canvases.shape[1]
    # grid_sample counts from -1 to 1, on either side of the middle.
    turned = matrices[..., :2] * (size / 2)
    middle = turned.sum(-1) + matrices[..., 2] - side / 2
    theta = torch.cat([turned, middle[..., None]], -1) * (2 / side)
    grid = F.affine_grid(theta, [len(canvases), 1, size, size], align_corners=False)
    pixels = canvases.permute(0, 3, 1, 2).float()
    return F.grid_sample(pixels, grid, "bilinear", beyond, align_corners=False) * (1 / 255)


def coloured(pictures: Tensor, matrices: Tensor, offsets: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
    """matrix (N,3,3) colour + offset (N,3), of pictures (N,3,S,S); of premultiplied ones with their alpha (N,1,S,S)."""
    weights = matrices[..., None, None]
    products = [(weights[:, :, k] * pictures[:, k : k + 1]) for k in range(3)]
    return products[0].add_(products[1]).add_(products[2]).add_(offsets[..., None, None] * alpha)


def curved(pictures: Tensor, curves: Tensor, alpha: Tensor) -> Tensor:
    """c + k c (1 - c) with k (N,): brighter (k > 0) or darker midtones, of pictures premultiplied with alpha (N,1,S,S)."""
    strength = curves.view(-1, 1, 1, 1) * pictures
    return pictures + strength * (1 - pictures / alpha.clamp(min=1e-3)).clamp_(0, 1)


def over(figure: Tensor, alpha: Tensor, behind: Tensor) -> Tensor:
    """Premultiplied colours, or alpha itself, with `alpha` (N,1,S,S) in front of what is behind."""
    return torch.addcmul(figure, behind, 1 - alpha)


def blurred(pictures: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur by each sample's own sigma (N,) in px, above 0, on the CPU; beyond an edge it is repeated."""
    reach = max(1, math.ceil(BLUR_REACH * float(sigmas.max())))
    taps = torch.exp(-0.5 * (torch.arange(reach + 1) / sigmas[:, None]) ** 2)
    taps = (taps / (2 * taps.sum(1, keepdim=True) - 1)).to(pictures.device)
    for axis in (-1, -2):
        pad = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        wide, length = F.pad(pictures, pad, "replicate"), pictures.shape[axis]
        weights = taps.view(len(taps), -1, 1, 1, 1)
        pictures = wide.narrow(axis, reach, length) * weights[:, 0]
        for k in range(1, reach + 1):
            both = wide.narrow(axis, reach - k, length) + wide.narrow(axis, reach + k, length)
            pictures.addcmul_(both, weights[:, k])
    return pictures


@functools.lru_cache(maxsize=4)
def _noise_table(device: torch.device, values: int) -> Tensor:
    drawn = np.random.default_rng(NOISE_SEED).standard_normal(values, dtype=np.float32)
    return torch.from_numpy(drawn).to(device)


def noise(places: Tensor, size: int, device: torch.device) -> Tensor:
    """Standard normal fields (N,3,S,S): slices of one table, at `places` (N,) in it, on the CPU."""
    length = 3 * size * size
    values = max(NOISE_VALUES, 1 << (2 * length - 1).bit_length())
    table, starts = _noise_table(device, values), (places % (values - length)).tolist()
    return torch.stack([table[at : at + length] for at in starts]).view(-1, 3, size, size)


def compressed(pictures: Tensor, qualities: Tensor) -> Tensor:
    """Pictures (N,3,S,S) as JPEG of a quality (N,), 1 to 100, on the CPU, with halved chroma would show them.

    Coefficients are drawn to whole numbers by a curve, round(x) + 4 (x - round(x))^3, that does not jump.
    """
    scales = torch.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities)[:, None, None]
    luma, chroma = (
        ((_table(steps) * scales + 50) / 100).floor().clamp(1, 255).to(pictures.device)
        for steps in (LUMA_STEPS, CHROMA_STEPS)
    )
    ycc = coloured(pictures, *_linear(TO_YCC, pictures))
    grey = _requantised(ycc[:, :1] - 0.5, luma) + 0.5
    tones = _requantised(F.avg_pool2d(ycc[:, 1:], 2), chroma)
    tones = F.interpolate(tones, scale_factor=2, mode="bilinear")
    return coloured(torch.cat([grey, tones], 1), *_linear(FROM_YCC, pictures)).clamp_(0, 1)


def _requantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (N,C,H,W) whose 8x8 blocks' cosine coefficients are near multiples of `steps` (N,8,8) / 255."""
    n, channels, height, width = planes.shape
    high, wide = height // BLOCK, width // BLOCK
    basis = _cosines().to(planes.device)
    blocks = planes.view(n, channels, high, BLOCK, wide, BLOCK).transpose(3, 4).reshape(n, -1, BLOCK * BLOCK)
    steps = (steps / 255).view(n, 1, -1)
    counts = torch.matmul(blocks, basis) / steps
    whole = counts.round()
    rest = counts.sub_(whole)
    near = whole.add_(rest.pow(3), alpha=4).mul_(steps)
    blocks = torch.matmul(near, basis.T).view(n, channels, high, wide, BLOCK, BLOCK)
    return blocks.transpose(3, 4).reshape(n, channels, height, width)


@functools.cache
def _cosines() -> Tensor:
    """The orthonormal two-dimensional cosine transform of a block, as a matrix (64,64) from pixels to coefficients."""
    at, frequency = np.meshgrid(np.arange(BLOCK), np.arange(BLOCK), indexing="ij")
    basis = np.cos((2 * at + 1) * frequency * np.pi / (2 * BLOCK)) * np.sqrt(np.where(frequency == 0, 1, 2) / BLOCK)
    return torch.from_numpy(np.kron(basis, basis).astype(np.float32))


@functools.cache
def _table(steps: str) -> Tensor:
    return torch.tensor([float(step) for step in steps.split()]).view(1, BLOCK, BLOCK)


def _linear(rows: tuple[tuple[float, ...], ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (1,3,3) for all samples, and no offset."""
    return torch.tensor([rows], device=like.device), torch.zeros(1, 3, device=like.device)
