"""Dots with their intervals in named rows: how figures compare methods, networks and seeds by one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.figures.hover import tell
from reports.figures.style import GRID, PAPER
from reports.load import REFERENCE

SIZE = 6.5  # of a dot, in typographic points


def forest(axes: Axes, frame: pd.DataFrame, size: float = SIZE) -> None:
    """A dot for each row of `frame` at its `value` and `y`, in its `colour`, with the interval from `low` to `high` if finite.

    Its `marker` is a circle and it is `filled` if the frame has no such column. A dot says its `said`, if that is there.
    """
    for row in frame.assign(**{"marker": "o", "filled": True, "said": ""} | dict(frame.items())).itertuples():
        if np.isfinite(row.low):
            axes.plot([row.low, row.high], [row.y] * 2, color=row.colour, solid_capstyle="butt", zorder=3)
        axes.plot(
            *(row.value, row.y, row.marker),
            color=row.colour,
            markerfacecolor=row.colour if row.filled else PAPER,
            markeredgewidth=0.23 * size,
            markersize=1.4 * size if row.marker == "*" else size,
            zorder=4,
        )
        if row.said:
            tell(axes, row.value, row.y, row.said)


def embolden(axes: Axes, methods: Sequence[str]) -> None:
    """Print the name of the reference in bold, where the rows are those of `methods`."""
    for tick, method in zip(axes.get_yticklabels(), methods, strict=True):
        tick.set_fontweight("bold" if method == REFERENCE else "normal")


def name_rows(axes: Axes, names: Sequence[str], places: Sequence[float] = (), lines: bool = True) -> None:
    """Name the rows at their `places` (default: 0, 1, ... from the bottom) along the y axis, a pale line through each."""
    at = list(places) or list(range(len(names)))
    axes.set_yticks(at, names)
    if not places:
        axes.set_ylim(-0.6, len(names) - 0.4)
    if lines:
        for y in at:
            axes.axhline(y, color=GRID, linewidth=0.8, zorder=1)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
