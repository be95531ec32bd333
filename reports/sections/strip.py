"""A few pictures for the first screen: what a blended label is, and what the best methods make of a photo."""

from __future__ import annotations

import pandas as pd

from reports import choice
from reports.comparison import Budget, Comparison
from reports.document import Picture, Section, listed
from reports.figures import qualitative
from reports.figures.qualitative import OF_A_BLEND, SHARED
from reports.load import Frames
from reports.sections import PageSection, register

ROWS = 3
METHODS = 2
COLUMNS = (SHARED["photo"], SHARED["mask"], OF_A_BLEND["label"], SHARED["truth"])


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """Photo, mask, blended label, the mattes of the methods with the lowest errors, and truth, of a few pictures.

    Of the first test set that pictures were kept of, natural ones of the user's own before composites.
    """
    result = Section("strip", "In pictures")
    for group in choice.groups(comparisons, frames.runs):
        comparison = group[0]
        for budget in comparison.budgets:
            best = choice.contenders(comparison, budget).nsmallest(METHODS, "mean")
            mlb = comparison.reference(budget)  # whose run has the blended label, be it one of the best or not
            wanted = list({*best["cell"], *([] if mlb is None else [mlb])})
            samples = frames.pictures(comparison.heads.loc[wanted, "run_ids"].explode())
            frame = qualitative.data(comparison, budget, frames.runs, samples, wanted)
            frame = frame[frame["column"].isin([*COLUMNS, *best["label"]])]
            frame = frame[frame["image"].isin(list(dict.fromkeys(frame["image"]))[:ROWS])].reset_index(drop=True)
            if len(frame):
                result.blocks = [_picture(comparison, budget, frame)]
                return result
    return result


def _picture(comparison: Comparison, budget: Budget, frame: pd.DataFrame) -> Picture:
    mattes = list(dict.fromkeys(frame["label"].dropna()))
    have = "has the lowest error" if len(mattes) == 1 else "have the lowest errors"
    which = f"; {listed(mattes)} {have}" if mattes else ""
    caption = (
        f"{comparison.ground['dataset']}, {budget}: the first pictures that the runs kept, none chosen by its error{which}."
        " SAD in thousands of pixels. For all methods, see What it looks like."
    )
    figure = qualitative.draw(frame)
    return Picture("strip", "What goes in, and what comes out", caption, figure, frame, photographic=True)


register(PageSection("strip", 6, lambda given: section(given.frames, given.comparisons)))
