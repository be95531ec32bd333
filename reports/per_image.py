"""Values image by image: what slices, rankings and comparisons of two stores are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.statistics import simultaneous, verdict
from reports.comparison import Comparison
from reports.measures import BY_NAME, MEASURES, RegionalMeasure
from wsshm import plugins
from wsshm.errors import UserError, nearest

FRACTIONAL = {"fractional": "boundary"}  # as tables head it
OF_SCORES = ("dataset", "protocol", "convention", "truth", "metric_version")  # the part of a ground that scores carry


def measures(
    names: str | None,
    region: str | None = None,
    default: Iterable[str] = (),
    known: Mapping[str, RegionalMeasure] = BY_NAME,
) -> list[RegionalMeasure]:
    """The measures of a comma-separated list, or those of a region; UserError naming the nearest for an unknown one."""
    regions = {measure.region for measure in MEASURES}
    region = FRACTIONAL.get(str(region), region)
    if region is not None and region not in regions:
        raise UserError(f"there is no region {region!r} in the tables; {nearest(region, regions)}")
    chosen = [name.strip().lower() for name in names.split(",")] if names else list(default) or list(known)
    for name in chosen:
        if name not in known:
            raise UserError(f"there is no measure {name!r}; {nearest(name, known)} ({plugins.VARIABLE} adds more)")
    found = [known[name] for name in chosen if region in (None, known[name].region)]
    if not found:
        raise UserError(f"none of the measures {', '.join(chosen)} is of the region {region}; leave out one of the two")
    return found


def of_run(
    scores: pd.DataFrame, ground: dict[str, str], run_ids: Iterable[str], measure: RegionalMeasure
) -> pd.DataFrame:
    """Values of one measure, in its unit: a row an image, a column a run; absent where a run has none.

    `scores` are those of `Frames`, `ground` is that of a comparison.
    """
    kept = scores["run_id"].isin(list(run_ids)) & (scores["region"] == measure.region)
    part = scores.loc[kept, ["run_id", "image", *OF_SCORES, measure.column]]
    part = part.astype(dict.fromkeys(part.columns[:-1], object))
    for name in OF_SCORES:
        part = part[part[name].fillna("unknown").astype(str) == ground[name]]
    return part.pivot_table(measure.column, "image", "run_id", dropna=False) * measure.scale


def of_cells(comparison: Comparison, measure: RegionalMeasure) -> pd.DataFrame:
    """Seed-averaged values of one measure: a row an image of the comparison, a column a cell that has all its values.

    Images without a value for anyone (no fractional pixel) are passed over.
    """
    runs = comparison.values(measure).dropna(how="all")
    cells = comparison.cells[comparison.cells["measure"] == measure.name].set_index("cell")["run_ids"]
    means = {cell: runs.reindex(columns=list(ids)).mean(axis=1, skipna=False) for cell, ids in cells.items()}
    return pd.DataFrame(means, index=runs.index).dropna(axis=1)


def paired_differences(pairs: Sequence[tuple[pd.Series, pd.Series]], lower_is_better: bool = True) -> pd.DataFrame:
    """Of each pair (a, b) of values by image a row: images that both have, means a and b, difference, low, high, verdict.

    The verdict is on a; the intervals hold together for all pairs that are of the same images. Without a common image all
    is missing.
    """
    both = [pd.concat([a, b], axis=1, keys=["a", "b"]).dropna() for a, b in pairs]
    frame = pd.DataFrame([values.mean() for values in both], columns=["a", "b"], dtype=float)
    frame = frame.assign(images=list(map(len, both)), difference=np.nan, low=np.nan, high=np.nan, verdict=None)
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, values in enumerate(both):
        groups.setdefault(tuple(values.index), []).append(position)
    for images, positions in groups.items():
        if images:
            apart = np.column_stack([both[position]["a"] - both[position]["b"] for position in positions])
            for position, found in zip(positions, simultaneous(apart), strict=True):
                said = found.mean, found.low, found.high, verdict(found, lower_is_better)
                frame.loc[position, ["difference", "low", "high", "verdict"]] = said
    return frame
