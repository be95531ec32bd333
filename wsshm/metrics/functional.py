"""One function a measure, for NumPy arrays and torch tensors.

Arrays are HxW and give a float. Tensors are HxW, NxHxW or Nx1xHxW and give float64, a value an image: () or (N,), on the
tensor's device. All values are in [0,1]; a trimap has its matte's shape and the values 0, 128 and 255, and is derived
from the label if there is none. `region` is by default the convention's own: whole for p3m and rvm, unknown for dim.
A mean over an empty region is NaN. For several measures of one image `wsshm.metrics.score` shares the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from wsshm.errors import UserError
from wsshm.metrics.conventions import convention_named
from wsshm.metrics.inputs import as_pair, clipped, is_tensor
from wsshm.metrics.kernels.contour import boundary_f as _boundary_f
from wsshm.metrics.scores import checked_region, summed_image
from wsshm.metrics.sequence import dtssd as _dtssd


def sad(matte: Any, label: Any, trimap: Any = None, *, region: str | None = None, convention: str = "p3m") -> Any:
    """Sum of absolute differences, in thousands of pixels; convention rvm does not report it (UserError)."""
    return _measured("sad", matte, label, trimap, region, convention)


def mse(matte: Any, label: Any, trimap: Any = None, *, region: str | None = None, convention: str = "p3m") -> Any:
    """Mean squared error; times 1000 in convention rvm."""
    return _measured("mse", matte, label, trimap, region, convention)


def mad(matte: Any, label: Any, trimap: Any = None, *, region: str | None = None, convention: str = "p3m") -> Any:
    """Mean absolute difference; times 1000 in convention rvm."""
    return _measured("mad", matte, label, trimap, region, convention)


def grad(matte: Any, label: Any, trimap: Any = None, *, region: str | None = None, convention: str = "p3m") -> Any:
    """Gradient error, see `wsshm.metrics.kernels.gradient`."""
    return _measured("grad", matte, label, trimap, region, convention)


def conn(matte: Any, label: Any, trimap: Any = None, *, region: str | None = None, convention: str = "p3m") -> Any:
    """Connectivity error in thousands of pixels, see `wsshm.metrics.kernels.connectivity`."""
    return _measured("conn", matte, label, trimap, region, convention)


def iou(matte: Any, mask: Any) -> Any:
    """Intersection over union of both cut at alpha >= 0.5; 1 where neither holds a person."""
    return _measured("iou", matte, mask, None, "whole", "p3m")


def boundary_f(matte: Any, mask: Any) -> Any:
    """F measure of the outlines of both cut at alpha >= 0.5, see `wsshm.metrics.kernels.contour`."""

    def one(matte: Any, mask: Any) -> float:
        p, g = as_pair(matte, mask)
        return _boundary_f(clipped(p, "matte"), clipped(g, "mask"))

    return _by_image(one, matte, mask)


def dtssd(matte: Any, previous_matte: Any, label: Any, previous_label: Any, *, convention: str = "p3m") -> Any:
    """Temporal error of frames against the ones before them, see `wsshm.metrics.sequence`; times 100 in rvm."""

    one = partial(_dtssd, convention=convention)
    return _by_image(one, matte, previous_matte, label, previous_label)


def checked_place(measure: str, region: str | None, convention: str) -> str:
    """The region, by default the convention's own; UserError where the measure is not defined there."""
    rules = convention_named(convention)
    place = checked_region(region) if region else rules.own_region
    if place == "boundary" and measure != "mad":
        raise UserError(f"{measure} is not defined over region 'boundary', which has mad alone; take another region")
    if measure == "sad" and not rules.reports_sad:
        raise UserError(f"convention {convention} does not report SAD; take mad")
    return place


def _measured(measure: str, matte: Any, label: Any, trimap: Any, region: str | None, convention: str) -> Any:
    place = checked_place(measure, region, convention)

    def one(matte: Any, label: Any, trimap: Any = None) -> float:
        summed, _ = summed_image(
            matte, label, trimap, convention, {place}, grad=measure == "grad", conn=measure == "conn"
        )
        value = summed.value(measure, place)
        return math.nan if value is None else value

    return _by_image(one, matte, label, *([] if trimap is None else [trimap]))


def _by_image(function: Callable[..., float], *images: Any) -> Any:
    """`function` of every image of tensors with leading dimensions (N) or (N, 1); of arrays, of the one image."""
    first = images[0]
    if not is_tensor(first):
        return function(*images)
    import torch

    if first.ndim == 2:
        return torch.tensor(function(*images), dtype=torch.float64, device=first.device)
    return torch.tensor([function(*each) for each in in_step(*images)], dtype=torch.float64, device=first.device)


def in_step(*batches: Any) -> Iterator[tuple[Any, ...]]:
    """The HxW images of batches, one of each at a time. Raises UserError for batches of other shapes or lengths."""
    stacks = [_stack(batch) for batch in batches]
    if len({len(stack) for stack in stacks}) > 1:
        raise UserError(f"the batches hold {', '.join(str(len(stack)) for stack in stacks)} images; give one of each")
    return zip(*stacks, strict=True)


def _stack(batch: Any) -> Any:
    """An N x H x W view of a batch of N x H x W, N x 1 x H x W, or one image H x W; UserError for other shapes."""
    if batch.ndim == 2:
        return batch[None]
    if batch.ndim == 4 and batch.shape[1] == 1:
        return batch[:, 0]
    if batch.ndim == 3:
        return batch
    raise UserError(f"a batch has shape {tuple(batch.shape)}; give H x W, N x H x W or N x 1 x H x W")
