"""What a sweep that goes on tells by small files: its runs' progress, the cluster's places, why it ended. Light to import."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from sweeps.place import Place
from wsshm.errors import printable
from wsshm.files.sealed import Damaged, parsed
from wsshm.training.progress import Told

SLOTS_S = 120.0
"""How long what a sweep told of its cluster is news."""
ENOUGH = 0.03
"""The share of a run, done by itself, from which its rate says something."""


@dataclass(frozen=True)
class _Slots:
    """The cluster's places for workers, which `sweeps.slots` writes."""

    nodes: int
    total: int
    used: int
    free: int
    asked: int

    def __str__(self) -> str:
        return (
            f"slots for workers: {self.used} in use, {self.free} free, {self.asked} asked for by this sweep;"
            f" {self.nodes} node{'s' * (self.nodes != 1)}"
        )


@dataclass(frozen=True)
class Running:
    """A run that goes on, as its progress file tells it; `found` is the share that was there when it began."""

    run_id: str
    label: str
    stage: str
    share: float
    found: float
    since_s: float
    silent_s: float

    @property
    def left_s(self) -> float | None:
        """Seconds until its end at the rate so far; None while that says nothing."""
        own = self.share - self.found
        return self.since_s * (1 - self.share) / own if own >= ENOUGH else None


def running_runs(place: Place, now: float) -> list[Running]:
    """The runs that go on, or went on when the sweep was killed."""
    runs = []
    for file in (place.out / "progress").listing():
        told = Told.read(file)
        if told is None or told.over:
            continue
        with contextlib.suppress(OSError):  # being replaced, or removed, right now
            runs.append(
                Running(
                    run_id=file.name.removesuffix(".json"),
                    label=told.label,
                    stage=told.stage,
                    share=told.share,
                    found=told.found / told.total,
                    since_s=max(0.0, now - (told.started or now)),
                    silent_s=max(0.0, now - file.modified()),
                )
            )
    return runs


def slots(place: Place, now: float) -> str:
    """The cluster's places for workers, said; "" where nothing new is known of them."""
    with contextlib.suppress(OSError, Damaged):
        if now - place.slots.modified() <= SLOTS_S:
            return str(parsed(place.slots.read_bytes(), place.slots, _Slots))
    return ""


def ended(place: Place) -> str:
    """Why the sweep ended before its time; "" where it did not, or could not say."""
    with contextlib.suppress(OSError, ValueError):
        return printable(place.ended.read_text())
    return ""
