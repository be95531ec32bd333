"""What the four rooms' command lines share: logging, progress, and one sentence instead of a traceback."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import rich.console
import rich.progress
import typer
import yaml

from wsshm.errors import UserError, printable, redacted

CODE = Path(__file__).resolve().parents[1]
"""The folder that the four rooms' packages lie in: a checkout, or where pip installed them."""

T = TypeVar("T")
# The base of all mistakes in a command line; Typer brings its own copy of click, so it is asked for it.
UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
PLAIN_LINE_EVERY_S = 5.0
INTERRUPTED = 130
LINE_BREAK = "\n"
LOOP = "Symlink loop from"  # what Path.resolve raises before Python 3.13
DISK_FULL = "the disk is full or over quota while writing {where}; free some space and rerun the command"


def run(app: typer.Typer, prog: str) -> None:
    """Run a Typer app as the program `prog`: exit 0 done, 1 a check found faults, 2 a user's mistake.

    Log lines go to stderr; `WSSHM_DEBUG=1` shows the traceback behind a one-sentence error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for room in ("wsshm", "bench", "reports", "sweeps"):  # libraries only warn: a PDF's fonts say much at INFO
        logging.getLogger(room).setLevel(logging.INFO)
    try:
        code = flowing(app)(prog_name=prog, standalone_mode=False)
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
        fail(
            f"{error.filename} cannot be used ({(error.strerror or os.strerror(error.errno)).lower()}); give another path"
        )
    except RuntimeError as error:
        if not str(error).startswith(LOOP):
            raise
        fail(f"{str(error).removeprefix(LOOP).strip()} is a link that leads back to itself; give another path")
    if code == INTERRUPTED:  # Typer turns Ctrl-C into this status, in some versions
        print("interrupted; rerun the command: what is done is kept, a sweep goes on where it stopped", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def flowing(app: typer.Typer) -> typer.Typer:
    """The same app; the paragraphs of its helps fill the terminal, where rich would keep a docstring's line breaks."""
    for command in app.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance:
            flowing(group.typer_instance)
    return app


class _Printable(logging.Formatter):
    """Log lines and tracebacks without secrets, and without what a file's name could tell the terminal to do."""

    def format(self, record: logging.LogRecord) -> str:
        return _fit(super().format(record))


def _fit(message: str) -> str:
    return printable(redacted(message), keep=LINE_BREAK)


def fail(message: str) -> NoReturn:
    """Print one sentence and leave with exit status 2 (with the traceback under `WSSHM_DEBUG=1`)."""
    if os.environ.get("WSSHM_DEBUG"):
        logging.exception("traceback, because WSSHM_DEBUG is set:")
    print(f"error: {_fit(message)}", file=sys.stderr)
    sys.exit(2)


def set_option(key: str, value: object) -> str:
    """`--set KEY=VALUE` of a command that is printed: as a shell takes it, and read as YAML the same value again.

    >>> set_option("base.data.root", "my data")
    "--set 'base.data.root=my data'"
    """
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    value_as_yaml = text.removesuffix("...\n").strip()
    return f"--set {shlex.quote(f'{key}={value_as_yaml}')}"


def own_process(module: str, *arguments: object) -> tuple[list[str], dict[str, str]]:
    """The command that runs one of our modules in a Python of its own, and its environment.

    A folder of the same name in the working directory hides nothing.
    """
    path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    return [sys.executable, "-P", "-m", module, *map(str, arguments)], {**os.environ, "PYTHONPATH": path}


def track(items: Iterable[T], total: int | None, label: str, unit: str = "") -> Iterator[T]:
    """Yield `items`, showing progress with an ETA on stderr: a bar on a terminal, a plain line every 5 s elsewhere.

    The time left is estimated from the first item on, so that start-up does not count, once 5 s have passed since then.
    `total` may be unknown or a guess. With a `unit` (frames) their number a second is shown.
    """
    if sys.stderr.isatty():
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            *([_Rate(unit)] if unit else []),
            rich.progress.TimeRemainingColumn(),
        )
        with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as bar:
            yield from bar.track(items, total=total, description=label)
        return
    spoken, first = time.monotonic(), None
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        first = first or now
        if now - spoken >= PLAIN_LINE_EVERY_S:
            spoken, since = now, now - first
            known = since >= PLAIN_LINE_EVERY_S
            of_all = f"{done}/{total}" if total else str(done)
            rate = f" {unit}, {(done - 1) / since:.1f} {unit}/s" if unit and known else f" {unit}" if unit else ""
            ends = known and total and total >= done
            left = f", about {duration(since / (done - 1) * (total - done))} left" if ends and total else ""
            print(f"{label}: {of_all}{rate}{left}", file=sys.stderr, flush=True)


class _Rate(rich.progress.ProgressColumn):
    """How many a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: rich.progress.Task) -> str:
        speed = task.finished_speed or task.speed
        return f"{speed:.1f} {self.unit}/s" if speed else ""


def columns(of_a_pipe: int = 100, most: int = 120) -> int:
    """Columns to wrap text at: the terminal's, but at most `most`."""
    return min(most, rich.console.Console().width) if sys.stdout.isatty() else of_a_pipe


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
