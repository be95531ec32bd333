"""Watching runs from outside: trainers write small progress files, a thread shows them with an ETA."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import rich.console
import rich.progress

from wsshm.commandline import duration

WRITE_EVERY_S = 1.0
LOOK_EVERY_S = 1.0
PLAIN_LINE_EVERY_S = 15.0
log = logging.getLogger(__name__)


class ProgressFile:
    """Where a run's first worker tells how much of its work is done; replaced whole, at most once a second."""

    def __init__(self, path: Path | None, total: float) -> None:
        self.path, self.total = path, total
        self.written = -WRITE_EVERY_S

    def tell(self, stage: str, done: float) -> None:
        """`done` of `total` units of work, now in `stage`."""
        now = time.monotonic()
        if now - self.written >= WRITE_EVERY_S:
            self.written = now
            self._write({"stage": stage, "done": done, "total": self.total, "over": False})

    def end(self, status: str) -> None:
        """The run is over, well or not."""
        self._write({"stage": status, "done": self.total, "total": self.total, "over": True})

    def _write(self, document: dict[str, object]) -> None:
        if self.path is None:
            return
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # telling is not worth failing for
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(document))
            os.replace(temporary, self.path)


@dataclass
class Watched:
    """A run as the watcher shows it: a label, its progress file, and the share of it that is done."""

    label: str
    file: Path
    work: float
    share: float = 0.0
    stage: str = ""


class Watcher:
    """Shows the progress of several runs and of all together: bars on a terminal, a plain line every 15 s elsewhere.

    The ETA goes by work (pixels trained on), so that steps at half resolution count as what they are.
    """

    def __init__(self, runs: dict[str, Watched], title: str) -> None:
        self.runs, self.title = runs, title
        self.spoken = time.monotonic()
        self.first: tuple[float, float] | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Watcher:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _look(self) -> tuple[float, float]:
        """(work done, work in all), with every unfinished run's file read anew."""
        for run in self.runs.values():
            if run.share < 1:
                with contextlib.suppress(OSError, ValueError):
                    told = json.loads(run.file.read_text())
                    share = told["done"] / told["total"]
                    run.share, run.stage = 1.0 if told["over"] else min(share, 0.999), told["stage"]
        return sum(r.work * r.share for r in self.runs.values()), sum(r.work for r in self.runs.values())

    def _left(self, done: float, total: float) -> str:
        """The time left, by the rate since the first sign of work: starting processes is no work, nor what was found."""
        now = time.monotonic()
        if self.first is None:
            self.first = (now, done) if done else None
            return "starting"
        began, before = self.first
        if done - before <= 0.02 * total:
            return "estimating the time left"
        return f"about {duration((now - began) / (done - before) * (total - done))} left"

    def _show(self) -> None:
        if not sys.stderr.isatty():
            while not self.stop.wait(LOOK_EVERY_S):
                if time.monotonic() - self.spoken >= PLAIN_LINE_EVERY_S:
                    self.spoken = time.monotonic()
                    log.info("%s", self._line())
            return
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=28),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
        )
        with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as bars:
            overall = bars.add_task(self.title, total=1.0, note="")
            tasks = {name: bars.add_task(f"  {run.label}", total=1.0, note="") for name, run in self.runs.items()}
            while True:
                over = self.stop.wait(LOOK_EVERY_S)
                done, total = self._look()
                bars.update(overall, completed=done / total, note=self._left(done, total))
                for name, run in self.runs.items():
                    bars.update(tasks[name], completed=run.share, note=run.stage)
                if over:
                    break

    def _line(self) -> str:
        done, total = self._look()
        active = [f"{r.label}: {r.stage} {r.share:.0%}" for r in self.runs.values() if 0 < r.share < 1]
        return f"{self.title}: {done / total:.0%}, {self._left(done, total)}" + "".join(f"; {run}" for run in active)
