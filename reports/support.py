"""Whether runs carry an answer to which labels to buy; where not: why, and the sweep that would fill the gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from reports import printed
from reports.comparison import Budget
from reports.document import counted, listed
from reports.laws import FEWEST_CELLS, KINDS, OFFSET, Fitted, cells_of

FEWEST_COUNTS = 3  # of a kind: two points cannot bend
SEEDS = 3
SIGNIFICANT = 0.01
MISFIT, MISFIT_P = 0.03, 0.01  # a law of another form that missed by 4 % proposed splits 11 % above the least
FAR, BEYOND = 4.0, 1.05  # factors outside of the measured counts: too far to answer; far enough to say
REGRET, VAGUE_REGRET, VAGUE_SHARE = 0.10, 0.03, 0.80


def gaps(runs: pd.DataFrame) -> list[str]:
    """What the runs (mattes, masks, seed, sad) lack, whatever is asked; each a clause without a full stop."""
    reasons = []
    cells = cells_of(runs)
    for kind in KINDS:
        counts = _counts(runs, kind)
        if len(counts) < FEWEST_COUNTS:
            shown = f" ({listed([f'{count:,}' for count in counts])})" if counts else ""
            reasons.append(
                f"the runs have only {counted(len(counts), 'number')} of {kind}{shown}; at least {FEWEST_COUNTS} are "
                f"needed to see how the error depends on it"
            )
    if len(cells) < FEWEST_CELLS:
        reasons.append(
            f"{counted(len(cells), 'combination')} of mattes and masks {'is' if len(cells) == 1 else 'are'} too few to "
            f"fit the law; at least {FEWEST_CELLS} are needed"
        )
    if (cells["runs"] > 1).mean() <= 0.5:
        reasons.append(
            "most combinations were trained with one seed, so chance cannot be separated from the effect of the labels"
        )
    if (runs["sad"] <= 0).any():
        reasons.append("a run has an SAD of 0, to which the law cannot be fitted")
    if fittable(runs):
        falls, rises = _trends(runs)
        if rises:
            reasons.append(f"the error rises with more {' and with more '.join(rises)}")
        elif not falls:
            reasons.append("the error does not fall significantly with more labels of either kind")
    return reasons


def fittable(runs: pd.DataFrame) -> bool:
    """Whether the law can be fitted at all."""
    enough = all(len(_counts(runs, kind)) >= FEWEST_COUNTS for kind in KINDS)
    return enough and len(cells_of(runs)) >= FEWEST_CELLS and bool((runs["sad"] > 0).all())


def doubts(fitted: Fitted, proposed: Budget, spanned: float, regret: float) -> tuple[list[str], list[str]]:
    """Reasons against the answer of a fit, and cautions (whole sentences) where it stands.

    `spanned` is the part of all splits that the interval of the best one covers, `regret` what choosing `proposed` may
    cost, relative to its SAD.
    """
    reasons, cautions = [], []
    scatter = fitted.scatter
    if scatter.p_misfit < MISFIT_P:
        size = f"{scatter.misfit:.1%}".replace("%", " %")
        if scatter.misfit > MISFIT:
            reasons.append(f"the law misses the runs' means by {size}, more than chance explains")
        else:
            cautions.append(f"The law misses the runs' means by {size}, a little more than chance explains.")
    factors = _factors(fitted.runs, proposed)
    if max(factors.values()) > FAR:
        far = [kind for kind in KINDS if factors[kind] > FAR]
        where = listed([f"{_place(fitted.runs, proposed, kind)}, a factor of {factors[kind]:.1f})" for kind in far])
        reasons.append(
            f"the best split lies far outside of what was measured, at {where}: train runs closer to it, or plan a "
            "smaller budget first and train with that"
        )
    elif max(factors.values()) > BEYOND:
        where = listed([f"{_place(fitted.runs, proposed, kind)})" for kind in KINDS if factors[kind] > BEYOND])
        cautions.append(f"The law is extrapolated, to {where}.")
    if regret > REGRET or (regret > VAGUE_REGRET and spanned > VAGUE_SHARE):
        percent = f"{regret:.0%}".replace("%", " %")
        text = f"another split may have an SAD lower by {percent}"
        if spanned > VAGUE_SHARE:
            text += ", because the interval of the best split spans nearly all splits"
        reasons.append(text)
    falls, _ = _trends(fitted.runs)
    for kind in KINDS:
        if falls and kind not in falls:
            cautions.append(f"No effect of more {kind} was found: the error does not fall significantly with them.")
    return reasons, cautions


def outside(runs: pd.DataFrame, proposed: Budget) -> float:
    """By which factor a split lies outside of what was measured; 1 within."""
    return max(_factors(runs, proposed).values())


def _factors(runs: pd.DataFrame, proposed: Budget) -> dict[str, float]:
    return {kind: beyond(int(getattr(proposed, kind)), _counts(runs, kind)) for kind in KINDS}


def _place(runs: pd.DataFrame, proposed: Budget, kind: str) -> str:
    """A proposed count beside the measured ones; the caller closes the bracket."""
    counts = _counts(runs, kind)
    return f"{getattr(proposed, kind):,} {kind} ({counts[0]:,} to {counts[-1]:,} were measured"


def beyond(count: int, measured: list[int]) -> float:
    """By which factor `count` lies outside of the measured counts; 1 within."""
    return max(1.0, (count + OFFSET) / (measured[-1] + OFFSET), (measured[0] + OFFSET) / (count + OFFSET))


def remedy(
    runs: pd.DataFrame, method: str, base: dict[str, Any] | None, have: Budget, wanted: Budget = Budget(0, 0)
) -> str:
    """What would fill the gap: the sweep, on the runs' own data, that measures a grid which the law can be fitted to.

    It asks for no more labels than a run has used or `have` counts; where the grid is the one that was measured already,
    for more seeds. In words where there are too few labels for a grid, where `base`, what the runs were configured with,
    is not known, or where `wanted` labels would have to be bought first.
    """
    measured = {kind: _counts(runs, kind) for kind in KINDS}
    there = {kind: max([getattr(have, kind), *measured[kind]]) for kind in KINDS}
    grid = {kind: _levels(measured[kind], there[kind]) for kind in KINDS}
    if short := [kind for kind in KINDS if len(grid[kind]) < FEWEST_COUNTS]:
        few = listed([f"{there[kind]:,} {kind}" for kind in short])
        return f"annotate more labels first: runs with three numbers of each kind are needed, and there are only {few}"
    complete = len(cells_of(runs)) == len(measured["mattes"]) * len(measured["masks"])
    seeds = max(SEEDS, runs["seed"].nunique() + 2) if grid == measured and complete else SEEDS
    if beyond_all := [kind for kind in KINDS if getattr(wanted, kind) > BEYOND * there[kind]]:
        more = listed([f"{kind} (now {there[kind]:,})" for kind in beyond_all])
        first = f"buy more {more} first, about twice as many, and train with them; with the labels at hand: "
    else:
        first = ""
    if base is None:
        counts = listed([f"{listed([f'{level:,}' for level in grid[kind]])} {kind}" for kind in KINDS])
        return f"{first}train {method} on the same data with each of {counts}, and {seeds} seeds each"
    changes = {
        "space": {"method.name": [base["method"].get("name", method)]},
        "budgets": [grid],
        "seeds": list(range(seeds)),
    }
    return first + printed.sweep("annotation-cost", base, **changes)


def _levels(measured: list[int], most: int) -> list[int]:
    """Counts to measure: those there were where they are enough, else four up to `most` in even steps of their logarithm."""
    if len(measured) >= FEWEST_COUNTS and beyond(most, measured) <= BEYOND:
        return measured if len(measured) <= 5 else [measured[round(i)] for i in np.linspace(0, len(measured) - 1, 5)]
    low = min([count for count in measured if count] or [most])
    steps = np.geomspace(max(1, min(low, most // 8)), max(1, most), 4)[:-1]
    return sorted({*(int(float(f"{step:.1g}")) for step in steps if step < most), most} - {0})


def _counts(runs: pd.DataFrame, kind: str) -> list[int]:
    return sorted(int(count) for count in runs[kind].unique())


def _trends(runs: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The kinds of label with which the error falls, and those with which it rises, by more than chance.

    A plane through the logarithms: with a law that falls only, a fit could not tell.
    """
    logs = np.log(runs[list(KINDS)].to_numpy(np.float64) + OFFSET)
    design = np.column_stack([np.ones(len(runs)), logs])
    target = np.log(runs["sad"].to_numpy(np.float64))
    slopes, *_ = np.linalg.lstsq(design, target, rcond=None)
    freedom = len(runs) - 3
    variance = float(np.sum((target - design @ slopes) ** 2)) / freedom
    errors = np.sqrt(np.maximum(variance * np.diag(np.linalg.pinv(design.T @ design)), 1e-30))
    chance = scipy.stats.t.cdf(slopes / errors, freedom)[1:]
    return (
        [kind for kind, p in zip(KINDS, chance, strict=True) if p < SIGNIFICANT],
        [kind for kind, p in zip(KINDS, chance, strict=True) if p > 1 - SIGNIFICANT / 10],
    )
