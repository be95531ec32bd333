"""Values image by image: what slices, rankings and comparisons of two stores are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from bench.statistics import Difference, simultaneous, verdict
from reports.comparison import Comparison
from reports.measures import BY_NAME, MEASURES, Measure
from wsshm.errors import UserError, nearest

FRACTIONAL = {"fractional": "boundary"}  # as tables head it
OF_SCORES = ("dataset", "protocol", "convention", "truth", "metric_version")  # the part of a ground that scores carry


def measures(
    names: str | None,
    region: str | None = None,
    default: Iterable[str] = (),
    known: Mapping[str, Measure] = BY_NAME,
) -> list[Measure]:
    """The measures of a comma-separated list, or those of a region; UserError naming the nearest for an unknown one."""
    regions = {measure.region for measure in MEASURES}
    region = FRACTIONAL.get(str(region), region)
    if region is not None and region not in regions:
        raise UserError(f"there is no region {region!r} in the tables; {nearest(region, regions)}")
    chosen = [name.strip().lower() for name in names.split(",")] if names else list(default) or list(known)
    for name in chosen:
        if name not in known:
            raise UserError(f"there is no measure {name!r}; {nearest(name, known)}")
    found = [known[name] for name in chosen if region in (None, known[name].region)]
    if not found:
        raise UserError(f"none of the measures {', '.join(chosen)} is of the region {region}; leave out one of the two")
    return found


def of_run(scores: pd.DataFrame, ground: dict[str, str], run_ids: Iterable[str], measure: Measure) -> pd.DataFrame:
    """Values of one measure, in its unit: a row an image, a column a run; absent where a run has none.

    `scores` are those of `Frames`, `ground` is that of a comparison.
    """
    kept = scores["run_id"].isin(list(run_ids)) & (scores["region"] == measure.region)
    part = scores.loc[kept, ["run_id", "image", *OF_SCORES, measure.column]]
    part = part.astype(dict.fromkeys(part.columns[:-1], object))
    for name in OF_SCORES:
        part = part[part[name].fillna("unknown").astype(str) == ground[name]]
    return part.pivot_table(measure.column, "image", "run_id", dropna=False) * measure.scale


def of_cells(comparison: Comparison, measure: Measure) -> pd.DataFrame:
    """Seed-averaged values of one measure: a row an image of the comparison, a column a cell that has all its values.

    Images without a value for anyone (no fractional pixel) are passed over.
    """
    runs = comparison.values(measure).dropna(how="all")
    cells = comparison.cells[comparison.cells["measure"] == measure.name].set_index("cell")["run_ids"]
    means = {cell: runs.reindex(columns=list(ids)).mean(axis=1, skipna=False) for cell, ids in cells.items()}
    return pd.DataFrame(means, index=runs.index).dropna(axis=1)


def told_apart(differences: list[pd.Series], lower_is_better: bool = True) -> list[Difference]:
    """Of each column of differences a - b by image: mean, interval and what that says of a.

    The intervals hold for all columns together that are of the same images.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, column in enumerate(differences):
        groups.setdefault(tuple(column.index), []).append(position)
    result: dict[int, Difference] = {}
    for positions in groups.values():
        values = np.column_stack([differences[position].to_numpy(dtype=float) for position in positions])
        for position, interval in zip(positions, simultaneous(values), strict=True):
            said = verdict(interval, lower_is_better)
            result[position] = Difference(interval.mean, interval.low, interval.high, said)
    return [result[position] for position in range(len(differences))]
