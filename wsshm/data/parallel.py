"""Work on many files at once, in threads: decoding, hashing and writing leave Python's lock to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from wsshm.console import track
from wsshm.cores import usable_cores

T = TypeVar("T")
R = TypeVar("R")


def each(do: Callable[[T], R], items: Sequence[T], label: str) -> Iterator[tuple[T, R]]:
    """(item, `do(item)`) of all items, in order, with progress under `label`; the first error ends it."""
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        try:
            yield from zip(items, track(pool.map(do, items), len(items), label), strict=True)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
