"""A run's masks by grade, as the table `runs` holds them: a column for each grade beside `masks`, which counts all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wsshm.grades import GRADES, from_text, in_words, text_of


def column_of(grade: str) -> str:
    """The column of `runs` with the number of masks of a grade."""
    return f"masks_{grade}"


COLUMNS = ("masks", *map(column_of, GRADES))


def grades_text(runs: pd.DataFrame) -> list[str]:
    """Of each row of `runs` its masks by grade as one text (`wsshm.grades.text_of`); empty where all are of the default grade,
    as in rows that are older than the grades.
    """
    counts = runs.reindex(columns=[column_of(grade) for grade in GRADES]).astype("Float64").fillna(0)
    rows = counts.to_numpy(np.float64)
    return [text_of(dict(zip(GRADES, row, strict=True))) if row.any() else "" for row in rows]


def with_grades(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows whose `masks` are in words where some are of another grade than the default: `1,000 polygon, 100 fine`."""
    texts = grades_text(runs)
    if not any(texts):
        return runs
    said = [in_words(from_text(text, 0)) if text else masks for text, masks in zip(texts, runs["masks"], strict=True)]
    return runs.assign(masks=pd.Series(said, runs.index, object))
