"""Learning curves: what was measured per epoch, one line a run, its stages one after the other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports import selection
from reports.comparison import Budget, Comparison, method_order
from reports.figures.style import INK, WIDTH, colours

FIRST_KEYS = ("train_loss", "val_sad", "val_mad", "val_grad")
PANELS = 3
FEW_EPOCHS = 12  # with dots up to here, so that a stage of one epoch is seen


def data(comparison: Comparison, budget: Budget, runs: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """One row per run of a budget, key and epoch: `x` counts epochs over stages, `last_stage` marks a run's last one.

    Stages come in the order in which their epochs were written. Of a method's variants the one that stands for it.
    """
    cells = selection.shown(comparison)
    cells = cells[cells["cell"].isin(comparison.at(budget))]
    run_ids = {run for runs_of in cells["run_ids"] for run in runs_of}
    part = epochs[epochs["run_id"].isin(run_ids) & np.isfinite(epochs["value"])]
    own = runs.loc[runs["run_id"].isin(run_ids), ["run_id", "method", "seed", "mattes", "masks"]]
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
    columns = ["run_id", "method", "label", "seed", "mattes", "masks", "stage", "last_stage", "key", "x", "value"]
    order = part["key"].map({key: index for index, key in enumerate(keys)})
    return (
        part.assign(order=order)
        .sort_values(["order", "label", "run_id", "x"], kind="stable")[columns]
        .reset_index(drop=True)
    )


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel a measure, a line a run, earlier stages dashed."""
    keys = list(dict.fromkeys(frame["key"]))
    labels = method_order(list(frame["label"]))
    colour = colours(labels)
    few = frame["x"].max() <= FEW_EPOCHS
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    panels = figure.subplots(1, len(keys), squeeze=False)[0]
    for axes, key in zip(panels, keys, strict=True):
        for last, style in ((False, (0, (2.5, 1.5))), (True, "solid")):
            part = frame[(frame["key"] == key) & (frame["last_stage"] == last)]
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
        axes.set_title(key)
        axes.set_xlabel("epoch, stages one after the other")
        axes.set_ylabel(_unit(key), fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        values = frame.loc[frame["key"] == key, "value"].to_numpy()
        if (values > 0).all() and np.ptp(np.log10(values)) > 1.3:
            axes.set_yscale("log")
    handles = [Line2D([], [], color=colour[label], label=label) for label in labels]
    if not frame["last_stage"].all():
        handles.append(
            Line2D([], [], color=INK, linestyle=(0, (2.5, 1.5)), label="earlier stage (such as the teacher)")
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7), fontsize=8.5)
    return figure


def _unit(key: str) -> str:
    """What the y axis of a key counts."""
    if key.endswith("sad"):
        return "10³ px"
    if key.endswith("loss"):
        return "weighted sum of loss terms"
    return "mean of alpha's error, 0 to 1" if "_mad" in key or "_mse" in key else ""
