"""Work on many files at once, in threads: decoding, hashing and writing leave Python's lock to each other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from wsshm.console import track
from wsshm.cores import usable_cores

AHEAD = 4
"""Items for each thread that are begun before their results are asked for."""
MOST_PIXELS = 1 << 28
"""Pixels of pictures that are open at once; each takes up to some 16 bytes, with its labels as floats."""
T = TypeVar("T")
R = TypeVar("R")


def each(do: Callable[[T], R], items: Sequence[T], label: str) -> Iterator[tuple[T, R]]:
    """(item, `do(item)`) of all items, in order, with progress under `label`; the first error ends it."""
    yield from zip(items, track(on_threads(do, items), len(items), label), strict=True)


def on_threads(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`do` of every item, in order, on a thread for each core; only a few are begun ahead of what is asked for.

    The first error is raised, and nothing is begun after it.
    """
    threads = usable_cores()
    left = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        begun: deque[Future[R]] = deque(pool.submit(do, item) for item in islice(left, AHEAD * threads))
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(do, item) for item in islice(left, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Room:
    """Lets threads begin while what is under way comes to at most `limit` in all, or alone if it is more than that."""

    def __init__(self, limit: int = MOST_PIXELS) -> None:
        self.limit = limit
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Waits for room, and takes it for as long as the block lasts."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + amount <= self.limit)
            self._used += amount
        try:
            yield
        finally:
            with self._changed:
                self._used -= amount
                self._changed.notify_all()
