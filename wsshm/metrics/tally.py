"""What is summed over one image's pixels, and how every measure of every region follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsshm.metrics.conventions import Convention
from wsshm.metrics.inputs import Alpha, clipped
from wsshm.metrics.kernels.connectivity import connectivity_sums
from wsshm.metrics.kernels.gradient import gradient_sums
from wsshm.metrics.kernels.pointwise import ZONES, Sums, pointwise_sums
from wsshm.metrics.kernels.strips import crew

THOUSAND = 1000.0  # SAD is printed in thousands of pixels


@dataclass(frozen=True)
class Tally:
    """Sums over an image: `grad` and `conn` (3,) by zone, or None where they were not asked for."""

    rules: Convention
    sums: Sums
    grad: NDArray[np.float64] | None
    conn: NDArray[np.float64] | None

    def value(self, measure: str, region: str) -> float | None:
        """A measure over a region in the convention's units, None where it is not defined; see `scores.score`."""
        if region == "boundary":
            return self._mean(self.sums.boundary_absolute, self.sums.boundary_pixels) if measure == "mad" else None
        part = slice(None) if region == "whole" else ZONES.index(region)
        # P3M's rule: the known pixels, overwritten, still count in the unknown region's sums
        overwritten = region == "unknown" and self.rules.overwrites_known
        sums = self.sums
        if measure == "mse":
            squares = _total(sums.squares, part) + (sums.known_squares if overwritten else 0.0)
            return self._mean(squares, int(_total(sums.pixels, part)))
        if measure in ("sad", "mad"):
            absolute = _total(sums.absolute, part) + (sums.known_absolute if overwritten else 0.0)
            if measure == "mad":
                return self._mean(absolute, int(_total(sums.pixels, part)))
            return absolute / THOUSAND if self.rules.reports_sad else None
        if measure == "grad" and self.grad is not None:
            return _total(self.grad, part)
        if measure == "conn" and self.conn is not None:
            return _total(self.conn, part)
        if measure == "iou" and region == "whole":
            return sums.both / sums.either if sums.either else 1.0
        return None

    def _mean(self, total: float, pixels: int) -> float | None:
        return self.rules.mean_factor * total / pixels if pixels else None


def _total(by_zone: NDArray[np.float64], part: slice | int) -> float:
    return float(np.sum(by_zone[part]))


def tally(
    matte: Alpha,
    label: Alpha,
    zones: NDArray[np.uint8] | None,
    rules: Convention,
    *,
    grad: bool = True,
    conn: bool = True,
    threads: int | None = None,
) -> Tally:
    """Sums over an HxW matte and label of one dtype, contiguous; without `zones` only the whole image has values.

    Raises UserError for values outside [0,1] by more than rounding, and NaN.
    """
    with crew(threads, label.shape[0]) as workers:
        sums, levels = pointwise_sums(workers, matte, label, zones, rules.steps)
        if sums.outside:
            matte, label = clipped(matte, "matte"), clipped(label, "label")
            sums, levels = pointwise_sums(workers, matte, label, zones, rules.steps)
        return Tally(
            rules,
            sums,
            gradient_sums(workers, matte, label, zones, rules) if grad else None,
            connectivity_sums(workers, matte, label, zones, levels, rules.steps) if conn else None,
        )
