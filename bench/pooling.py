"""What several processes measured of one setting, as one row with an interval over processes.

Calls of one process are alike: they share its memory, its place on the machine and its minute. The median of many calls
has a narrow interval, but another process differs by more. So the unit here is the process: each gives one median,
and the row's is their geometric mean, with a t interval on the logarithms. It holds the mean of many such processes in
95 % of cases if the medians' logarithms are normal. It is no interval for another run's result, which has an error of its
own: two runs agree where their intervals overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

CONFIDENCE = 0.95
WIDEST = 2.0
"""An interval whose ends differ by more than this factor says too little: the row is unstable."""
PERCENTILES = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99}


def pooled(blocks: Sequence[dict[str, Any]], batch: int) -> dict[str, Any]:
    """The measured columns of a row, from what `bench.blocks.timed` gave in each process; `batch` images a call.

    Percentiles are geometric means of the processes' own; peak memory is the largest; `fps` is 1000 / p50 of single
    images only. Of one process alone the interval is that of its calls (`median_interval`). Unstable, with the reason,
    where a process says that the machine was busy, or the interval is too wide or cannot be told.
    """
    samples = [block["samples_ms"] for block in blocks]
    means = {
        name: math.exp(sum(math.log(np.percentile(own, percent)) for own in samples) / len(samples))
        for name, percent in PERCENTILES.items()
    }
    medians = [float(np.median(own)) for own in samples]
    interval = process_interval(medians) if len(blocks) > 1 else median_interval(samples[0])
    low, high = interval or (None, None)
    calls = [len(own) for own in samples]
    seconds, images = sum(block["block_s"] for block in blocks), batch * sum(calls)
    joules = [block["energy_j"] for block in blocks]
    clocks = [block["clock_mhz"] for block in blocks if block["clock_mhz"] is not None]
    throttled = [block["throttled"] for block in blocks if block["throttled"] is not None]
    unstable = _unstable(blocks, medians, interval)
    return {
        "status": "unstable" if unstable else "ok",
        "reason": unstable,
        "n": sum(calls),
        "processes": len(blocks),
        **means,
        "median_low_ms": low,
        "median_high_ms": high,
        "fps": 1000 / means["p50_ms"] if batch == 1 else None,
        "images_per_s": images / seconds,
        "peak_mb": max(block["peak_mb"] for block in blocks),
        "energy_j": None if None in joules else sum(joules) / images,
        "clock_mhz": min(clocks) if clocks else None,
        "throttled": any(throttled) if throttled else None,
        "samples_ms": [time for own in samples for time in own],
        "process_calls": calls,
    }


def process_interval(medians: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the geometric mean of at least two processes' medians.

    >>> low, high = process_interval([20, 22, 24.2])  # 22, times or by 1.1 ** (4.303 / 3 ** 0.5)
    >>> round(low, 2), round(high, 2)
    (17.36, 27.88)
    """
    logs = np.log(medians)
    quantile = special.stdtrit(len(logs) - 1, (1 + CONFIDENCE) / 2)
    half = quantile * logs.std(ddof=1) / math.sqrt(len(logs))
    return math.exp(logs.mean() - half), math.exp(logs.mean() + half)


def too_wide(medians: Sequence[float]) -> bool:
    """Whether several processes' medians differ so much that their interval says too little."""
    if len(medians) < 2:
        return False
    low, high = process_interval(medians)
    return high > WIDEST * low


def median_interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """The narrowest symmetric pair of order statistics that holds the median in at least 95 % of cases.

    The number of samples below the median is Binomial(n, 1/2), whatever their distribution. None for fewer than six.
    """
    below = special.bdtr(np.arange(len(samples)), len(samples), 0.5)
    rank = int(np.searchsorted(below, (1 - CONFIDENCE) / 2))
    if rank == 0:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


def _unstable(
    blocks: Sequence[dict[str, Any]], medians: Sequence[float], interval: tuple[float, float] | None
) -> str | None:
    busy = [block["busy"] for block in blocks if block["busy"]]
    if busy:
        return str(busy[-1]) if len(blocks) == 1 else f"in {len(busy)} of {len(blocks)} processes {busy[-1]}"
    if interval is None:
        calls = len(blocks[0]["samples_ms"])
        return f"{calls} timed calls are too few for an interval of the median; use a smaller size or batch"
    if too_wide(medians):
        told = ", ".join(f"{median:.3g}" for median in medians)
        return f"the processes' medians differ too much ({told} ms); rerun the command with nothing else running"
    return None
