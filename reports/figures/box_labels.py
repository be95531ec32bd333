"""Which labels to buy, for a box: the predicted error over how the money is split, else what was measured over its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.figures.box import TEXT, canvas
from reports.figures.labels import name_apart
from reports.figures.style import BLUE, INK, PAPER, Point, fit_y, log_axis

if TYPE_CHECKING:
    from bench.cost import CostModel
    from reports.plans import Plan

COLUMNS = ["kind", "share", "mattes", "masks", "grades", "sad", "low", "high", "share_low", "share_high"]
HIGHEST = 2.0  # times the lowest error: more is not shown
KINDS = {"mattes": "mattes alone", "masks": "masks alone", "both": "both kinds"}
LOOKS = {"mattes": ("#cc79a7", "v"), "masks": ("#e69f00", "s"), "both": (BLUE, "o")}


def splits(plan: Plan) -> pd.DataFrame:
    """Rows by `kind`: `line`, the best of all splits with so many mattes, and `split`, the proposed one with its interval.

    `share` is the percentage of the money that goes to mattes. Empty where no law could be fitted.
    """
    if plan.answer is None:
        return pd.DataFrame(columns=COLUMNS)
    line = plan.answer.line
    line = line.loc[line.groupby("mattes")["sad"].idxmin()].assign(kind="line", share=lambda rows: 100 * rows["share"])
    share = line.set_index("mattes")["share"]
    best, (few, many) = plan.answer.best, plan.answer.interval
    split = {name: getattr(best, name) for name in ("mattes", "masks", "grades", "sad", "low", "high")}
    split |= {"kind": "split", "share": share[best.mattes]}
    split |= {"share_low": share[few.mattes], "share_high": share[many.mattes]}
    return pd.concat([line, pd.DataFrame([split])], ignore_index=True).reindex(columns=COLUMNS)


def draw_splits(frame: pd.DataFrame) -> Figure:
    """The figure of `splits`' frame."""
    figure, axes = canvas()
    line, split = frame[frame["kind"] == "line"], frame[frame["kind"] == "split"].iloc[0]
    axes.fill_between(line["share"], line["low"], line["high"], color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(line["share"], line["sad"], color=BLUE)
    axes.plot([split["share_low"], split["share_high"]], [split["sad"]] * 2, color=INK, linewidth=2.6)
    axes.plot(split["share"], split["sad"], "o", color=INK, markerfacecolor=PAPER, markeredgewidth=1.8, markersize=7)
    low, high = line["low"].min(), min(line["high"].max(), HIGHEST * line["sad"].min())
    axes.set_ylim(low - 0.1 * (high - low), high)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the money spent on mattes, %")
    axes.set_ylabel("predicted SAD, 10³ px")
    return figure


def measured(cells: pd.DataFrame, cost: CostModel) -> pd.DataFrame:
    """Of `Comparison` cells the lowest error with each combination of labels: kind, labels, price, method, sad, low, high."""
    best = cells.loc[cells.groupby(["mattes", "masks", "grades"])["mean"].idxmin()]
    kinds = np.select([best["masks"] == 0, best["mattes"] == 0], ["mattes", "masks"], "both")
    frame = best.assign(kind=kinds, sad=best["mean"], price=[cost.shown(each) for each in best["cost"]])
    columns = ["kind", "mattes", "masks", "grades", "price", "method", "sad", "low", "high"]
    return frame.sort_values("price", kind="stable")[columns].assign(unit=cost.display_unit).reset_index(drop=True)


def draw_measured(frame: pd.DataFrame) -> Figure:
    """The figure of `measured`'s frame: a dot for each combination of labels, each kind by its name."""
    figure, axes = canvas()
    for kind, part in frame.groupby("kind", sort=False):
        colour, marker = LOOKS[str(kind)]
        known = part[np.isfinite(part["low"].astype(float))]
        axes.vlines(known["price"], known["low"], known["high"], color=colour, linewidth=1.6)
        axes.plot(part["price"], part["sad"], marker, color=colour, markersize=6)
    low, high = frame["price"].min(), frame["price"].max()
    axes.set_xlim(low / 1.35, high * 1.9)
    log_axis(axes)
    ends = frame[["sad", "low", "high"]].astype(float)
    fit_y(axes, ends.min(axis=None), ends.max(axis=None))
    axes.set_xlabel(f"cost of the labels, {frame['unit'].iloc[0]} (logarithmic)")
    axes.set_ylabel("SAD, 10³ px")
    figure.draw_without_rendering()
    largest = frame.loc[frame.groupby("kind", sort=False)["price"].idxmax()]
    points = [Point(row.price, row.sad, KINDS[row.kind], INK) for row in largest.itertuples()]
    along = [frame[["price", end]].to_numpy() for end in ("sad", "low", "high")]
    name_apart(axes, points, np.vstack(along), size=TEXT - 0.5, bold=())
    return figure
