"""By whose rules the measures are computed: the conventions of the published tables.

Published values of one model differ by convention: never mix columns of two.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsshm.errors import UserError, nearest
from wsshm.measures import MEASURES
from wsshm.metrics.kernels.steps import ARANGE, SINGLE, TENTHS


@dataclass(frozen=True)
class Convention:
    """The rules of one family of published tables.

    `mean_factor` and `dtssd_factor` multiply MSE and MAD, and dtSSD, as its tables print them. `overwrites_known`: SAD,
    MSE and MAD of the unknown region by P3M's rule. `normalises`: Grad is taken of mattes stretched to 0 .. 1.
    `wide_gradient`: Grad's 13 taps (see `kernels.gradient`), else the 9 that Deep Image Matting's evaluation uses. `steps`:
    where Conn's thresholds lie (see `kernels.steps`).
    """

    name: str
    version: str
    own_region: str
    headline: str
    grad_scale: float
    steps: int
    wide_gradient: bool = False
    normalises: bool = False
    overwrites_known: bool = False
    reports_sad: bool = True
    mean_factor: float = 1.0
    dtssd_factor: float = 1.0

    def unit(self, measure: str) -> str:
        """The unit of `measure` as this convention prints it."""
        if measure == "grad":
            return f"1/{self.grad_scale:g} of a sum over pixels"
        factor = self.factor(measure)
        return MEASURES[measure].unit if factor == 1 else f"1/{factor:g}"

    def factor(self, measure: str) -> float:
        """How many times the unscaled value of the results store this convention prints."""
        return {"mse": self.mean_factor, "mad": self.mean_factor, "dtssd": self.dtssd_factor}.get(measure, 1.0)


_RVM = {"own_region": "whole", "headline": "mad", "reports_sad": False, "mean_factor": 1000.0, "dtssd_factor": 100.0}

CONVENTIONS: dict[str, Convention] = {
    # P3M, P3M-Net, GFM and AIM
    "p3m": Convention(
        "p3m",
        "p3m-2",
        own_region="whole",
        headline="sad",
        grad_scale=10.0,
        steps=ARANGE,
        wide_gradient=True,
        overwrites_known=True,
    ),
    # Deep Image Matting's evaluation, as mmagic and PaddleSeg carry it
    "dim": Convention(
        "dim", "dim-1", own_region="unknown", headline="sad", grad_scale=1000.0, steps=TENTHS, normalises=True
    ),
    # Robust Video Matting, its high-resolution protocol
    "rvm": Convention("rvm", "rvm-2", grad_scale=1000.0, steps=SINGLE, **_RVM),  # type: ignore[arg-type]
    # its low-resolution protocol
    "rvm-lr": Convention("rvm", "rvm-lr-2", grad_scale=1000.0, steps=SINGLE, normalises=True, **_RVM),  # type: ignore[arg-type]
}


def convention_named(name: str) -> Convention:
    """The convention; UserError if there is none of that name."""
    if name not in CONVENTIONS:
        raise UserError(f"there is no convention {name!r}; {nearest(name, CONVENTIONS)}")
    return CONVENTIONS[name]
