"""Seed-averaged values image by image, their means with intervals, and the paired differences of cells."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.statistics import Interval, means_and_differences, verdict
from reports.document import labels_in_words
from reports.matrices import Grid
from reports.measures import MEASURES

DIFFERENCE_COLUMNS = [
    "mattes",
    "masks",
    "grades",
    "cell",
    "against",
    "label",
    "measure",
    "mean",
    "low",
    "high",
    "verdict",
]
NAMED = 3  # of runs or cells that a note is about: more are counted


class Pair(NamedTuple):
    """The cell `cell` against the cell `against`, at a budget."""

    mattes: int
    masks: int
    grades: str
    cell: int
    against: int


def averaged(
    plan: pd.DataFrame, seed_of: dict[str, Hashable], scored: Grid, pairs: list[Pair], notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `Comparison.cells` and `Comparison.differences`.

    `plan` has a row per cell, `seed_of` each run's seed. An image that has no value for anyone (no fractional pixel) is
    passed over; a cell of which a run lacks a value that others have, or has one that is not finite, gets no mean, as
    leaving out its hard images would flatter it. `notes` get a sentence about that, and one about unequal seeds.
    """
    members = _members(plan, seed_of, scored)
    lacking: dict[str, list[str]] = {}
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for measure in MEASURES:
        values = scored.matrix(measure.column, measure.region, measure.scale)
        values = values[:, ~np.isnan(values).all(axis=0)]
        absent = (~np.isfinite(values)).sum(axis=1)
        for position in np.flatnonzero(absent):
            what = f"{measure.header} ({measure.where}) on {absent[position]} of {values.shape[1]} images"
            lacking.setdefault(scored.run_ids[position], []).append(what)
        of_cell = {
            cell: {seed: values[runs].mean(axis=0) for seed, runs in seeds.items()}
            for cell, seeds in enumerate(members)
            if not any(absent[run] for runs in seeds.values() for run in runs)
        }
        if not of_cell or not values.size:
            continue
        compared = [pair for pair in pairs if pair.cell in of_cell and pair.against in of_cell]
        sides = [
            [(pair.cell, ours), (pair.against, theirs)]
            for pair in compared
            for ours, theirs in [in_common(of_cell[pair.cell], of_cell[pair.against])]
        ]
        wanted = dict.fromkeys([*((cell, frozenset(seeds)) for cell, seeds in of_cell.items()), *chain(*sides)])
        place = {key: position for position, key in enumerate(wanted)}
        columns = [
            np.mean([of_cell[cell][seed] for seed in of_cell[cell] if seed in seeds], axis=0) for cell, seeds in wanted
        ]
        means, apart = means_and_differences(
            np.column_stack(columns), [[place[key] for key in both] for both in sides], [measure.name] * len(sides)
        )
        for cell, interval in zip(of_cell, means, strict=False):  # further means are of the seeds that a pair shares
            of_seeds = [float(values[runs].mean()) for runs in members[cell].values()]
            deviation = float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else np.nan
            row = {"cell": cell, "measure": measure.name} | _numbers(interval)
            rows.append(row | {"seed_sd": deviation, "images": values.shape[1]})
        for pair, interval in zip(compared, apart, strict=True):
            row = pair._asdict() | {"label": plan["label"][pair.cell], "measure": measure.name}
            differences.append(row | _numbers(interval) | {"verdict": verdict(interval, measure.lower_is_better)})
    notes += _about_values(lacking, dict(plan[["run_ids", "label"]].explode("run_ids").itertuples(index=False)))
    notes += _about_seeds(plan, members, pairs)
    found = pd.DataFrame(rows, columns=["cell", "measure", "mean", "low", "high", "seed_sd", "images"])
    cells = plan.merge(found, on="cell", how="right").reset_index(drop=True)
    return cells, pd.DataFrame(differences, columns=DIFFERENCE_COLUMNS)


def in_common(a: Collection[Hashable], b: Collection[Hashable]) -> tuple[frozenset[Hashable], frozenset[Hashable]]:
    """The seeds over which two cells are compared: those that both have, else all of either."""
    common = frozenset(a) & frozenset(b)
    return common or frozenset(a), common or frozenset(b)


def seeds_of(runs: pd.DataFrame) -> dict[str, Hashable]:
    """Each run's seed by its id, which is the index; a run without a seed is one of its own."""
    return {run_id: int(seed) if pd.notna(seed) else run_id for run_id, seed in runs["seed"].items()}


def _members(plan: pd.DataFrame, seed_of: dict[str, Hashable], scored: Grid) -> list[dict[Hashable, list[int]]]:
    """Of each cell the rows of its runs in the matrices, by seed."""
    row_of = {run_id: row for row, run_id in enumerate(scored.run_ids)}
    members: list[dict[Hashable, list[int]]] = []
    for run_ids in plan["run_ids"]:
        by_seed: dict[Hashable, list[int]] = {}
        for run_id in run_ids:
            by_seed.setdefault(seed_of[run_id], []).append(row_of[run_id])
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
        name = f"{names[pair.cell]} with {labels_in_words(pair.mattes, pair.masks, pair.grades)}"
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


def _numbers(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
