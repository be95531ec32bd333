"""Methods side by side: a dot and its 95 % interval per method and budget, one panel per measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.comparison import Comparison, method_order
from reports.document import counted, labels_in_words, shortened
from reports.figures.forest import embolden, forest, name_rows
from reports.figures.hover import of_runs, with_interval
from reports.figures.style import INK, MUTED, PAPER, WIDTH, colours, key, legend_below, marker
from reports.measures import BY_NAME

SHOWN = ("sad", "grad", "mad_boundary")
LONGEST = 30  # letters of a method's name beside the axis


def data(comparison: Comparison) -> pd.DataFrame:
    """One row per cell and measure that is shown, with the rank of its labels (0: the most expensive a method had)."""
    cells = comparison.shown()
    part = cells[cells["measure"].isin(SHOWN)].copy()
    part["rank"] = (
        part.groupby(["label", "measure"])["cost"].rank(method="first", ascending=False).fillna(1).astype(int) - 1
    )
    columns = ["label", "control", "external", "peer", "mattes", "masks", "grades", "measure", "rank"]
    columns += ["mean", "low", "high", "seeds", "images", "variant_label", "run_ids"]
    return part[columns].assign(run_ids=part["run_ids"].map(" ".join)).reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel per measure, a row per method, dots with their intervals."""
    measures = [name for name in SHOWN if name in set(frame["measure"])]
    peers = set(frame.loc[frame["peer"].astype(bool), "label"])
    labels = sorted(method_order(list(frame["label"])), key=lambda label: label in peers)[::-1]  # below all of ours
    colour = colours(labels[::-1]) | dict.fromkeys(peers, MUTED)
    ranks = int(frame["rank"].max()) + 1
    height = 1.35 + len(labels) * max(0.36, 0.17 * ranks + 0.08)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    kinds = {row.label: _kind(row) for row in frame.itertuples()}
    names = [f"{shortened(name, LONGEST)}{kinds[name]}" for name in labels]
    above = (frame.groupby(["label", "measure"])["rank"].transform("max") / 2 - frame["rank"]) * 0.2
    dots = frame.assign(
        y=frame["label"].map(labels.index) + above,
        value=frame["mean"],
        colour=frame["label"].map(colour),
        marker=frame["label"].map(marker),
        filled=frame["rank"] == 0,
        said=[_said(row) for row in frame.itertuples()],
    )
    for axes, name in zip(panels, measures, strict=True):
        measure = BY_NAME[name]
        name_rows(axes, names)
        forest(axes, dots[dots["measure"] == name])
        axes.set_title(f"{measure.header}, {measure.where}")
        axes.set_xlabel(measure.axis())
        axes.margins(x=0.08)
    embolden(panels[0], labels)
    if ranks > 1:
        look = {"marker": "o", "linestyle": "", "color": INK, "markeredgewidth": 1.5}
        largest = key("largest number of labels the method was given", markerfacecolor=INK, **look)
        fewer = key("fewer labels, in descending order", markerfacecolor=PAPER, **look)
        legend_below(figure, [largest, fewer], 2)
    return figure


def _kind(row: Any) -> str:
    """What sets a row apart from the contenders, behind its name."""
    if row.peer:
        return " (other's model)"
    return " (elsewhere)" if row.external else " (control)" if row.control else ""


def _said(row: Any) -> str:
    """What a dot says to who points at it."""
    measure = BY_NAME[row.measure]
    trained = (
        ""
        if np.isnan(row.mattes)
        else f"{labels_in_words(row.mattes, row.masks, row.grades)}, {counted(row.seeds, 'seed')}, "
    )
    return "\n".join(
        [
            f"{row.variant_label}{_kind(row)}",
            with_interval(f"{measure.title}, {measure.where}", row.mean, row.low, row.high),
            f"{trained}{counted(row.images, 'image')}",
            of_runs(row.run_ids.split()),
        ]
    )
