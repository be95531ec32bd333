"""The arithmetic of training samples on any device: batches of float pictures (N,C,S,S) in [0, 1], numbers for each sample.

Every function is a function of its arguments alone. Blur and compression are kornia's, whose functions take a number for
each sample of a batch; torchvision's transforms draw one for all, from a generator of their own.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

NOISE_SEED, NOISE_VALUES = 0, 1 << 22


def warped(canvases: Tensor, matrices: Tensor, size: int, *, beyond: str, shown: Tensor | None = None) -> Tensor:
    """Canvases (N,H,W,C) uint8 seen through maps (N,2,3) from samples' pixels to theirs, bilinearly: (N,C,S,S) in [0, 1].

    `beyond` the canvas is its edge ("border") or nothing ("zeros"). `shown` (N,2): widths and heights of what fills only
    a part of its canvas, from the upper left, with zeros beside it.
    """
    sides = matrices.new_tensor([canvases.shape[2], canvases.shape[1]])
    # grid_sample counts from -1 to 1, on either side of the middle.
    turned = matrices[..., :2] * (size / 2)
    middle = turned.sum(-1) + matrices[..., 2] - sides / 2
    theta = torch.cat([turned, middle[..., None]], -1) * (2 / sides)[:, None]
    grid = F.affine_grid(theta, [len(canvases), 1, size, size], align_corners=False)
    if shown is not None and beyond == "border":
        grid = grid.clamp((1 / sides - 1), ((2 * shown - 1) / sides - 1)[:, None, None])
    pixels = canvases.permute(0, 3, 1, 2).float()
    return F.grid_sample(pixels, grid, "bilinear", beyond, align_corners=False) * (1 / 255)


def coloured(pictures: Tensor, matrices: Tensor, offsets: Tensor | None = None) -> Tensor:
    """matrix (N,3,C) channels + offset (N,3) at every pixel of pictures (N,C,S,S): (N,3,S,S)."""
    pixels = pictures.flatten(2)
    colours = torch.bmm(matrices, pixels) if offsets is None else torch.baddbmm(offsets[..., None], matrices, pixels)
    return colours.unflatten(2, pictures.shape[2:])


def curved(pictures: Tensor, curves: Tensor, alpha: Tensor) -> Tensor:
    """c + k c (1 - c) with k (N,): brighter (k > 0) or darker midtones, of pictures premultiplied with alpha (N,1,S,S)."""
    strength = curves.view(-1, 1, 1, 1) * pictures
    return pictures + strength * (1 - pictures / alpha.clamp(min=1e-3)).clamp_(0, 1)


def over(figure: Tensor, alpha: Tensor, behind: Tensor) -> Tensor:
    """Premultiplied colours, or alpha itself, with `alpha` (N,1,S,S) in front of what is behind."""
    return torch.addcmul(figure, behind, 1 - alpha)


def blurred(pictures: Tensor, sigmas: Tensor, reach: int) -> Tensor:
    """Gaussian blur by each sample's own sigma (N,) in px, above 0, over 2 `reach` + 1 px; an edge is repeated beyond it.

    Kornia looks at the sigmas, for which nothing waits where they are on the CPU.
    """
    spread = sigmas[:, None].expand(-1, 2)
    with torch.backends.cudnn.flags(allow_tf32=False):  # a convolution, and 10 bits are fewer than a photo's
        return gaussian_blur2d(pictures, 2 * reach + 1, spread, "replicate")


@functools.lru_cache(maxsize=4)
def _noise_table(device: torch.device, values: int) -> Tensor:
    drawn = np.random.default_rng(NOISE_SEED).standard_normal(values, dtype=np.float32)
    return torch.from_numpy(drawn).to(device)


def noise(places: NDArray[np.int64], size: int, device: torch.device) -> Tensor:
    """Standard normal fields (N,3,S,S): slices of one table, at `places` (N,) in it."""
    length = 3 * size * size
    values = max(NOISE_VALUES, 1 << (2 * length - 1).bit_length())
    table, starts = _noise_table(device, values), (places % (values - length)).tolist()
    return torch.stack([table[at : at + length] for at in starts]).view(-1, 3, size, size)


def compressed(pictures: Tensor, qualities: Tensor) -> Tensor:
    """Pictures (N,3,S,S) as JPEG of a quality (N,), 1 to 100, on the CPU, with halved chroma would show them.

    A coefficient that lies between two steps may go to the one on one device and to the other on the next.
    """
    return jpeg_codec_differentiable(pictures, qualities).clamp_(0, 1)
