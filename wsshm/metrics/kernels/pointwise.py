"""The kernel behind SAD, MSE, MAD and IoU: one pass over two mattes gathers every sum that the regions need.

In passing it notes which of Conn's thresholds both mattes reach. Zones are the regions of a trimap that exclude one
another; an image without a trimap is all in zone 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsshm.metrics.kernels.compiled import compiled_sums
from wsshm.metrics.kernels.components import padded_width
from wsshm.metrics.kernels.steps import steps_reached
from wsshm.metrics.kernels.strips import STRIP, Crew
from wsshm.metrics.trimap import FOREGROUND, HIGH, LOW, UNKNOWN

ZONES = ("background", "unknown", "foreground")

# columns of the kernel's output
_SAD, _SQUARES, _COUNT, _KNOWN_SAD, _KNOWN_SQUARES = 0, 3, 6, 9, 10
_FRACTIONAL_SAD, _FRACTIONAL, _BOTH, _EITHER, _OUTSIDE, COLUMNS = 11, 12, 13, 14, 15, 16


@dataclass(frozen=True)
class Sums:
    """Sums over the pixels of an image; (3,) arrays are by zone. `outside` counts values that are not in [0,1]."""

    absolute: NDArray[np.float64]
    squares: NDArray[np.float64]
    pixels: NDArray[np.float64]
    known_absolute: float
    known_squares: float
    boundary_absolute: float
    boundary_pixels: int
    both: int
    either: int
    outside: int


def pointwise_sums(
    crew: Crew,
    matte: NDArray[np.floating],
    label: NDArray[np.floating],
    zones: NDArray[np.uint8] | None,
    rule: int,
) -> tuple[Sums, NDArray[np.uint8]]:
    """Sums over an HxW matte and label of one dtype; `zones` is HxW of 0, 1, 2 in the order of `ZONES`.

    Without zones all stands in zone 0, and the sums over the known and the fractional pixels stay 0. `known_absolute`
    and `known_squares` are the errors of the known zones after P3M's overwriting. Also each pixel's agreed level, H x
    padded_width: the number of the thresholds of `rule` (see `steps`) that both mattes reach; 0 in the padding. Levels mean
    nothing where a value is outside [0,1].
    """
    levels = np.empty((label.shape[0], padded_width(label.shape[1])), np.uint8)
    total = crew.sum(label.shape[0], COLUMNS, _sums, matte, label, zones, rule, levels)
    sums = Sums(
        total[_SAD : _SAD + 3],
        total[_SQUARES : _SQUARES + 3],
        total[_COUNT : _COUNT + 3],
        float(total[_KNOWN_SAD]),
        float(total[_KNOWN_SQUARES]),
        float(total[_FRACTIONAL_SAD]),
        *(int(total[column]) for column in (_FRACTIONAL, _BOTH, _EITHER, _OUTSIDE)),
    )
    return sums, levels


def zones_of(trimap: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A trimap of 0, 128 and 255 as zones."""
    return (trimap >= UNKNOWN).astype(np.uint8) + (trimap == FOREGROUND)


@compiled_sums
def _sums(first, end, matte, label, zones, rule, levels, out):
    height, width = label.shape
    error = np.empty(width)
    for y in range(first * STRIP, min(end * STRIP, height)):
        p, g, level, sums = matte[y], label[y], levels[y], out[y // STRIP]
        absolute = squares = 0.0
        either = outside = both = 0
        for x in range(width):
            a, b = np.float64(p[x]), np.float64(g[x])
            low, high = (b, a) if b < a else (a, b)
            difference = high - low
            error[x] = difference
            absolute += difference
            squares += difference * difference
            either += high >= 0.5
            outside += not ((low >= 0.0) & (high <= 1.0))  # also counts NaN
            both += low >= 0.5
            level[x] = steps_reached(low, rule)
        level[width:] = 0
        sums[_EITHER] += either
        sums[_BOTH] += both
        sums[_OUTSIDE] += outside
        if zones is None:
            sums[_SAD] += absolute
            sums[_SQUARES] += squares
            sums[_COUNT] += width
        else:
            _by_region(error, g, zones[y], sums)


@compiled_sums
def _by_region(error, label, zone, sums):
    add_by_zone(error, zone, sums[_SAD : _SAD + 3])
    fractional_error = known = known_squares = 0.0
    fractional = n1 = n2 = 0
    for x in range(error.size):
        alpha = np.float64(label[x])
        inside = (alpha > LOW) & (alpha < HIGH)
        fractional += inside
        fractional_error += error[x] if inside else 0.0
        n1 += zone[x] == 1
        n2 += zone[x] == 2
        rest = alpha if zone[x] == 0 else (1.0 - alpha if zone[x] == 2 else 0.0)
        known += rest
        known_squares += rest * rest
    for x in range(error.size):
        error[x] *= error[x]
    add_by_zone(error, zone, sums[_SQUARES : _SQUARES + 3])
    sums[_COUNT] += error.size - n1 - n2
    sums[_COUNT + 1] += n1
    sums[_COUNT + 2] += n2
    sums[_FRACTIONAL_SAD] += fractional_error
    sums[_FRACTIONAL] += fractional
    sums[_KNOWN_SAD] += known
    sums[_KNOWN_SQUARES] += known_squares


@compiled_sums
def add_by_zone(values, zone, out):
    """Add each of a row's values to the sum of its zone."""
    a = b = c = 0.0
    for x in range(values.size):
        a += values[x] if zone[x] == 0 else 0.0
        b += values[x] if zone[x] == 1 else 0.0
        c += values[x] if zone[x] == 2 else 0.0
    out[0] += a
    out[1] += b
    out[2] += c
