"""The bootstrap as it is usually told: draw images with replacement, take the mean, many times over."""

from __future__ import annotations

import numpy as np
from scipy import stats


def bootstrap_means(values: np.ndarray, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Means of `values` (n,) under `rounds` draws, (rounds,)."""
    means = []
    for _ in range(rounds):
        drawn = [values[rng.integers(len(values))] for _ in range(len(values))]
        means.append(sum(drawn) / len(drawn))
    return np.array(means)


def pareto_front(points: np.ndarray) -> set[int]:
    """Indices of the points that no other beats, each pair compared."""
    kept = set()
    for i, point in enumerate(points):
        if any(np.isnan(value) for value in point):
            continue
        beaten = False
        for other in points:
            if any(np.isnan(value) for value in other):
                continue
            nowhere_larger = all(o <= p for o, p in zip(other, point, strict=True))
            somewhere_smaller = any(o < p for o, p in zip(other, point, strict=True))
            beaten = beaten or (nowhere_larger and somewhere_smaller)
        if not beaten:
            kept.add(i)
    return kept


def drawn_means(values: np.ndarray, rounds: int, seed: int = 0) -> np.ndarray:
    """Means of every column of `values` (n, k) round by round, (rounds, k), with the draws that the suite makes."""
    rng = np.random.default_rng(seed)
    return np.array([values[rng.integers(len(values), size=len(values))].mean(axis=0) for _ in range(rounds)])


def simultaneous(values: np.ndarray, rounds: int, level: float, seed: int = 0) -> list[tuple[float, float]]:
    """Intervals that hold for all columns of `values` (n, k) together: the largest |t| of each round, one by one.

    The quantile of normal deviates is taken to that of Student's t.
    """
    n, count = values.shape
    means = [values[:, k].sum() / n for k in range(count)]
    errors = [np.sqrt(((values[:, k] - means[k]) ** 2).sum() / n / n) for k in range(count)]
    largest = [
        max(abs(row[k] - means[k]) / errors[k] for k in range(count)) for row in drawn_means(values, rounds, seed)
    ]
    critical = stats.t.isf(stats.norm.sf(np.quantile(largest, level)), n - 1)
    width = [critical * error * np.sqrt(n / (n - 1)) for error in errors]
    return [(means[k] - width[k], means[k] + width[k]) for k in range(count)]
