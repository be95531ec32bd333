"""Which timings may stand beside each other, and beside which errors. No drawing here: terminal tables need it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.comparable import same_input
from reports.document import counted, listed

WHY = {
    "unstable": "unstable: a busy machine, too few calls, or processes that differ",
    "oom": "out of memory",
    "wrong": "wrong: mattes that are not PyTorch's",
}


def matches(timed: pd.DataFrame, protocol: str) -> list[bool]:
    """Of each timing whether its input is the one that errors of `protocol` were measured at."""
    return [same_input(protocol, height, width) for height, width in zip(timed["height"], timed["width"], strict=True)]


def sizes(timed: pd.DataFrame) -> str:
    """The sizes of timings in words, such as `512×512 and 1920×1080`."""
    pairs = sorted(set(zip(timed["width"], timed["height"], strict=True)))
    return listed([f"{width:.0f}×{height:.0f}" for width, height in pairs], 4)


def unused(speed: pd.DataFrame) -> str:
    """Which timings no figure or ranking takes, and why, in a sentence; empty if all are `ok`."""
    counts = speed.loc[speed["status"] != "ok", "status"].fillna("unknown").value_counts()
    if counts.empty:
        return ""
    said = listed([f"{count:,} {WHY.get(status, status)}" for status, count in counts.items()])
    if counts.sum() == len(speed):
        return f"None of the {counted(len(speed), 'timing')} can be used ({said}), so no frame rate is shown."
    verb = "is" if counts.sum() == 1 else "are"
    return f"{counts.sum():,} of {counted(len(speed), 'timing')} {verb} left out ({said})."


def scope(row: Mapping[str, Any]) -> str:
    """What of a picture's way was timed."""
    return "model only" if row["scope"] == "model" else "end to end"


def way(row: Mapping[str, Any]) -> str:
    """How a network was executed: engine, precision and memory layout."""
    return ", ".join(str(row[key]) for key in ("engine", "precision", "layout") if pd.notna(row[key]))


def with_conditions(timed: pd.DataFrame) -> pd.DataFrame:
    """Timings with the conditions they were taken under, in words.

    `scope`, `way` (of execution), `setting` (device, way and size), `panel` (scope and setting) and `place` (scope,
    device and size): rates are put side by side where a panel is the same, and ways of execution where a place is.
    """
    rows = timed.to_dict("records")
    sizes = [f"{row['width']:.0f}×{row['height']:.0f}" for row in rows]
    devices = [f"{row['device']}, " if pd.notna(row["device"]) else "" for row in rows]
    timed = timed.assign(scope=[scope(row) for row in rows], way=[way(row) for row in rows])
    of = list(zip(timed["scope"], devices, timed["way"], sizes, strict=True))
    timed = timed.assign(setting=[f"{device}{how}, {size}" for _, device, how, size in of])
    timed = timed.assign(panel=timed["scope"] + ", " + timed["setting"])
    return timed.assign(place=[f"{what}, {device}{size}" for what, device, _, size in of])


def usable(speed: pd.DataFrame) -> pd.DataFrame:
    """The timings that frame rates are taken from: those that succeeded at batch 1."""
    return speed[(speed["status"] == "ok") & speed["fps"].notna() & (speed["batch"] == 1)]


def rates(row: Mapping[str, Any]) -> dict[str, float]:
    """A timing's frame rate, with the interval that its median time's interval gives."""
    slow, fast = (row[key] if pd.notna(row[key]) else row["p50_ms"] for key in ("median_high_ms", "median_low_ms"))
    return {"fps": float(row["fps"]), "fps_low": 1000 / slow, "fps_high": 1000 / fast}
