"""Detects whether a timed block had the CPU to itself, from the kernel's accounting of this process's threads."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import NamedTuple

TASKS = Path("/proc/self/task")
LONGEST_WAIT = 0.1
"""Share of the time in which threads could run that they may have waited for a processor: a tenth makes 11 % longer."""
LEAST_CPU = 0.8
"""CPU time over wall time: on a CPU the calling thread computes all the time, whatever others do."""


class Moment(NamedTuple):
    """Readings since the process began, in seconds; `waited` by thread, None where the kernel does not tell (not Linux)."""

    wall: float
    cpu: float
    waited: dict[str, float] | None

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), time.process_time(), _waited())


def disturbance(before: Moment, after: Moment, on_cpu: bool) -> str | None:
    """Why the time between two moments is no reliable measure of a model's speed; None if it is.

    `on_cpu`: the model ran on the CPU; beside a GPU a thread that sleeps is no sign of a busy machine.
    """
    wall, cpu = after.wall - before.wall, after.cpu - before.cpu
    if before.waited is not None and after.waited is not None:
        waited = sum(seconds - before.waited.get(thread, 0.0) for thread, seconds in after.waited.items())
        share = waited / (waited + cpu) if waited > 0 else 0.0
        if share > LONGEST_WAIT:
            return (
                f"the machine was busy: in {wall:.1f} s of wall time the threads computed for {cpu:.1f} s and waited"
                f" {waited:.1f} s for a processor ({share:.0%}); rerun the command with nothing else running"
            )
    if on_cpu and cpu < LEAST_CPU * wall:
        return (
            f"the machine was busy, or its processors are limited: {cpu:.1f} s of CPU time in {wall:.1f} s of wall time;"
            " rerun the command with nothing else running"
        )
    return None


def _waited() -> dict[str, float] | None:
    """Seconds that each of this process's threads could run and had no processor."""
    found = {}
    try:
        threads = list(TASKS.iterdir())
    except OSError:
        return None
    for thread in threads:
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended, or the kernel keeps no such account
            found[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found or None
