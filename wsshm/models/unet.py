"""A light U-Net decoder with a matte head and a boundary head, over any `Encoder`."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.models.encoder import Encoder

WIDTHS = {16: 80, 8: 56, 4: 40, 2: 32}


class UNetDecoder(nn.Module):
    """Merge an encoder's maps from coarse to fine and predict two maps at the image's own resolution.

    The finest step works at stride 2 beside the image's pixels themselves (2x2 blocks moved into channels), and the
    heads give four values a cell that are shuffled back to full resolution: detail at a quarter of the cost of a
    full-resolution decoder.
    """

    def __init__(self, strides: tuple[int, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        skips = dict(zip(strides, channels, strict=True))
        width = channels[-1]
        self.context = nn.Linear(width, width)
        self.merges = nn.ModuleDict()
        for stride in (16, 8, 4, 2):
            skip = skips.get(stride, 0) + (12 if stride == 2 else 0)
            self.merges[str(stride)] = convolution(width + skip, WIDTHS[stride])
            width = WIDTHS[stride]
        self.heads = nn.Conv2d(width, 2 * 4, 3, padding=1)

    def forward(self, images: Tensor, maps: dict[int, Tensor]) -> Tensor:
        """images (N,3,H,W) normalised, maps {stride: (N,C,H/stride,W/stride)}; logits (N,2,H,W)."""
        x = maps[32]
        x = x + self.context(x.mean((2, 3)))[..., None, None]
        for stride, merge in ((int(key), module) for key, module in self.merges.items()):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            skips = [maps[stride]] if stride in maps else []
            if stride == 2:
                skips.append(F.pixel_unshuffle(images, 2))
            x = merge(torch.cat([x, *skips], 1))
        return F.pixel_shuffle(self.heads(x), 2)


class UNet(nn.Module):
    """Encoder and decoder: normalised images (N,3,H,W) to logits (N,2,H,W), H and W multiples of 32."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = UNetDecoder(encoder.strides, encoder.channels)

    def forward(self, images: Tensor) -> Tensor:
        maps = dict(zip(self.encoder.strides, self.encoder(images), strict=True))
        return self.decoder(images, maps)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise((inputs, outputs, outputs)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
