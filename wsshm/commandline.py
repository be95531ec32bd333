"""What the four rooms' command lines share: logging, progress, and one sentence instead of a traceback."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

import rich.console
import rich.progress
import typer

from wsshm.errors import UserError

T = TypeVar("T")
# The base of all mistakes in a command line; Typer brings its own copy of click, so it is asked for it.
UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
PLAIN_LINE_EVERY_S = 5.0
INTERRUPTED = 130
DISK_FULL = "the disk is full or over quota while writing {where}; free some space and run the same command again"


def run(app: typer.Typer, prog: str) -> None:
    """Run a Typer app as the program `prog`: exit 0 done, 1 a check found faults, 2 a user's mistake.

    Log lines go to stderr; `WSSHM_DEBUG=1` shows the traceback behind a one-sentence error.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for room in ("wsshm", "bench", "reports", "sweeps"):  # libraries only warn: a PDF's fonts say much at INFO
        logging.getLogger(room).setLevel(logging.INFO)
    try:
        code = app(prog_name=prog, standalone_mode=False)
    except UsageError as error:
        error.show()  # type: ignore[attr-defined]
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except UserError as error:
        fail(str(error))
    except MemoryError:
        fail("out of memory; lower train.batch, data.size or the number of concurrent runs")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fail(DISK_FULL.format(where=error.filename or "a file"))
        if error.filename is None or error.errno is None:
            raise
        fail(f"{error.filename} cannot be used ({os.strerror(error.errno).lower()}); give another path")
    if code == INTERRUPTED:  # Typer turns Ctrl-C into this status, in some versions
        print("interrupted; give the same command again: a sweep goes on where it stopped", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str) -> NoReturn:
    """Print one sentence and leave with exit status 2 (with the traceback under `WSSHM_DEBUG=1`)."""
    if os.environ.get("WSSHM_DEBUG"):
        logging.exception("traceback, because WSSHM_DEBUG is set:")
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def track(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield `items`, showing progress with an ETA on stderr: a bar on a terminal, a plain line every 5 s elsewhere."""
    if sys.stderr.isatty():
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
        )
        with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as bar:
            yield from bar.track(items, total=total, description=label)
        return
    started = spoken = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoken >= PLAIN_LINE_EVERY_S:
            spoken = now
            left = (now - started) / done * (total - done)
            print(f"{label}: {done}/{total}, about {duration(left)} left", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
