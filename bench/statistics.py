"""Intervals for means over images, and verdicts on paired differences, by seeded bootstrap.

The unit that is drawn is the image: two methods scored on the same images are compared image by image, so that what
makes an image hard for both cancels out. Drawing n images with replacement is the same as giving each a multinomial
weight; all rounds and all columns are then one matrix product, done in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10_000
LEVEL = 0.95
BLOCK_WEIGHTS = 4_000_000  # weights held at once: 32 MB

Verdict = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval, in the unit of the values; `low` and `high` are NaN for a single value."""

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval: one image has none."""
        return bool(np.isfinite(self.low))


@dataclass(frozen=True)
class Difference(Interval):
    """The mean of a - b over images, its interval, and what that says of `a` against `b`."""

    verdict: Verdict


def mean_interval(values: ArrayLike, rounds: int = ROUNDS, seed: int = 0, level: float = LEVEL) -> Interval:
    """The mean of `values` (n,), one per image, with its percentile bootstrap interval.

    Raises ValueError where `values` are none, not finite, or not one-dimensional.
    """
    column = _checked(values)
    if column.ndim != 1:
        raise ValueError(f"values must be one-dimensional, not of shape {column.shape}")
    return mean_intervals(column[:, None], rounds, seed, level)[0]


def mean_intervals(values: ArrayLike, rounds: int = ROUNDS, seed: int = 0, level: float = LEVEL) -> list[Interval]:
    """`mean_interval` of every column of `values` (n, k). All columns share the drawn images, and so are paired."""
    table = _checked(values)
    means = table.mean(axis=0)
    low, high = _bounds(table, rounds, seed, level)
    return [Interval(float(m), float(a), float(b)) for m, a, b in zip(means, low, high, strict=True)]


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    lower_is_better: bool = True,
    rounds: int = ROUNDS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """How `a` differs from `b`, both (n,) over the same images in the same order.

    The verdict is `better` or `worse` where the interval of a - b leaves out zero, else `not told apart`; it is not
    corrected for the number of comparisons. One image tells nothing apart.
    """
    first, second = _checked(a), _checked(b)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired values must be two columns of one length, not {first.shape} and {second.shape}")
    interval = mean_interval(first - second, rounds, seed, level)
    return Difference(interval.mean, interval.low, interval.high, verdict(interval, lower_is_better))


def verdict(difference: Interval, lower_is_better: bool = True) -> Verdict:
    """What the interval of a difference a - b says of a."""
    if difference.high < 0:
        return "better" if lower_is_better else "worse"
    if difference.low > 0:
        return "worse" if lower_is_better else "better"
    return "not told apart"  # NaN bounds, of a single image, end here too


def resampled_means(values: ArrayLike, rounds: int = ROUNDS, seed: int = 0) -> NDArray[np.float64]:
    """Means of every column of `values` (n, k) under `rounds` draws of n rows with replacement, (rounds, k)."""
    table = _checked(values)
    return np.concatenate([weights @ table for weights in _weights(len(table), rounds, seed)])


def _weights(n: int, rounds: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks (block, n) of each row's share in a draw; which blocks they come in does not change them."""
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_WEIGHTS // n)
    for start in range(0, rounds, block):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(block, rounds - start)) / n


def _bounds(table: NDArray[np.float64], rounds: int, seed: int, level: float) -> tuple[NDArray, NDArray]:
    if len(table) == 1:
        absent = np.full(table.shape[1], np.nan)
        return absent, absent
    tail = (1 - level) / 2
    low, high = np.quantile(resampled_means(table, rounds, seed), [tail, 1 - tail], axis=0)
    return low, high


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        raise ValueError("there are no values to take a mean of")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave out images without a score before taking their mean")
    return array
