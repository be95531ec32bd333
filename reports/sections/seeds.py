"""How much the seed alone changes: every seed's own mean, and their spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports import selection
from reports.comparison import BY_NAME, Comparison, method_order
from reports.document import Cell, Column, Picture, Section, Table, counted, decimals, number, shortened
from reports.figures.style import GRID, INK, WIDTH, colours, marker
from reports.load import Frames
from reports.sections.methods import RUN

MEASURE = "sad"
ROWS = 24


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """A strip of every seed's mean SAD per method and labels of the main networks; with one seed, a sentence."""
    result = Section("seeds", "Seeds and spread", missing=f"No finished run was scored; {RUN}")
    for comparison in selection.main(comparisons)[:1]:
        frame = data(frames.runs, comparison)
        if frame.empty:
            continue
        if not frame["seed"].groupby(frame["row"]).nunique().gt(1).any():
            result.text = [
                "Every method was trained with one seed: how much of a difference is the seed's is not known. Give a "
                "plan seeds: [0, 1, 2] to know it."
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
    """One row per run of the methods that are shown: row (method and labels), label, mattes, masks, seed, run_id, mean.

    Predictions made elsewhere have no seed, and no row.
    """
    cells = selection.shown(comparison)
    cells = cells[(cells["measure"] == MEASURE) & ~cells["external"].astype(bool)]
    owner = {run: cell for cell in cells.to_dict("records") for run in cell["run_ids"]}
    means = comparison.values(BY_NAME[MEASURE])[list(owner)].mean()
    seeds = runs.drop_duplicates("run_id", keep="last").set_index("run_id")["seed"]
    order = method_order(list(cells["label"]))
    rows = []
    for run, mean in means.items():
        cell = owner[str(run)]
        labels = _labels(cell["mattes"], cell["masks"])
        rows.append(
            {
                "row": f"{cell['label']}, {labels}",
                **{key: cell[key] for key in ("label", "control", "mattes", "masks")},
                "run_id": str(run),
                "seed": seeds[run],
                "mean": float(mean),
                "rank": order.index(cell["label"]),
            }
        )
    frame = pd.DataFrame(rows, columns=["row", "label", "control", "mattes", "masks", "run_id", "seed", "mean", "rank"])
    order_by = ["rank", "mattes", "masks", "seed", "run_id"]
    frame = frame.sort_values(order_by, ascending=[True, False, False, True, True], kind="stable")
    return frame.drop(columns="rank").reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a row per method and labels, a mark per seed."""
    names = list(dict.fromkeys(frame["row"]))[::-1]
    colour = colours(method_order(list(frame["label"])))
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    for y, name in enumerate(names):
        own = frame[frame["row"] == name]
        label = own["label"].iloc[0]
        axes.axhline(y, color=GRID, linewidth=0.8, zorder=1)
        if len(own) > 1:
            mean, spread = own["mean"].mean(), own["mean"].std(ddof=1)
            axes.barh(y, 2 * spread, left=mean - spread, height=0.6, color=colour[label], alpha=0.25, zorder=2)
            axes.plot([mean] * 2, [y - 0.3, y + 0.3], color=INK, linewidth=1.4, zorder=3)
        places = y + 0.12 * (np.arange(len(own)) - (len(own) - 1) / 2) * min(1, 5 / len(own))
        axes.plot(own["mean"], places, marker(label), color=colour[label], markersize=4.5, linestyle="", zorder=4)
    axes.set_yticks(range(len(names)), [shortened(name, 48) for name in names])
    axes.set_ylim(-0.7, len(names) - 0.3)
    low, high = frame["mean"].min(), frame["mean"].max()
    axes.set_xlim(low - 0.05 * (high - low or low), high + 0.05 * (high - low or high))
    axes.set_xlabel(f"{BY_NAME[MEASURE].title} of every seed; lower is better")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _labels(mattes: float, masks: float) -> str:
    return f"{mattes:,.0f} + {masks:,.0f}"


def _table(frame: pd.DataFrame) -> Table:
    groups = frame.groupby("row", sort=False)
    summary = groups.agg(
        label=("label", "first"),
        mattes=("mattes", "first"),
        masks=("masks", "first"),
        seeds=("seed", "nunique"),
        mean=("mean", "mean"),
        sd=("mean", "std"),
        least=("mean", "min"),
        most=("mean", "max"),
    ).reset_index(drop=True)
    places = decimals(summary["mean"])
    columns = [Column("method", False), Column("mattes"), Column("masks"), Column("seeds")]
    columns += [Column(name, unit="10³ px") for name in ("mean SAD", "sd over seeds", "lowest", "highest")]
    rows = [
        [Cell(row["label"]), Cell(number(row["mattes"], 0)), Cell(number(row["masks"], 0)), Cell(str(row["seeds"]))]
        + [Cell(number(row["mean"], places))]
        + (
            [Cell(number(row[key], places)) for key in ("sd", "least", "most")]
            if row["seeds"] > 1
            else [Cell("one seed", tone="muted"), Cell("–", tone="muted"), Cell("–", tone="muted")]
        )
        for row in summary.to_dict("records")
    ]
    pooled = summary.loc[summary["seeds"] > 1, "sd"]
    caption = (
        f"Spread over seeds, as the standard deviation (n - 1); its root mean square over these rows is "
        f"{number(float(np.sqrt((pooled**2).mean())), places)} thousand pixels. With so few seeds one standard "
        "deviation is itself uncertain."
    )
    return Table("seeds", caption, columns, rows, summary)
