"""Learning curves: what was measured per epoch, one line per run, its stages one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.comparison import LABELS, Budget, Comparison, method_order
from reports.figures.style import INK, WIDTH, colours, key, legend_below, legend_columns
from reports.measures import BY_NAME

FIRST_KEYS = ("train_loss", "val_sad", "val_mad", "val_grad")
PANELS = 3
EARLIER: Any = (0, (2.5, 1.5))  # how the line of a stage before the last one is dashed
FEW_EPOCHS = 12  # with dots up to here, so that a stage of one epoch is seen


def data(comparison: Comparison, budget: Budget, runs: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """One row per run of a budget, key and epoch: `x` counts epochs over stages, `last_stage` marks a run's last one.

    Stages are ordered as their epochs were written. A method is shown by the variant that represents it.
    """
    cells = comparison.shown()
    cells = cells[cells["cell"].isin(comparison.at(budget))]
    run_ids = {run for runs_of in cells["run_ids"] for run in runs_of}
    part = epochs[epochs["run_id"].isin(run_ids) & np.isfinite(epochs["value"])]
    own = runs.loc[runs["run_id"].isin(run_ids), ["run_id", "method", "seed", *LABELS]]
    part = part.merge(own.assign(label=own["method"]), on="run_id")
    keys = [key for key in FIRST_KEYS if key in set(part["key"])]
    keys += sorted(set(part["key"]) - set(keys) - {"lr"})
    part = part[part["key"].isin(keys[:PANELS])].copy()
    if part.empty:
        return part.assign(x=[], last_stage=[])
    stages = part.groupby(["run_id", "stage"], sort=False)["epoch"].agg(["min", "max"]).reset_index()
    stages["length"] = stages["max"] - stages["min"] + 1
    ends = stages.groupby("run_id")["length"].cumsum()
    stages["start"] = ends - stages["length"] - stages["min"]  # epochs are counted from 0 or from 1
    stages["last_stage"] = ~stages.duplicated("run_id", keep="last")
    part = part.merge(stages[["run_id", "stage", "start", "last_stage"]], on=["run_id", "stage"])
    part["x"] = part["start"] + part["epoch"] + 1
    columns = ["run_id", "method", "label", "seed", *LABELS, "stage", "last_stage", "key", "x", "value"]
    order = part["key"].map({key: index for index, key in enumerate(keys)})
    part = part.assign(order=order).sort_values(["order", "label", "run_id", "x"], kind="stable")
    return part[columns].reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel per measure, a line per run, earlier stages dashed."""
    frame = frame.assign(value=frame["value"] * frame["key"].map(_scale))
    keys = list(dict.fromkeys(frame["key"]))
    labels = method_order(list(frame["label"]))
    colour = colours(labels)
    few = frame["x"].max() <= FEW_EPOCHS
    handles = [key(label, color=colour[label]) for label in labels]
    if not frame["last_stage"].all():
        handles.append(key("earlier stage (such as the teacher)", color=INK, linestyle=EARLIER))
    columns = legend_columns([str(handle.get_label()) for handle in handles])
    figure = Figure(figsize=(WIDTH, 3.1 + 0.2 * -(-len(handles) // columns)), layout="constrained")
    panels = figure.subplots(1, len(keys), squeeze=False)[0]
    for axes, name in zip(panels, keys, strict=True):
        for last, style in ((False, EARLIER), (True, "solid")):
            part = frame[(frame["key"] == name) & (frame["last_stage"] == last)]
            if len(part):
                sns.lineplot(
                    part.assign(line=part["run_id"] + part["stage"]),
                    x="x",
                    y="value",
                    hue="label",
                    palette=colour,
                    units="line",
                    estimator=None,
                    linestyle=style,
                    linewidth=1.4,
                    marker="o" if few else None,
                    markersize=3.5,
                    markeredgewidth=0,
                    ax=axes,
                    legend=False,
                )
        title, axes_title = named(name)
        axes.set_title(title)
        axes.set_xlabel("epoch, stages one after the other")
        axes.set_ylabel(axes_title, fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        values = frame.loc[frame["key"] == name, "value"].to_numpy()
        if (values > 0).all() and np.ptp(np.log10(values)) > 1.3:
            axes.set_yscale("log")
    legend_below(figure, handles, columns)
    return figure


def named(key: str) -> tuple[str, str]:
    """What a key of the store's epochs is called over its panel, and beside the y axis."""
    part, _, name = key.partition("_")
    if part == "val" and name in BY_NAME:
        measure = BY_NAME[name]
        return f"validation {measure.header}", measure.axis()
    if key == "train_loss":
        return "training loss", "weighted sum of its terms"
    words = {"train": "training", "val": "validation"}.get(part)
    return (f"{words} {name.replace('_', ' ')}" if words and name else key.replace("_", " ")), ""


def _scale(key: str) -> float:
    """From a value as it is stored to the measure's unit."""
    measure = BY_NAME.get(key.removeprefix("val_")) if key.startswith("val_") else None
    return measure.scale if measure else 1.0
