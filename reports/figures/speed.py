"""Frame rate against error: what can be had at the frame rate one must hold.

A panel holds only what was timed alike: device, engine, precision, layout, size, scope, all at batch 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison import BY_NAME, Comparison, method_order
from reports.figures.style import INK, MUTED, WIDTH, Point, colours, fit_y, log_axis, marker, name_points
from reports.pareto import front

MEASURE = "sad"
CONDITIONS = ("scope", "device", "engine", "precision", "layout", "height", "width")
PANELS = 6
NAMED = 12  # more timed-only backbones than this stay unnamed ticks: the table names them
COLUMNS = [
    *("panel", "kind", "label", "control", "architecture", "backbone", "mattes", "masks"),
    *("fps", "fps_low", "fps_high", "mean", "low", "high", "on_front"),
]


def data(comparisons: list[Comparison], speed: pd.DataFrame) -> pd.DataFrame:
    """One row per trained cell and per timed-only model, in each panel of equal conditions.

    `comparisons` are those of one ground. A cell takes its frame rate from a timing of its own run, else from that of
    its architecture and backbone; it is shown with the largest labels its method had. Empty where nothing was timed
    at batch 1.
    """
    timed = speed[(speed["status"] == "ok") & speed["fps"].notna() & (speed["batch"] == 1)].copy()
    if timed.empty:
        return pd.DataFrame(columns=COLUMNS)
    timed["panel"] = [condition(row) for _, row in timed.iterrows()]
    largest = timed["panel"].value_counts(sort=False).sort_values(ascending=False, kind="stable").index[:PANELS]
    rows: list[dict] = []
    for panel in largest:
        part = (
            timed[timed["panel"] == panel]
            .sort_values("started")
            .drop_duplicates(["run_id", "model", "architecture", "backbone"], keep="last")
        )
        trained = [row for comparison in comparisons for row in _trained(comparison, part)]
        seen = {(row["architecture"], row["backbone"]) for row in trained}
        rest = part[[(a, b) not in seen for a, b in zip(part["architecture"], part["backbone"], strict=True)]]
        rows += [{"panel": panel, **row} for row in _with_front(trained)]
        rows += [
            {"panel": panel, "kind": "timed", "label": row["model"], "control": False, "on_front": False, **_rates(row)}
            | {"architecture": row["architecture"], "backbone": row["backbone"]}
            for _, row in rest.drop_duplicates(["model", "backbone"], keep="last").iterrows()
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def condition(row: pd.Series) -> str:
    """What two timings must share to be put side by side, as text."""
    scope = "model only" if row["scope"] == "model" else "end to end"
    parts = [
        scope,
        row["device"],
        row["engine"],
        row["precision"],
        row["layout"],
        f"{row['width']:.0f}×{row['height']:.0f}",
    ]
    return ", ".join(str(part) for part in parts if pd.notna(part))


def _trained(comparison: Comparison, timed: pd.DataFrame) -> list[dict]:
    cells = comparison.cells[comparison.cells["measure"] == MEASURE]
    cells = cells.sort_values("cost", ascending=False, kind="stable").drop_duplicates("label")
    architecture, backbone = comparison.network["architecture"], comparison.network["backbone"]
    same = timed[(timed["architecture"] == architecture) & (timed["backbone"] == backbone)]
    rows = []
    for cell in cells.to_dict("records"):
        own = timed[timed["run_id"].isin(cell["run_ids"])]
        chosen = own if len(own) else same[same["run_id"].isna()] if same["run_id"].isna().any() else same
        if len(chosen):
            shared = {key: cell[key] for key in ("label", "control", "mattes", "masks", "mean", "low", "high")}
            network = {"architecture": architecture, "backbone": backbone}
            rows.append({"kind": "trained", **network, **shared, **_rates(chosen.iloc[-1])})
    return rows


def _rates(row: pd.Series) -> dict[str, float]:
    return {"fps": row["fps"], "fps_low": 1000 / row["median_high_ms"], "fps_high": 1000 / row["median_low_ms"]}


def _with_front(rows: list[dict]) -> list[dict]:
    """Controls need labels that nobody buys, and so compete with nobody."""
    points = [[-row["fps"], np.nan if row["control"] else row["mean"]] for row in rows]
    best = set(front(points).tolist())
    return [{**row, "on_front": index in best} for index, row in enumerate(rows)]


def draw(frame: pd.DataFrame) -> Figure:
    panels = list(dict.fromkeys(frame["panel"]))
    labels = method_order(list(frame.loc[frame["kind"] == "trained", "label"]))
    figure = Figure(figsize=(WIDTH, 4.4 * len(panels)), layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        _panel(axes, frame[frame["panel"] == panel], labels)
        axes.set_title(panel, pad=22)
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, labels: list[str]) -> None:
    colour = colours(labels)
    trained, timed = frame[frame["kind"] == "trained"], frame[frame["kind"] == "timed"]
    measure = BY_NAME[MEASURE]
    best = trained[trained["on_front"].astype(bool)].sort_values("fps")
    if len(best):
        axes.step(best["fps"], best["mean"], where="pre", color=MUTED, linewidth=1.2, zorder=1)
    for row in trained.itertuples():
        alpha = 1.0 if row.on_front or row.control else 0.75
        if np.isfinite(row.low):
            axes.plot([row.fps] * 2, [row.low, row.high], color=colour[row.label], linewidth=1.3, alpha=alpha)
        axes.plot([row.fps_low, row.fps_high], [row.mean] * 2, color=colour[row.label], linewidth=1.3, alpha=alpha)
        size = 11 if marker(row.label) == "*" else 8
        axes.plot(
            *(row.fps, row.mean, marker(row.label)),
            color=colour[row.label],
            markersize=size,
            alpha=alpha,
            markeredgecolor=INK if row.on_front else colour[row.label],
        )
    axes.set_xlim(frame["fps_low"].min() * 0.8, frame["fps_high"].max() * 1.45)
    log_axis(axes)
    axes.set_xlabel("frames per second (logarithmic), more is better")
    if len(trained):
        log = fit_y(axes, trained[["mean", "low"]].min(axis=None), trained[["mean", "high"]].max(axis=None))
        axes.set_ylabel(f"{measure.title}{', logarithmic' if log else ''}; lower is better")
        name_points(
            axes, [Point(row.fps, row.mean, row.label, colour[row.label], row.control) for row in trained.itertuples()]
        )
        for backbone, part in trained.groupby("backbone", sort=False):
            axes.annotate(
                str(backbone),
                (part["fps"].iloc[0], 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                fontsize=9,
                fontweight="bold",
            )
    else:
        axes.set_yticks([])
    if len(timed):
        _ticks(axes, timed)


def _ticks(axes: Axes, timed: pd.DataFrame) -> None:
    for row in timed.itertuples():
        axes.axvline(row.fps, color=MUTED, linewidth=1.1, linestyle=(0, (1, 2)), zorder=0)
        if len(timed) <= NAMED:
            axes.annotate(
                f"{row.label} (timed, not trained)",
                (row.fps, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(-4, 0),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="bottom",
                fontsize=8.5,
                color=MUTED,
            )
