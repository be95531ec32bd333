"""Which network to ship: sentences from the frame of the figure of frame rates and errors."""

from __future__ import annotations

import math

import pandas as pd

from reports.document import between, counted, decimals, listed, number
from reports.pareto import front

NAMED = 5  # networks of a front in one sentence


def advice(frame: pd.DataFrame, target_fps: float | None = None) -> list[str]:
    """What to ship at `target_fps`, else at which rate which network; nothing where only one network was trained.

    By end-to-end rates where there are some. A rate is held where the lower end of its interval is not below it. Of the ways
    in which a network was executed in one precision the one that holds most stands for it.
    """
    part = candidates(frame)
    if part.empty:
        return []
    where = part["panel"].iloc[0]
    if target_fps is None:
        return [_front(part, where)]
    target = f"{target_fps:g} frames per second"
    able = holding(part, target_fps)
    if able.empty:
        return [f"no trained network holds {target} ({where}): the fastest is {_told(part.loc[part['fps'].idxmax()])}."]
    best, places = able.iloc[0], decimals(part["mean"])
    interval = between(best["low"], best["high"], places)
    able_too, networks = able["network"].nunique(), part["network"].nunique()
    if able_too > 1:
        why = f"it has the lowest SAD of the {able_too} networks that do so ({number(best['mean'], places)}"
    else:
        why = f"it is the only one of {networks} networks that does so (SAD {number(best['mean'], places)}"
    text = (
        f"to hold {target} ({where}), ship {best['name']}: {why} thousand pixels{f', {interval}' if interval else ''}), at"
        f" {_rate(best['fps'])} frames per second"
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
    return [f"{text}{_scored_otherwise(able.loc[[best.name]])}."]


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """What advice is about: the trained networks of the first panel of end-to-end rates, else of the first."""
    trained = frame[(frame["kind"] == "trained") & frame["mean"].notna()]
    whole = trained[trained["scope"] == "end to end"]
    chosen = whole if len(whole) else trained
    return chosen[chosen["panel"] == chosen["panel"].iloc[0]] if len(chosen) else chosen


def candidates(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks that advice is about, each in every precision by the way of execution that holds most.

    Empty where only one network was trained, beside which there is nothing to choose.
    """
    part = compared(frame)
    if part["network"].nunique() < 2:
        return part.head(0)
    return (
        part.sort_values("fps_low", kind="stable").drop_duplicates(["network", "precision"], keep="last").sort_index()
    )


def holding(part: pd.DataFrame, target_fps: float) -> pd.DataFrame:
    """Those of `candidates` that hold a rate, the one to ship first."""
    return part[part["fps_low"] >= target_fps].sort_values(["mean", "fps"], ascending=[True, False])


def best_by_rate(part: pd.DataFrame) -> pd.DataFrame:
    """The front of `candidates`, the most accurate first."""
    # By the rates that are held, which a wide interval may order otherwise than the rates themselves; of equals the first.
    return part.iloc[front(part[["mean", "fps_low"]].to_numpy(float) * (1, -1))].drop_duplicates(["mean", "fps_low"])


def _front(part: pd.DataFrame, where: str) -> str:
    best = best_by_rate(part)
    networks = counted(part["network"].nunique(), "network")
    if len(best) == 1:
        text = f"of {networks}, {best['name'].iloc[0]} is the fastest and has the lowest SAD ({where})"
        return f"{text}{_scored_otherwise(best)}."
    places = decimals(part["mean"])
    told = [
        f"up to {math.floor(row.fps_low):,} frames per second {row.name} (SAD {number(row.mean, places)})"
        for row in best.itertuples(index=False)
    ]
    text = f"which of {networks} to ship depends on the rate to be held"
    if len(set(best["network"])) == 1:  # in several precisions
        text = f"of {networks}, {best['network'].iloc[0]} is the best at any rate"
    return f"{text} ({where}): {listed(told, NAMED)}{_scored_otherwise(best)}."


def _scored_otherwise(part: pd.DataFrame) -> str:
    """That errors are of another precision than was timed, where they are."""
    pairs = zip(part["precision"], part["error_of"], strict=True)
    other = dict.fromkeys(timed for timed, scored in pairs if not scored.endswith(f", {timed}"))
    return f"; SAD was measured in fp32, not in {listed(other)}" if other else ""


def _told(row: pd.Series) -> str:
    return f"{row['name']} (SAD {number(row['mean'], decimals([row['mean']]))}, {_rate(row['fps'])} frames per second)"


def _rate(fps: float) -> str:
    return number(fps, decimals([fps]))
