"""Which network to ship, for a box: frame rate against error, with the names of the few that matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.document import shortened
from reports.figures.box import HEIGHT, TEXT, canvas
from reports.figures.labels import name_apart
from reports.figures.speed import BEHIND, ON_FRONT, TARGET
from reports.figures.style import INK, Point, fit_y, log_axis

LONGEST = 26  # letters of a name
COLUMNS = [
    *("network", "name", "engine", "precision", "panel", "fps", "fps_low", "fps_high", "mean", "low", "high"),
    *("on_front", "named", "target_fps"),
]


def data(part: pd.DataFrame, best: pd.DataFrame, named: Sequence[str], target_fps: float | None) -> pd.DataFrame:
    """The networks of `shipping.candidates`, which of them are on the front `best`, and whose names are shown."""
    frame = part.assign(on_front=part.index.isin(best.index), named=part["name"].isin(named), target_fps=target_fps)
    return frame[COLUMNS].reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: dots by the rate that is held, the front as a step, a line at the rate asked for."""
    figure, axes = canvas(HEIGHT + 0.15)
    target = frame["target_fps"].iloc[0]
    front = frame["on_front"].astype(bool)
    best = frame[front].sort_values("fps_low")
    low, high = frame["fps_low"].min(), frame["fps_low"].max()
    if pd.notna(target):
        low, high = min(low, target), max(high, target)
        axes.axvline(target, color=TARGET, linewidth=1.2, linestyle="--", zorder=1)
    axes.set_xlim(low / 1.3, high * 1.3)
    log_axis(axes)
    if len(best) > 1:
        axes.step(best["fps_low"], best["mean"], where="pre", color=ON_FRONT, linewidth=1.2, zorder=2)
    crowded = len(frame) > 20
    for rows, colour, size in ((frame[~front], BEHIND, 9 if crowded else 20), (best, ON_FRONT, 24 if crowded else 32)):
        known = rows[np.isfinite(rows["low"].astype(float))]
        if not crowded:
            axes.vlines(known["fps_low"], known["low"], known["high"], color=colour, linewidth=1, alpha=0.55)
        axes.scatter(rows["fps_low"], rows["mean"], s=size, color=colour, zorder=4)
    ends = frame[["mean"] if crowded else ["mean", "low", "high"]].astype(float)
    log = fit_y(axes, ends.min(axis=None), ends.max(axis=None))
    axes.set_xlabel("frames per second held (logarithmic)")
    axes.set_ylabel(f"SAD, 10³ px{' (log)' * log}")
    figure.draw_without_rendering()
    points = [
        Point(row.fps_low, row.mean, shortened(str(row.network), LONGEST), INK)
        for row in frame[frame["named"].astype(bool)]
        .sort_values(["on_front", "mean"], ascending=[False, True])
        .itertuples()
    ]
    name_apart(axes, points, frame[["fps_low", "mean"]].to_numpy(), size=TEXT - 0.5, bold=())
    return figure
