"""Matte Label Blending: a teacher's boundary detail and a mask's semantics, joined into one label.

From the paper (arXiv 2404.00921): a teacher trained on synthetic mattes predicts a matte M' and a boundary alpha';
on a natural photo the teacher contributes the boundary detail, the segmentation label S the semantics. The exact
formula could not be read for this project, so what follows is our reading of it:

    M~ = A . M' + (1 - A) . S          A in [0,1] per pixel

    hard    A = [alpha' > t]
    soft    A = alpha'
    gated   A = [alpha' > t] inside a band of relative width `band` around the edge of S, else 0

A teacher that was trained on composites also sees boundaries inside bodies and backgrounds of natural photos; the
gate lets only those near the mask's own edge through. Two refinements are ours as well: `feather` softens the seam
of A, and `veto` looks at the teacher outside the band: where it grossly disagrees with the mask nearby, it is not to
be trusted in the band either, and the mask's value is kept (`mask`) or the pixel is left out of the loss (`ignore`).

All maps are (N,1,H,W) float tensors on any device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsshm.config import BlendConfig
from wsshm.metrics.trimap import BOUNDARY
from wsshm.neighbourhood import dilate, window_sum

# A teacher is vetoed where more than this share of the pixels around it, outside the band, are on the wrong side.
GROSS_DISAGREEMENT = 0.25


class Blended(NamedTuple):
    """A blended label and how it was made, each (N,1,H,W): the label M~, the teacher's share A, the loss weight."""

    label: Tensor
    share: Tensor
    weight: Tensor


def blend(mask: Tensor, matte: Tensor, boundary: Tensor, config: BlendConfig) -> Blended:
    """Blend a teacher's `matte` and `boundary` (both in [0,1]) with a binary `mask`."""
    share = boundary if config.variant == "soft" else (boundary > config.threshold).to(mask.dtype)
    weight = torch.ones_like(mask)
    if config.variant == "gated" or config.veto != "none":
        radius = band_radius(mask, config.band)
        band = edge_band(mask, radius)
    if config.variant == "gated":
        share = share * band
    if config.veto != "none":
        distrusted = disagreement(mask, matte, band, radius) > GROSS_DISAGREEMENT
        if config.veto == "ignore":
            weight = torch.where(distrusted & (share > 0), 0.0, weight)
        share = torch.where(distrusted, 0.0, share)
    if config.feather > 0:
        share = feathered(share, config.feather * min(mask.shape[-2:]))
    return Blended(share * matte + (1 - share) * mask, share, weight)


def boundary_of(matte: Tensor) -> Tensor:
    """The boundary label of a matte (the paper's): 1 where 0.05 < alpha < 0.95, else 0."""
    return ((matte > BOUNDARY[0]) & (matte < BOUNDARY[1])).to(matte.dtype)


def band_radius(mask: Tensor, band: float) -> int:
    """Radius in pixels of a band of relative width `band`: band x the shorter side, at least 1."""
    return max(1, round(band * min(mask.shape[-2:])))


def edge_band(mask: Tensor, radius: int) -> Tensor:
    """E = dilate(S, r) - erode(S, r) with an elliptic structuring element; the picture's border is no edge."""
    return dilate(mask, radius) * dilate(1 - mask, radius)


def disagreement(mask: Tensor, matte: Tensor, band: Tensor, radius: int) -> Tensor:
    """Share of the pixels outside the band, in a window of 4r+1 around each pixel, that the teacher puts on the other side."""
    outside = 1 - band
    wrong = ((matte > 0.5).to(mask.dtype) != mask).to(mask.dtype) * outside
    size = 4 * radius + 1
    wrong_near, seen_near = (window_sum(torch.cat([wrong, outside], 1), size) / size**2).split(1, 1)
    return torch.where(seen_near > 1e-6, wrong_near / seen_near.clamp_min(1e-6), 0.0)


def feathered(share: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of A with a standard deviation in pixels, cut at three of them."""
    reach = max(1, round(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=share.dtype, device=share.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(share, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).clamp(0, 1)
