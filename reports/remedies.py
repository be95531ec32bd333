"""The sweeps that would fill a gap in what runs say about labels, as commands; in words if no sweep would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports import printed
from reports.comparison import Budget
from reports.document import listed
from reports.laws import KINDS, cells_of
from reports.support import BEYOND, FEWEST_COUNTS, beyond, counts_of
from reports.worth import by_grade, of_first
from wsshm.grades import DEFAULT

SEEDS = 3
APART = 8  # by which factor two numbers of a grade's masks differ, if there are as many


def remedy(
    runs: pd.DataFrame,
    method: str,
    base: dict[str, Any] | None,
    have: Budget,
    wanted: Budget = Budget(0, 0),
    grades: Sequence[str] = (DEFAULT,),
) -> str:
    """What would fill the gap: the sweep, on the runs' own data, that measures a grid which the law can be fitted to.

    It asks for no more labels than a run has used or `have` counts; where the grid is the one that was measured already,
    for more seeds. In words where there are too few labels for a grid, where `base`, what the runs were configured with,
    is not known, or where `wanted` labels would have to be bought first. `runs` are of `grades`, the grid of the first;
    those of others are repeated beside it.
    """
    own = of_first(runs, grades)
    measured = {kind: counts_of(own, kind) for kind in KINDS}
    owned, sought = ({"mattes": each.mattes, "masks": int(each.by_grade.get(grades[0], 0))} for each in (have, wanted))
    there = {kind: max([owned[kind], *measured[kind]]) for kind in KINDS}
    grid = {kind: _levels(measured[kind], there[kind]) for kind in KINDS}
    if short := [kind for kind in KINDS if len(grid[kind]) < FEWEST_COUNTS]:
        few = listed([f"{there[kind]:,} {kind}" for kind in short])
        return f"annotate more labels first: runs with three numbers of each kind are needed, and there are only {few}"
    complete = len(cells_of(own)) == len(measured["mattes"]) * len(measured["masks"])
    seeds = max(SEEDS, own["seed"].nunique() + 2) if grid == measured and complete else SEEDS
    if beyond_all := [kind for kind in KINDS if sought[kind] > BEYOND * there[kind]]:
        more = listed([f"{kind} (now {there[kind]:,})" for kind in beyond_all])
        first = f"buy more {more} first, about twice as many, and train with them; with the labels at hand: "
    else:
        first = ""
    if base is None:
        counts = listed([f"{listed([f'{level:,}' for level in grid[kind]])} {kind}" for kind in KINDS])
        return f"{first}train {method} on the same data with each of {counts}, and {seeds} seeds each"
    masks = grid["masks"] if grades[0] == DEFAULT else {grades[0]: grid["masks"]}
    budgets = [{"mattes": grid["mattes"], "masks": masks}, *(_cells(runs, grade) for grade in grades[1:])]
    return first + _sweep(method, base, budgets, seeds)


def more_of(runs: pd.DataFrame, grade: str, method: str, base: dict[str, Any] | None) -> str:
    """What would say what masks of a further grade are worth: the sweep over a few of its numbers, or words."""
    budget = _cells(runs, grade)
    counts = budget["masks"][grade]
    if len(counts) < 2:
        return f"annotate more {grade} masks first: runs with two numbers of them are needed, and there are only {counts[0]}"
    if base is None:
        mattes, masks = (listed([f"{count:,}" for count in each]) for each in (budget["mattes"], counts))
        return f"train {method} on the same data with each of {mattes} mattes and {masks} {grade} masks, {SEEDS} seeds each"
    return _sweep(method, base, [budget], SEEDS)


def _sweep(method: str, base: dict[str, Any], budgets: list[dict[str, Any]], seeds: int) -> str:
    changes = {
        "space": {"method.name": [base["method"].get("name", method)]},
        "also": [],
        "budgets": budgets,
        "seeds": list(range(seeds)),
    }
    return printed.sweep("annotation-cost", base, **changes)


def _cells(runs: pd.DataFrame, grade: str) -> dict[str, Any]:
    """Budgets with few and many mattes, and few and many masks of a grade, no more of either than runs have used."""
    counts = by_grade(runs, [grade])[grade]
    mattes = [count for count in counts_of(runs, "mattes") if count]
    used = sorted({int(count) for count in counts if count})
    low, most = used[0], used[-1]
    levels = {low if most >= 2 * low else max(1, most // APART), most}
    if len(mattes) < 2 and most > 3:
        levels.add(round(float(np.sqrt(min(levels) * most))))
    return {"mattes": sorted({*mattes[:1], *mattes[-1:]}) or [0], "masks": {grade: sorted(levels)}}


def _levels(measured: list[int], most: int) -> list[int]:
    """Counts to measure: those there were where they are enough, else four up to `most` in even steps of their logarithm."""
    if len(measured) >= FEWEST_COUNTS and beyond(most, measured) <= BEYOND:
        return measured if len(measured) <= 5 else [measured[round(i)] for i in np.linspace(0, len(measured) - 1, 5)]
    low = min([count for count in measured if count] or [most])
    steps = np.geomspace(max(1, min(low, most // 8)), max(1, most), 4)[:-1]
    return sorted({*(int(float(f"{step:.1g}")) for step in steps if step < most), most} - {0})
