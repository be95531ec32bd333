"""A network for real time (ours), over any `Encoder`.

The encoder sees the picture at half its size, as Robust Video Matting's does at a downsample ratio of 0.5 (arXiv
2108.11515), and the detail comes from the picture's own pixels. What is left is the U-Net's idea at a fraction of its cost:

- Maps are added where the U-Net puts them side by side, after a 1x1 convolution that makes them narrow; features are made
  narrow before they are enlarged, not after. Channels are few, and multiples of 16, which processors compute at once.
- At stride 2 of the picture, where nearly all of the U-Net's time goes, features meet the pixels (one convolution of stride
  2), then two 3x3 convolutions in 16 channels give the four values of a cell.
- The features at the encoder's stride 8 say where people are; what the fine layers say is added to that, as the details of a
  Laplacian pyramid are to its coarse picture. While it trains that coarse matte has a loss of its own, as in MODNet.

Every batch norm follows a convolution, and is folded into it when a model is exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.config import Section
from wsshm.losses import Target
from wsshm.models import Architecture, register
from wsshm.models.blocks import convolution, resized, scaled
from wsshm.models.encoder import Encoder
from wsshm.models.network import NOTHING, MattingOutput, Network

WIDTHS = {32: 64, 16: 64, 8: 48, 4: 32, 2: 16}
"""Channels of the decoder at each stride of what the encoder sees, below its last."""
COARSE_TO = 4
"""The decoder's finest stride of the picture; then come the pixels, at stride 2."""
PEOPLE_AT = 8
"""The stride of what the encoder sees at which the decoder says where people are."""


class FastOptions(Section):
    """Options of the fast network."""

    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """By how much wider the decoder is; its channels are rounded to multiples of 8."""
    downsample: Literal[1, 2, 4] = 2
    """By how much smaller than the picture the encoder sees it: 2 suits pictures of 384 to 1,080 px, 1 smaller ones."""
    semantic: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Weight of the coarse matte's own loss; 0 leaves it out."""


class Step(nn.Module):
    """Features brought to the next finer stride, what is seen there added, and one 3x3 convolution on the sum."""

    def __init__(self, inputs: int, seen: int, outputs: int) -> None:
        super().__init__()
        self.narrow = narrow(inputs, outputs)
        self.beside = nn.Sequential(nn.Conv2d(seen, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.smooth = nn.Sequential(nn.ReLU(inplace=True), *convolution(outputs, outputs, layers=1))

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        """features (N,C,h,w), seen (N,D,H,W); (N,outputs,H,W)."""
        return self.smooth(resized(self.narrow(features), seen.shape[-2:]) + self.beside(seen))


def narrow(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1x1 convolution whose outputs vary as much as batch norm's.

    Torch's own start would make them 2.4 times smaller, at each step, beside what is added to them: what the coarsest map
    says would hardly reach the matte before hundreds of steps.
    """
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


class Fast(Network):
    """Encoder, coarse decoder and the step that sees pixels; the coarse matte is an auxiliary output while it trains."""

    stride = 32

    def __init__(self, encoder: Encoder, options: FastOptions) -> None:
        super().__init__(encoder)
        self.downsample, self.weight = options.downsample, options.semantic
        widths = scaled(WIDTHS, options.width)
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        self.coarsest, width = encoder.strides[-1], encoder.channels[-1]
        self.context = nn.Linear(width, width)
        self.steps = nn.ModuleDict()
        for stride in (s for s in widths if s * self.downsample >= COARSE_TO and s < self.coarsest):
            seen = channels.get(stride, 3 * stride**2)
            self.steps[str(stride)] = Step(width, seen, widths[stride])
            width = widths[stride]
        self.people_at = min(PEOPLE_AT, self.coarsest)
        people = widths[PEOPLE_AT] if self.people_at < self.coarsest else encoder.channels[-1]
        self.people = nn.Conv2d(people, 2, 3, padding=1)
        fine = widths[2]
        self.fine = narrow(width, fine)
        self.pixels = nn.Sequential(nn.Conv2d(3, fine, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(fine))
        self.merge = nn.Sequential(nn.ReLU(inplace=True), *convolution(fine, fine, layers=1))
        self.heads = nn.Conv2d(fine, 2 * 4, 3, padding=1)

    def forward(self, images: Tensor) -> MattingOutput:
        small = self._smaller(images)
        maps = dict(zip(self.encoder.strides, self.encoder(small), strict=True))
        x = maps[self.coarsest]
        x = x + self.context(x.mean((2, 3)))[..., None, None]
        people = x
        for stride, step in ((int(key), module) for key, module in self.steps.items()):
            x = step(x, maps[stride] if stride in maps else F.pixel_unshuffle(small, stride))
            if stride == self.people_at:
                people = x
        people = self.people(people)
        pixels = self.pixels(images)
        size = pixels.shape[-2:]
        details = self.heads(self.merge(resized(self.fine(x), size) + pixels)).unflatten(1, (2, 4))
        logits = F.pixel_shuffle((details + resized(people, size)[:, :, None]).flatten(1, 2), 2)
        auxiliary = {"semantic": people[:, :1]} if self.training and self.weight else NOTHING
        return MattingOutput(logits[:, :1], logits[:, 1:], auxiliary)

    def auxiliary_losses(self, output: MattingOutput, target: Target) -> Mapping[str, Tensor]:
        """Cross-entropy of where people are with the matte's means over cells."""
        if not self.weight:
            return NOTHING
        people = output.auxiliary["semantic"].float()
        cells = (people.shape[-2], people.shape[-1])
        weight = F.adaptive_avg_pool2d(target.weight, cells)
        share = F.adaptive_avg_pool2d(target.matte * target.weight, cells) / weight.clamp_min(1e-6)
        loss = F.binary_cross_entropy_with_logits(people, share, reduction="none")
        return {"semantic": self.weight * (loss * weight).mean((1, 2, 3))}

    def _smaller(self, images: Tensor) -> Tensor:
        """What the encoder sees of images (N,3,H,W): smaller, its sides whole cells of the coarsest map, at least two."""
        if self.downsample == 1:
            return images
        cell = self.downsample * self.coarsest
        cells = [(side + cell - 1) // cell for side in images.shape[-2:]]  # ONNX rounds -(-side // cell) otherwise
        # Of one cell batch norm cannot train on one picture, and exporters take it for a constant; 1 // n is 0 but for n = 1,
        # in graphs too, where a comparison would bind them to its outcome.
        height, width = ((number + 1 // number) * self.coarsest for number in cells)
        # Bilinear interpolation averages what it halves, and would leave pixels out of what it quarters.
        return resized(F.avg_pool2d(images, 2) if self.downsample == 4 else images, (height, width))


register(Architecture("fast", Fast, FastOptions, version="3"))
