"""MODNet: semantics, detail and their fusion, each taught apart; over any `Encoder`.

Ke, Sun, Li, Yan, Lau: MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition, 2022 (AAAI),
arXiv 2011.11961.

From the paper: a semantic branch on the coarsest map with its channels reweighted (squeeze and excitation), taught at
stride 16 by a small blurred matte, L2; a detail branch on the finest maps, the image itself and the semantics, taught by
the matte around the boundary, L1; a fusion of both that is the matte.

What differs:
- The fusion is taught by the loss that every architecture here has, without the paper's composition loss, and has a second
  output, the boundary.
- The branches' last convolutions work at stride 2, where they see every pixel of the image in its 2x2 block, and give four
  values a cell; the paper's are at full resolution.
- Batch norm, where the paper normalises half of the channels by instance; 3x3 convolutions in the semantic branch for 5x5;
  the channels of that branch are those that the paper has over MobileNetV2, whatever the backbone.
- An encoder without maps at 2 or 4 gives the image's pixels there.
- No self-supervised step on unlabelled pictures (the paper's SOC) and no trick for video (OFD).
- Pixels count by the target's weight. The boundary region is that around the label's outline, whether the label is a matte
  or a mask, as a mask teaches every architecture here the matte too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from timm.layers import SqueezeExcite
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.blending import band_radius, boundary_of, edge_band
from wsshm.config import Section
from wsshm.losses import Target
from wsshm.models import Architecture, register
from wsshm.models.blocks import convolution, pointwise, skip, skip_channels, upsampled
from wsshm.models.encoder import Encoder
from wsshm.models.network import NOTHING, MattingOutput, Network

SEMANTIC_CHANNELS = {32: 96, 16: 96, 8: 32}
SEMANTIC_STRIDE = 16
BAND = 0.02
"""Half the width of the boundary region around an outline, relative to the picture's shorter side."""


class MODNetOptions(Section):
    """Options of MODNet."""

    width: Annotated[int, Field(ge=8, le=1024)] = 32
    """Channels of the detail and fusion branches."""
    semantic: NonNegativeFloat = 10.0
    """Weight of the semantic branch's loss, as in the authors' code."""
    detail: NonNegativeFloat = 10.0
    """Weight of the detail branch's loss, as in the authors' code."""


class SemanticBranch(nn.Module):
    """The coarsest map, its channels reweighted, brought to stride 8; and from that, where people are, at stride 16."""

    def __init__(self, inputs: int, coarsest: int) -> None:
        super().__init__()
        self.reweight = SqueezeExcite(inputs, rd_ratio=1 / 4)
        self.steps = nn.ModuleList()
        self.channels = inputs
        for stride, channels in SEMANTIC_CHANNELS.items():
            if stride < coarsest:
                self.steps.append(convolution(self.channels, channels, layers=1))
                self.channels = channels
        self.people = nn.Conv2d(self.channels, 1, 3, stride=2, padding=1)

    def forward(self, coarsest: Tensor) -> Tensor:
        """The features at stride 8; `people` makes logits of them."""
        x = self.reweight(coarsest)
        for step in self.steps:
            x = step(upsampled(x))
        return x


class DetailBranch(nn.Module):
    """The finest maps, the image's pixels and the semantics, at strides 4 and 2; and from that, the matte at its edges."""

    def __init__(self, channels: Mapping[int, int], semantics: int, width: int) -> None:
        super().__init__()
        self.fine = pointwise(skip_channels(channels, 2), width)
        self.down = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width))
        self.coarse = pointwise(skip_channels(channels, 4), width)
        self.merge4 = nn.Sequential(
            convolution(2 * width + semantics, 2 * width, layers=2), convolution(2 * width, width, layers=1)
        )
        self.merge2 = nn.Sequential(
            convolution(2 * width, 2 * width, layers=1), convolution(2 * width, width, layers=3)
        )
        self.edges = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, images: Tensor, maps: Mapping[int, Tensor], semantics: Tensor) -> Tensor:
        """images (N,3,H,W), maps by stride, semantics (N,C,H/8,W/8); features at stride 2, of which `edges` are logits."""
        fine = self.fine(skip(images, maps, 2))
        coarse = [self.down(fine).relu(), self.coarse(skip(images, maps, 4)), upsampled(semantics)]
        return self.merge2(torch.cat([upsampled(self.merge4(torch.cat(coarse, 1))), fine], 1))


