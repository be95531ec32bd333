"""P3M-Net: a segmentation and a matting decoder that integrate features of each other and of the encoder.

"Privacy-Preserving Portrait Matting", Jizhizi Li, Sihan Ma, Jing Zhang, Dacheng Tao, ACM Multimedia 2021, arXiv
2104.14222. Ours is written from the paper's description and differs in these points:

- any encoder, unchanged; the paper's is a ResNet-34 with a wider stem, whose max pooling keeps its indices for the
  decoders to unpool by. Ours enlarge bilinearly;
- the segmentation decoder ends at stride 4 and its classes are enlarged from there, the matting decoder at stride 2,
  four values a cell being shuffled to full resolution, as in our U-Net; it also predicts the boundary;
- decoders are narrower; convolutions at the coarsest stride have no batch norm. The mean of the coarsest map is added
  to it, as in our U-Net, where the paper's segmentation decoder pools a pyramid;
- what guides the shallow integrations is the encoder's map at stride 2 with the image's pixels, the pixels alone
  where it has none;
- the trimap's classes and the detail are merged softly (`wsshm.models.glance_focus`);
- the losses of the merged matte are the suite's; there is no composition loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.config import Section
from wsshm.losses import Target
from wsshm.models import Architecture, glance_focus, register
from wsshm.models.blocks import WIDTHS, convolution, scaled, skip, skip_channels, upsampled
from wsshm.models.encoder import Encoder
from wsshm.models.network import MattingOutput, Network

FINEST = 2
"""The matting decoder's finest stride, whose map guides the shallow integrations."""
SEGMENTATION_STRIDE = 4
"""The segmentation decoder's finest stride."""


class P3MNetOptions(Section):
    """Options of P3M-Net."""

    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """By how much wider both decoders are; their channels are rounded to multiples of 8."""


class TripartiteIntegration(nn.Module):
    """TFI: what the encoder, the segmentation decoder and the matting decoder have at a stride, made one map."""

    def __init__(self, parts: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(part, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for part in parts
        )
        self.merge = convolution(3 * width, width, 1)

    def forward(self, *parts: Tensor) -> Tensor:
        """Three maps (N,C_i,H,W); one (N,width,H,W)."""
        return self.merge(torch.cat([project(part) for project, part in zip(self.projections, parts, strict=True)], 1))


class BipartiteIntegration(nn.Module):
    """BFI: a decoder's map with a residual that is guided by one of the encoder's.

    Shallow (sBFI) where the guide is of a finer stride, whose maxima are taken, deep (dBFI) where it is of a coarser one,
    which is enlarged.
    """

    def __init__(self, width: int, stride: int, guide_channels: int, guide_stride: int) -> None:
        super().__init__()
        self.finer, self.coarser = max(1, stride // guide_stride), max(1, guide_stride // stride)
        self.project_guide = nn.Conv2d(guide_channels, width // 2, 1)
        self.project = nn.Conv2d(width, width // 2, 1)
        self.merge = convolution(width // 2 * 2, width, 1)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """A map (N,width,H,W) and a guide of the same picture at its own stride; (N,width,H,W)."""
        guide = self.project_guide(F.max_pool2d(guide, self.finer) if self.finer > 1 else guide)
        guide = upsampled(guide, self.coarser) if self.coarser > 1 else guide
        return x + self.merge(torch.cat([self.project(x), guide], 1))


class SegmentationDecoder(nn.Module):
    """Classes of a trimap from the coarsest map alone, whose semantics guide every stage (dBFI)."""

    def __init__(self, coarsest: int, channels: int, widths: Mapping[int, int]) -> None:
        super().__init__()
        width = channels
        self.stages, self.integrations = nn.ModuleDict(), nn.ModuleDict()
        for stride in (stride for stride in widths if SEGMENTATION_STRIDE <= stride < coarsest):
            self.stages[str(stride)] = convolution(width, widths[stride], 1)
            width = widths[stride]
            self.integrations[str(stride)] = BipartiteIntegration(width, stride, channels, coarsest)
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, deep: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The coarsest map; logits (N,3,H,W) and the map of every stage by its stride."""
        x, stages = deep, {}
        for key, stage in self.stages.items():
            x = self.integrations[key](stage(upsampled(x)), deep)
            stages[int(key)] = x
        return upsampled(self.head(x), SEGMENTATION_STRIDE), stages


class MattingDecoder(nn.Module):
    """Detail and boundary at the image's own resolution, each stage a TFI and an sBFI."""

    def __init__(self, channels: Mapping[int, int], widths: Mapping[int, int]) -> None:
        super().__init__()
        coarsest = max(channels)
        width = channels[coarsest]
        self.tripartite, self.shallow = nn.ModuleDict(), nn.ModuleDict()
        for stride in (stride for stride in widths if stride < coarsest):
            parts = (skip_channels(channels, stride), widths[max(stride, SEGMENTATION_STRIDE)], width)
            width = widths[stride]
            self.tripartite[str(stride)] = TripartiteIntegration(parts, width)
            self.shallow[str(stride)] = BipartiteIntegration(width, stride, skip_channels(channels, FINEST), FINEST)
        self.heads = nn.Conv2d(width, 2 * FINEST**2, 3, padding=1)

    def forward(
        self, images: Tensor, maps: Mapping[int, Tensor], deep: Tensor, segmentation: Mapping[int, Tensor]
    ) -> Tensor:
        """images (N,3,H,W), the encoder's and the segmentation decoder's maps {stride: (N,C,H/stride,W/stride)}, and the
        coarsest map to begin with; logits (N,2,H,W)."""
        x, finest = deep, skip(images, maps, FINEST)
        for key, integrate in self.tripartite.items():
            stride = int(key)
            semantic = segmentation[max(stride, SEGMENTATION_STRIDE)]
            semantic = upsampled(semantic) if stride < SEGMENTATION_STRIDE else semantic
            seen = finest if stride == FINEST else skip(images, maps, stride)
            x = self.shallow[key](integrate(seen, semantic, upsampled(x)), finest)
        return F.pixel_shuffle(self.heads(x), FINEST)


class P3MNet(Network):
    """Both decoders over one encoder, merged; `glance` and `focus` are auxiliary outputs with losses of their own."""

    def __init__(self, encoder: Encoder, options: P3MNetOptions) -> None:
        super().__init__(encoder)
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        coarsest, widths = encoder.strides[-1], scaled(WIDTHS, options.width)
        self.context = nn.Linear(channels[coarsest], channels[coarsest])
        self.segmentation = SegmentationDecoder(coarsest, channels[coarsest], widths)
        self.matting = MattingDecoder(channels, widths)

    def forward(self, images: Tensor) -> MattingOutput:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        deep = maps[self.encoder.strides[-1]]
        deep = deep + self.context(deep.mean((2, 3)))[..., None, None]
        glance, semantic = self.segmentation(deep)
        focus, boundary = self.matting(images, maps, deep, semantic).split(1, 1)
        auxiliary = {"glance": glance, "focus": focus} if self.training else {}
        return MattingOutput(glance_focus.merged(glance, focus), boundary, auxiliary)

    def auxiliary_losses(self, output: MattingOutput, target: Target) -> Mapping[str, Tensor]:
        return glance_focus.losses(output.auxiliary["glance"], output.auxiliary["focus"], target)


register(Architecture("p3mnet", P3MNet, P3MNetOptions))
