"""The loss, the same terms for every method: L1, cross-entropy, Laplacian pyramid, boundary cross-entropy.

An architecture with auxiliary outputs adds terms of its own (`wsshm.models.network`).

L1 and the Laplacian pyramid are the field's habit (P3M-Net, RVM); the extra weight of boundary pixels follows MODNet's;
the plain cross-entropy on the matte, which gives a sigmoid a gradient where L1 has none, is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsshm.config import LossConfig
from wsshm.models.network import MattingOutput


class Target(NamedTuple):
    """What a network is to learn, each (N,1,H,W).

    `weight` 0 leaves a pixel out of the matte's terms. `boundary_weight` 0 leaves it out of the boundary's term: a
    mask does not tell where along its edge the boundary lies.
    """

    matte: Tensor
    boundary: Tensor
    weight: Tensor
    boundary_weight: Tensor


def sample_losses(output: MattingOutput, target: Target, config: LossConfig) -> Tensor:
    """The weighted loss of each sample, (N,) float32: sums over a sample's pixels divided by their number H x W.

    Dividing by a constant makes the mean over a batch the same however the batch is split over workers.
    """
    matte = output.matte
    pixel = config.l1 * (matte - target.matte).abs() * (1 + config.boundary_gain * target.boundary)
    if config.cross_entropy:
        pixel = pixel + config.cross_entropy * F.binary_cross_entropy_with_logits(
            output.matte_logits.float(), target.matte, reduction="none"
        )
    loss = (pixel * target.weight).mean((1, 2, 3))
    if config.laplacian:
        error = (matte - target.matte) * target.weight
        loss = loss + config.laplacian * laplacian_l1(error, config.laplacian_levels)
    if config.boundary:
        # Boundary pixels are rare: unweighted, a teacher would hardly ever be more than half sure of one.
        positive = torch.tensor(config.boundary_positive, device=target.boundary.device)
        boundary = F.binary_cross_entropy_with_logits(
            output.boundary_logits.float(), target.boundary, reduction="none", pos_weight=positive
        )
        loss = loss + config.boundary * (boundary * target.boundary_weight).mean((1, 2, 3))
    return loss


def laplacian_l1(error: Tensor, levels: int) -> Tensor:
    """L1 norm of the Laplacian pyramid of an error map (N,1,H,W), level l weighted by 2^l; (N,) means over pixels.

    The pyramid is linear, so that of a difference is the difference of the pyramids. Ends early where a side is odd.
    """
    total = torch.zeros(error.shape[0], device=error.device)
    for level in range(levels):
        if error.shape[-2] % 2 or error.shape[-1] % 2:
            break
        coarse = F.avg_pool2d(error, 2)
        detail = error - F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + 2**level * detail.abs().mean((1, 2, 3))
        error = coarse
    return total
