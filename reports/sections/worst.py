"""Where the best method errs most: its worst images by name, and those of them whose pictures the store keeps."""

from __future__ import annotations

import math

import pandas as pd

from reports.comparison import Comparison
from reports.document import Column, Picture, Section, Table, counted, decimals, labels_in_words, number, numbers, texts
from reports.figures import qualitative, worst
from reports.load import Frames
from reports.measures import BY_NAME
from reports.sections import PageSection, register
from reports.sections.methods import unscored

LISTED = 10  # images that the page names
TAIL = 10  # the share of error is told of the worst of so many


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """The images with the largest SAD of the contender with the lowest, on the first test set."""
    result = Section("worst", "Where it errs most", missing=unscored(frames))
    best = _best(comparisons[0]) if comparisons else None
    if best is None:
        return result
    comparison, run_id = comparisons[0], qualitative.lowest_seed(frames.runs, best["run_ids"])
    samples = frames.pictures([run_id])
    found = worst.errors(comparison, run_id, samples)
    result.text = [_said(comparison, best, run_id, found)]
    frame = worst.data(comparison, found, best["label"], samples)
    if len(frame):
        result.blocks.append(_picture(comparison, best, found, frame, bool(samples["worst"].eq(True).any())))
    result.blocks.append(_table(found))
    return result


def _best(comparison: Comparison) -> pd.Series | None:
    """The cell with the lowest SAD of those that compete."""
    cells = comparison.shown(worst.MEASURE, own=True)
    cells = cells[~cells["control"]]
    return None if cells.empty else cells.loc[cells["mean"].idxmin()]


def _said(comparison: Comparison, best: pd.Series, run_id: str, found: pd.DataFrame) -> str:
    seeds = f" (the lowest of {best['seeds']} seeds)" if best["seeds"] > 1 else ""
    labels = labels_in_words(best["mattes"], best["masks"], best["grades"])
    said = f"{best['variant_label']} with {labels} has the lowest SAD on {comparison.title}."
    tail = math.ceil(len(found) / TAIL)
    if len(found) < 2 * TAIL or not found["sad"].sum():
        return f"{said} These are the images of its run {run_id}{seeds}."
    share = 100 * found["sad"].head(tail).sum() / found["sad"].sum()
    return (
        f"{said} In its run {run_id}{seeds}, the {tail} worst of {len(found):,} images hold {share:.0f} % of the error."
    )


def _picture(comparison: Comparison, best: pd.Series, found: pd.DataFrame, frame: pd.DataFrame, aimed: bool) -> Picture:
    own = found[found["kept"]]
    images = frame["image"].nunique()
    chosen = "those with its largest errors among them" if aimed else "none of them chosen by its error"
    caption = (
        f"{best['label']}, the {counted(images, 'image')} with the highest SAD of the {len(own)} whose pictures the store "
        f"keeps ({chosen}), and their places among all {len(found):,}. SAD in thousands of "
        "pixels. The error map is |matte - truth| from black (none) to pale yellow (1), by its square root."
    )
    said = {row.image: f"no. {row.rank:,} of {len(found):,}" for row in own.itertuples()}
    return Picture("worst", comparison.title, caption, qualitative.draw(frame, said), frame, photographic=True)


def _table(found: pd.DataFrame) -> Table:
    measure, whole = BY_NAME[worst.MEASURE], found["sad"].sum()
    places = decimals(found["sad"].head(LISTED))

    def share(row: dict) -> str:
        return f"{number(100 * row['sad'] / whole, 1)} %" if whole else "–"

    columns = [
        numbers("rank"),
        texts("image"),
        numbers(f"{measure.header} {measure.arrow}", "sad", places, measure.unit),
        Column("of the error", share, True),
    ]
    if found["kept"].any():
        columns.append(Column("picture", lambda row: "kept" if row["kept"] else ""))
    caption = (
        f"The {counted(min(LISTED, len(found)), 'image')} with the highest SAD of {len(found):,}; all are in the CSV."
    )
    return Table("worst", caption, columns, found, found.head(LISTED).to_dict("records"))


register(PageSection("worst", 115, lambda given: section(given.frames, given.comparisons)))
