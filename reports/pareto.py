"""The Pareto front: the choices that no other choice beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front(points: ArrayLike) -> NDArray[np.intp]:
    """Indices of the points (n, k) that no other dominates, all k objectives minimised, sorted by the first objective.

    A point dominates another if it is nowhere larger and somewhere smaller; equal points are all on the front. A point
    with a NaN is never on it and dominates nothing.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return np.empty(0, dtype=np.intp)
    if array.ndim != 2:
        raise ValueError(f"points must be of shape (n, k), not {array.shape}")
    comparable = np.flatnonzero(~np.isnan(array).any(axis=1))
    others = array[comparable]
    kept = [
        index
        for index in comparable
        if not ((others <= array[index]).all(axis=1) & (others < array[index]).any(axis=1)).any()
    ]
    return np.array(sorted(kept, key=lambda index: (*array[index], index)), dtype=np.intp)
