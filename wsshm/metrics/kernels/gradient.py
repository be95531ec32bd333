"""The gradient error (Rhemann et al. 2009): the squared difference of two mattes' gradient magnitudes.

Both kinds of kernel are first derivatives of a Gaussian with sigma 1.4, so separable; they differ in extent, border and
scale: their norms are as 0.966 to 1, and the outcome on an edge or a ramp a few percent further apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsshm.metrics.conventions import Convention
from wsshm.metrics.kernels.compiled import compiled, compiled_sums
from wsshm.metrics.kernels.pointwise import add_by_zone
from wsshm.metrics.kernels.strips import STRIP, Crew

SIGMA = 1.4
TRUNCATE = 4.0  # of the wide kernel, in sigmas: 13 taps
EPSILON = 1e-2  # the narrow kernel ends where the Gaussian falls below it: 9 taps
NEARLY_CONSTANT = 1e-6  # a matte of a smaller range is stretched before its slopes are taken: they would be rounding
TILE = 128  # columns worked on at once, so that the rows in flight stay in the cache


@dataclass(frozen=True)
class Taps:
    """One half, from the centre out, of a Gaussian (`smooth`, symmetric) and its derivative (`slope`, antisymmetric).

    `mirrors`: beyond the border the image goes on mirrored about the pixels' edge; else its last pixel is repeated.
    """

    smooth: tuple[float, ...]
    slope: tuple[float, ...]
    mirrors: bool


def wide_taps() -> Taps:
    """Convention p3m's: cut at 4 sigma, the Gaussian's taps sum to 1, the derivative is not normalised."""
    gaussian = _gaussian(int(TRUNCATE * SIGMA + 0.5))
    gaussian /= 2 * gaussian.sum() - gaussian[0]
    offsets = np.arange(gaussian.size)
    return Taps(tuple(gaussian), tuple(offsets / SIGMA**2 * gaussian), mirrors=True)


def narrow_taps() -> Taps:
    """Conventions dim's and rvm's: cut where the Gaussian falls below 0.01, the two-dimensional kernel of norm 1."""
    radius = math.ceil(SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * SIGMA * EPSILON)))
    gaussian = _gaussian(radius)
    slope = np.arange(gaussian.size) * gaussian
    smooth = gaussian / math.sqrt(2 * (gaussian**2).sum() - gaussian[0] ** 2)
    return Taps(tuple(smooth), tuple(slope / math.sqrt(2 * (slope**2).sum())), mirrors=False)


def _gaussian(radius: int) -> NDArray[np.float64]:
    gaussian: NDArray[np.float64] = np.exp(-(np.arange(radius + 1) ** 2) / (2 * SIGMA**2))
    return gaussian


def gradient_sums(
    crew: Crew,
    matte: NDArray[np.floating],
    label: NDArray[np.floating],
    zones: NDArray[np.uint8] | None,
    convention: Convention,
) -> NDArray[np.float64]:
    """Grad by zone, (3,), of an HxW matte and label of one dtype; without zones all of it stands in zone 0."""
    taps = WIDE if convention.wide_gradient else NARROW
    stretch_p = stretch_g = 1.0
    if convention.normalises:
        (matte, stretch_p), (label, stretch_g) = _normalised(matte), _normalised(label)
        if matte.dtype != label.dtype:
            matte, label = matte.astype(np.float64), label.astype(np.float64)
    settings = (taps.smooth, taps.slope, taps.mirrors, stretch_p, stretch_g)
    return crew.sum(label.shape[0], 3, _errors, matte, label, zones, *settings) / convention.grad_scale


def _normalised(alpha: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
    """`alpha` and what multiplies its slopes where it is stretched to 0 .. 1; a constant one becomes 0 everywhere."""
    low, high = float(alpha.min()), float(alpha.max())
    extent = high - low
    if 0 < extent < NEARLY_CONSTANT:
        return (alpha.astype(np.float64) - low) / extent, 1.0
    return alpha, 1.0 / extent if extent else 0.0


WIDE, NARROW = wide_taps(), narrow_taps()

# The number of taps is part of a tuple's type, so that the compiler unrolls the sums and keeps them in registers.


@compiled_sums
def _errors(first, end, matte, label, zones, smooth, slope, mirrors, stretch_p, stretch_g, out):
    height, width = label.shape
    reach = len(smooth) - 1
    # rows convolved along x, for the strip and the reach around it: smoothed, and sloped
    lines_p, lines_g = _aligned(2 * (STRIP + 2 * reach)), _aligned(2 * (STRIP + 2 * reach))
    p, g = _aligned(STRIP), _aligned(STRIP)
    for left in range(0, width, TILE):
        columns = min(TILE, width - left)
        ready = 0  # of these rows, how many the strip above has done
        for strip in range(first, end):
            top = strip * STRIP
            rows = min(STRIP, height - top)
            # Where both mattes are the same, as they are over most of a good matte, so are their gradients.
            if stretch_p == stretch_g and _equal(
                matte,
                label,
                max(top - reach, 0),
                min(top + rows + reach, height),
                max(left - reach, 0),
                min(left + columns + reach, width),
            ):
                ready = 0
                continue
            for alpha, lines, magnitudes in (
                (matte, lines_p.reshape(2, -1, TILE), p),
                (label, lines_g.reshape(2, -1, TILE), g),
            ):
                _convolve_rows(alpha, top, left, rows, columns, smooth, slope, mirrors, ready, lines)
                _magnitudes(rows, columns, smooth, slope, lines, magnitudes)
            ready = 2 * reach
            for y in range(rows):
                mine, true = p[y, :columns], g[y, :columns]
                total = 0.0
                for x in range(columns):
                    difference = stretch_p * mine[x] - stretch_g * true[x]
                    mine[x] = difference * difference
                    total += mine[x]
                if zones is None:
                    out[strip, 0] += total
                else:
                    add_by_zone(mine, zones[top + y, left : left + columns], out[strip])


@compiled
def _equal(matte, label, top, bottom, left, right):
    for y in range(top, bottom):
        p, g = matte[y, left:right], label[y, left:right]
        different = 0
        for x in range(right - left):
            different += p[x] != g[x]
        if different:
            return False
    return True


@compiled_sums
def _convolve_rows(alpha, top, left, rows, columns, smooth, slope, mirrors, ready, lines):
    height, width = alpha.shape
    reach = len(smooth) - 1
    lines[:, :ready] = lines[:, STRIP : STRIP + ready]
    line = np.empty(TILE + 2 * reach)
    for i in range(ready, rows + 2 * reach):
        y = _within(top - reach + i, height, mirrors)
        if left >= reach and left + columns + reach <= width:
            source = alpha[y, left - reach : left + columns + reach]
            for x in range(columns + 2 * reach):
                line[x] = source[x]
        else:
            for x in range(columns + 2 * reach):
                line[x] = alpha[y, _within(left - reach + x, width, mirrors)]
        smoothed, sloped = lines[0, i], lines[1, i]
        for x in range(columns):
            s, d = smooth[0] * line[x + reach], 0.0
            for k in range(1, reach + 1):
                s += smooth[k] * (line[x + reach + k] + line[x + reach - k])
                d += slope[k] * (line[x + reach + k] - line[x + reach - k])
            smoothed[x], sloped[x] = s, d


@compiled_sums
def _magnitudes(rows, columns, smooth, slope, lines, out):
    smoothed, sloped = lines[0], lines[1]
    reach = len(smooth) - 1
    for y in range(rows):
        for x in range(columns):
            across, down = smooth[0] * sloped[y + reach, x], 0.0
            for k in range(1, reach + 1):
                across += smooth[k] * (sloped[y + reach + k, x] + sloped[y + reach - k, x])
                down += slope[k] * (smoothed[y + reach + k, x] - smoothed[y + reach - k, x])
            out[y, x] = math.sqrt(across * across + down * down)


@compiled
def _aligned(rows):
    """Lines of a tile that begin where cache lines do, as vectors of 64 bytes else lie across two each."""
    room = np.empty((rows + 1) * TILE)
    skip = (-room.ctypes.data // room.itemsize) % 8
    return room[skip : skip + rows * TILE].reshape(rows, TILE)


@compiled
def _within(index, size, mirrors):
    """The pixel that stands for one beyond the border."""
    if mirrors:
        index %= 2 * size
        return index if index < size else 2 * size - 1 - index
    return min(max(index, 0), size - 1)
