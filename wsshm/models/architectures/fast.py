"""A decoder for real time (ours), over any `Encoder`.

It is the U-Net's idea at a fraction of its cost, and differs from `unet` so:
- Maps are added where the U-Net puts them side by side, after a 1x1 convolution that makes them narrow; features are made
  narrow before they are enlarged, not after.
- Convolutions above stride 4 are depthwise.
- At stride 2, where nearly all of the U-Net's time goes, it has the image's own pixels (by one convolution of stride 2) and
  two 3x3 convolutions in few channels, without batch norm; features get there by a shuffle, not by interpolation.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.config import Section
from wsshm.models import Architecture, register
from wsshm.models.blocks import scaled, skip, skip_channels, upsampled
from wsshm.models.encoder import Encoder
from wsshm.models.network import MattingOutput, Network

WIDTHS = {32: 64, 16: 64, 8: 48, 4: 32, 2: 16}
"""Channels of the decoder at each stride below the encoder's last."""


class FastOptions(Section):
    """Options of the fast decoder."""

    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """By how much wider the decoder is; its channels are rounded to multiples of 8."""


class Step(nn.Module):
    """Features brought to the next finer stride, what is seen there added, and one depthwise convolution on the sum."""

    def __init__(self, inputs: int, seen: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.beside = nn.Sequential(nn.Conv2d(seen, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.smooth = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        return self.smooth(upsampled(self.narrow(features)) + self.beside(seen))


class Fast(Network):
    """Encoder and fast decoder, without auxiliary outputs."""

    stride = 32

    def __init__(self, encoder: Encoder, options: FastOptions) -> None:
        super().__init__(encoder)
        widths = scaled(WIDTHS, options.width)
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        coarsest, width = encoder.strides[-1], encoder.channels[-1]
        self.context = nn.Linear(width, width)
        self.steps = nn.ModuleDict()
        for stride in (stride for stride in widths if 2 < stride < coarsest):
            self.steps[str(stride)] = Step(width, skip_channels(channels, stride), widths[stride])
            width = widths[stride]
        fine = widths[2]
        self.fine = nn.Conv2d(width, 4 * fine, 1)
        self.pixels = nn.Conv2d(3, fine, 4, stride=2, padding=1)
        self.heads = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(fine, fine, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(fine, 2 * 4, 3, padding=1),
        )

    def forward(self, images: Tensor) -> MattingOutput:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        x = maps[self.encoder.strides[-1]]
        x = x + self.context(x.mean((2, 3)))[..., None, None]
        for stride, step in ((int(key), module) for key, module in self.steps.items()):
            x = step(x, skip(images, maps, stride))
        x = F.pixel_shuffle(self.fine(x), 2) + self.pixels(images)
        logits = F.pixel_shuffle(self.heads(x), 2)
        return MattingOutput(logits[:, :1], logits[:, 1:])


register(Architecture("fast", Fast, FastOptions))
