"""What the labels and the mattes look like: a row per image, from photo to truth, one matte per method.

The last column is an error map of `mlb` (else of the method with the lowest SAD): |matte - truth|, black where it is 0.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import matplotlib.image
import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from reports.comparison import REFERENCE, Budget, Comparison, method_order
from reports.figures.style import INK, MUTED, colours
from reports.measures import BY_NAME

ROWS = 8
METHODS = 7  # columns of mattes
CELL = 1.25  # inches
MOST_PIXELS = 2**24  # of a sample picture that is decoded
SHOWN = 1024  # px of its longer side that are kept: a cell shows fewer
SHARED = {"photo": "photo", "mask": "mask", "truth": "truth"}
COLUMNS = ["image", "column", "label", "run_id", "png", "sad"]
OF_A_BLEND = {"teacher": "teacher matte", "label": "blended label"}


def data(
    comparison: Comparison,
    budget: Budget,
    runs: pd.DataFrame,
    samples: pd.DataFrame,
    wanted: Iterable[int] | None = None,
) -> pd.DataFrame:
    """One row per picture that is shown: image, column (heading), label (of a method's matte), run_id, png, sad.

    Every method (default: the first `METHODS`; else those of the cells `wanted`) is shown by its run with the lowest seed.
    Photo, mask and truth are the same for all runs; teacher and blended label are those of the `mlb` run, else of the
    first that has them.
    """
    cells = comparison.shown()
    cells = cells[cells["cell"].isin(comparison.at(budget))]
    once = cells.drop_duplicates("cell")
    once = once.head(METHODS) if wanted is None else once[once["cell"].isin(list(wanted))]
    chosen = {cell.label: lowest_seed(runs, cell.run_ids) for cell in once.itertuples()}
    every = set(comparison.cells["run_ids"].explode())
    part = kept(comparison, samples)
    part = part[part["run_id"].isin(every) & ~part["worst"].eq(True)]
    blends = set(part.loc[part["kind"] == "label", "run_id"])
    first = sorted(chosen, key=lambda label: label != REFERENCE)
    teacher = next((chosen[label] for label in first if chosen[label] in blends), None)
    erring = REFERENCE if REFERENCE in chosen else None
    sad = cells[(cells["measure"] == "sad") & cells["label"].isin(chosen)]
    sad = sad if sad["external"].all() else sad[~sad["external"]]
    if erring is None and len(sad):
        erring = sad.loc[sad["mean"].idxmin(), "label"]
    values = comparison.values(BY_NAME["sad"])
    pictures: list[dict] = []
    mattes = part[part["run_id"].isin(chosen.values()) & (part["kind"] == "matte")]
    for image in sorted(mattes["image"].unique())[:ROWS]:
        here = part[part["image"] == image]
        for kind, heading in SHARED.items():
            pictures += shown(here[here["kind"] == kind], heading)
        for kind, heading in OF_A_BLEND.items():
            pictures += shown(here[(here["run_id"] == teacher) & (here["kind"] == kind)], heading)
        for label, run_id in chosen.items():
            own = here[(here["run_id"] == run_id) & (here["kind"] == "matte")]
            pictures += shown(own, label, label=label, sad=float(values[run_id].get(image, np.nan)))
        if erring is not None:
            pictures += shown(error_map(here[here["run_id"] == chosen[erring]], here), f"error of {erring}")
    return pd.DataFrame(pictures, columns=COLUMNS)


def lowest_seed(runs: pd.DataFrame, run_ids: list[str]) -> str:
    """Of some runs the one with the lowest seed."""
    seeds = runs.sort_values(["seed", "run_id"])["run_id"]
    return str(seeds[seeds.isin(run_ids)].iloc[0])


def kept(comparison: Comparison, samples: pd.DataFrame) -> pd.DataFrame:
    """The sample pictures of a comparison's test set."""
    return samples[(samples["dataset"] == comparison.ground["dataset"]) & samples["png"].notna()]


def shown(rows: pd.DataFrame, heading: str, **further: object) -> list[dict]:
    """The first of some sample pictures as a row of a sheet; nothing if there is none."""
    return [
        {"image": row.image, "column": heading, "run_id": row.run_id, "png": row.png, **further}
        for row in rows.head(1).itertuples()
    ]


def error_map(own: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """The run's own error map, else the difference of its matte to the truth, where both are whole and of one size."""
    stored, matte, truth = own[own["kind"] == "error"], own[own["kind"] == "matte"], here[here["kind"] == "truth"]
    if len(stored) or matte.empty or truth.empty:
        return stored
    first, second = (_grey(_picture(rows["png"].iloc[0])) for rows in (matte, truth))
    if first is None or second is None or first.shape != second.shape:
        return stored
    content = io.BytesIO()
    matplotlib.image.imsave(content, np.abs(first - second), format="png", cmap="gray", vmin=0, vmax=1)
    return matte.head(1).assign(png=[content.getvalue()])


def _grey(picture: np.ndarray | None) -> np.ndarray | None:
    return picture if picture is None or picture.ndim == 2 else picture[..., :3].mean(axis=-1)


def draw(frame: pd.DataFrame, said: Mapping[str, str] = MappingProxyType({})) -> Figure:
    """The sheet of `data`'s frame: a row a picture, a column a kind or method; below photos what is `said` of them."""
    images = list(dict.fromkeys(frame["image"]))
    present = list(dict.fromkeys(frame["column"]))
    methods = method_order([label for label in frame["label"] if isinstance(label, str)])
    errors = [name for name in present if name.startswith("error of ") and name not in methods]
    order = ["photo", "mask", *OF_A_BLEND.values(), *methods, "truth", *errors]
    columns = [name for name in order if name in present]
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
                weight = "bold" if column == REFERENCE else "normal"
                axes.set_title(textwrap.fill(column, 15), loc="center", fontsize=8.5, color=INK, fontweight=weight)
            if row is None or picture is None:
                text = "no picture" if row is None else "damaged\nor too large"
                axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7.5, color=MUTED)
                continue
            if column in errors:
                axes.imshow(_grey(picture), cmap="magma", norm=PowerNorm(0.5, 0, 1))  # small errors are seen too
                continue
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
            text = said.get(image, "") if column == SHARED["photo"] else ""
            if isinstance(row.label, str):
                axes.axhline(-0.5, color=colour[row.label], linewidth=4)
                text = f"SAD {row.sad:.2f}" if np.isfinite(row.sad) else ""
            axes.text(0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top", fontsize=7.5, color=MUTED)
    return figure


def _picture(content: bytes) -> np.ndarray | None:
    """The picture, at most `SHOWN` px wide and high; None where it is damaged, or larger than any that the suite stores.

    That is no reason to lose the report. The size is looked at before anything is decoded: a few kilobytes can stand for
    gigabytes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as header:
                if header.width * header.height > MOST_PIXELS:
                    return None
        picture = matplotlib.image.imread(io.BytesIO(content), format="png")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    step = math.ceil(max(picture.shape[:2]) / SHOWN)
    return np.ascontiguousarray(picture[::step, ::step])
