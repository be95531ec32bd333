"""What lies near each pixel: dilation by an ellipse and sums over windows, whose time does not depend on how far "near" is.

All maps are (N,C,H,W) on any device. Running maxima and sums along the last axis do all of it; the other axis is turned
to the end and back, since a scan along the last is several times as fast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

FAR = 1 << 24  # more than any picture's side, and far from the end of int32


def ellipse_spans(radius: int) -> Tensor:
    """OpenCV's `MORPH_ELLIPSE` of size 2r+1, as (2r+1,) half-widths: row y spans round(sqrt(r^2 - y^2)) to both sides."""
    offsets = torch.arange(-radius, radius + 1)
    return torch.sqrt((radius**2 - offsets**2).double()).round().int()


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilate a binary map (0 or 1) by OpenCV's ellipse of size 2r+1, in the map's dtype.

    A pixel is set if a set pixel lies h columns and v rows away with h within the ellipse's span in row v. So each pixel
    asks its row for the nearest set pixel, which gives the number of rows that it can set upwards and downwards.
    """
    spans = ellipse_spans(radius)[radius:]
    # How many rows away a pixel is set by one that lies h columns aside, for h of 0 to r; from r + 1 on never.
    reaches = (spans[None] >= torch.arange(radius + 1)[:, None]).int().sum(1) - 1
    reaches = F.pad(reaches, (0, 1), value=-FAR).int().to(mask.device)
    aside = _nearest(mask > 0.5).clamp_max(radius + 1)
    reach = reaches[aside.long()].transpose(-1, -2)
    from_above, from_below = (_running(reach, back) for back in (False, True))
    return ((from_above >= 0) | (from_below >= 0)).transpose(-1, -2).to(mask.dtype)


def window_sum(values: Tensor, size: int) -> Tensor:
    """Sum a map of whole numbers over the window of an odd `size` around each pixel, zeros beyond the border; exact."""
    for _ in range(2):
        values = _sum_along_rows(values, size).transpose(-1, -2)
    return values


def _nearest(occupied: Tensor) -> Tensor:
    """Columns to the nearest occupied pixel of the same row, int32; at least `FAR` if there is none."""
    here = torch.where(occupied, 0, -FAR).int()
    return -torch.maximum(_running(here, False), _running(here, True))


def _running(values: Tensor, back: bool) -> Tensor:
    """The largest of `values` at each place or before it along the last axis (after it, if `back`), less its distance."""
    if back:
        return _running(values.flip(-1), False).flip(-1)
    places = torch.arange(values.shape[-1], dtype=values.dtype, device=values.device)
    return torch.cummax(values + places, -1).values - places


def _sum_along_rows(values: Tensor, size: int) -> Tensor:
    reach = size // 2
    # float32 would round running sums from 2^24 on; integers also add up to the same in any order, as CUDA likes it.
    running = torch.cumsum(F.pad(values, (reach + 1, reach)), -1, dtype=torch.int64)
    return (running[..., size:] - running[..., :-size]).to(values.dtype)
