"""Which network to ship: sentences from the frame of the figure of frame rates and errors."""

from __future__ import annotations

import math

import pandas as pd

from reports.document import between, counted, decimals, listed, number

NAMED = 5  # networks of a front in one sentence


def advice(frame: pd.DataFrame, target_fps: float | None = None) -> list[str]:
    """What to ship at `target_fps`, else at which rate which network; nothing where only one network was trained.

    By end-to-end rates where there are some. A rate is held where the lower end of its interval is not below it.
    """
    part = _end_to_end(frame)
    if part["network"].nunique() < 2:
        return []
    part, where = part[part["fastest"].astype(bool)], part["panel"].iloc[0]
    if target_fps is None:
        return [_front(part, where)]
    target = f"{target_fps:g} frames per second"
    able = part[part["fps_low"] >= target_fps]
    if able.empty:
        return [f"no trained network holds {target} ({where}): the fastest is {_told(part.loc[part['fps'].idxmax()])}."]
    best, places = able.loc[able["mean"].idxmin()], decimals(part["mean"])
    interval = between(best["low"], best["high"], places)
    text = (
        f"to hold {target} ({where}), ship {best['name']}: it has the lowest SAD of the"
        f" {counted(able['network'].nunique(), 'network')} that do so ({number(best['mean'], places)} thousand pixels"
        f"{f', {interval}' if interval else ''}), at {_rate(best['fps'])} frames per second"
    )
    close = able[(able["low"] <= best["high"]) & (able["network"] != best["network"])]
    if len(close):
        fastest = close.loc[close["fps"].idxmax()]
        if fastest["fps"] > best["fps"]:
            text += f"; the interval of {_told(fastest)} overlaps with its own"
    missed = part[(part["fps_low"] < target_fps) & ~part["network"].isin(able["network"])]
    if len(missed):
        first = missed.sort_values(["mean", "fps"], ascending=[True, False]).iloc[0]
        if first["mean"] < best["mean"]:
            text += f"; {_told(first)} has a lower SAD but is too slow"
    return [f"{text}."]


def _end_to_end(frame: pd.DataFrame) -> pd.DataFrame:
    """The trained networks of the first panel of end-to-end rates, else of the first."""
    trained = frame[frame["kind"] == "trained"]
    whole = trained[trained["scope"] == "end to end"]
    chosen = whole if len(whole) else trained
    return chosen[chosen["panel"] == chosen["panel"].iloc[0]] if len(chosen) else chosen


def _front(part: pd.DataFrame, where: str) -> str:
    best = part[part["on_front"].astype(bool)].drop_duplicates("network").sort_values("mean")
    networks = counted(part["network"].nunique(), "network")
    if len(best) == 1:
        return f"of {networks}, {best['name'].iloc[0]} is the fastest and has the lowest SAD ({where})."
    places = decimals(part["mean"])
    told = [
        f"up to {math.floor(row.fps_low):,} frames per second {row.name} (SAD {number(row.mean, places)})"
        for row in best.itertuples(index=False)
    ]
    return f"which of {networks} to ship depends on the rate to be held ({where}): {listed(told, NAMED)}."


def _told(row: pd.Series) -> str:
    return f"{row['name']} (SAD {number(row['mean'], decimals([row['mean']]))}, {_rate(row['fps'])} frames per second)"


def _rate(fps: float) -> str:
    return number(fps, decimals([fps]))
