"""The field's error measures of a matte, in the convention `p3m` that P3M, GFM and AIM share.

`score` is the one door. Values are per image and unscaled beyond the field's own factors; a data set's value is the
plain mean over its images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError
from wsshm.metrics.connectivity import connectivity_error_map
from wsshm.metrics.gradient import gradient_error_map
from wsshm.metrics.sad_mse import iou, mad, mse, sad, unknown_errors
from wsshm.metrics.trimap import BACKGROUND, FOREGROUND, UNKNOWN, boundary, derive_trimap, unknown_radius

CONVENTION = "p3m"
METRIC_VERSION = "p3m-1"  # rises with every change that can change a value
ROUNDING = 1e-6  # how far beyond [0,1] a resampled alpha may lie; it is clipped


@dataclass(frozen=True)
class Measure:
    """What a measure's numbers mean."""

    unit: str
    higher_is_better: bool
    about: str


MEASURES: dict[str, Measure] = {
    "sad": Measure("thousands of pixels", False, "sum of absolute differences"),
    "mse": Measure("1", False, "mean squared error"),
    "mad": Measure("1", False, "mean absolute difference"),
    "grad": Measure("1/10 of a sum over pixels", False, "squared difference of the gradients' magnitudes"),
    "conn": Measure("thousands of pixels", False, "difference of the degrees of connectedness"),
    "iou": Measure("1", True, "intersection over union at alpha 0.5"),
}


@dataclass(frozen=True)
class RegionScores:
    """One image's measures over one region; None where a measure is not defined there.

    `unknown_px` is the dilation radius of the unknown region where it was derived from the label, in pixels.
    """

    region: str
    unknown_px: int | None = None
    sad: float | None = None
    mse: float | None = None
    mad: float | None = None
    grad: float | None = None
    conn: float | None = None
    iou: float | None = None

    def as_row(self) -> dict[str, Any]:
        """The columns that a score knows: region and measures, convention and metric_version."""
        return {"convention": CONVENTION, "metric_version": METRIC_VERSION, **asdict(self)}


def score(
    matte: NDArray[np.floating], label: NDArray[np.floating], trimap: NDArray[np.uint8] | None = None
) -> list[RegionScores]:
    """Measures of the prediction `matte` against `label`, both HxW in [0,1], over three regions.

    `whole`: everything. `unknown`: where `trimap` (HxW of 0, 128, 255) is 128; without a trimap it is derived from the
    label, see `derive_trimap`. SAD, MSE and MAD follow `unknown_errors`; Grad and Conn are the whole image's per-pixel
    terms summed over the region, which is this suite's own choice as the convention has none. `boundary`: MAD over the
    label's fractional pixels, 0.05 < alpha < 0.95. Means over an empty region are None.

    Raises UserError for a value outside [0,1] by more than rounding, NaN, an empty image, differing shapes or other
    trimap values.
    """
    matte, label = _checked(matte, "matte"), _checked(label, "label")
    if matte.shape != label.shape:
        raise UserError(f"the matte is {_size(matte)} but its label is {_size(label)}; resize the matte to its label")
    radius = None
    if trimap is None:
        radius = unknown_radius(*label.shape)
        trimap = derive_trimap(label, radius)
    else:
        _check_trimap(trimap, label)

    grad, conn = gradient_error_map(matte, label), connectivity_error_map(matte, label)
    unknown, fractional = trimap == UNKNOWN, boundary(label)
    unknown_sad, unknown_mse, unknown_mad = unknown_errors(matte, label, trimap)
    return [
        RegionScores(
            "whole",
            sad=sad(matte, label),
            mse=mse(matte, label),
            mad=mad(matte, label),
            grad=float(grad.sum()),
            conn=float(conn.sum()),
            iou=iou(matte, label),
        ),
        RegionScores(
            "unknown",
            unknown_px=radius,
            sad=unknown_sad,
            mse=unknown_mse,
            mad=unknown_mad,
            grad=float(grad[unknown].sum()),
            conn=float(conn[unknown].sum()),
        ),
        RegionScores("boundary", mad=mad(matte[fractional], label[fractional]) if fractional.any() else None),
    ]


def _checked(alpha: NDArray[np.floating], name: str) -> NDArray[np.float64]:
    """`alpha` as float64, in which thresholds such as 0.1 are compared."""
    checked: NDArray[np.float64] = np.asarray(alpha, dtype=np.float64)
    if checked.ndim != 2 or checked.size == 0:
        raise UserError(f"the {name} has shape {checked.shape}; give a height x width array")
    low, high = checked.min(), checked.max()
    if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):  # also true for NaN
        raise UserError(f"the {name} holds values from {low:g} to {high:g}; give alpha in [0, 1] (8-bit values / 255)")
    return checked.clip(0.0, 1.0)


def _check_trimap(trimap: NDArray[np.uint8], label: NDArray[np.float64]) -> None:
    if trimap.shape != label.shape:
        raise UserError(f"the trimap is {_size(trimap)} but its label is {_size(label)}; give the label's own trimap")
    odd = np.setdiff1d(trimap, (BACKGROUND, UNKNOWN, FOREGROUND))
    if odd.size:
        raise UserError(f"the trimap holds the value {odd[0]}; give one of 0, 128 (unknown) and 255 only")


def _size(image: NDArray[Any]) -> str:
    return " x ".join(map(str, image.shape))
