"""Predicted error over mattes and masks of each grade: maps side by side with what a budget buys, and cuts through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.patheffects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.graded import column_of
from reports.figures.kinds import look
from reports.figures.planner import (
    HIGHEST,
    MARGIN,
    MOST_MISSED,
    STEPS,
    ground_of,
    hatch,
    label_contours,
    levels_between,
)
from reports.figures.style import INK, MUTED, PAPER, WIDTH, key, legend_below
from reports.measures import BY_NAME

if TYPE_CHECKING:
    from reports.plans import Plan

COLUMNS = [
    *("kind", "grade", "mattes", "masks", "share", "sad", "low", "high"),
    *("residual", "runs", "supported", "proposed", "method"),
]
MIXED = "best mixture"


def data(plan: Plan) -> pd.DataFrame:
    """Rows by `kind` for every `grade` of masks: `map`, `cell` (measured with this grade alone), `line` (the budget on
    mattes and this grade alone), `split` (the best of these). Of the grade `MIXED` only the line, the best of all grades
    at each number of mattes, and its split, the proposed one. `share` is the part of the money that goes to mattes.

    Masks of other grades that are already there are beside them on maps and lines.
    """
    answer = plan.answer
    assert answer is not None
    fitted, grades, line = answer.fitted, plan.grades, answer.line
    columns = [column_of(grade) for grade in grades]
    there = np.array([int(plan.have.by_grade.get(grade, 0)) for grade in grades])
    bought = line[columns].to_numpy() - there
    first = fitted.cells.assign(sad=fitted.cells["mean"])
    own = {grades[0]: first}
    for grade in grades[1:]:
        alone = fitted.further[grade] == fitted.further["masks"]
        own[grade] = fitted.further[alone].assign(sad=fitted.further["mean"])
    parts = []
    mattes = [*first["mattes"], answer.best.mattes, *(each["mattes"].max() for each in own.values() if len(each))]
    y = np.geomspace(max(1, min(mattes)) / MARGIN, max(mattes) * MARGIN, STEPS)
    for place, grade in enumerate(grades):
        pure = line[(np.delete(bought, place, axis=1) == 0).all(axis=1)]
        best = pure.loc[pure["sad"].idxmin()]
        shown = [int(count) for count in (*own[grade]["masks"], best[columns[place]]) if count > 0]
        x = np.geomspace(min(shown) / MARGIN, max(shown) * MARGIN, STEPS)
        grid_y, grid_x = (each.ravel() for each in np.meshgrid(y, x, indexing="ij"))
        counts = np.tile(there.astype(float), (len(grid_x), 1))
        counts[:, place] = grid_x
        sad = fitted.law.at(grid_y, counts)[0]
        parts.append(pd.DataFrame({"kind": "map", "grade": grade, "mattes": grid_y, "masks": grid_x, "sad": sad}))
        parts.append(own[grade][["mattes", "masks", "runs", "sad", "residual"]].assign(kind="cell", grade=grade))
        pure = pure.assign(masks=pure[columns[place]]).sort_values("mattes", kind="stable")
        parts.append(pure.drop(columns=columns).assign(kind="line", grade=grade))
        parts.append(pure.loc[[best.name]].drop(columns=columns).assign(kind="split", grade=grade))
    lowest = line.loc[line.groupby("mattes")["sad"].idxmin()].drop(columns=columns)
    parts.append(lowest.assign(kind="line", grade=MIXED))
    proposed = line["sad"] == answer.best.sad
    parts.append(line[proposed].iloc[:1].drop(columns=columns).assign(kind="split", grade=MIXED, proposed=True))
    frame = pd.concat(parts, ignore_index=True).assign(method=plan.method, supported=not plan.reasons)
    return frame.reindex(columns=COLUMNS)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a map for each grade above, with the same contours; the cuts below."""
    grades = [grade for grade in dict.fromkeys(frame["grade"]) if grade != MIXED]
    columns = 2
    rows = -(-len(grades) // columns)
    figure = Figure(figsize=(WIDTH, 3.1 * rows + 3.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3.1 * rows, 3.4), squeeze=False)[:, 0]
    ground = frame[frame["kind"] == "map"]
    levels = levels_between(ground["sad"].min(), ground["sad"].max())
    span = 100 * max(MOST_MISSED, frame.loc[frame["kind"] == "cell", "residual"].abs().max())
    maps = above.subplots(rows, columns, squeeze=False).ravel()
    for place, (axes, grade) in enumerate(zip(maps, grades, strict=False)):
        dots = _map(axes, frame[frame["grade"] == grade], grade, levels, span)
        if place % columns == 0:
            axes.set_ylabel("mattes (logarithmic)")
    for axes in maps[len(grades) :]:
        axes.remove()
    bar = above.colorbar(dots, ax=list(maps[: len(grades)]), shrink=0.7, aspect=28, pad=0.015)
    bar.set_label("measured SAD above (+) or\nbelow (−) the law (%)")
    bar.outline.set_visible(False)
    _cut(below.subplots(), frame, grades)
    handles = [key(f"{grade} alone", **_line(grade), markerfacecolor=PAPER, markersize=7) for grade in grades]
    legend_below(figure, [*handles, key(MIXED, **_line(MIXED), markerfacecolor=PAPER, markersize=9)])
    return figure


def _line(grade: str) -> dict[str, Any]:
    return {"color": MUTED, "linewidth": 6, "alpha": 0.35, "marker": "*"} if grade == MIXED else look(grade)


def _map(axes: Axes, frame: pd.DataFrame, grade: str, levels: list[float], span: float) -> Any:
    ground, cells = frame[frame["kind"] == "map"], frame[frame["kind"] == "cell"]
    line, split = frame[frame["kind"] == "line"], frame[frame["kind"] == "split"].iloc[0]
    x, y, lines = ground_of(axes, ground, levels)
    if len(cells):
        hatch(axes, cells)
    outline = [matplotlib.patheffects.withStroke(linewidth=3.5, foreground=PAPER)]
    masks, mattes = (np.maximum(line[kind].to_numpy(float), 1e-3) for kind in ("masks", "mattes"))
    style = look(grade)
    axes.plot(masks, mattes, color=INK, linestyle=style["linestyle"], linewidth=1.6, zorder=3, path_effects=outline)
    axes.plot(
        max(split["masks"], x[0]), max(split["mattes"], y[0]), style["marker"], color=INK, markerfacecolor=PAPER,
        markeredgewidth=2, markersize=10, clip_on=False, zorder=6,
    )  # fmt: skip
    dots = axes.scatter(
        np.maximum(cells["masks"], x[0]), np.maximum(cells["mattes"], y[0]), c=100 * cells["residual"].astype(float),
        cmap="PuOr_r", vmin=-span, vmax=span, s=42, edgecolors=INK, linewidths=1.0, zorder=5, clip_on=False,
    )  # fmt: skip
    label_contours(axes, lines, frame)
    axes.grid(False)
    axes.set_title(f"{grade} masks alone")
    axes.set_xlabel(f"{grade} masks (logarithmic)")
    return dots


def _cut(axes: Axes, frame: pd.DataFrame, grades: list[str]) -> None:
    for grade in (MIXED, *grades):
        part = frame[frame["grade"] == grade]
        line, split = part[part["kind"] == "line"], part[part["kind"] == "split"].iloc[0]
        style = _line(grade) | {"marker": "None"}
        axes.plot(100 * line["share"], line["sad"], **style, zorder=2 if grade == MIXED else 3)
        look_of_mark: dict[str, Any] = (
            {"markersize": 15, "zorder": 6} if grade == MIXED else {"markersize": 8, "zorder": 5}
        )
        axes.plot(
            100 * split["share"], split["sad"], _line(grade)["marker"], color=INK if grade == MIXED else style["color"],
            markerfacecolor=PAPER, markeredgewidth=1.8, clip_on=False, **look_of_mark,
        )  # fmt: skip
    splits, lines = frame[frame["kind"] == "split"], frame[frame["kind"] == "line"]
    axes.set_ylim(0.97 * splits["sad"].min(), min(HIGHEST * splits["sad"].min(), 1.05 * lines["sad"].max()))
    axes.set_xlim(-1, 101)
    axes.set_title("The budget on mattes and one grade of masks: what part of it goes to mattes")
    axes.set_xlabel("spent on mattes (%); the rest on masks")
    axes.set_ylabel(f"predicted {BY_NAME['sad'].axis()}")
