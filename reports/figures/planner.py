"""Predicted error over both kinds of label: a map with what a budget buys, and a cut through it along that line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.patheffects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.figures.style import INK, MUTED, PAPER, WIDTH, key, legend_below, log_axis
from reports.measures import BY_NAME

if TYPE_CHECKING:
    from reports.splits import Plan

COLUMNS = [
    *("kind", "ratio", "mattes", "masks", "share", "sad", "low", "high"),
    *("mattes_low", "mattes_high", "residual", "runs", "supported", "method"),
]
CONTOURS = 12
STEPS = 48  # of the map, each way
MARGIN = 1.5
LINES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "oDs^v"
MARK: Any = {"color": INK, "markerfacecolor": PAPER, "markeredgewidth": 2, "clip_on": False}
MOST_MISSED = 0.02  # the least deviation that the dots' colours span
HIGHEST = 2.0  # times the least SAD: the cut shows no more, as its ends may be far above


def data(plans: Sequence[Plan]) -> pd.DataFrame:
    """Rows of plans over the same fit, by `kind`: `map`, `cell` (measured), and per ratio of prices `line`, `split`.

    `share` is the part of the money that goes to mattes, `residual` (measured - law) / law. A split's `mattes_low` and
    `mattes_high` are its 95 % interval. Empty where no law could be fitted.
    """
    answers = [(plan, plan.answer) for plan in plans if plan.answer]
    if not answers:
        return pd.DataFrame(columns=COLUMNS)
    fitted = answers[0][1].fitted
    cells = fitted.cells.assign(kind="cell", sad=fitted.cells["mean"])
    splits = [answer.best for _, answer in answers]
    axes = []
    for kind in ("mattes", "masks"):
        shown = [count for count in (*cells[kind], *(getattr(split, kind) for split in splits)) if count > 0]
        axes.append(np.geomspace(min(shown) / MARGIN, max(shown) * MARGIN, STEPS))
    mattes, masks = (grid.ravel() for grid in np.meshgrid(*axes, indexing="ij"))
    low, high = fitted.interval(mattes, masks)
    predicted = fitted.law.at(mattes, masks)[0]
    ground = {"kind": "map", "mattes": mattes, "masks": masks, "sad": predicted, "low": low, "high": high}
    parts = [pd.DataFrame(ground), cells]
    for plan, answer in answers:
        best, (few, many) = answer.best, answer.interval
        share = answer.line.loc[answer.line["mattes"] == best.mattes, "share"].iloc[0]
        row = {"mattes": best.mattes, "masks": best.masks, "share": share, "sad": best.sad, "low": best.low}
        row |= {"high": best.high, "mattes_low": few.mattes, "mattes_high": many.mattes}
        parts += [answer.line.assign(kind="line", ratio=plan.ratio), pd.DataFrame([{"kind": "split", **row}])]
        parts[-1] = parts[-1].assign(ratio=plan.ratio, supported=not plan.reasons)
    frame = pd.concat(parts, ignore_index=True).assign(method=plans[0].method)
    return frame.reindex(columns=COLUMNS)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: the map above, the cut below."""
    figure = Figure(figsize=(WIDTH, 8.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1.75, 1))
    ratios = list(dict.fromkeys(frame.loc[frame["kind"] == "split", "ratio"]))
    looks = {ratio: (LINES[i % len(LINES)], MARKERS[i % len(MARKERS)]) for i, ratio in enumerate(ratios)}
    dots = _map(above, frame, looks)
    _cut(below, frame, looks)
    bar = figure.colorbar(dots, ax=above, shrink=0.7, aspect=28, pad=0.015)
    bar.set_label("measured SAD above (+) or below (−) the law (%)")
    bar.outline.set_visible(False)
    handles = [
        key(_name(frame, ratio), color=INK, linestyle=line, marker=mark, markerfacecolor=PAPER, markersize=7)
        for ratio, (line, mark) in looks.items()
    ]
    legend_below(figure, handles, 2 if len(handles) == 4 else min(3, len(handles)))
    return figure


def _name(frame: pd.DataFrame, ratio: float) -> str:
    supported = frame.loc[(frame["kind"] == "split") & (frame["ratio"] == ratio), "supported"].astype(bool).all()
    return f"a matte costs {ratio:.3g} masks{'' if supported else ' (not supported)'}"


def _map(axes: Axes, frame: pd.DataFrame, looks: dict) -> PathCollection:
    ground, cells = frame[frame["kind"] == "map"], frame[frame["kind"] == "cell"]
    x, y, lines = ground_of(axes, ground, levels_between(ground["sad"].min(), ground["sad"].max()))
    hatch(axes, cells)
    outline = [matplotlib.patheffects.withStroke(linewidth=3.5, foreground=PAPER)]
    for ratio, (style, mark) in looks.items():
        part = frame[frame["ratio"] == ratio]
        line, split = part[part["kind"] == "line"], part[part["kind"] == "split"].iloc[0]
        masks, mattes = (np.maximum(line[kind].to_numpy(float), 1e-3) for kind in ("masks", "mattes"))
        _line(axes, masks, mattes, line, split, style, path_effects=outline)
        place = max(split["masks"], x[0]), max(split["mattes"], y[0])
        axes.plot(*place, mark, markersize=11, zorder=6, **MARK)
    span = 100 * max(MOST_MISSED, cells["residual"].abs().max())
    dots = axes.scatter(
        np.maximum(cells["masks"], x[0]), np.maximum(cells["mattes"], y[0]), c=100 * cells["residual"], cmap="PuOr_r",
        vmin=-span, vmax=span, s=62, edgecolors=INK, linewidths=1.0, zorder=5, clip_on=False,
    )  # fmt: skip
    label_contours(axes, lines, frame)
    axes.grid(False)
    axes.set_title(f"Predicted SAD of {frame['method'].iloc[0]} ({BY_NAME['sad'].unit}); hatched: not measured")
    axes.set_xlabel("masks (logarithmic)")
    axes.set_ylabel("mattes (logarithmic)")
    return dots


