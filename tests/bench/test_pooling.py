"""Rows from several processes: by hand, and by simulation where the interval's promise is one of frequency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.pooling import median_interval, pooled, process_interval


def block(*samples: float, **changes: Any) -> dict[str, Any]:
    """What one process measured: six calls of 20 ms and so on."""
    times = [time for time in samples for _ in range(6)]
    told = {"samples_ms": times, "block_s": sum(times) / 1e3, "busy": None, "energy_j": None, "peak_mb": 99.6}
    return told | {"clock_mhz": None, "throttled": None} | changes


def test_three_processes_by_hand() -> None:
    # Medians 10, 20, 40 ms: logarithms log 20 - d, log 20, log 20 + d with d = log 2, whose deviation is d.
    row = pooled([block(10), block(20), block(40)], batch=1)
    assert row["p50_ms"] == pytest.approx(20)
    factor = 2 ** (4.302653 / math.sqrt(3))  # t of 2 degrees of freedom at 97.5 %
    assert (row["median_low_ms"], row["median_high_ms"]) == pytest.approx((20 / factor, 20 * factor), rel=1e-5)
    assert row["status"] == "unstable"
    assert "medians differ too much (10, 20, 40 ms)" in row["reason"]
    assert row["fps"] == pytest.approx(50)
    assert row["images_per_s"] == pytest.approx(18 / (6 * 0.07))
    assert (row["n"], row["processes"], row["process_calls"]) == (18, 3, [6, 6, 6])
    assert row["samples_ms"] == [10] * 6 + [20] * 6 + [40] * 6


def test_percentiles_are_means_over_processes_and_other_columns_the_worst_or_the_sum() -> None:
    times = [float(ms) for ms in range(1, 102)]
    told = {"peak_mb": 50.0, "energy_j": 101.0, "clock_mhz": 900.0, "throttled": False}
    one = block() | told | {"samples_ms": times, "block_s": 5.0}
    other = one | {"samples_ms": [4 * ms for ms in times], "peak_mb": 70.0, "clock_mhz": 800.0, "throttled": True}
    row = pooled([one, other], batch=4)
    assert [row[name] for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")] == pytest.approx([102, 182, 192, 200])
    assert (row["fps"], row["images_per_s"]) == (None, pytest.approx(4 * 202 / 10))
    assert row["energy_j"] == pytest.approx(202 / (4 * 202))
    assert (row["peak_mb"], row["clock_mhz"], row["throttled"]) == (70, 800, True)


def test_one_process_has_the_interval_of_its_calls() -> None:
    samples = [float(ms) for ms in range(1, 21)]
    row = pooled([block() | {"samples_ms": samples, "block_s": 0.2}], batch=1)
    assert (row["median_low_ms"], row["median_high_ms"], row["processes"]) == (6, 15, 1)
    few = pooled([block() | {"samples_ms": [1.0] * 5, "block_s": 0.005}], batch=1)
    assert (few["status"], few["median_low_ms"]) == ("unstable", None)
    assert "too few" in few["reason"]


def test_a_busy_process_makes_the_row_unstable() -> None:
    row = pooled([block(20), block(20, busy="the machine was busy"), block(20)], batch=1)
    assert (row["status"], row["reason"]) == ("unstable", "in 1 of 3 processes the machine was busy")


@pytest.mark.parametrize(
    ("count", "interval"),
    [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (20, (6, 15)), (100, (40, 61))],
)
def test_median_interval_takes_the_textbook_ranks(count: int, interval: tuple[int, int] | None) -> None:
    samples = [float(rank) for rank in np.random.default_rng(0).permutation(count) + 1]
    assert median_interval(samples) == interval


@pytest.mark.parametrize("processes", [3, 5])
def test_the_interval_holds_the_truth_in_95_percent_and_two_runs_agree_in_more(processes: int) -> None:
    """Medians of a machine of 20 ms whose processes differ by 5 %; an interval over calls would miss it mostly."""
    rng, truth, rounds = np.random.default_rng(0), 20.0, 2000
    runs = np.exp(rng.normal(math.log(truth), 0.05, (2, rounds, processes)))
    lows, highs = np.moveaxis(np.array([[process_interval(medians) for medians in run] for run in runs]), -1, 0)
    covered = ((lows <= truth) & (truth <= highs)).mean()
    assert covered == pytest.approx(0.95, abs=0.01)
    overlap = ((lows[0] <= highs[1]) & (lows[1] <= highs[0])).mean()
    assert overlap > 0.97
    # Where one of two machines is a quarter slower, most pairs of runs tell so from five processes on.
    apart = 1 - ((lows[0] * 1.25 <= highs[1]) & (lows[1] <= highs[0] * 1.25)).mean()
    assert apart > {3: 0.3, 5: 0.95}[processes]
