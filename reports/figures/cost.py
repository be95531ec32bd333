"""Error against what the labels cost: a line per method through the best that each price bought."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from bench.cost import CostModel
from reports import selection
from reports.comparison import BY_NAME, REGIONS, Comparison, method_order
from reports.figures.labels import name_apart
from reports.figures.style import INK, MUTED, WIDTH, Point, colours, fit_y, log_axis, marker

MEASURES = ("sad", "mad_boundary")
RATIOS = (5.0, 10.0, 20.0, 40.0)  # of a matte's price to a mask's
# Reference lines: which method, which kind of label, in words. Of two with mattes the first that there is.
REFERENCES = (
    ("oracle", "mattes", "fully supervised"),
    ("matte_only", "mattes", "mattes only"),
    ("seg_only", "masks", "masks only"),
)
DECADES = 2  # of costs: panels of more have ticks at powers of ten alone
LEFT = 0.3  # the part of an axis that the names of reference lines take
COLUMNS = [
    *("ratio", "given", "measure", "label", "control", "mattes", "masks", "cost", "cost_unit"),
    *("mean", "low", "high", "seeds", "images", "on_line"),
]


def data(comparison: Comparison, cost: CostModel, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """One row per cell and measure: its error with interval, its labels, and their cost in the display unit.

    `on_line`: no cheaper labels of the same method reached as low an error. Cells without known labels are left out.
    """
    cells = selection.shown(comparison)
    part = cells[cells["measure"].isin(measures) & cells["mattes"].notna() & cells["masks"].notna()].copy()
    prices = [cost.of(row.mattes, row.masks) for row in part.itertuples()]
    part["cost"] = [cost.shown(price) for price in prices]
    part["cost_unit"], part["ratio"], part["given"] = cost.display_unit, cost.matte / cost.mask, True
    part["measure"] = pd.Categorical(part["measure"], categories=list(measures), ordered=True)
    part = part[part["cost"] > 0].sort_values(["measure", "label", "cost", "mean"], kind="stable")
    part["measure"] = part["measure"].astype(str)
    part["on_line"] = part["mean"] <= part.groupby(["measure", "label"], sort=False)["mean"].cummin()
    return part[COLUMNS].reset_index(drop=True)


def by_ratio(comparison: Comparison, cost: CostModel) -> pd.DataFrame:
    """`data` of SAD at the given prices and at each ratio of `RATIOS`, the price of a mask kept."""
    given = cost.matte / cost.mask
    ratios = [ratio for ratio in RATIOS if abs(ratio / given - 1) > 0.02]
    parts = [data(comparison, cost, ("sad",))]
    for ratio in ratios:
        other = CostModel(cost.mask * ratio, cost.mask, cost.unit, cost.matte_source, cost.mask_source)
        parts.append(data(comparison, other, ("sad",)).assign(given=False))
    return pd.concat(parts, ignore_index=True).sort_values("ratio", kind="stable").reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel a measure, lines labelled at their ends, references dashed."""
    measures = list(dict.fromkeys(frame["measure"]))
    figure = Figure(figsize=(WIDTH, 4.0 * len(measures) + 0.3), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(len(measures), 1, squeeze=False)[:, 0]
    waiting = []
    for axes, name in zip(panels, measures, strict=True):
        part = frame[frame["measure"] == name]
        low, high = part["cost"].min(), part["cost"].max()
        axes.set_xlim(low / 1.25, high * (high / low) ** 0.12 * 1.3)
        ends = _lines(axes, part)
        log = fit_y(axes, part[["low", "mean"]].min(axis=None), part[["high", "mean"]].max(axis=None))
        waiting.append((axes, ends, _references(axes, part) + _along(part)))
        measure = BY_NAME[name]
        axes.set_title(f"{measure.header}, {REGIONS[measure.region]}")
        axes.set_ylabel(f"{measure.title}{', logarithmic' if log else ''}; lower is better")
    panels[-1].set_xlabel(f"annotation cost of all labels used ({frame['cost_unit'].iloc[0]}, logarithmic)")
    figure.draw_without_rendering()
    for axes, ends, others in waiting:  # names come last, when it is known where everything is
        name_apart(axes, ends, others, size=9)
    return figure


def draw_ratios(frame: pd.DataFrame) -> Figure:
    """The figure of `by_ratio`'s frame: a panel a ratio of prices, all on the same axes."""
    ratios = list(dict.fromkeys(frame["ratio"]))
    columns = min(3, len(ratios))
    rows = -(-len(ratios) // columns)
    labels = method_order(list(frame["label"]))
    figure = Figure(figsize=(WIDTH, 2.7 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    low, high = frame["cost"].min(), frame["cost"].max()
    for axes, ratio in zip(grid.flat, ratios, strict=False):
        part = frame[frame["ratio"] == ratio]
        axes.set_xlim(low / 1.3, high * 1.3)
        _lines(axes, part, size=5.5)
        axes.set_title(f"matte = {ratio:.3g} masks{' (as given)' if part['given'].any() else ''}", fontsize=9)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 10**DECADES else (1.0, 2.0, 5.0)))
    log = fit_y(grid[0, 0], frame[["low", "mean"]].min(axis=None), frame[["high", "mean"]].max(axis=None))
    for index, axes in enumerate(grid.flat):
        if index >= len(ratios):
            axes.set_axis_off()
        elif index + columns >= len(ratios):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(f"annotation cost ({frame['cost_unit'].iloc[0]}, logarithmic)", fontsize=8.5)
    figure.supylabel(f"{BY_NAME['sad'].title}{', logarithmic' if log else ''}; lower is better", fontsize=9.5)
    colour = colours(labels)
    handles = [Line2D([], [], color=colour[name], marker=marker(name), markersize=6, label=name) for name in labels]
    if len(ratios) < grid.size:
        grid.flat[-1].legend(handles=handles, loc="center", fontsize=9)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), fontsize=8.5)
    return figure