def ground_of(axes: Axes, ground: pd.DataFrame, levels: list[float]) -> tuple[np.ndarray, np.ndarray, Any]:
    """Draw the law's map over both axes; returns the numbers of masks and of mattes that it has, and its contours."""
    y, x = (np.unique(ground[kind].to_numpy()) for kind in ("mattes", "masks"))
    values = ground["sad"].to_numpy().reshape(len(y), len(x))
    axes.contourf(x, y, values, levels=levels, cmap="cividis", norm="log", alpha=0.5)
    lines = axes.contour(x, y, values, levels=levels, colors=INK, linewidths=0.6)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    log_axis(axes, "x")
    log_axis(axes, "y")
    return x, y, lines


def _line(
    axes: Axes, x: np.ndarray, y: np.ndarray, line: pd.DataFrame, split: pd.Series, style: Any, **look: Any
) -> None:
    """What a budget buys, thick where the interval of the best split lies."""
    axes.plot(x, y, color=INK, linestyle=style, linewidth=1.4, zorder=3, **look)
    likely = line["mattes"].between(split["mattes_low"], split["mattes_high"]).to_numpy()
    axes.plot(x[likely], y[likely], color=INK, linewidth=4, solid_capstyle="butt", zorder=4)


def levels_between(low: float, high: float) -> list[float]:
    """Contours in even steps of the logarithm, as round as they can be and still differ; their ends hold all values."""
    even = np.geomspace(low, high, CONTOURS)
    for digits in (2, 3, 4):
        inner = sorted({float(f"{value:.{digits}g}") for value in even[1:-1]})
        if len(inner) == CONTOURS - 2:
            break
    return [low * (1 - 1e-9), *(value for value in inner if low < value < high), high * (1 + 1e-9)]


def hatch(axes: Axes, cells: pd.DataFrame) -> None:
    """Hatching around the rectangle of measured counts."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = cells[["masks", "mattes"]].min(), cells[["masks", "mattes"]].max()
    x0, x1 = max(low["masks"], left), min(high["masks"], right)
    y0, y1 = max(low["mattes"], bottom), min(high["mattes"], top)
    for x, y, width, height in (
        (left, bottom, x0 - left, top - bottom),
        (x1, bottom, right - x1, top - bottom),
        (x0, bottom, x1 - x0, y0 - bottom),
        (x0, y1, x1 - x0, top - y1),
    ):
        axes.add_patch(
            Rectangle((x, y), width, height, hatch="///", facecolor="none", edgecolor=MUTED, linewidth=0, alpha=0.6)
        )


def label_contours(axes: Axes, lines: object, frame: pd.DataFrame) -> None:
    """Each contour's value where it is farthest from dots, marks, lines and other labels."""
    drawn = frame[frame["kind"].isin(["cell", "split", "line"])]
    to_axes = axes.transData + axes.transAxes.inverted()
    counts = np.maximum(drawn[["masks", "mattes"]].to_numpy(float), 1e-3)
    taken = [point for point in to_axes.transform(counts) if (point > -0.1).all() and (point < 1.1).all()]
    spots = []
    for path in lines.get_paths():  # type: ignore[attr-defined]
        if not len(path.vertices):
            continue
        places = to_axes.transform(path.vertices)
        inside = ((places > 0.04) & (places < 0.96)).all(axis=1)
        if not inside.any():
            continue
        gaps = np.linalg.norm(places[inside][:, None] - np.array(taken)[None], axis=2).min(axis=1)
        best = int(gaps.argmax())
        if gaps[best] > 0.03:
            taken.append(places[inside][best])
            spots.append(tuple(path.vertices[inside][best]))
    texts = axes.clabel(lines, manual=spots, fontsize=8, fmt=lambda value: f"{value:.3g}", colors=INK)  # type: ignore[arg-type]
    for text in texts:
        text.set_path_effects([matplotlib.patheffects.withStroke(linewidth=2.5, foreground=PAPER)])
        text.set_zorder(7)


def _cut(axes: Axes, frame: pd.DataFrame, looks: dict) -> None:
    for rank, (ratio, (style, mark)) in enumerate(looks.items()):
        part = frame[frame["ratio"] == ratio]
        line, split = part[part["kind"] == "line"], part[part["kind"] == "split"].iloc[0]
        share = 100 * line["share"].to_numpy()
        if rank == 0:
            axes.fill_between(share, line["low"], line["high"], color="#0072b2", alpha=0.16, linewidth=0)
        _line(axes, share, line["sad"].to_numpy(), line, split, style)
        axes.plot(100 * split["share"], split["sad"], mark, markersize=10, zorder=5, **MARK)
    splits = frame[frame["kind"] == "split"]
    least = float(splits["low"].min())
    most = 1.05 * frame.loc[frame["kind"] == "line", "high"].max()
    axes.set_ylim(0.93 * least, min(HIGHEST * splits["sad"].max(), most))
    axes.set_xlim(-1, 101)
    axes.set_title("Along each line: what part of the money goes to mattes")
    axes.set_xlabel("spent on mattes (%); the rest on masks")
    axes.set_ylabel(f"predicted {BY_NAME['sad'].axis()}")
