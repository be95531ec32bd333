"""What is measured and by whose rules: the measures, the regions, and the conventions of the published tables.

Published values of one model differ by convention: never mix columns of two.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsshm.errors import UserError, nearest

REGIONS = ("whole", "unknown", "boundary", "foreground", "background")
"""`unknown`, `foreground` and `background` are the trimap's; `boundary` is where 0.05 < label < 0.95."""

THOUSANDS = "thousands of pixels"


@dataclass(frozen=True)
class Measure:
    """What a measure's numbers mean."""

    about: str
    higher_is_better: bool = False


MEASURES: dict[str, Measure] = {
    "sad": Measure("sum of absolute differences"),
    "mse": Measure("mean squared error"),
    "mad": Measure("mean absolute difference"),
    "grad": Measure("squared difference of the gradients' magnitudes"),
    "conn": Measure("difference of the degrees of connectedness"),
    "iou": Measure("intersection over union at alpha 0.5", higher_is_better=True),
    "boundary_f": Measure("F measure of the boundary at alpha 0.5", higher_is_better=True),
    "dtssd": Measure("difference of the changes between two frames"),
}


@dataclass(frozen=True)
class Convention:
    """The rules of one family of published tables.

    `mean_factor` and `dtssd_factor` multiply MSE and MAD, and dtSSD, as its tables print them. `overwrites_known`: SAD,
    MSE and MAD of the unknown region by P3M's rule. `normalises`: Grad is taken of mattes stretched to 0 .. 1.
    `wide_gradient`: Grad's 13 taps (see gradient.py), else the 9 that Deep Image Matting's evaluation uses.
    """

    name: str
    version: str
    own_region: str
    headline: str
    grad_scale: float
    wide_gradient: bool = False
    normalises: bool = False
    overwrites_known: bool = False
    reports_sad: bool = True
    mean_factor: float = 1.0
    dtssd_factor: float = 1.0

    def unit(self, measure: str) -> str:
        """The unit of `measure` as this convention prints it."""
        if measure in ("sad", "conn"):
            return THOUSANDS
        if measure == "grad":
            return f"1/{self.grad_scale:g} of a sum over pixels"
        return {1.0: "1", 100.0: "1/100", 1000.0: "1/1000"}[self.factor(measure)]

    def factor(self, measure: str) -> float:
        """How many times the unscaled value of the results store this convention prints."""
        return {"mse": self.mean_factor, "mad": self.mean_factor, "dtssd": self.dtssd_factor}.get(measure, 1.0)


_RVM = {"own_region": "whole", "headline": "mad", "reports_sad": False, "mean_factor": 1000.0, "dtssd_factor": 100.0}

CONVENTIONS: dict[str, Convention] = {
    # P3M, P3M-Net, GFM and AIM
    "p3m": Convention(
        "p3m", "p3m-1", own_region="whole", headline="sad", grad_scale=10.0, wide_gradient=True, overwrites_known=True
    ),
    # Deep Image Matting's evaluation, as mmagic and PaddleSeg carry it
    "dim": Convention("dim", "dim-1", own_region="unknown", headline="sad", grad_scale=1000.0, normalises=True),
    # Robust Video Matting, its high-resolution protocol
    "rvm": Convention("rvm", "rvm-1", grad_scale=1000.0, **_RVM),  # type: ignore[arg-type]
    # its low-resolution protocol
    "rvm-lr": Convention("rvm", "rvm-lr-1", grad_scale=1000.0, normalises=True, **_RVM),  # type: ignore[arg-type]
}


def convention_named(name: str) -> Convention:
    """The convention; UserError where there is none of that name."""
    if name not in CONVENTIONS:
        raise UserError(f"there is no convention {name!r}; {nearest(name, CONVENTIONS)}")
    return CONVENTIONS[name]
