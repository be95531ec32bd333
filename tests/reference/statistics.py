"""The bootstrap as it is usually told: draw images with replacement, take the mean, many times over."""

from __future__ import annotations

import numpy as np


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