def _lines(axes: Axes, part: pd.DataFrame, size: float = 7) -> list[Point]:
    """A method's cells and the line through those that no cheaper ones reach; returns the lines' right ends."""
    labels = method_order(list(part["label"]))
    colour = colours(labels)
    ends = []
    for label in labels:
        own = part[part["label"] == label]
        control = bool(own["control"].any())
        line = own[own["on_line"]]
        known = np.isfinite(line["low"]).to_numpy()
        if len(line) > 1:
            style = (0, (4, 2)) if control else "solid"
            axes.plot(line["cost"], line["mean"], color=colour[label], linestyle=style, zorder=3)
            axes.fill_between(
                *(line["cost"], line["low"], line["high"]), where=known, color=colour[label], alpha=0.13, linewidth=0
            )
        bars = own[np.isfinite(own["low"])]
        errors = np.abs(np.array([bars["mean"] - bars["low"], bars["high"] - bars["mean"]]))
        axes.errorbar(bars["cost"], bars["mean"], errors, fmt="none", ecolor=colour[label], elinewidth=1.1, zorder=2)
        for reached, rows in own.groupby("on_line"):
            axes.plot(
                *(rows["cost"], rows["mean"], marker(label)),
                color=colour[label],
                markersize=size * (1.5 if marker(label) == "*" else 1),
                alpha=1.0 if reached else 0.45,
                zorder=4,
            )
        last = line.iloc[-1]
        ends.append(Point(last["cost"], last["mean"], label, colour[label], control))
    log_axis(axes)
    return ends


def _along(part: pd.DataFrame) -> list[tuple[float, float]]:
    """Points along all lines, where no name may stand."""
    found: list[tuple[float, float]] = []
    for _, line in part[part["on_line"]].groupby("label"):
        x = np.log(line["cost"].to_numpy(dtype=float))
        steps = np.linspace(x[0], x[-1], 60)
        found += zip(np.exp(steps), np.interp(steps, x, line["mean"].to_numpy(dtype=float)), strict=True)
    return found


def _references(axes: Axes, part: pd.DataFrame) -> list[tuple[float, float]]:
    """Dotted lines at what full supervision and masks alone reach with all their labels; returns where their names stand.

    A name stands at the left, or at the right where its method's own point is at the left.
    """
    low, high = axes.get_xlim()
    covered: list[tuple[float, float]] = []
    present = set(part["label"])
    lines = [line for line in REFERENCES if line[0] in present]
    if "oracle" in present:
        lines = [line for line in lines if line[0] != "matte_only"]
    for name, kind, words in lines:
        own = part[part["label"] == name]
        most = own.loc[own[kind].idxmax()]
        right = most["cost"] < low * (high / low) ** LEFT
        axes.axhline(most["mean"], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            f"{words}: {name}, {most[kind]:,.0f} {kind}",
            (0.995 if right else 0.005, most["mean"]),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            va="bottom",
            ha="right" if right else "left",
        )
        start, end = (high * (low / high) ** LEFT, high) if right else (low, low * (high / low) ** LEFT)
        at = axes.transData.transform((start, most["mean"]))
        at[1] += 7 * axes.figure.dpi / 72  # where the letters stand
        above = axes.transData.inverted().transform(at)[1]
        covered += [(float(x), y) for x in np.geomspace(start, end, 30) for y in (most["mean"], float(above))]
    return covered
