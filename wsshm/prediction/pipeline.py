"""Decoding, network and encoding at the same time: threads that work ahead by a bounded number of items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int, ahead: int) -> Generator[R, None, None]:
    """`function` of every item, in order, made by `threads`; at most `ahead` are begun and not yet taken.

    `items` are taken by the caller's own thread, while the others work. What a function or `items` raises is raised
    here; then, or when the iterator is closed, what has begun is finished, nothing else is started, and `items` is closed
    too.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            while waiting and (len(waiting) >= ahead or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def made_ahead(items: Iterable[T], ahead: int) -> Generator[T, None, None]:
    """`items`, taken by a thread of their own, up to `ahead` before they are asked for."""
    iterator = iter(items)

    def following(_: int) -> list[T]:
        for item in iterator:
            return [item]
        return []

    for made in in_order(following, _endless(), 1, ahead):
        if not made:
            return
        yield made[0]


def _endless() -> Iterator[int]:
    while True:
        yield 0