class FusionBranch(nn.Module):
    """Semantics and detail to matte and boundary."""

    def __init__(self, semantics: int, width: int) -> None:
        super().__init__()
        self.coarse = convolution(semantics, width, layers=1)
        self.fine = convolution(2 * width, width, layers=1)
        self.heads = nn.Conv2d(width, 2 * 4, 3, padding=1)

    def forward(self, semantics: Tensor, detail: Tensor) -> Tensor:
        """Features at stride 8 and at stride 2; logits (N,2,H,W)."""
        coarse = upsampled(self.coarse(upsampled(semantics)))
        return F.pixel_shuffle(self.heads(self.fine(torch.cat([coarse, detail], 1))), 2)


class MODNet(Network):
    """Encoder and three branches; while it trains two of them say what they have learnt apart."""

    stride = 32

    def __init__(self, encoder: Encoder, options: MODNetOptions) -> None:
        super().__init__(encoder)
        self.weights = {"semantic": options.semantic, "detail": options.detail}
        encoder.give_only((2, 4, encoder.strides[-1]))
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        self.semantic = SemanticBranch(encoder.channels[-1], encoder.strides[-1])
        self.detail = DetailBranch(channels, self.semantic.channels, options.width)
        self.fusion = FusionBranch(self.semantic.channels, options.width)

    def forward(self, images: Tensor) -> MattingOutput:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        semantics = self.semantic(maps[self.encoder.strides[-1]])
        detail = self.detail(images, maps, semantics)
        logits = self.fusion(semantics, detail)
        auxiliary = NOTHING
        if self.training:
            edges = F.pixel_shuffle(self.detail.edges(detail), 2)
            auxiliary = {"semantic": self.semantic.people(semantics), "detail": edges}
        return MattingOutput(logits[:, :1], logits[:, 1:], auxiliary)

    def auxiliary_losses(self, output: MattingOutput, target: Target) -> Mapping[str, Tensor]:
        """The paper's L_s and L_d, means over all cells or pixels of a sample."""
        people, matte = (output.auxiliary[name].float().sigmoid() for name in ("semantic", "detail"))
        small, weight = blurred(target.matte, target.weight)
        semantic = 0.5 * (weight * (people - small) ** 2).mean((1, 2, 3))
        detail = (boundary_region(target.matte) * target.weight * (matte - target.matte).abs()).mean((1, 2, 3))
        return {"semantic": self.weights["semantic"] * semantic, "detail": self.weights["detail"] * detail}


def blurred(matte: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The paper's G(alpha): a matte (N,1,H,W) at stride 16 and blurred, pixels counting by `weight`; and its own weight."""
    kernel = torch.tensor([1.0, 2.0, 1.0], device=matte.device)
    kernel = (kernel[:, None] * kernel / 16)[None, None]
    cells = F.avg_pool2d(weight, SEMANTIC_STRIDE)
    weighted = F.conv2d(F.avg_pool2d(matte * weight, SEMANTIC_STRIDE), kernel, padding=1)
    return weighted / F.conv2d(cells, kernel, padding=1).clamp_min(1e-6), cells


def boundary_region(matte: Tensor) -> Tensor:
    """The paper's m_d (N,1,H,W): 1 near the outline of a matte and where it is fractional, else 0."""
    outline = edge_band((matte > 0.5).to(matte.dtype), band_radius(matte, BAND))
    return torch.maximum(outline, boundary_of(matte))


register(Architecture("modnet", MODNet, MODNetOptions))
