"""Rows of an image in strips of fixed height, worked on by the calling thread and its helpers.

The kernels release Python's lock. Each strip has its own sums, which are added in order: however many threads share
the strips, one image has the same measures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wsshm.cores import usable_cores

STRIP = 64
SHARES = 4  # per thread, so that one that is held up does not hold up all

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew:
    """The threads that work on one image: the caller's own, and those of `helpers`."""

    def __init__(self, helpers: ThreadPoolExecutor | None, threads: int) -> None:
        self._helpers = helpers
        self.threads = threads

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """`function` of every item; begun in order."""
        if self._helpers is None:
            return [function(item) for item in items]
        tasks = [(item, self._helpers.submit(function, item)) for item in items]
        # The calling thread takes, in order as they do, what the helpers have not begun.
        own = {index: function(item) for index, (item, task) in enumerate(tasks) if task.cancel()}
        return [own[index] if index in own else task.result() for index, (_, task) in enumerate(tasks)]

    def sum(self, height: int, columns: int, kernel: Callable[..., None], *args: object) -> NDArray[np.float64]:
        """Sums over strips of what `kernel(first strip, end strip, *args, out)` puts into `out`.

        `out` is (strips, columns) float64, zeros at first.
        """
        strips = -(-height // STRIP)
        out = np.zeros((strips, columns))
        ends = np.linspace(0, strips, 1 + min(strips, SHARES * self.threads if self._helpers else 1)).astype(int)
        self.each(lambda share: kernel(*share, *args, out), list(itertools.pairwise(ends.tolist())))
        total: NDArray[np.float64] = out.sum(axis=0)
        return total


@contextmanager
def crew(threads: int | None, height: int) -> Iterator[Crew]:
    """`threads` threads, or one per usable core, for an image of `height` rows, but no more than it has strips."""
    wanted = usable_cores() if threads is None else threads
    count = min(wanted, -(-height // STRIP))
    if count <= 1:
        yield Crew(None, 1)
        return
    with ThreadPoolExecutor(count - 1, thread_name_prefix="measures") as helpers:
        yield Crew(helpers, count)
