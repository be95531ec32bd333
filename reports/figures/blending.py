"""A search's figures: what each key explains, and the objective against every key that was searched."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.document import shortened
from reports.figures.forest import name_rows
from reports.figures.style import GRID, INK, MUTED, WIDTH, log_axis
from reports.importance import Importance, is_numeric, words

ACCENT, BEST = "#0072b2", "#d55e00"
PANELS = 11  # searched keys that are drawn, the most important first
WIDE = 20  # a key whose values span more than this ratio is drawn on a logarithmic axis
OBJECTIVE, TEST = "validation SAD", "test SAD"


def importance_data(found: list[Importance]) -> pd.DataFrame:
    """One row per key, the most important first."""
    return pd.DataFrame([vars(one) | {"told": one.significant} for one in found])


def draw_importance(frame: pd.DataFrame) -> Figure:
    """The figure of `importance_data`'s frame: a bar a key, its interval, and what chance reaches."""
    rows = frame.iloc[::-1]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows.itertuples()):
        axes.barh(y, row.share, height=0.6, color=ACCENT if row.told else MUTED, alpha=0.9 if row.told else 0.45)
        axes.plot([row.low, row.high], [y, y], color=INK, linewidth=1.4)
        axes.plot([row.chance] * 2, [y - 0.38, y + 0.38], color=BEST, linewidth=1.6, linestyle=(0, (2, 1.2)))
    name_rows(axes, [shortened(key, 34) for key in rows["key"]], lines=False)
    axes.spines["left"].set_visible(True)
    axes.set_xlim(0, min(1.0, max(frame["high"].max(), frame["chance"].max()) * 1.05 + 0.02))
    axes.set_xlabel("share of the rank variance of validation SAD that the key explains alone; dashed: chance")
    return figure


def draw_slices(frame: pd.DataFrame, keys: list[str]) -> Figure:
    """The objective of every configuration of `frame` (columns val_sad, sad and the keys) against each key.

    The last panel sets validation against test, where both are known.
    """
    keys = keys[:PANELS]
    both = frame[np.isfinite(frame["sad"])]
    panels = len(keys) + (len(both) > 1)
    columns = min(4, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(WIDTH, 2.35 * rows + 0.25), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    best = int(frame["val_sad"].idxmin())
    for index, (axes, key) in enumerate(zip(grid.flat, keys, strict=False)):
        _slice(axes, frame, key, best)
        axes.set_ylabel("validation SAD (10³ px)" if index % columns == 0 else "")
    if len(both) > 1:
        axes = grid.flat[panels - 1]
        _dots(axes, both["val_sad"], both["sad"], best)
        axes.set_title("test against validation", fontsize=9)
        axes.set_xlabel("validation SAD (10³ px)", fontsize=8.5)
        axes.set_ylabel("test SAD (10³ px)", fontsize=8.5)
        axes.tick_params(labelsize=8)
    for axes in grid.flat[panels:]:
        axes.set_visible(False)
    return figure


def _slice(axes: Axes, frame: pd.DataFrame, key: str, best: int) -> None:
    column, y = frame[key], frame["val_sad"]
    if is_numeric(column):
        x = column.astype(float)
        _dots(axes, x, y, best)
        if x.min() > 0 and x.max() / x.min() > WIDE:
            log_axis(axes)
        elif x.nunique() <= 6:
            axes.set_xticks(sorted(x.unique()))
    else:
        column = words(column)
        names = sorted(column.unique())
        places = {name: index for index, name in enumerate(names)}
        order = frame.groupby(column).cumcount()
        x = column.map(places) + 0.16 * np.sin(2.4 * order)  # spread by a fixed rule, not by chance
        _dots(axes, x, y, best)
        for name, index in places.items():
            own = y[column == name]
            axes.plot([index - 0.3, index + 0.3], [own.mean()] * 2, color=INK, linewidth=1.6)
        axes.set_xticks(range(len(names)), [shortened(name, 10) for name in names])
        axes.set_xlim(-0.6, len(names) - 0.4)
        if len(names) > 4:
            axes.tick_params(axis="x", rotation=60)
        axes.grid(True, axis="y", color=GRID)
        axes.grid(False, axis="x")
    axes.set_title(shortened(key.rsplit(".", 1)[-1], 24), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.07, y=0.08)


def _dots(axes: Axes, x: pd.Series, y: pd.Series, best: int) -> None:
    axes.plot(x, y, "o", color=ACCENT, markersize=4, alpha=0.7, markeredgewidth=0)
    if best in x.index:
        axes.plot(x[best], y[best], "*", color=BEST, markersize=12, markeredgecolor=INK, zorder=3)
