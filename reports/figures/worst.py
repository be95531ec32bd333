"""On which images a run errs most, and its mattes of those whose pictures the store keeps."""

from __future__ import annotations

import pandas as pd

from reports.comparison import Comparison
from reports.figures.qualitative import COLUMNS, SHARED, error_map, kept, shown
from reports.measures import BY_NAME

ROWS = 3
MEASURE = "sad"


def errors(comparison: Comparison, run_id: str, samples: pd.DataFrame) -> pd.DataFrame:
    """A row for each image of a run, the largest error first: rank (from 1), image, sad, and whether its matte is kept."""
    values = comparison.values(BY_NAME[MEASURE])[run_id].dropna().sort_values(ascending=False, kind="stable")
    own = kept(comparison, samples)
    mattes = set(own.loc[(own["run_id"] == run_id) & (own["kind"] == "matte"), "image"])
    frame = pd.DataFrame({"rank": range(1, len(values) + 1), "image": values.index, "sad": values.to_numpy(float)})
    return frame.assign(kept=frame["image"].isin(mattes), run_id=run_id)


def data(comparison: Comparison, found: pd.DataFrame, label: str, samples: pd.DataFrame) -> pd.DataFrame:
    """The rows that `qualitative.draw` takes, of the `ROWS` largest errors of `errors`' frame whose mattes are kept."""
    own = kept(comparison, samples)
    pictures: list[dict] = []
    for row in found[found["kept"]].head(ROWS).itertuples():
        here = own[(own["image"] == row.image) & (own["run_id"] == row.run_id)]
        for kind, heading in SHARED.items():
            pictures += shown(here[here["kind"] == kind], heading)
        pictures += shown(here[here["kind"] == "matte"], label, label=label, sad=row.sad)
        pictures += shown(error_map(here, here), f"error of {label}")
    return pd.DataFrame(pictures, columns=COLUMNS)
