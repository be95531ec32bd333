"""What more of one kind of label would bring: the error over money spent on it alone, and its fall at the beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import marginal
from reports.figures.kinds import look
from reports.figures.style import INK, MUTED, PAPER, WIDTH, apart, key, legend_below
from reports.measures import BY_NAME
from reports.plans import MATTES

if TYPE_CHECKING:
    from reports.plans import Plan

COLUMNS = ["part", "kind", "spent", "sad", "low", "high", "measured", "gain", "labels", "factor", "unit", "per"]
BEST = "best split"


def data(plan: Plan) -> pd.DataFrame:
    """Rows by `part`: `spending` (as `marginal.spending`) and `gain` (px per `per`, with its interval, by kind)."""
    _, per = marginal.amount(plan.cost)
    falls = [
        {"part": "gain", "kind": each.kind, "gain": marginal.PIXELS * each.gain, "low": marginal.PIXELS * each.low}
        | {"high": marginal.PIXELS * each.high, "labels": each.labels, "factor": each.factor}
        for each in marginal.gains(plan)
    ]
    frame = pd.concat([marginal.spending(plan).assign(part="spending"), pd.DataFrame(falls)], ignore_index=True)
    return frame.assign(unit=plan.cost.display_unit, per=per).reindex(columns=COLUMNS)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: lines over spending on the left, gains with their intervals on the right."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _spending(left, frame[frame["part"] == "spending"])
    falls = frame[frame["part"] == "gain"].sort_values("gain", kind="stable")
    _gains(right, falls)
    kinds = list(dict.fromkeys(falls["kind"]))[::-1]
    handles = [key(named(kind), **look(kind), markersize=6) for kind in kinds]
    legend_below(figure, [*handles, key(BEST, color=MUTED, linewidth=5, alpha=0.5)])
    return figure


def named(kind: str) -> str:
    return MATTES if kind == MATTES else f"{kind} masks"


def _spending(axes: Axes, frame: pd.DataFrame) -> None:
    best = frame[frame["kind"] == "best"]
    axes.plot(best["spent"], best["sad"], color=MUTED, linewidth=5, alpha=0.5, zorder=2, solid_capstyle="butt")
    ends: dict[str, tuple[float, float]] = {}
    for kind in dict.fromkeys(frame.loc[frame["kind"] != "best", "kind"]):
        part = frame[frame["kind"] == kind]
        measured = part[part["measured"].astype(bool)]
        style = look(kind)
        axes.plot(measured["spent"], measured["sad"], **style, markevery=0.2, markersize=5, zorder=4)
        ends[kind] = float(part["spent"].iloc[-1]), float(part["sad"].iloc[-1])
        if len(measured) < len(part):
            beyond = part.iloc[max(0, len(measured) - 1) :]
            axes.plot(beyond["spent"], beyond["sad"], color=style["color"], linewidth=0.8, alpha=0.6, zorder=3)
    low, high = axes.get_ylim()
    places = apart([sad for _, sad in ends.values()], 0.055 * (high - low))
    for (kind, (spent, _)), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            f" {kind}", (spent, place), color=look(kind)["color"], fontsize=8.5, va="center", annotation_clip=False
        )
    axes.set_xlim(0, 1.16 * best["spent"].max())
    axes.set_title("Spending more on one kind alone")
    axes.set_xlabel(f"spent further ({frame['unit'].iloc[0]})")
    axes.set_ylabel(f"predicted {BY_NAME['sad'].axis()}")


def _gains(axes: Axes, falls: pd.DataFrame) -> None:
    for place, row in enumerate(falls.to_dict("records")):
        style = look(row["kind"])
        axes.plot([row["low"], row["high"]], [place, place], color=style["color"], linewidth=2.2, zorder=3)
        axes.plot(
            row["gain"], place, style["marker"], color=style["color"], markerfacecolor=PAPER, markersize=8,
            markeredgewidth=1.8, zorder=4,
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(np.arange(len(falls)), [named(kind) for kind in falls["kind"]])
    axes.set_ylim(-0.6, len(falls) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_title("Marginal gain, 95 % intervals")
    axes.set_xlabel(f"SAD falls by (px per {falls['per'].iloc[0]})")
