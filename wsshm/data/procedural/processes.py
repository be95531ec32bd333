"""Drawing in several processes that end together: by Ctrl-C, by SIGTERM, and when the first one is killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

import cv2

from wsshm.errors import UserError

CHUNK = 4  # jobs that a process is given at a time
ENDS = (signal.SIGINT, signal.SIGTERM)

Job = TypeVar("Job")
Made = TypeVar("Made")


def draw_all(draw: Callable[[Job], Made], jobs: Sequence[Job], processes: int) -> Iterator[Made]:
    """Yield `draw(job)` of every job, in order. UserError if one of the processes dies."""
    with (
        _terminated_in_order(),
        ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin) as pool,
    ):
        try:
            with _held_back():
                made = pool.map(draw, jobs, chunksize=CHUNK)  # starts the processes
            yield from made
        except BrokenProcessPool as error:
            raise UserError(
                "a process that draws the embedded data set ended early: killed, probably for lack of memory "
                "(run the same again with fewer workers), or unable to load the script that asked for it "
                "(keep it in a file, its calls below `if __name__ == '__main__':`)"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


@contextmanager
def _held_back() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM, which a whole group gets, from processes started here: this one ends them in order."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Leave by SystemExit on SIGTERM: a pool that is not shut down leaves semaphores behind, with a warning."""
    usual = signal.getsignal(signal.SIGTERM)
    if usual is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield  # another handler is in charge, or none can be set
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
