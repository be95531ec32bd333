"""The sums behind the measures, for tensors on an accelerator: all but Conn's components are found there.

Where a validation runs on a GPU its mattes lie there already. Connected components are a poor fit for one: the map of
agreed levels, one byte a pixel, goes to the CPU and the connected levels come back. In float32 values agree with the
CPU's to 1e-4, in float64 to 1e-9; sums are float64 throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from wsshm.errors import UserError
from wsshm.metrics.conventions import Convention
from wsshm.metrics.inputs import check_pair, check_range
from wsshm.metrics.kernels.components import padded_width
from wsshm.metrics.kernels.connectivity import SCALE, TOLERANCE, connected_levels
from wsshm.metrics.kernels.gradient import NARROW, WIDE, Taps
from wsshm.metrics.kernels.pointwise import Sums
from wsshm.metrics.kernels.steps import ARANGE, SINGLE, STEPS
from wsshm.metrics.kernels.strips import crew
from wsshm.metrics.tally import Tally
from wsshm.metrics.trimap import BOUNDARY


def as_pair(matte: Tensor, label: Any) -> tuple[Tensor, Tensor]:
    """Two HxW tensors on the matte's device, float64 if one of them is, else float32. Raises UserError for other shapes."""
    pair = matte.detach(), torch.as_tensor(label, device=matte.device).detach()
    for alpha, name in zip(pair, ("matte", "label"), strict=True):
        if alpha.ndim != 2 or not alpha.numel():
            raise UserError(f"the {name} has shape {tuple(alpha.shape)}; give a height x width array")
    check_pair(*pair)
    kind = torch.float64 if torch.float64 in (pair[0].dtype, pair[1].dtype) else torch.float32
    return pair[0].to(kind), pair[1].to(kind)


def tally(
    matte: Tensor,
    label: Tensor,
    zones: NDArray[np.uint8] | None,
    rules: Convention,
    *,
    grad: bool = True,
    conn: bool = True,
) -> Tally:
    """Sums over an HxW matte and a label, see `as_pair` and `wsshm.metrics.tally.tally`."""
    matte, label = as_pair(matte, label)
    p, g = _within_range(matte, "matte"), _within_range(label, "label")
    place = torch.zeros_like(p, dtype=torch.uint8) if zones is None else torch.from_numpy(zones).to(p.device)
    parts = torch.stack([place == zone for zone in range(3)])
    return Tally(
        rules,
        _pointwise(p, g, parts, zones is None),
        _by_zone(_gradient_errors(p, g, rules), parts) / rules.grad_scale if grad else None,
        _by_zone(_connectivity_errors(p, g, rules.steps), parts) / SCALE if conn else None,
    )


def _within_range(alpha: Tensor, name: str) -> Tensor:
    low, high = torch.aminmax(alpha)
    check_range(float(low), float(high), name)
    return alpha.clamp(0.0, 1.0)


def _pointwise(p: Tensor, g: Tensor, parts: Tensor, whole_only: bool) -> Sums:
    error = (p - g).abs()
    fractional = (g.double() > BOUNDARY[0]) & (g.double() < BOUNDARY[1])
    known = torch.zeros_like(g) if whole_only else torch.where(parts[0], g, torch.where(parts[2], 1 - g, 0.0))
    return Sums(
        _by_zone(error, parts),
        _by_zone(error.square(), parts),
        parts.sum(dim=(1, 2)).double().cpu().numpy(),
        _sum(known),
        _sum(known.square()),
        _sum(error * fractional),
        int(fractional.sum()),
        int(((p >= 0.5) & (g >= 0.5)).sum()),
        int(((p >= 0.5) | (g >= 0.5)).sum()),
        outside=0,
    )


def _sum(values: Tensor) -> float:
    return float(values.sum(dtype=torch.float64))


def _by_zone(values: Tensor, parts: Tensor) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = (values * parts).sum(dim=(1, 2), dtype=torch.float64).cpu().numpy()
    return sums


def _gradient_errors(p: Tensor, g: Tensor, rules: Convention) -> Tensor:
    taps = WIDE if rules.wide_gradient else NARROW
    pair = torch.stack([p, g])
    if rules.normalises:
        low, high = pair.amin(dim=(1, 2), keepdim=True), pair.amax(dim=(1, 2), keepdim=True)
        pair = torch.where(high > low, (pair - low) / (high - low), 0.0)
    mine, true = _magnitudes(pair[:, None], taps)[:, 0]
    return (mine - true).square()


def _magnitudes(alpha: Tensor, taps: Taps) -> Tensor:
    """Gradient magnitudes of N x 1 x H x W mattes."""
    reach = len(taps.smooth) - 1
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(size), reach, mode="symmetric" if taps.mirrors else "edge"))
        for size in alpha.shape[2:]
    )
    wide = alpha[:, :, rows.to(alpha.device)][..., columns.to(alpha.device)]
    half = alpha.new_tensor([taps.smooth, taps.slope])
    smooth = torch.cat([half[0].flip(0), half[0, 1:]])
    slope = torch.cat([-half[1].flip(0), half[1, 1:]])
    across = F.conv2d(F.conv2d(wide, slope[None, None, None]), smooth[None, None, :, None])
    down = F.conv2d(F.conv2d(wide, smooth[None, None, None]), slope[None, None, :, None])
    return torch.hypot(across, down)


def _connectivity_errors(p: Tensor, g: Tensor, rule: int) -> Tensor:
    height, width = p.shape
    kind = torch.float32 if rule == SINGLE else torch.float64
    thresholds = torch.arange(1, STEPS + 1, dtype=torch.float64, device=p.device)
    thresholds = (thresholds * 0.1 if rule == ARANGE else thresholds / STEPS).to(kind)
    agreed = torch.minimum(p, g).to(kind)
    reached = torch.bucketize(agreed, thresholds, right=True, out_int32=True).to(torch.uint8)
    levels = np.zeros((height, padded_width(width)), np.uint8)
    levels[:, :width] = reached.cpu().numpy()
    with crew(None, height) as workers:
        connected_there = connected_levels(levels, workers)[:, :width]
    connected = torch.from_numpy(connected_there).to(p.device)
    level = connected.double() / STEPS
    if rule == ARANGE:
        level = level.float().double()
    mine, true = ((d * (d >= TOLERANCE)) for d in (p.double() - level, g.double() - level))
    return (mine - true).abs()
