"""What the labels and the mattes look like: a row per image, from photo to truth, one matte per method."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.comparison import Budget, Comparison, method_order
from reports.figures.style import INK, MUTED, colours

ROWS = 8
CELL = 1.25  # inches
SHARED = {"photo": "photo", "mask": "mask", "truth": "truth"}
OF_MLB = {"teacher": "teacher matte", "label": "blended label"}


def data(
    comparison: Comparison, budget: Budget, runs: pd.DataFrame, scores: pd.DataFrame, samples: pd.DataFrame
) -> pd.DataFrame:
    """One row per picture that is shown: image, column (heading), label (of a method's matte), run_id, png, sad.

    Every method is shown by its run with the lowest seed. Photo, mask and truth are the same for all runs; teacher and
    blended label are those of the `mlb` run.
    """
    chosen: dict[str, str] = {}
    cells = comparison.cells.drop_duplicates("cell")
    for cell in cells[cells["cell"].isin(comparison.at(budget))].itertuples():
        own = runs[runs["run_id"].isin(cell.run_ids)].sort_values(["seed", "run_id"])
        chosen[cell.label] = own["run_id"].iloc[0]
    dataset = comparison.ground["dataset"]
    part = samples[(samples["dataset"] == dataset) & samples["png"].notna()]
    every = set(comparison.cells["run_ids"].explode())
    reference = comparison.reference(budget)
    teacher = None if reference is None else chosen[str(cells.loc[cells["cell"] == reference, "label"].iloc[0])]
    images = sorted(part.loc[part["run_id"].isin(chosen.values()), "image"].unique())[:ROWS]
    pictures: list[dict] = []
    for image in images:
        here = part[part["image"] == image]
        for kind, heading in SHARED.items():
            pictures += _first(here[here["run_id"].isin(every) & (here["kind"] == kind)], heading)
        for kind, heading in OF_MLB.items():
            pictures += _first(here[(here["run_id"] == teacher) & (here["kind"] == kind)], heading)
        for label, run_id in chosen.items():
            found = _first(here[(here["run_id"] == run_id) & (here["kind"] == "matte")], label, label)
            pictures += [row | {"sad": _sad(scores, comparison, run_id, image)} for row in found]
    return pd.DataFrame(pictures, columns=["image", "column", "label", "run_id", "png", "sad"])


def _first(rows: pd.DataFrame, heading: str, label: str | None = None) -> list[dict]:
    return [
        {"image": row.image, "column": heading, "label": label, "run_id": row.run_id, "png": row.png}
        for row in rows.head(1).itertuples()
    ]


def _sad(scores: pd.DataFrame, comparison: Comparison, run_id: str, image: str) -> float:
    own = (scores["run_id"] == run_id) & (scores["image"] == image) & (scores["region"] == "whole")
    for key in ("dataset", "protocol", "convention", "metric_version"):
        own &= scores[key] == comparison.ground[key]
    found = scores.loc[own, "sad"]
    return float(found.iloc[0]) if len(found) else float("nan")


def draw(frame: pd.DataFrame) -> Figure:
    """The sheet of `data`'s frame: a row a picture, a column a kind or method."""
    images = list(dict.fromkeys(frame["image"]))
    present = list(dict.fromkeys(frame["column"]))
    methods = method_order([label for label in frame["label"] if isinstance(label, str)])
    headings = ["photo", "mask", *OF_MLB.values()]
    columns = (
        [name for name in headings if name in present] + methods + [name for name in ("truth",) if name in present]
    )
    colour = colours(methods)
    pictures = {(row.image, row.column): row for row in frame.itertuples()}
    figure = Figure(
        figsize=(CELL * len(columns), CELL * 1.12 * len(images) + 0.35),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0),
    )
    grid = figure.subplots(len(images), len(columns), squeeze=False)
    for index, image in enumerate(images):
        for axes, column in zip(grid[index], columns, strict=True):
            axes.set_axis_off()
            row = pictures.get((image, column))
            picture = None if row is None else _picture(row.png)
            if index == 0:
                axes.set_title(
                    column, loc="center", fontsize=8.5, color=INK, fontweight="bold" if column == "mlb" else "normal"
                )
            if row is None or picture is None:
                text = "no picture" if row is None else "damaged"
                axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7.5, color=MUTED)
                continue
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
            if isinstance(row.label, str):
                axes.axhline(-0.5, color=colour[row.label], linewidth=4)
                text = f"SAD {row.sad:.2f}" if np.isfinite(row.sad) else ""
                axes.text(0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top", fontsize=7.5, color=MUTED)
    return figure


def _picture(content: bytes) -> np.ndarray | None:
    """The picture, or None where it is damaged: no reason to lose the report."""
    try:
        return matplotlib.image.imread(io.BytesIO(content), format="png")
    except (OSError, SyntaxError, ValueError):
        return None
