"""GFM, glance and focus: one encoder, a decoder that says where the person is and one that sees the detail.

"Bridging Composite and Real: Towards End-to-End Deep Image Matting", Jizhizi Li, Jing Zhang, Stephen J. Maybank,
Dacheng Tao, IJCV 2022, arXiv 2010.16188. Ours is written from the paper's description and differs in these points:

- any encoder, unchanged; the paper's is a DenseNet-121, ResNet-34 or ResNet-101 with a wider stem;
- the glance's context is the mean of the coarsest map, added before every stage, where the paper pools a pyramid; its
  finest stage is at stride 4 and its classes are enlarged from there;
- the focus decoder's finest stage is at stride 2 beside the image's pixels, four values a cell being shuffled to full
  resolution, as in our U-Net; it also predicts the boundary, which every network here does;
- decoders are narrower, two convolutions a stage instead of three; those at the coarsest stride have no batch norm;
- only the representation that the paper calls TT (three classes), merged softly (`wsshm.models.glance_focus`);
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

GLANCE_STRIDE = 4
"""The glance decoder's finest stride."""
BRIDGE_CONVOLUTIONS, BRIDGE_DILATION = 3, 2


class GFMOptions(Section):
    """Options of GFM."""

    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """By how much wider both decoders are; their channels are rounded to multiples of 8."""


class GlanceDecoder(nn.Module):
    """Classes of a trimap from the coarsest map to stride 4, the whole picture's context added before every stage."""

    def __init__(self, channels: Mapping[int, int], widths: Mapping[int, int]) -> None:
        super().__init__()
        self.coarsest = max(channels)
        whole = width = channels[self.coarsest]
        self.contexts, self.stages = nn.ModuleDict(), nn.ModuleDict()
        for stride in (stride for stride in widths if GLANCE_STRIDE <= stride < self.coarsest):
            self.contexts[str(stride)] = nn.Linear(whole, width)
            self.stages[str(stride)] = convolution(width + skip_channels(channels, stride), widths[stride])
            width = widths[stride]
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, images: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
        """images (N,3,H,W) normalised, maps {stride: (N,C,H/stride,W/stride)}; logits (N,3,H,W)."""
        x = maps[self.coarsest]
        whole = x.mean((2, 3))
        for key, stage in self.stages.items():
            x = x + self.contexts[key](whole)[..., None, None]
            x = stage(torch.cat([upsampled(x), skip(images, maps, int(key))], 1))
        return upsampled(self.head(x), GLANCE_STRIDE)


class FocusDecoder(nn.Module):
    """Detail and boundary at the image's own resolution: a bridge of dilated convolutions, then a U-Net's decoder."""

    def __init__(self, channels: Mapping[int, int], widths: Mapping[int, int]) -> None:
        super().__init__()
        self.coarsest = max(channels)
        width = widths[max(widths)]
        self.narrow = nn.Conv2d(channels[self.coarsest], width, 1)
        bridge: list[nn.Module] = []
        for _ in range(BRIDGE_CONVOLUTIONS):
            bridge += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=BRIDGE_DILATION, dilation=BRIDGE_DILATION)]
        self.bridge = nn.Sequential(*bridge)
        self.stages = nn.ModuleDict()
        for stride in (stride for stride in widths if stride < self.coarsest):
            self.stages[str(stride)] = convolution(width + skip_channels(channels, stride), widths[stride])
            width = widths[stride]
        self.heads = nn.Conv2d(width, 2 * 4, 3, padding=1)

    def forward(self, images: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
        """images (N,3,H,W) normalised, maps {stride: (N,C,H/stride,W/stride)}; logits (N,2,H,W)."""
        x = self.narrow(maps[self.coarsest])
        x = x + self.bridge(x)
        for key, stage in self.stages.items():
            x = stage(torch.cat([upsampled(x), skip(images, maps, int(key))], 1))
        return F.pixel_shuffle(self.heads(x), 2)


class GFM(Network):
    """Both decoders over one encoder, merged; `glance` and `focus` are auxiliary outputs with losses of their own."""

    def __init__(self, encoder: Encoder, options: GFMOptions) -> None:
        super().__init__(encoder)
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        widths = scaled(WIDTHS, options.width)
        self.glance, self.focus = GlanceDecoder(channels, widths), FocusDecoder(channels, widths)

    def forward(self, images: Tensor) -> MattingOutput:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        glance = self.glance(images, maps)
        focus, boundary = self.focus(images, maps).split(1, 1)
        auxiliary = {"glance": glance, "focus": focus} if self.training else {}
        return MattingOutput(glance_focus.merged(glance, focus), boundary, auxiliary)

    def auxiliary_losses(self, output: MattingOutput, target: Target) -> Mapping[str, Tensor]:
        return glance_focus.losses(output.auxiliary["glance"], output.auxiliary["focus"], target)


register(Architecture("gfm", GFM, GFMOptions))
