"""The effect of the seed alone: the mean of every seed, and their spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.comparison import LABELS, Comparison, main_networks, method_order
from reports.document import (
    Picture,
    Section,
    Table,
    counted,
    decimals,
    labels_in_short,
    masks_column,
    number,
    numbers,
    shortened,
    texts,
)
from reports.figures.forest import forest, name_rows
from reports.figures.style import INK, WIDTH, colours, marker
from reports.load import Frames
from reports.measures import BY_NAME
from reports.sections import PageSection, register
from reports.sections.methods import unscored

MEASURE = "sad"
ROWS = 24


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """A strip of every seed's mean SAD per method and labels of the main networks; with one seed, a sentence."""
    result = Section("seeds", "Seeds and spread", missing=unscored(frames))
    for comparison in main_networks(comparisons)[:1]:
        frame = data(frames.runs, comparison)
        if frame.empty:
            continue
        if not frame["seed"].groupby(frame["row"]).nunique().gt(1).any():
            result.text = [
                "Every method was trained with one seed, so how much of a difference is due to the seed is unknown. Set "
                "seeds: [0, 1, 2] in the plan to measure it."
            ]
            continue
        kept = frame[frame["row"].isin(frame["row"].drop_duplicates().head(ROWS))]
        caption = (
            f"Mean SAD over {comparison.pictures} of every run; the bar is the mean over seeds ± one standard deviation "
            "(n - 1). Rows with one seed have no bar. This spread is that of the seed (subset of labels, first weights, "
            "order); the intervals elsewhere are over images."
        )
        if len(kept) < len(frame):
            caption += f" The first {ROWS} of {counted(frame['row'].nunique(), 'row')}; all are in the table."
        result.blocks.append(Picture("seeds", comparison.title, caption, draw(kept), frame))
        result.blocks.append(_table(frame))
    return result


def data(runs: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """One row per run of the methods that are shown: row (method and labels), label, mattes, masks, grades, seed, run_id,
    mean.

    Predictions made elsewhere have no seed, and no row.
    """
    cells = comparison.shown(MEASURE, own=True).drop(columns="mean")
    order = method_order(cells["label"])
    cells["rank"] = cells["label"].map(order.index)
    cells["row"] = [f"{row.label}, {labels_in_short(row.mattes, row.masks, row.grades)}" for row in cells.itertuples()]
    frame = cells.explode("run_ids").rename(columns={"run_ids": "run_id"})
    frame["mean"] = frame["run_id"].map(comparison.values(BY_NAME[MEASURE]).mean())
    frame["seed"] = frame["run_id"].map(runs.drop_duplicates("run_id", keep="last").set_index("run_id")["seed"])
    order_by = ["rank", "mattes", "masks", "seed", "run_id"]
    frame = frame.sort_values(order_by, ascending=[True, False, False, True, True], kind="stable")
    return frame[["row", "label", "control", *LABELS, "run_id", "seed", "mean"]].reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a row per method and labels, a mark per seed."""
    names = list(dict.fromkeys(frame["row"]))[::-1]
    colour = colours(method_order(list(frame["label"])))
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    name_rows(axes, [shortened(name, 48) for name in names])
    for y, name in enumerate(names):
        own = frame[frame["row"] == name]
        own_colour, mean, spread = colour[own["label"].iloc[0]], own["mean"].mean(), own["mean"].std()
        if len(own) > 1:
            axes.barh(y, 2 * spread, left=mean - spread, height=0.6, color=own_colour, alpha=0.25, zorder=2)
            axes.plot([mean] * 2, [y - 0.3, y + 0.3], color=INK, linewidth=1.4, zorder=3)
        places = y + 0.12 * (np.arange(len(own)) - (len(own) - 1) / 2) * min(1, 5 / len(own))
        mark = marker(own["label"].iloc[0])
        dots = own.assign(y=places, value=own["mean"], low=np.nan, colour=own_colour, marker=mark)
        forest(axes, dots, size=4.5)
    low, high = frame["mean"].min(), frame["mean"].max()
    axes.set_xlim(low - 0.05 * (high - low or low), high + 0.05 * (high - low or high))
    axes.set_xlabel(f"{BY_NAME[MEASURE].title} of every seed; lower is better")
    return figure


def _table(frame: pd.DataFrame) -> Table:
    groups = frame.groupby("row", sort=False)
    summary = groups.agg(
        label=("label", "first"),
        mattes=("mattes", "first"),
        masks=("masks", "first"),
        grades=("grades", "first"),
        seeds=("seed", "nunique"),
        mean=("mean", "mean"),
        sd=("mean", "std"),
        least=("mean", "min"),
        most=("mean", "max"),
    ).reset_index(drop=True)
    places = decimals(summary["mean"])
    columns = [texts("method", "label"), numbers("mattes"), masks_column(), numbers("seeds")]
    shown = {"mean SAD": "mean", "sd over seeds": "sd", "lowest": "least", "highest": "most"}
    columns += [numbers(header, key, places, "10³ px") for header, key in shown.items()]
    pooled = summary.loc[summary["seeds"] > 1, "sd"]
    caption = (
        f"Spread over seeds, as the standard deviation (n - 1); its root mean square over these rows is "
        f"{number(float(np.sqrt((pooled**2).mean())), places)} thousand pixels. With so few seeds the standard "
        "deviation is itself uncertain."
    )
    return Table("seeds", caption, columns, summary)


register(PageSection("seeds", 80, lambda given: section(given.frames, given.comparisons)))
