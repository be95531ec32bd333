"""What the labels and the mattes look like: a row per image, from photo to truth, one matte per method.

The last column is an error map of `mlb` (else of the method with the lowest SAD): |matte - truth|, black where there is none.
"""

from __future__ import annotations

import io
import textwrap

import matplotlib.image
import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports import selection
from reports.comparison import BY_NAME, REFERENCE, Budget, Comparison, method_order
from reports.figures.style import INK, MUTED, colours

ROWS = 8
METHODS = 7  # columns of mattes
CELL = 1.25  # inches
SHARED = {"photo": "photo", "mask": "mask", "truth": "truth"}
OF_MLB = {"teacher": "teacher matte", "label": "blended label"}


def data(comparison: Comparison, budget: Budget, runs: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """One row per picture that is shown: image, column (heading), label (of a method's matte), run_id, png, sad.

    Every method is shown by its run with the lowest seed. Photo, mask and truth are the same for all runs; teacher and
    blended label are those of the `mlb` run.
    """
    cells = selection.shown(comparison)
    once = cells[cells["cell"].isin(comparison.at(budget))].drop_duplicates("cell")
    chosen = {cell.label: _first_seed(runs, cell.run_ids) for cell in once.head(METHODS).itertuples()}
    dataset = comparison.ground["dataset"]
    every = set(comparison.cells["run_ids"].explode())
    part = samples[(samples["dataset"] == dataset) & samples["run_id"].isin(every) & samples["png"].notna()]
    teacher = chosen.get(REFERENCE)
    mattes = part[part["run_id"].isin(chosen.values()) & (part["kind"] == "matte")]
    images = sorted(mattes["image"].unique())[:ROWS]
    values = comparison.values(BY_NAME["sad"])
    pictures: list[dict] = []
    for image in images:
        here = part[part["image"] == image]
        for kind, heading in SHARED.items():
            pictures += _first(here[here["kind"] == kind], heading)
        for kind, heading in OF_MLB.items():
            pictures += _first(here[(here["run_id"] == teacher) & (here["kind"] == kind)], heading)
        for label, run_id in chosen.items():
            found = _first(here[(here["run_id"] == run_id) & (here["kind"] == "matte")], label, label)
            pictures += [row | {"sad": _sad(values, run_id, image)} for row in found]
        label = _erring(cells, once, chosen)
        if label is not None:
            pictures += _error(here[here["run_id"] == chosen[label]], here, f"error of {label}")
    return pd.DataFrame(pictures, columns=["image", "column", "label", "run_id", "png", "sad"])


def _first_seed(runs: pd.DataFrame, run_ids: list[str]) -> str:
    own = runs[runs["run_id"].isin(run_ids)].sort_values(["seed", "run_id"])
    return str(own["run_id"].iloc[0])


def _erring(cells: pd.DataFrame, once: pd.DataFrame, chosen: dict[str, str]) -> str | None:
    """Whose error map is shown."""
    if REFERENCE in chosen:
        return REFERENCE
    sad = cells[(cells["measure"] == "sad") & cells["cell"].isin(once["cell"]) & cells["label"].isin(chosen)]
    return None if sad.empty else str(sad.loc[sad["mean"].idxmin(), "label"])


def _error(own: pd.DataFrame, here: pd.DataFrame, heading: str) -> list[dict]:
    """The run's own error map, else the difference of its matte to the truth, where both are whole and of one size."""
    kept = _first(own[own["kind"] == "error"], heading)
    if kept:
        return kept
    matte, truth = own[own["kind"] == "matte"], here[here["kind"] == "truth"]
    if matte.empty or truth.empty:
        return []
    two = [picture for rows in (matte, truth) if (picture := _picture(rows["png"].iloc[0])) is not None]
    if len(two) < 2 or two[0].shape[:2] != two[1].shape[:2]:
        return []
    first, second = (picture if picture.ndim == 2 else picture[..., :3].mean(axis=-1) for picture in two)
    content = io.BytesIO()
    matplotlib.image.imsave(content, np.abs(first - second), format="png", cmap="gray", vmin=0, vmax=1)
    row = {"image": matte["image"].iloc[0], "column": heading, "label": None, "run_id": matte["run_id"].iloc[0]}
    return [{**row, "png": content.getvalue()}]


def _first(rows: pd.DataFrame, heading: str, label: str | None = None) -> list[dict]:
    return [
        {"image": row.image, "column": heading, "label": label, "run_id": row.run_id, "png": row.png}
        for row in rows.head(1).itertuples()
    ]


def _sad(values: pd.DataFrame, run_id: str, image: str) -> float:
    return float(values[run_id].get(image, np.nan))


def draw(frame: pd.DataFrame) -> Figure:
    """The sheet of `data`'s frame: a row a picture, a column a kind or method."""
    images = list(dict.fromkeys(frame["image"]))
    present = list(dict.fromkeys(frame["column"]))
    methods = method_order([label for label in frame["label"] if isinstance(label, str)])
    headings = ["photo", "mask", *OF_MLB.values()]
    errors = [name for name in present if name.startswith("error of ") and name not in methods]
    columns = [
        *(name for name in headings if name in present),
        *methods,
        *(name for name in ("truth",) if name in present),
        *errors,
    ]
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
                    textwrap.fill(column, 15),
                    loc="center",
                    fontsize=8.5,
                    color=INK,
                    fontweight="bold" if column == "mlb" else "normal",
                )
            if row is None or picture is None:
                text = "no picture" if row is None else "damaged"
                axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7.5, color=MUTED)
                continue
            if column in errors:
                shade = picture if picture.ndim == 2 else picture[..., :3].mean(axis=-1)
                axes.imshow(shade, cmap="magma", norm=PowerNorm(0.5, 0, 1))  # small errors are seen too
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
