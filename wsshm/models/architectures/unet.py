"""A light U-Net decoder with a matte head and a boundary head, over any `Encoder`."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.config import Section
from wsshm.models import Architecture, register
from wsshm.models.blocks import WIDTHS, convolution, scaled, skip, skip_channels, upsampled
from wsshm.models.encoder import Encoder
from wsshm.models.network import MattingOutput, Network


class UNetOptions(Section):
    """Options of the U-Net."""

    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """By how much wider the decoder is; its channels are rounded to multiples of 8."""


class UNetDecoder(nn.Module):
    """Merge an encoder's maps from coarse to fine and predict two maps at the image's own resolution.

    The finest step works at stride 2 beside the image's pixels themselves (2x2 blocks moved into channels), and the
    heads give four values a cell that are shuffled back to full resolution: detail at a quarter of the cost of a
    full-resolution decoder. Where the encoder's own maps begin at a coarser stride, the finer ones are the image's pixels
    in the same way: LeViT's begin at 16, so that the steps at 8 and 4 see blocks of 8x8 and 4x4.
    """

    def __init__(self, strides: tuple[int, ...], channels: tuple[int, ...], widths: dict[int, int]) -> None:
        super().__init__()
        skips = dict(zip(strides, channels, strict=True))
        self.coarsest, width = strides[-1], channels[-1]
        self.context = nn.Linear(width, width)
        self.merges = nn.ModuleDict()
        for stride in (stride for stride in widths if stride < self.coarsest):
            self.merges[str(stride)] = convolution(width + skip_channels(skips, stride), widths[stride])
            width = widths[stride]
        self.heads = nn.Conv2d(width, 2 * 4, 3, padding=1)

    def forward(self, images: Tensor, maps: dict[int, Tensor]) -> Tensor:
        """images (N,3,H,W) normalised, maps {stride: (N,C,H/stride,W/stride)}; logits (N,2,H,W)."""
        x = maps[self.coarsest]
        x = x + self.context(x.mean((2, 3)))[..., None, None]
        for stride, merge in ((int(key), module) for key, module in self.merges.items()):
            x = merge(torch.cat([upsampled(x), skip(images, maps, stride)], 1))
        return F.pixel_shuffle(self.heads(x), 2)


class UNet(Network):
    """Encoder and decoder, without auxiliary outputs."""

    stride = 32

    def __init__(self, encoder: Encoder, options: UNetOptions) -> None:
        super().__init__(encoder)
        self.decoder = UNetDecoder(encoder.strides, encoder.channels, scaled(WIDTHS, options.width))

    def forward(self, images: Tensor) -> MattingOutput:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        logits = self.decoder(images, maps)
        return MattingOutput(logits[:, :1], logits[:, 1:])


register(Architecture("unet", UNet, UNetOptions))
