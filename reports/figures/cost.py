"""Error against annotation cost: a line per method through its best results at each cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.cost import CostModel
from reports.comparison import Comparison, method_order
from reports.document import by_grade
from reports.figures.labels import name_apart, name_lines
from reports.figures.style import LETTER, MUTED, WIDTH, Point, colours, fit_y, key, legend_below, log_axis, marker
from reports.measures import BY_NAME
from wsshm.grades import from_text
from wsshm.methods import described

MEASURES = ("sad", "mad_boundary")
RATIOS = (5.0, 10.0, 20.0, 40.0)  # of a matte's price to that of a mask of the default grade
FONT = 9.5  # points of the labels at ticks
TICKS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))  # within each power of ten, the first whose labels do not collide
COLUMNS = [
    *("ratio", "given", "measure", "label", "control", "mattes", "masks", "grades", "cost", "cost_unit"),
    *("mean", "low", "high", "seeds", "images", "on_line"),
]


def data(comparison: Comparison, cost: CostModel, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """One row per cell and measure: its error with interval, its labels, and their cost in the display unit.

    `on_line`: no cheaper labels of the same method reached as low an error. Cells without known labels are left out.
    """
    cells = comparison.shown()
    part = cells[cells["measure"].isin(measures) & cells["mattes"].notna() & cells["masks"].notna()].copy()
    prices = [cost.of(row.mattes, from_text(row.grades, row.masks)) for row in part.itertuples()]
    part["cost"] = [cost.shown(price) for price in prices]
    part["cost_unit"], part["ratio"], part["given"] = cost.display_unit, cost.matte / cost.mask, True
    part["measure"] = pd.Categorical(part["measure"], categories=list(measures), ordered=True)
    part = part[part["cost"] > 0].sort_values(["measure", "label", "cost", "mean"], kind="stable")
    part["measure"] = part["measure"].astype(str)
    part["on_line"] = part["mean"] <= part.groupby(["measure", "label"], sort=False)["mean"].cummin()
    return part[COLUMNS].reset_index(drop=True)


def by_ratio(comparison: Comparison, cost: CostModel) -> pd.DataFrame:
    """`data` of SAD at the given prices and at each ratio of `RATIOS`, the prices of masks kept."""
    given = cost.matte / cost.mask
    ratios = [ratio for ratio in RATIOS if abs(ratio / given - 1) > 0.02]
    parts = [data(comparison, cost, ("sad",))]
    for ratio in ratios:
        other = replace(cost, matte=cost.mask * ratio)
        parts.append(data(comparison, other, ("sad",)).assign(given=False))
    return pd.concat(parts, ignore_index=True).sort_values("ratio", kind="stable").reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel per measure, lines labelled at their ends, references dotted."""
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
        waiting.append((axes, ends, _references(axes, part), _drawn(part)))
        measure = BY_NAME[name]
        axes.set_title(f"{measure.header}, {measure.where}")
        axes.set_ylabel(measure.axis("logarithmic" if log else ""))
    panels[-1].set_xlabel(f"annotation cost of all labels used ({frame['cost_unit'].iloc[0]}, logarithmic)")
    figure.draw_without_rendering()
    for axes, ends, lines, drawn in waiting:  # names come last, when it is known where everything is
        taken = name_lines(axes, lines, drawn)
        name_apart(axes, ends, drawn, size=9, taken=taken, lines=[y for y, _ in lines])
    return figure


def draw_ratios(frame: pd.DataFrame) -> Figure:
    """The figure of `by_ratio`'s frame: a panel per ratio of prices, all with the same axes."""
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
        axes.xaxis.set_major_locator(LogLocator(subs=_steps(low / 1.3, high * 1.3, WIDTH / columns - 0.35)))
    log = fit_y(grid[0, 0], frame[["low", "mean"]].min(axis=None), frame[["high", "mean"]].max(axis=None))
    for index, axes in enumerate(grid.flat):
        if index >= len(ratios):
            axes.set_axis_off()
        elif index + columns >= len(ratios):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(f"annotation cost ({frame['cost_unit'].iloc[0]}, logarithmic)", fontsize=8.5)
    figure.supylabel(BY_NAME["sad"].axis("logarithmic" if log else ""), fontsize=9.5)
    colour = colours(labels)
    handles = [key(name, color=colour[name], marker=marker(name), markersize=6) for name in labels]
    if len(ratios) < grid.size:
        grid.flat[-1].legend(handles=handles, loc="center", fontsize=9)
    else:
        legend_below(figure, handles)
    return figure


def _steps(low: float, high: float, width: float) -> tuple[float, ...]:
    """The ticks within each power of ten whose labels stand side by side on a logarithmic axis `width` inches wide."""
    for steps in TICKS:
        ticks = [tick for tick in LogLocator(subs=steps).tick_values(low, high) if low <= tick <= high]
        places = np.log(ticks) / np.log(high / low) * width
        letters = np.array([len(f"{tick:,.10g}") + 1 for tick in ticks])
        if (np.diff(places) > (letters[1:] + letters[:-1]) / 2 * LETTER * FONT / 72).all():
            return steps
    return TICKS[-1]


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


def _drawn(part: pd.DataFrame) -> list[tuple[float, float]]:
    """Points along all lines and intervals, where no name should stand."""
    found = list(zip(part["cost"], part["mean"], strict=True))
    for _, line in part[part["on_line"]].groupby("label"):
        x = np.log(line["cost"].to_numpy(dtype=float))
        steps = np.linspace(x[0], x[-1], 60)
        found += zip(np.exp(steps), np.interp(steps, x, line["mean"].to_numpy(dtype=float)), strict=True)
    for row in part[np.isfinite(part["low"])].itertuples():
        found += [(row.cost, y) for y in np.linspace(row.low, row.high, 12)]
    return found


def _references(axes: Axes, part: pd.DataFrame) -> list[tuple[float, str]]:
    """Draw dotted lines at what full supervision (else mattes alone) and masks alone reach with all their labels.

    Returns their heights and names.
    """
    lines = {}
    for name in method_order(part["label"]):
        own = part[part["label"] == name]
        used = [kind for kind in ("mattes", "masks") if own[kind].any()]
        if described(name).true_mattes:
            lines["mattes"] = name, "fully supervised", own.loc[own["mattes"].idxmax()]
        elif len(used) == 1:
            lines.setdefault(used[0], (name, f"{used[0]} only", own.loc[own[used[0]].idxmax()]))
    found = []
    for kind, (name, words, most) in sorted(lines.items(), reverse=True):
        axes.axhline(most["mean"], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
        told = f" ({by_grade(most['grades'])})" if kind == "masks" and most["grades"] else ""
        found.append((float(most["mean"]), f"{words}: {name}, {most[kind]:,.0f} {kind}{told}"))
    return found
