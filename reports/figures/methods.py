"""Methods side by side: a dot and its 95 % interval per method and budget, one panel per measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import selection
from reports.comparison import BY_NAME, REGIONS, Comparison, method_order
from reports.document import shortened
from reports.figures.style import GRID, INK, PAPER, WIDTH, colours, marker

SHOWN = ("sad", "grad", "mad_boundary")
LONGEST = 30  # letters of a method's name beside the axis


def data(comparison: Comparison) -> pd.DataFrame:
    """One row per cell and measure that is shown, with the rank of its labels (0: the dearest a method had)."""
    cells = selection.shown(comparison)
    part = cells[cells["measure"].isin(SHOWN)].copy()
    part["rank"] = (
        part.groupby(["label", "measure"])["cost"].rank(method="first", ascending=False).fillna(1).astype(int) - 1
    )
    columns = [
        "label",
        "control",
        "external",
        "mattes",
        "masks",
        "measure",
        "rank",
        "mean",
        "low",
        "high",
        "seeds",
        "images",
    ]
    return part[columns].reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel a measure, a row a method, dots with their intervals."""
    measures = [name for name in SHOWN if name in set(frame["measure"])]
    labels = method_order(list(frame["label"]))[::-1]
    colour = colours(labels[::-1])
    ranks = int(frame["rank"].max()) + 1
    height = 1.35 + len(labels) * max(0.36, 0.17 * ranks + 0.08)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, measures, strict=True):
        measure = BY_NAME[name]
        for row in frame[frame["measure"] == name].itertuples():
            own = int(frame.loc[(frame["label"] == row.label) & (frame["measure"] == name), "rank"].max()) + 1
            y = labels.index(row.label) + 0.2 * ((own - 1) / 2 - row.rank)
            if np.isfinite(row.low):
                axes.plot([row.low, row.high], [y, y], color=colour[row.label], solid_capstyle="butt", zorder=2)
            filled = colour[row.label] if row.rank == 0 else PAPER
            axes.plot(
                *(row.mean, y, marker(row.label)),
                color=colour[row.label],
                markerfacecolor=filled,
                markeredgewidth=1.5,
                markersize=9 if marker(row.label) == "*" else 6.5,
                zorder=3,
            )
        axes.set_title(f"{measure.header}, {REGIONS[measure.region]}")
        axes.set_xlabel(f"{measure.title}; {'lower' if measure.lower_is_better else 'higher'} is better")
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        for y in range(len(labels)):
            axes.axhline(y, color=GRID, linewidth=0.8, zorder=1)
    kinds = {
        row.label: " (elsewhere)" if row.external else " (control)" if row.control else "" for row in frame.itertuples()
    }
    names = [f"{shortened(name, LONGEST)}{kinds[name]}" for name in labels]
    panels[0].set_yticks(range(len(labels)), names)
    for tick, name in zip(panels[0].get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if name == "mlb" else "normal")
    panels[0].set_ylim(-0.6, len(labels) - 0.4)
    if ranks > 1:
        handles = [
            Line2D([], [], marker="o", linestyle="", color=INK, markerfacecolor=face, markeredgewidth=1.5, label=text)
            for face, text in (
                (INK, "largest number of labels the method was given"),
                (PAPER, "fewer labels, in falling order"),
            )
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8.5)
    return figure
