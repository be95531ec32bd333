"""DeepLabv3+ for matting, over any `Encoder`.

Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation,
2018, arXiv 1802.02611.

From the paper: atrous spatial pyramid pooling on the coarsest map, with depthwise separable convolutions and the mean over
the picture; its result, enlarged to stride 4, beside a low-level map of 48 channels; two separable convolutions on both.

What differs:
- The backbone is not made atrous, so that the coarsest map has stride 32 (16 or 64 in some families) where the paper's has
  16. Rates are chosen to reach equally far in pixels: 3, 6 and 9 at stride 32 for the paper's 6, 12 and 18 at 16.
- The paper enlarges its classes from stride 4 to the picture, bilinear; a strand of hair is finer than that. Here a step at
  stride 2 sees the image's own pixels, and the heads give four values a cell (`PixelHead`).
- Two sigmoids, matte and boundary, stand for the softmax over classes.
- The picture's mean has no batch norm, which cannot train on one picture, and there is no dropout.
- An encoder without a map at stride 4 gives the image's pixels there.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from wsshm.config import Section
from wsshm.models import Architecture, register
from wsshm.models.blocks import PixelHead, pointwise, separable, skip, skip_channels, upsampled
from wsshm.models.encoder import Encoder
from wsshm.models.network import MattingOutput, Network

REACHES = (96, 192, 288)
"""How far apart, in px of the picture, the pyramid's atrous convolutions look: the paper's 6, 12 and 18 at stride 16."""
LOW_LEVEL, LOW_LEVEL_CHANNELS = 4, 48
DETAIL_CHANNELS = 32


class DeepLabOptions(Section):
    """Options of DeepLabv3+."""

    width: Annotated[int, Field(ge=8, le=4096)] = 256
    """Channels of the pyramid and the decoder."""


class AtrousPyramid(nn.Module):
    """ASPP: a map seen pointwise, by atrous convolutions that reach further and further, and as its mean."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        rates = [max(1, round(reach / stride)) for reach in REACHES]
        self.branches = nn.ModuleList([pointwise(inputs, width), *(separable(inputs, width, rate) for rate in rates)])
        self.pooled = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True))
        self.project = pointwise(width * (len(self.branches) + 1), width)

    def forward(self, values: Tensor) -> Tensor:
        """values (N,C,H,W); (N,width,H,W)."""
        seen = [branch(values) for branch in self.branches]
        pooled = self.pooled(values.mean((2, 3)))[..., None, None].expand_as(seen[0])
        return self.project(torch.cat([*seen, pooled], 1))


class DeepLabV3Plus(Network):
    """Encoder, pyramid, decoder and the heads of a matting network, without auxiliary outputs."""

    stride = 32

    def __init__(self, encoder: Encoder, options: DeepLabOptions) -> None:
        super().__init__(encoder)
        encoder.give_only((2, LOW_LEVEL, encoder.strides[-1]))
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        width = options.width
        self.pyramid = AtrousPyramid(encoder.channels[-1], width, encoder.strides[-1])
        self.low_level = pointwise(skip_channels(channels, LOW_LEVEL), LOW_LEVEL_CHANNELS)
        self.decoder = nn.Sequential(separable(width + LOW_LEVEL_CHANNELS, width), separable(width, width))
        self.narrow = pointwise(width, DETAIL_CHANNELS)
        self.head = PixelHead(DETAIL_CHANNELS, channels, DETAIL_CHANNELS)

    def forward(self, images: Tensor) -> MattingOutput:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        coarsest = self.encoder.strides[-1]
        semantics = upsampled(self.pyramid(maps[coarsest]), coarsest // LOW_LEVEL)
        low_level = self.low_level(skip(images, maps, LOW_LEVEL))
        features = self.decoder(torch.cat([semantics, low_level], 1))
        logits = self.head(self.narrow(features), images, maps)
        return MattingOutput(logits[:, :1], logits[:, 1:])


register(Architecture("deeplabv3plus", DeepLabV3Plus, DeepLabOptions))
