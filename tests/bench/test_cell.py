"""How many processes time a setting: those asked for, and more where some were disturbed or they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.settings import CPU_PROTOCOL, SpeedSpec
from bench.speed import FURTHER, Cell


def answer(ms: float, busy: str | None = None) -> dict[str, Any]:
    samples = {"samples_ms": [ms] * 10, "block_s": ms / 100, "busy": busy, "energy_j": None, "peak_mb": 1.0}
    return {"blocks": {"model": samples | {"clock_mhz": None, "throttled": None}}}


class Told:
    """Stands for the process that times: answers are told one by one."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.answers = iter(answers)

    def timed(self, *_: object) -> dict[str, Any]:
        return next(self.answers)


def timed(folder: Path, answers: list[dict[str, Any]], processes: int = 3) -> tuple[int, dict[str, Any]]:
    """How many of the answers were asked for, and the row they make."""
    cell = Cell(folder, CPU_PROTOCOL, processes, [SpeedSpec("resnet18")])
    told = Told(answers)
    while not cell.complete:
        cell.add(told)  # type: ignore[arg-type]
    assert not folder.exists()
    return len(cell.answers), cell.rows()["model"]


@pytest.mark.parametrize(
    ("answers", "asked", "status"),
    [
        ([answer(20), answer(21), answer(20)], 3, "ok"),
        ([answer(20), answer(30, "busy"), answer(21), answer(20)], 4, "ok"),
        # Four of five alike tell more than two of three.
        ([answer(20), answer(20), answer(36), answer(20), answer(20)], 5, "ok"),
        ([answer(20), answer(40), answer(20), answer(40), answer(20)], 3 + FURTHER, "unstable"),
        ([answer(20, "busy")] * 5, 3 + FURTHER, "unstable"),
        ([{"status": "oom", "reason": "no memory"}], 1, "oom"),
    ],
)
def test_processes_of_a_setting(tmp_path: Path, answers: list[dict[str, Any]], asked: int, status: str) -> None:
    processes, row = timed(tmp_path / "cell", answers)
    assert (processes, row["status"]) == (asked, status)


def test_a_disturbed_process_is_no_part_of_the_row_where_enough_were_not(tmp_path: Path) -> None:
    _, row = timed(tmp_path / "cell", [answer(20), answer(90, "busy"), answer(20), answer(20)])
    assert (row["processes"], row["p50_ms"]) == (3, pytest.approx(20))
    assert row["median_high_ms"] == pytest.approx(20)


def test_one_process_is_compared_with_none(tmp_path: Path) -> None:
    processes, row = timed(tmp_path / "cell", [answer(20)], processes=1)
    assert (processes, row["status"]) == (1, "ok")
