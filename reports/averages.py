"""Seed-averaged values image by image, their means with intervals, and the paired differences of cells."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.statistics import Interval, means_and_differences, verdict
from reports.matrices import Grid
from reports.measures import BY_NAME, MEASURES, REGIONS, Measure

DIFFERENCE_COLUMNS = ["mattes", "masks", "cell", "against", "label", "measure", "mean", "low", "high", "verdict"]
NAMED = 3  # of runs or cells that a note is about: more are counted

Column = NDArray[np.float64]
BySeed = dict[Hashable, Column]  # of one cell: each seed's values, image by image


class Pair(NamedTuple):
    """The cell `cell` against the cell `against`, at a budget."""

    mattes: int
    masks: int
    cell: int
    against: int


@dataclass
class _Table:
    """Columns over the same images, what each row of the result takes from them, and which of them are paired."""

    columns: list[Column] = field(default_factory=list)
    places: dict[Hashable, int] = field(default_factory=dict)
    rows: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    sides: list[tuple[int, int]] = field(default_factory=list)

    def place(self, measure: Measure, cell: int, by_seed: BySeed, seeds: Collection[Hashable]) -> int:
        """Where the mean over `seeds` of a cell's values stands."""
        key = (measure.name, cell, frozenset(seeds))
        if key not in self.places:
            self.places[key] = len(self.columns)
            self.columns.append(_mean([by_seed[seed] for seed in by_seed if seed in seeds]))
        return self.places[key]


def averaged(
    plan: pd.DataFrame, seed_of: dict[str, Any], scored: Grid, pairs: list[Pair], notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `Comparison.cells` and `Comparison.differences`.

    `plan` has a row per cell, `seed_of` each run's seed. An image that has no value for anyone (no fractional pixel) is
    passed over; a cell of which a run lacks a value that others have, or has one that is not finite, gets no mean, as
    leaving out its hard images would flatter it. `notes` get a sentence about that, and one about unequal seeds.
    """
    members = _members(plan, seed_of, scored)
    tables: dict[bytes, _Table] = defaultdict(_Table)
    lacking: dict[str, list[str]] = {}
    for measure in MEASURES:
        values = scored.matrix(measure.column, measure.region, measure.scale)
        valid = ~np.isnan(values).all(axis=0)
        if not valid.any():
            continue
        values = values[:, valid]
        absent = (~np.isfinite(values)).sum(axis=1)
        for position in np.flatnonzero(absent):
            what = f"{measure.header} ({REGIONS[measure.region]}) on {absent[position]} of {valid.sum()} images"
            lacking.setdefault(scored.run_ids[position], []).append(what)
        of_cell = {
            cell: {seed: _mean([values[row] for row in rows]) for seed, rows in seeds.items()}
            for cell, seeds in enumerate(members)
            if not any(absent[row] for rows in seeds.values() for row in rows)
        }
        table = tables[valid.tobytes()]
        of_run = values.mean(axis=1)
        for cell, by_seed in of_cell.items():
            row = {"cell": cell, "measure": measure.name, "images": int(valid.sum())}
            row["seed_sd"] = _deviation([float(of_run[rows].mean()) for rows in members[cell].values()])
            table.rows.append((row, table.place(measure, cell, by_seed, by_seed.keys())))
        for pair in pairs:
            if pair.cell in of_cell and pair.against in of_cell:
                a, b = of_cell[pair.cell], of_cell[pair.against]
                common = a.keys() & b.keys()
                table.differences.append({**pair._asdict(), "measure": measure.name})
                table.sides.append(
                    (
                        table.place(measure, pair.cell, a, common or a.keys()),
                        table.place(measure, pair.against, b, common or b.keys()),
                    )
                )
    notes += _about_values(lacking, dict(plan[["run_ids", "label"]].explode("run_ids").itertuples(index=False)))
    notes += _about_seeds(plan, members, pairs)
    return _solved(plan, tables)


def _solved(plan: pd.DataFrame, tables: dict[bytes, _Table]) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for table in tables.values():  # one draw of images serves all that were scored on the same ones
        families = [row["measure"] for row in table.differences]
        means, apart = means_and_differences(np.column_stack(table.columns), table.sides, families)
        rows += [row | _numbers(means[place]) for row, place in table.rows]
        for row, interval in zip(table.differences, apart, strict=True):
            said = verdict(interval, BY_NAME[row["measure"]].lower_is_better)
            differences.append(row | _numbers(interval) | {"verdict": said})
    rank = {measure.name: position for position, measure in enumerate(MEASURES)}
    rows.sort(key=lambda row: rank[row["measure"]])
    differences.sort(key=lambda row: rank[row["measure"]])
    found = pd.DataFrame(rows, columns=["cell", "measure", "mean", "low", "high", "seed_sd", "images"])
    cells = plan.merge(found, on="cell", how="right").reset_index(drop=True)
    labels = plan.set_index("cell")["label"]
    apart = pd.DataFrame(differences, columns=[name for name in DIFFERENCE_COLUMNS if name != "label"])
    return cells, apart.assign(label=apart["cell"].map(labels))[DIFFERENCE_COLUMNS]


def _members(plan: pd.DataFrame, seed_of: dict[str, Any], scored: Grid) -> list[dict[Hashable, list[int]]]:
    """Of each cell the rows of its runs in the matrices, by seed; a run without a seed is one of its own."""
    row_of = {run_id: row for row, run_id in enumerate(scored.run_ids)}
    members: list[dict[Hashable, list[int]]] = []
    for run_ids in plan["run_ids"]:
        by_seed: dict[Hashable, list[int]] = {}
        for run_id in run_ids:
            seed = seed_of[run_id]
            by_seed.setdefault(int(seed) if pd.notna(seed) else run_id, []).append(row_of[run_id])
        members.append(by_seed)
    return members


def _about_values(lacking: dict[str, list[str]], label_of: dict[str, str]) -> list[str]:
    """Runs without values that others have, by name."""
    said = [
        f"Run {run_id} ({label_of[run_id]}) has no finite {', '.join(what)}, so that its cell has no mean of it."
        for run_id, what in lacking.items()
    ]
    if len(said) > NAMED:
        rest = ", ".join(list(lacking)[NAMED:])
        said[NAMED:] = [f"{len(said) - NAMED} further runs lack values too, and their cells means: {rest}."]
    return said


def _about_seeds(plan: pd.DataFrame, members: list[dict[Hashable, list[int]]], pairs: list[Pair]) -> list[str]:
    """Cells that were not trained with the seeds of what they are compared with."""
    external = plan["external"]  # a cell's number is its row
    names = plan["label"].where(plan["shown"], "other variants of " + plan["method"])
    partly: dict[str, None] = {}
    nothing: dict[str, None] = {}
    for pair in pairs:
        a, b = members[pair.cell].keys(), members[pair.against].keys()
        if a == b or external[pair.cell]:
            continue
        name = f"{names[pair.cell]} with {pair.mattes:,} mattes + {pair.masks:,} masks"
        (partly if a & b else nothing)[name] = None
    said = []
    if partly:
        said.append(f"Differences of unequal seeds are taken over the seeds that both sides have: {_few(partly)}.")
    if nothing:
        said.append(f"Differences between other seeds on either side are taken over all of each: {_few(nothing)}.")
    return said


def _few(names: Collection[str]) -> str:
    shown = "; ".join(list(names)[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def _mean(columns: list[Column]) -> Column:
    return columns[0] if len(columns) == 1 else np.mean(columns, axis=0)


def _deviation(values: list[float]) -> float:
    """The sample's standard deviation; NaN of one value."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else math.nan


def _numbers(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
