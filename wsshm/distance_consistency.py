"""Directional distance consistency (DDC): how far pixels of similar colours may differ in alpha. No label is needed.

From "Training Matting Models without Alpha Labels" (arXiv 2408.10539), whose published code was read: in a window around
a pixel i those k pixels j are sought whose colours are nearest to its own, and

    DDC_i = mean over these j of | (alpha_i - alpha_j) - ||I_i - I_j|| |

Of a pair that has chosen each other the two terms are least, and flat, wherever |alpha_i - alpha_j| <= ||I_i - I_j||: a
matte may change as far as the picture does. So alpha spreads from where it is known to pixels that look alike.

`scaled` is MatAnyone's (arXiv 2501.14677, eq. 5, read): alpha differs by ||I_i - I_j|| only where foreground and background
are a distance of 1 apart, so that

    DDC_i = mean over these j of | (alpha_i - alpha_j) |F - B| - ||I_i - I_j|| |

with F and B the means of the k largest and of the k smallest pixel values in the window.

Ours: only the pixels of a `band` have a term (elsewhere a mask says what alpha is); a pixel is not its own neighbour (their
code counts it as one, with a term of 0); windows end at the picture's border (theirs go on in black); the largest and
smallest values are the brightest and darkest pixels, |F - B| the distance of their mean colours.

Which pixels are similar needs no gradient: on a CPU a compiled loop finds them, which is quicker than sorting by torch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wsshm.metrics.kernels.compiled import compiled
from wsshm.metrics.kernels.strips import SHARES, crew

CHUNK = 1 << 16
"""Pixels whose windows a GPU looks at at once."""


class Similar(NamedTuple):
    """Of P pixels: the k most similar pixels near each (P,k), as places in the flattened maps, their distances in colour
    (P,k), and how far apart the brightest and the darkest colours near it are (P,), 1 where that was not asked for.
    """

    others: Tensor
    distances: Tensor
    contrast: Tensor


def distance_consistency(
    matte: Tensor, images: Tensor, band: Tensor, window: int, neighbours: int, scaled: bool = False
) -> Tensor:
    """The DDC loss of each pixel (N,1,H,W), 0 outside `band`.

    `matte` (N,1,H,W) and `images` (N,3,H,W) are in [0,1], `band` (N,1,H,W) is 0 or 1. `window` is odd, and `neighbours` are
    so few that a corner of a picture has as many in its window. Gradients are those of the matte alone.
    """
    if neighbours >= (window // 2 + 1) ** 2 or min(matte.shape[-2:]) <= window // 2:
        raise ValueError(
            f"a window of {window} px in the corner of a picture {tuple(matte.shape[-2:])} has too few pixels"
        )
    pixels = band.flatten().nonzero().squeeze(1)
    find = similar_on_cpu if images.device.type == "cpu" else similar_on_device
    with torch.no_grad():
        near = find(images.detach(), pixels, window, neighbours, scaled)
    alpha = matte.flatten()
    differences = (alpha[pixels][:, None] - alpha[near.others]) * near.contrast[:, None]
    terms = (differences - near.distances).abs().mean(1)
    return torch.zeros_like(alpha).index_copy(0, pixels, terms).view_as(matte)


def similar_on_cpu(images: Tensor, pixels: Tensor, window: int, neighbours: int, scaled: bool) -> Similar:
    """What is similar to pixels (P,), places in the flattened maps, by a compiled loop on as many threads as torch has."""
    found = Similar(
        pixels.new_empty(len(pixels), neighbours),
        images.new_empty(len(pixels), neighbours),
        images.new_ones(len(pixels)),
    )
    colours, arrays = images.permute(0, 2, 3, 1).contiguous().numpy(), [each.numpy() for each in (pixels, *found)]
    with crew(torch.get_num_threads(), len(pixels)) as workers:
        ends = np.linspace(0, len(pixels), 1 + SHARES * workers.threads).astype(int)
        workers.each(lambda share: _find(*share, colours, window // 2, scaled, *arrays), list(pairwise(ends.tolist())))
    return found


@compiled
def _find(first, end, colours, reach, scaled, pixels, others, distances, contrast):
    _, height, width, _ = colours.shape
    number = others.shape[1]
    light, dark = np.empty(number, colours.dtype), np.empty(number, colours.dtype)
    lightest, darkest = np.empty(number, np.int64), np.empty(number, np.int64)
    flat = colours.reshape(-1, 3)
    for index in range(first, end):
        pixel = pixels[index]
        place = pixel % (height * width)
        start = pixel - place
        y, x = place // width, place % width
        nearest, names = distances[index], others[index]
        nearest[:] = np.inf
        light[:] = np.inf
        dark[:] = np.inf
        red, green, blue = flat[pixel, 0], flat[pixel, 1], flat[pixel, 2]
        for v in range(max(0, y - reach), min(height, y + reach + 1)):
            for u in range(max(0, x - reach), min(width, x + reach + 1)):
                other = start + v * width + u
                r, g, b = flat[other, 0], flat[other, 1], flat[other, 2]
                if other != pixel:
                    squared = (r - red) * (r - red) + (g - green) * (g - green) + (b - blue) * (b - blue)
                    if squared < nearest[-1]:
                        k = number - 1
                        while k > 0 and nearest[k - 1] > squared:
                            nearest[k], names[k] = nearest[k - 1], names[k - 1]
                            k -= 1
                        nearest[k], names[k] = squared, other
                if scaled:
                    value = r + g + b
                    if value < dark[-1]:
                        k = number - 1
                        while k > 0 and dark[k - 1] > value:
                            dark[k], darkest[k] = dark[k - 1], darkest[k - 1]
                            k -= 1
                        dark[k], darkest[k] = value, other
                    if -value < light[-1]:
                        k = number - 1
                        while k > 0 and light[k - 1] > -value:
                            light[k], lightest[k] = light[k - 1], lightest[k - 1]
                            k -= 1
                        light[k], lightest[k] = -value, other
        for k in range(number):
            nearest[k] = np.sqrt(nearest[k])
        if scaled:
            total = 0.0
            for channel in range(3):
                apart = 0.0
                for k in range(number):
                    apart += flat[lightest[k], channel] - flat[darkest[k], channel]
                total += (apart / number) ** 2
            contrast[index] = np.sqrt(total)


def similar_on_device(images: Tensor, pixels: Tensor, window: int, neighbours: int, scaled: bool) -> Similar:
    """The same of the same by torch, on any device; of pixels whose colours are equally near it may choose others."""
    room = _Windows(images, window // 2)
    found = [room.similar(part, neighbours, scaled) for part in pixels.split(CHUNK)]
    return Similar(*(torch.cat(parts) for parts in zip(*found, strict=True)))


class _Windows:
    """Pictures whose windows are looked at: flattened, with a border that is infinitely far from every colour."""

    def __init__(self, images: Tensor, reach: int) -> None:
        self.height, self.width = images.shape[-2:]
        self.reach = reach
        padded = F.pad(images, (reach,) * 4, value=torch.inf)
        self.padded_width = padded.shape[-1]
        self.padded_size = padded.shape[-2] * padded.shape[-1]
        self.colours = padded.transpose(0, 1).reshape(3, -1)
        steps = torch.arange(-reach, reach + 1, device=images.device)
        self.down, self.right = (each.flatten() for each in torch.meshgrid(steps, steps, indexing="ij"))

    def similar(self, pixels: Tensor, neighbours: int, scaled: bool) -> Similar:
        """Of pixels (P,), places in the flattened maps without a border."""
        sample, place = pixels // (self.height * self.width), pixels % (self.height * self.width)
        row, column = place // self.width, place % self.width
        inside = sample * self.padded_size + (row + self.reach) * self.padded_width + column + self.reach
        there = inside[:, None] + (self.down * self.padded_width + self.right)
        squared = self.colours.new_zeros(there.shape)
        for channel in self.colours:
            squared += (channel[there] - channel[inside][:, None]).square_()
        squared[:, len(self.down) // 2] = torch.inf  # itself
        nearest = squared.topk(neighbours, 1, largest=False, sorted=False)
        others = pixels[:, None] + (self.down * self.width + self.right)[nearest.indices]
        contrast = self._contrast(there, neighbours) if scaled else self.colours.new_ones(len(pixels))
        return Similar(others, nearest.values.sqrt(), contrast)

    def _contrast(self, there: Tensor, number: int) -> Tensor:
        """|F - B| (P,): between the mean colours of so many brightest and so many darkest pixels of windows (P,window^2)."""
        bright = self.colours.sum(0)[there]
        darkest = bright.topk(number, 1, largest=False, sorted=False).indices
        brightest = bright.masked_fill_(bright.isinf(), -torch.inf).topk(number, 1, sorted=False).indices
        light, dark = (self.colours[:, there.gather(1, found)].mean(2) for found in (brightest, darkest))
        return (light - dark).square().sum(0).sqrt()
