"""Watching runs from outside: trainers write small progress files, a thread shows them with an ETA."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

import rich.console
import rich.progress
from pydantic import NonNegativeFloat, PositiveFloat

from wsshm.console import duration
from wsshm.files.location import Location
from wsshm.files.sealed import Damaged, parsed

WRITE_EVERY_S, REMOTE_EVERY_S = 1.0, 15.0
LOOK_EVERY_S, REMOTE_LOOK_S = 1.0, 10.0
PLAIN_LINE_EVERY_S = 15.0
log = logging.getLogger(__name__)


class ProgressFile:
    """Where a run's first worker tells how much of its work is done; replaced whole, at most once a second.

    On an object store, where every write is a request, at most four times a minute. `found` is the part of the work
    that was there when the run began.
    """

    def __init__(self, place: Location | None, total: float, label: str = "") -> None:
        self.place, self.total, self.label = place, total, label
        self.every = WRITE_EVERY_S if place is None or place.local else REMOTE_EVERY_S
        self.written = -self.every
        self.found = 0.0
        self.notes: list[str] = []
        self.started = time.time()
        self.last = ("", 0.0)

    def tell(self, stage: str, done: float) -> None:
        """`done` of `total` units of work, now in `stage`."""
        now = time.monotonic()
        if now - self.written >= self.every:
            self.written = now
            self._write(stage, done, over=False)

    def say(self, note: str) -> None:
        """Pass on a sentence that is shown once to the user who watches."""
        self.notes.append(note)
        self._write(*self.last, over=False)

    def end(self, status: str) -> None:
        """The run is over, well or not."""
        self._write(status, self.total, over=True)

    def _write(self, stage: str, done: float, over: bool) -> None:
        self.last = (stage, done)
        if self.place is None:
            return
        told = Told(stage, done, self.total, over, self.found, self.label, self.started, self.notes)
        with contextlib.suppress(OSError):  # telling is not worth failing for
            self.place.write_text(json.dumps(asdict(told)))


@dataclass(frozen=True)
class Told:
    """The document of a progress file."""

    stage: str
    done: NonNegativeFloat
    total: PositiveFloat
    over: bool
    found: NonNegativeFloat = 0.0
    label: str = ""
    started: NonNegativeFloat = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The part of the work that is done, in [0,1]."""
        return min(1.0, self.done / self.total)

    @classmethod
    def read(cls, file: Location) -> Told | None:
        """What a progress file says; None where it is being replaced, was removed, or is none of ours."""
        try:
            return parsed(file.read_bytes(), file, cls)
        except (OSError, Damaged):
            return None


@dataclass
class Watched:
    """A run as the watcher shows it: a label, its progress file, and the share of it that is done."""

    label: str
    file: Location
    work: float
    share: float = 0.0
    stage: str = ""
    notes: int = 0


class Watcher:
    """Shows the progress of several runs and of all together: bars on a terminal, a plain line every 15 s elsewhere.

    The ETA goes by work (pixels trained on), so that steps at half resolution count as what they are. Where runs are
    not known beforehand (a search draws them), `folder` is where their progress files will appear, and `planned` how
    many there will be.
    """

    def __init__(
        self, runs: dict[str, Watched], title: str, folder: Location | None = None, planned: int | None = None
    ) -> None:
        self.runs, self.title = runs, title
        self.folder, self.planned = folder, planned
        places = [run.file for run in runs.values()] + ([folder] if folder else [])
        self.every = LOOK_EVERY_S if all(place.local for place in places) else REMOTE_LOOK_S
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
        self._look()

    def _look(self) -> tuple[float, float]:
        """(work done, work in all), with every unfinished run's file read again."""
        with contextlib.suppress(OSError):
            for file in self.folder.listing() if self.folder else []:
                self.runs.setdefault(file.name, Watched("", file, 0.0))
        for run in self.runs.values():
            if run.share < 1 and (told := Told.read(run.file)):
                run.share, run.stage = 1.0 if told.over else min(told.share, 0.999), told.stage
                run.label, run.work = run.label or told.label, run.work or told.total
                for note in told.notes[run.notes :]:
                    log.warning("%s", f"{run.label}: {note}" if len(self.runs) > 1 else note)
                run.notes = len(told.notes)
        total = sum(r.work for r in self.runs.values())
        if self.planned and self.runs:  # those to come are taken to be like those known
            total *= max(1.0, self.planned / len(self.runs))
        return sum(r.work * r.share for r in self.runs.values()), total or 1.0

    def _left(self, done: float, total: float) -> str:
        """Time left, at the rate since the first sign of work; start-up and cached stages are excluded from the rate."""
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
            while not self.stop.wait(self.every):
                done, total = self._look()
                if time.monotonic() - self.spoken >= PLAIN_LINE_EVERY_S:
                    self.spoken = time.monotonic()
                    log.info("%s", self._line(done, total))
            return
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=28),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
        )
        with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as bars:
            overall = bars.add_task(self.title, total=1.0, note="")
            tasks: dict[str, rich.progress.TaskID] = {}
            while True:
                over = self.stop.wait(self.every)
                done, total = self._look()
                bars.update(overall, completed=done / total, note=self._left(done, total))
                for name, run in self.runs.items():
                    if name not in tasks:
                        tasks[name] = bars.add_task(f"  {run.label}", total=1.0, note="")
                    bars.update(tasks[name], completed=run.share, note=run.stage)
                if over:
                    break

    def _line(self, done: float, total: float) -> str:
        active = [f"{r.label}: {r.stage} {r.share:.0%}" for r in self.runs.values() if 0 < r.share < 1]
        return f"{self.title}: {done / total:.0%}, {self._left(done, total)}" + "".join(f"; {run}" for run in active)
