"""Frame rate against error: what can be had at the frame rate one must hold.

A panel holds only what was timed alike: device, engine, precision, layout, size, scope, all at batch 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison import BY_NAME, Comparison, method_order
from reports.figures.style import INK, MUTED, WIDTH, Point, apart, colours, fit_y, log_axis, marker, name_points
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
    slow, fast = (row[key] if pd.notna(row[key]) else row["p50_ms"] for key in ("median_high_ms", "median_low_ms"))
    return {"fps": row["fps"], "fps_low": 1000 / slow, "fps_high": 1000 / fast}


def _with_front(rows: list[dict]) -> list[dict]:
    """Controls need labels that nobody buys, and so compete with nobody."""
    points = [[-row["fps"], np.nan if row["control"] else row["mean"]] for row in rows]
    best = set(front(points).tolist())
    return [{**row, "on_front": index in best} for index, row in enumerate(rows)]


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel for each set of conditions, with its Pareto front."""
    panels = [(name, part) for name, part in frame.groupby("panel", sort=False)]
    labels = method_order(list(frame.loc[frame["kind"] == "trained", "label"]))
    heights = [4.4 if (part["kind"] == "trained").any() else 1.2 + 0.28 * len(part) for _, part in panels]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (name, part) in zip(grid[:, 0], panels, strict=True):
        trained, timed = part[part["kind"] == "trained"], part[part["kind"] == "timed"]
        if len(trained):
            axes.set_title(name, pad=22)
            axes.set_xlim(part["fps_low"].min() * 0.8, part["fps_high"].max() * 1.45)
            log_axis(axes)
            _trained_panel(axes, trained, colours(labels))
            _ticks(axes, timed)
        else:
            axes.set_title(name)
            _timed_panel(axes, timed)
        axes.set_xlabel("frames per second (logarithmic), more is better")
    return figure


def _trained_panel(axes: Axes, trained: pd.DataFrame, colour: dict[str, str]) -> None:
    best = trained[trained["on_front"].astype(bool)].sort_values("fps")
    if len(best):
        axes.step(best["fps"], best["mean"], where="pre", color=MUTED, linewidth=1.2, zorder=1)
    for row in trained.itertuples():
        alpha = 1.0 if row.on_front or row.control else 0.75
        if np.isfinite(row.low):
            axes.plot([row.fps] * 2, [row.low, row.high], color=colour[row.label], linewidth=1.3, alpha=alpha)
        axes.plot([row.fps_low, row.fps_high], [row.mean] * 2, color=colour[row.label], linewidth=1.3, alpha=alpha)
        axes.plot(
            *(row.fps, row.mean, marker(row.label)),
            color=colour[row.label],
            markersize=11 if marker(row.label) == "*" else 8,
            alpha=alpha,
            markeredgecolor=INK if row.on_front else colour[row.label],
        )
    log = fit_y(axes, trained[["mean", "low"]].min(axis=None), trained[["mean", "high"]].max(axis=None))
    axes.set_ylabel(f"{BY_NAME[MEASURE].title}{', logarithmic' if log else ''}; lower is better")
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


def _timed_panel(axes: Axes, timed: pd.DataFrame) -> None:
    """Without any error to set them against, models in the order of their frame rates."""
    timed = timed.sort_values("fps")
    for y, row in enumerate(timed.itertuples()):
        axes.plot([row.fps_low, row.fps_high], [y, y], color=MUTED, linewidth=1.8)
        axes.plot(row.fps, y, "o", color=INK, markersize=5)
    axes.set_yticks(range(len(timed)), list(timed["label"]))
    axes.set_ylim(-0.6, len(timed) - 0.4)
    axes.set_xlim(timed["fps_low"].min() * 0.9, timed["fps_high"].max() * 1.1)
    log_axis(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _ticks(axes: Axes, timed: pd.DataFrame) -> None:
    for fps in timed["fps"]:
        axes.axvline(fps, color=MUTED, linewidth=1.1, linestyle=(0, (1, 2)), zorder=0)
    if len(timed) > NAMED:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [to_axes.transform((fps, 0))[0] - 0.012 for fps in timed["fps"]]
    for label, x in zip(timed["label"], apart(wanted, 0.021), strict=True):
        text = f"{label} (timed, not trained)"
        axes.text(
            x, 0.02, text, transform=axes.transAxes, rotation=90, ha="center", va="bottom", fontsize=8.5, color=MUTED
        )
