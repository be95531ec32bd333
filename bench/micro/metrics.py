"""How much faster the measures are than public evaluation scripts, where their time goes, and what memory allows."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rich.box
import rich.table

from bench.micro.mattes import MATTES, Pair
from bench.micro.straightforward import measures as straightforward
from bench.provenance import device_name
from wsshm.console import track
from wsshm.errors import UserError
from wsshm.metrics import RegionScores, score
from wsshm.metrics.conventions import CONVENTIONS
from wsshm.metrics.kernels.compiled import compiled_sums
from wsshm.metrics.kernels.connectivity import connected_levels, connectivity_sums
from wsshm.metrics.kernels.gradient import gradient_sums
from wsshm.metrics.kernels.pointwise import pointwise_sums, zones_of
from wsshm.metrics.kernels.strips import STRIP, crew
from wsshm.metrics.trimap import derive_trimap, unknown_radius
from wsshm.terminal import print_whole

TOLERANCE = {"cpu": 1e-6, "device": 1e-4}  # relative
BREAKDOWN_SIZE = 1500


def run(
    sizes: list[int], kinds: list[str], rounds: int, threads: int | None, device: str | None, published: bool
) -> bool:
    """Print the tables; whether every value agreed with the straightforward one."""
    cases = [(size, kind) for size in sizes for kind in kinds]
    print(f"{device_name(threads=threads)}, float32 mattes, medians of {rounds} rounds")
    print("Together: SAD, MSE, MAD, Grad and Conn of the whole image, convention p3m. MB: peak beyond the two mattes.")
    extra = ("published ms", "times as fast") if published else ()
    table = _table(
        "mattes", "px", "ours ms", "ours MB", "all regions ms", *extra, "script MB", "script ms", "times as fast"
    )
    agreed = True
    for size, kind in track(cases, len(cases), "timing"):
        pair = MATTES[kind](size)
        cells, fine = _compared(pair, rounds, threads, published)
        table.add_row(kind, str(size), *cells)
        agreed = agreed and fine
    print_whole(table)
    _print_breakdown({kind: MATTES[kind](BREAKDOWN_SIZE) for kind in kinds}, rounds, threads)
    if device:
        agreed = _print_device({case: MATTES[case[1]](case[0]) for case in cases}, rounds, device) and agreed
    print("All values agree with the script's." if agreed else "Values DIFFER from the script's.")
    return agreed


def _compared(pair: Pair, rounds: int, threads: int | None, published: bool) -> tuple[list[str], bool]:
    matte, label = pair
    exact = matte.astype(np.float64), label.astype(np.float64)
    ways: list[Callable[[], Any]] = [
        partial(straightforward, *exact),
        partial(score, matte, label, regions=("whole",), threads=threads),
        partial(score, matte, label, threads=threads),
    ]
    script, ours, every_region = _milliseconds(ways, rounds)
    cells = [f"{ours:.1f}", _megabytes(ways[1]), f"{every_region:.1f}"]
    if published:
        start = time.perf_counter()
        straightforward(*exact, published=True)
        spent = 1000 * (time.perf_counter() - start)
        cells += [f"{spent:.0f}", f"{spent / ours:.0f} x"]
    cells += [_megabytes(ways[0]), f"{script:.1f}", f"{script / ours:.1f} x"]
    return cells, _agrees(ways[0](), ways[1]()[0], TOLERANCE["cpu"])


def _agrees(expected: dict[str, float], found: RegionScores, tolerance: float) -> bool:
    return all(abs(getattr(found, name) - value) <= tolerance * abs(value) for name, value in expected.items())


def _print_breakdown(mattes: dict[str, Pair], rounds: int, threads: int | None) -> None:
    """The parts of one image's measures, against the time that reading the two mattes once takes."""
    print(
        f"Where the time goes at {BREAKDOWN_SIZE} px, and how often both mattes could be read in it, from memory or cache"
    )
    rules = CONVENTIONS["p3m"]
    table = _table("mattes", "part", "ms", "of reading")
    for kind, (matte, label) in mattes.items():
        with crew(threads, len(label)) as workers:
            zones = zones_of(derive_trimap(label, unknown_radius(*label.shape), threads))
            _, levels = pointwise_sums(workers, matte, label, None, rules.steps)
            parts: dict[str, Callable[[], Any]] = {
                "reading both mattes": partial(workers.sum, len(label), 1, _read, matte, label),
                "SAD, MSE, MAD": partial(pointwise_sums, workers, matte, label, None, rules.steps),
                "Grad": partial(gradient_sums, workers, matte, label, None, rules),
                "Conn": partial(connectivity_sums, workers, matte, label, None, levels, rules.steps),
                "of it components": partial(connected_levels, levels, workers),
                "trimap": partial(derive_trimap, label, unknown_radius(*label.shape), threads),
                "SAD, MSE, MAD by region": partial(pointwise_sums, workers, matte, label, zones, rules.steps),
            }
            times = _milliseconds(list(parts.values()), rounds)
        for part, spent in zip(parts, times, strict=True):
            table.add_row(kind, part, f"{spent:.2f}", f"{spent / times[0]:.1f} x")
    print_whole(table)


@compiled_sums
def _read(first, end, matte, label, out):
    total = np.float32(0)
    for y in range(first * STRIP, min(end * STRIP, label.shape[0])):
        p, g = matte[y], label[y]
        for x in range(p.size):
            total += p[x] - g[x]
    out[first, 0] = total


def check_device(device: str) -> None:
    """Raise UserError if torch has no such device."""
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"there is no device {device!r} here; leave --device out, or take cpu") from error


def _print_device(mattes: dict[tuple[int, str], Pair], rounds: int, device: str) -> bool:
    """Tensors that lie on `device` already, against the same on the CPU."""
    import torch

    from wsshm.metrics import on_device

    print(f"Tensors on {device}: all five measures, Conn's components on the CPU")
    table = _table("mattes", "px", "CPU ms", f"{device} ms", "times as fast")
    agreed = True
    for (size, kind), (matte, label) in mattes.items():
        p, g = torch.from_numpy(matte).to(device), torch.from_numpy(label).to(device)
        ways: list[Callable[[], Any]] = [
            partial(score, matte, label, regions=("whole",)),
            partial(on_device.tally, p, g, None, CONVENTIONS["p3m"]),
        ]
        ours, there = _milliseconds(ways, rounds)
        table.add_row(kind, str(size), f"{ours:.1f}", f"{there:.1f}", f"{ours / there:.1f} x")
        found = ways[1]()
        values = {name: found.value(name, "whole") for name in ("sad", "mse", "mad", "grad", "conn")}
        agreed = agreed and _agrees(values, ways[0]()[0], TOLERANCE["device"])
    print_whole(table)
    return agreed


def _milliseconds(ways: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Median wall time of each: taken in turns, so that a slow moment meets all, each time right after a call untimed."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, spent in zip(ways, times, strict=True):
            way()
            start = time.perf_counter()
            way()
            spent.append(1000 * (time.perf_counter() - start))
    return [statistics.median(spent) for spent in times]


def _megabytes(way: Callable[[], Any]) -> str:
    """Peak growth of the process's memory during one call, in 1e6 bytes; empty where Linux does not tell."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # so that memory freed before is not used again unseen
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = _status("VmRSS")
        way()
        return f"{(_status('VmHWM') - before) * 1024 / 1e6:.0f}"
    except (OSError, AttributeError):
        return ""


def _status(key: str) -> int:
    """A figure of the process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _table(*headings: str) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("mattes", "part") else "right", no_wrap=True)
    return table
