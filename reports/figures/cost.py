"""Error against what the labels cost: one line per method that was given several numbers of labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.cost import CostModel
from reports.comparison import BY_NAME, Comparison, method_order
from reports.figures.style import WIDTH, Point, colours, fit_y, log_axis, marker, name_points

MEASURE = "sad"


def data(comparison: Comparison, cost: CostModel) -> pd.DataFrame:
    """One row per cell: its SAD with interval, its labels, and their cost in the cost model's display unit."""
    part = comparison.cells[comparison.cells["measure"] == MEASURE].copy()
    part["cost"] = part["cost"].map(cost.shown)
    part["cost_unit"] = cost.display_unit
    columns = ["label", "control", "mattes", "masks", "cost", "cost_unit", "mean", "low", "high", "seeds", "images"]
    return part[columns].sort_values(["label", "cost"], kind="stable").reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a line a method where it has several budgets, else a point."""
    labels = method_order(list(frame["label"]))
    colour = colours(labels)
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    axes = figure.subplots()
    ends = []
    for label in labels:
        own = frame[frame["label"] == label]
        x, y = own["cost"].to_numpy(), own["mean"].to_numpy()
        control = bool(own["control"].any())
        known = np.isfinite(own["low"]).to_numpy()
        if len(own) > 1:
            axes.plot(x, y, color=colour[label], linestyle=(0, (4, 2)) if control else "solid", zorder=3)
            axes.fill_between(x, own["low"], own["high"], where=known, color=colour[label], alpha=0.13, linewidth=0)
        errors = np.abs(np.array([y - own["low"], own["high"] - y]))
        axes.errorbar(x[known], y[known], errors[:, known], fmt="none", ecolor=colour[label], elinewidth=1.1, zorder=2)
        axes.plot(x, y, marker(label), color=colour[label], markersize=11 if marker(label) == "*" else 7, zorder=4)
        ends.append(Point(x[-1], y[-1], label, colour[label], control))
    axes.set_xlim(
        frame["cost"].min() / 1.25, frame["cost"].max() * (frame["cost"].max() / frame["cost"].min()) ** 0.2 * 1.3
    )
    log_axis(axes)
    log = fit_y(axes, frame[["low", "mean"]].min(axis=None), frame[["high", "mean"]].max(axis=None))
    name_points(axes, ends)
    axes.set_xlabel(f"annotation cost of all labels used ({frame['cost_unit'].iloc[0]}, logarithmic)")
    axes.set_ylabel(f"{BY_NAME[MEASURE].title}{', logarithmic' if log else ''}; lower is better")
    return figure
