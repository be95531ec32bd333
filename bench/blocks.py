"""One timed block of calls: warm-up, the time of every call, and what the machine did meanwhile."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch

from bench import energy
from bench.busy import Moment, disturbance
from bench.clocks import Watch
from bench.settings import Protocol

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
PEAK = "5"  # written to clear_refs, it sets the peak of resident memory back


def timed(call: Callable[[], object], protocol: Protocol, device: str, events: bool = False) -> dict[str, Any]:
    """Warm up, then time a call as `protocol` says: what `bench.pooling` makes a row of.

    With `events` on the GPU's own clock. `busy` says how the machine was busy meanwhile, if it was.
    """
    _reset_peak(device)
    repeat(call, protocol.warmup_calls, protocol.warmup_seconds, protocol.max_seconds)
    joules, watch = energy.meter(device), Watch(device)
    before, used_before = Moment.now(), joules() if joules else 0.0
    if events:
        samples, block_s = _time_with_events(call, protocol)
    else:
        samples, block_s = repeat(call, protocol.calls, protocol.seconds, protocol.max_seconds)
    used = joules() - used_before if joules else None
    busy, clock = disturbance(before, Moment.now(), on_cpu=device == "cpu"), watch.read()
    return {
        **{"samples_ms": samples, "block_s": block_s, "busy": busy, "energy_j": used},
        **{"peak_mb": _peak_bytes(device) / 1e6, "clock_mhz": clock.mhz, "throttled": clock.throttled},
    }


def leave_threads_to_the_engine() -> None:
    """Let one thread prepare pictures and take mattes back: the engine has as many as it was given.

    Threads of torch and OpenCV wait for work in a loop for a while before they sleep, as an engine's do, and two such
    pools on the same processors hold each other up.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def repeat(call: Callable[[], object], calls: int, seconds: float, max_seconds: float) -> tuple[list[float], float]:
    """Call until both limits are reached, or `max_seconds`: (ms of each call, seconds of the whole block)."""
    samples: list[float] = []
    begin = now = time.perf_counter()
    while now - begin < max_seconds and (len(samples) < calls or now - begin < seconds):
        before = now
        call()
        now = time.perf_counter()
        samples.append((now - before) * 1e3)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return samples, time.perf_counter() - begin


def _time_with_events(call: Callable[[], object], protocol: Protocol) -> tuple[list[float], float]:
    """As `repeat`, with each call timed on the GPU's own clock and one synchronisation at the end of the block."""
    marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def marked() -> None:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        marks.append((start, end))

    _, block_s = repeat(marked, protocol.calls, protocol.seconds, protocol.max_seconds)
    return [start.elapsed_time(end) for start, end in marks], block_s


def _reset_peak(device: str) -> None:
    """Forget the memory that preparing took. Where the system cannot, the CPU's peak is that of the whole process."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        with contextlib.suppress(OSError):
            RESET.write_text(PEAK)


def _peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
