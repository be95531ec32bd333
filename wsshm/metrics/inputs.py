"""Mattes, labels and trimaps as the kernels take them, or one sentence why they cannot."""

from __future__ import annotations

import math
import sys
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError
from wsshm.metrics.trimap import BACKGROUND, FOREGROUND, UNKNOWN

LAYOUT: tuple[Literal["C", "ALIGNED", "WRITEABLE"], ...] = ("C", "ALIGNED", "WRITEABLE")
LEVELS = 65535  # of 16 bits; 255 divides it, so k / 255 is one of them
ROUNDING = 1e-6  # how far beyond [0,1] a resampled alpha may lie; it is clipped

Alpha = NDArray[np.float32] | NDArray[np.float64]


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def on_accelerator(value: Any) -> bool:
    """Whether `value` is a tensor that is not in the CPU's memory."""
    return is_tensor(value) and value.device.type != "cpu"


def as_pair(matte: Any, label: Any) -> tuple[Alpha, Alpha]:
    """Two HxW arrays or tensors, contiguous, writable and of one floating type: what the loops are compiled for.

    float32 stays what it is, as its values are compared in float64 later; anything else becomes float64. Raises
    UserError for other shapes.
    """
    p, g = as_image(matte, "matte"), as_image(label, "label")
    check_pair(p, g)
    kind = np.float32 if p.dtype == g.dtype == np.float32 else np.float64
    return np.require(p, kind, LAYOUT), np.require(g, kind, LAYOUT)


def as_image(alpha: Any, name: str) -> NDArray[Any]:
    """An HxW array of an array, a nested list or a tensor. Raises UserError for other shapes."""
    if is_tensor(alpha):
        alpha = alpha.detach().cpu()
        if alpha.dtype.is_floating_point and alpha.dtype.itemsize < 4:  # NumPy has no bfloat16
            alpha = alpha.float()
    array = np.asarray(alpha)
    if array.ndim != 2 or array.size == 0:
        raise UserError(f"the {name} has shape {array.shape}; give a height x width array")
    return array


def exact_levels(alpha: NDArray[Any]) -> NDArray[Any]:
    """A float32 alpha that holds nothing but 8- or 16-bit levels, k / 255 or k / 65535, in float64; else `alpha` itself.

    Files are read as float32, in which 153/255 is larger than 0.6. Public scripts divide in float64, where it is not
    larger; convention p3m tells the two apart (see `steps`).
    """
    if alpha.dtype != np.float32:
        return alpha
    levels: NDArray[np.float64] = np.rint(alpha * np.float64(LEVELS)) / LEVELS
    return levels if np.array_equal(levels.astype(np.float32), alpha) else alpha


def check_pair(matte: Any, label: Any) -> None:
    """UserError unless both have one height and width."""
    if matte.shape != label.shape:
        raise UserError(f"the matte is {_size(matte)} but its label is {_size(label)}; resize the matte to its label")


def clipped(alpha: Alpha, name: str) -> Alpha:
    """`alpha` without what lies beyond [0,1] by rounding. Raises UserError for other values, and NaN."""
    check_range(float(alpha.min()), float(alpha.max()), name)
    return alpha.clip(0.0, 1.0)


def check_range(low: float, high: float, name: str) -> None:
    """UserError where an alpha's extremes are NaN, or not in [0,1] but for rounding."""
    if math.isnan(low) or math.isnan(high):
        raise UserError(f"the {name} holds NaN; give alpha in [0, 1] (8-bit values / 255)")
    if low < -ROUNDING or high > 1.0 + ROUNDING:
        raise UserError(f"the {name} holds values from {low:g} to {high:g}; give alpha in [0, 1] (8-bit values / 255)")


def checked_trimap(trimap: Any, label: Any) -> NDArray[np.uint8]:
    """A trimap of its label's size with no other values than 0, 128 and 255, else UserError."""
    array = as_image(trimap, "trimap")
    if array.shape != label.shape:
        raise UserError(f"the trimap is {_size(array)} but its label is {_size(label)}; give the label's own trimap")
    fine = (array == BACKGROUND) | (array == UNKNOWN) | (array == FOREGROUND)
    if not fine.all():
        raise UserError(f"the trimap holds the value {array[~fine].min()}; give one of 0, 128 (unknown) and 255 only")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _size(image: Any) -> str:
    return " x ".join(map(str, image.shape))
