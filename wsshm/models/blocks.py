"""What several decoders are built of: convolutions, and the maps beside them at each stride, from coarse to fine.

Encoders' maps may begin at 2, 4, 8 or 16. Where a decoder works at a finer stride than they do, it sees the image's own
pixels there, blocks of stride x stride moved into channels; at stride 2 it sees them whatever the encoder gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = {32: 112, 16: 80, 8: 56, 4: 40, 2: 32}
"""Channels of a light decoder at each stride below the encoder's last."""


def scaled(widths: Mapping[int, int], factor: float) -> dict[int, int]:
    """`widths` times `factor`, rounded to multiples of 8, at least 8."""
    return {stride: max(8, round(channels * factor / 8) * 8) for stride, channels in widths.items()}


def convolution(inputs: int, outputs: int, layers: int = 2) -> nn.Sequential:
    """3x3 convolutions with batch norm and ReLU."""
    modules: list[nn.Module] = []
    for a, b in itertools.pairwise((inputs, *(outputs,) * layers)):
        modules += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules)


def pointwise(inputs: int, outputs: int) -> nn.Sequential:
    """A 1x1 convolution with batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def separable(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """A depthwise separable 3x3 convolution, with batch norm and ReLU after either part (DeepLabv3+, arXiv 1802.02611)."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), *pointwise(inputs, outputs))


def upsampled(values: Tensor, factor: int = 2) -> Tensor:
    """A map (N,C,H,W) bilinearly enlarged by a whole factor."""
    # Exporters follow whole numbers, not a scale factor.
    return resized(values, (values.shape[-2] * factor, values.shape[-1] * factor))


def resized(values: Tensor, size: Sequence[int]) -> Tensor:
    """A map (N,C,H,W) bilinearly brought to a size (height, width)."""
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)


def skip_channels(channels: Mapping[int, int], stride: int) -> int:
    """How many channels `skip` has at a stride, over an encoder with these {stride: channels}."""
    return channels.get(stride, 0) + (3 * stride**2 if _sees_pixels(stride, channels) else 0)


def skip(images: Tensor, maps: Mapping[int, Tensor], stride: int) -> Tensor:
    """What a decoder sees at a stride: the encoder's map, the pixels of images (N,3,H,W), or both; (N,C,H/stride,W/stride)."""
    seen = [maps[stride]] if stride in maps else []
    if _sees_pixels(stride, maps):
        seen.append(F.pixel_unshuffle(images, stride))
    return torch.cat(seen, 1)


class PixelHead(nn.Module):
    """From features at stride 4 to two maps of logits at the image's own resolution.

    A step at stride 2 beside the encoder's map and the image's pixels, then four values a cell for each map, shuffled into
    place: detail at a quarter of the cost of a full-resolution decoder.
    """

    def __init__(self, inputs: int, channels: Mapping[int, int], width: int) -> None:
        super().__init__()
        self.merge = convolution(inputs + skip_channels(channels, 2), width)
        self.heads = nn.Conv2d(width, 2 * 4, 3, padding=1)

    def forward(self, features: Tensor, images: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
        """features (N,C,H/4,W/4), images (N,3,H,W), maps by stride; logits (N,2,H,W)."""
        merged = self.merge(torch.cat([upsampled(features), skip(images, maps, 2)], 1))
        return F.pixel_shuffle(self.heads(merged), 2)


def _sees_pixels(stride: int, maps: Container[int]) -> bool:
    return stride == 2 or stride not in maps
