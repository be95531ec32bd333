"""The connectivity error (Rhemann et al. 2009), without the flaw that public code has on empty predictions.

No labelling of ten whole images is needed. The source regions of rising thresholds either lie one inside the other or
part for good: a component at one threshold lies inside a single component at the threshold below. So the search goes
up only as far as each source region lies in the one before it, and what remains of the last is connected no further.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from wsshm.metrics.kernels.compiled import compiled_sums
from wsshm.metrics.kernels.components import Components
from wsshm.metrics.kernels.pointwise import add_by_zone
from wsshm.metrics.kernels.steps import STEPS, level_of
from wsshm.metrics.kernels.strips import STRIP, Crew

TOLERANCE = 0.15  # a smaller distance from the connected level counts as connected
SCALE = 1000.0


def connectivity_sums(
    crew: Crew,
    matte: NDArray[np.floating],
    label: NDArray[np.floating],
    zones: NDArray[np.uint8] | None,
    levels: NDArray[np.uint8],
    rule: int,
) -> NDArray[np.float64]:
    """Conn by zone, (3,), of an HxW matte and label of one dtype; without zones all of it stands in zone 0.

    `levels` are their agreed levels by the thresholds of `rule`, see `pointwise_sums` and `steps`. Conn sums
    |phi(matte) - phi(label)| / 1000 over pixels. The source region at threshold t is the largest 4-connected component
    of (matte >= t and label >= t). A pixel's level l is the last threshold before the first one whose source region
    leaves it out, 1 if none does; phi = 1 - d where d = alpha - l is at least 0.15, else 1.

    One thing is not as published: where a threshold has no component its source region is empty here. The code
    published with P3M skips such thresholds, which gives an all-zero prediction an error of 0.
    """
    connected = connected_levels(levels, crew)
    return crew.sum(label.shape[0], 3, _errors, matte, label, connected, zones, rule) / SCALE


def connected_levels(levels: NDArray[np.uint8], crew: Crew) -> NDArray[np.uint8]:
    """Ten times each pixel's level l, from agreed levels; padded as they are."""
    sources = _Sources(levels)
    crew.each(sources.search, range(1, STEPS + 1))
    return sources.connected


class _Sources:
    """The source regions of all steps, searched by several threads and laid on each other in order."""

    def __init__(self, levels: NDArray[np.uint8]) -> None:
        self.connected = np.zeros_like(levels)
        self._levels = levels
        self._lock = threading.Lock()
        self._idle: list[Components] = []
        self._found: dict[int, Components] = {}
        self._next = 1
        self._parted = False  # a source region does not lie in the one before it: nothing above it counts

    def search(self, step: int) -> None:
        with self._lock:
            if self._parted:
                return
            components = self._idle.pop() if self._idle else Components(self._levels)
        components.find(step)
        with self._lock:
            self._found[step] = components
            while not self._parted and self._next in self._found:
                source = self._found.pop(self._next)
                self._parted = not source.mark(self.connected, self._next)
                self._idle.append(source)
                self._next += 1


@compiled_sums
def _errors(first, end, matte, label, connected, zones, rule, out):
    height, width = label.shape
    error = np.empty(width)
    for y in range(first * STRIP, min(end * STRIP, height)):
        p, g, step = matte[y], label[y], connected[y]
        total = 0.0
        for x in range(width):
            level = level_of(step[x], rule)
            distance_p, distance_g = np.float64(p[x]) - level, np.float64(g[x]) - level
            distance_p = distance_p if distance_p >= TOLERANCE else 0.0
            distance_g = distance_g if distance_g >= TOLERANCE else 0.0
            error[x] = abs(distance_p - distance_g)
            total += error[x]
        if zones is None:
            out[y // STRIP, 0] += total
        else:
            add_by_zone(error, zones[y], out[y // STRIP])
