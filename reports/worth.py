"""What a mask of another grade is worth: the law of `reports.laws` over mattes and masks of every grade.

    error = Σ_g w_g floor_g + a x + b y + c x y,    y of s = Σ_g e_g s_g,    w_g = s_g / Σ s,    all terms >= 0

s_g masks of grade g make up for e_g s_g of the first one: that is their random errors, which average out over pictures.
floor_g is what the grade's systematic errors (and all else) leave however many there are; as each picture counts alike in
the loss, the masks' floors are mixed by their shares. Neither form was published for mattes: both are ours.

The first grade's law is fitted to its own cells alone and stays the same whatever lies beside it. A further grade's few
cells decide about its own two numbers only, e_g and floor_g, given that law; each round of the bootstrap does so given its
own law, so that the intervals hold the doubt about both. For a given e_g the floor is linear and its least squares under
the sign is exact; e_g is searched on a grid, in two steps. Cells with several grades join the grades, which are then found
in turns.

Few cells hardly separate the two numbers: a grade that makes up for little but leaves little fits them almost as well as
the opposite, and a plan would dilute the floor of one grade with masks of such another. Hence one more sign: masks that
make up for less than the first grade's (e_g < 1) do not leave less either. Without it some of the bootstrap's rounds hold
such grades, and no plan could be sure of its split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from reports import laws
from reports.laws import LEAST_SHARE, ROUNDS, Array, Fitted, Law
from wsshm.grades import DEFAULT, from_text

WORTHS = np.geomspace(1 / 16, 16, 45)  # steps of 13 %, then of 1.6 %
CLOSER = np.geomspace(WORTHS[0] / WORTHS[1], WORTHS[1] / WORTHS[0], 17)
TURNS = 4  # over grades that cells with several join
SEED = 1


def by_grade(runs: pd.DataFrame, grades: Sequence[str]) -> pd.DataFrame:
    """How many masks of each of `grades` every run has: a column a grade."""
    texts = runs["grades"] if "grades" in runs else [""] * len(runs)
    rows = [from_text(text, masks) for text, masks in zip(texts, runs["masks"], strict=True)]
    return pd.DataFrame([[row.get(grade, 0) for grade in grades] for row in rows], runs.index, list(grades), np.int64)


def of_first(runs: pd.DataFrame, grades: Sequence[str]) -> pd.DataFrame:
    """The runs whose masks are all of the first of `grades`."""
    return runs[(by_grade(runs, grades[1:]) == 0).all(axis=1)] if len(grades) > 1 else runs


def fit(runs: pd.DataFrame, grades: Sequence[str] = (DEFAULT,), rounds: int = ROUNDS, seed: int = 0) -> Fitted:
    """Fit the law to `runs` of these grades: mattes, masks, grades, seed, sad. Raises ValueError as `laws.fit` does.

    `runs` and `cells` of the answer are those of the first grade alone, as there; `further` are the other cells.
    """
    counts = by_grade(runs, grades)
    own = (counts[list(grades[1:])] == 0).all(axis=1)
    first = laws.fit(runs[own], rounds, seed)
    if len(grades) == 1:
        law, draws = (replace(each, grades=tuple(grades)) for each in (first.law, first.draws))
        return replace(first, law=law, draws=draws)
    return _extended(first, runs[~own], counts[~own], tuple(grades))


def table_of(fitted: Fitted) -> list[dict[str, Any]]:
    """A row per further grade: `worth` in masks of the first and `above`, its floor less the first's, with intervals."""
    law, draws = fitted.law, fitted.draws
    if law.worth is None or law.floors is None or draws.worth is None or draws.floors is None:
        return []
    rows: list[dict[str, Any]] = []
    for place, grade in enumerate(law.grades[1:], 1):
        above = law.floors[0, place] - law.floors[0, 0]
        row = {"grade": grade, "worth": float(law.worth[0, place]), "above": float(above)}
        drawn = {"worth": draws.worth[:, place], "above": draws.floors[:, place] - draws.floors[:, 0]}
        for name, values in drawn.items():
            low, high = np.quantile(values, [0.025, 0.975])
            row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        rows.append(row)
    return rows


def _extended(first: Fitted, runs: pd.DataFrame, counts: pd.DataFrame, grades: tuple[str, ...]) -> Fitted:
    """The fit of the first grade's runs with the further grades' worths and floors."""
    frame = runs[["mattes", "masks", "seed", "sad"]].join(counts).sort_values(["mattes", *grades, "seed", "sad"])
    if not (np.isfinite(frame["sad"]) & (frame["sad"] > 0)).all():
        raise ValueError("errors must be positive and finite")
    groups = frame.groupby(["mattes", *grades], as_index=False)
    cells = groups["sad"].agg(runs="size", mean="mean")
    cell = groups.ngroup().to_numpy()
    number, means = cells["runs"].to_numpy(np.float64), cells["mean"].to_numpy()
    mattes, masks = cells["mattes"].to_numpy(), cells[list(grades)].to_numpy(np.float64)
    fitted = means
    for _ in range(3):  # as in `laws.fit`
        weights = number / fitted**2
        law = _solved(first.law, grades, mattes, masks, means[None], weights)
        fitted = law.at(mattes, masks)[0]
    residuals = means / fitted - 1
    variance = float(np.var(first.scatter.run))  # a run's, enlarged where the first grade's law misses its cells
    ratios = {}
    noise_scale = np.ones(len(cells))
    for place, grade in enumerate(grades[1:], 1):
        own = masks[:, place] > 0
        spare = int(own.sum()) - 2
        ratios[grade] = float(np.sum((number * residuals**2)[own])) / spare / max(variance, 1e-12)
        noise_scale[own] = np.maximum(noise_scale[own], np.sqrt(max(1.0, ratios[grade])))

    rounds = len(first.of_seeds)
    rng = np.random.default_rng(SEED)
    seeds = frame["seed"].to_numpy()
    of_seeds = first.of_seeds.copy()
    for name in pd.unique(seeds):
        if name not in of_seeds:
            of_seeds[name] = rng.choice(first.scatter.seed, rounds)
    noise = rng.choice(first.scatter.run, (rounds, len(frame))) * noise_scale[cell] + of_seeds[seeds].to_numpy()
    averaging = np.zeros((len(frame), len(cells)))
    averaging[np.arange(len(frame)), cell] = 1 / number[cell]
    drawn = fitted * np.maximum(1 + noise @ averaging, LEAST_SHARE)
    draws = _solved(first.draws, grades, mattes, masks, drawn, weights)
    cells = cells.assign(masks=masks.sum(axis=1).astype(int), fitted=fitted, residual=residuals)
    misfits = {grade: _misfit(cells[masks[:, place] > 0], ratios[grade], variance, first)
               for place, grade in enumerate(grades) if place}  # fmt: skip
    return replace(first, law=law, draws=draws, further=cells, misfits=misfits)


def _misfit(cells: pd.DataFrame, ratio: float, variance: float, first: Fitted) -> tuple[float, float]:
    """A grade's (misfit, p_misfit), as `laws.Scatter` has those of the first."""
    freedom = len(first.runs) - len(first.cells)
    if np.isnan(first.scatter.sd) or freedom < 1:
        return np.nan, np.nan
    size = float(np.sqrt(max(0.0, ratio - 1) * variance * np.mean(1 / cells["runs"])))
    return size, float(scipy.stats.f.sf(ratio, len(cells) - 2, freedom))


def _solved(law: Law, grades: tuple[str, ...], mattes: Array, masks: Array, errors: Array, weights: Array) -> Law:
    """Each of n laws with the worths and floors that fit its row of `errors` (n, cells) best."""
    n, number = len(law.terms), len(grades)
    worth, floors = np.ones((n, number)), np.tile(law.terms[:, [0]], (1, number))
    _, a, b, c = (law.terms[:, [term]] for term in range(4))
    x = law.power(0, mattes)
    shares = masks / masks.sum(axis=1, keepdims=True)
    joined = bool(((masks > 0).sum(axis=1) > 1).any())
    for _ in range(TURNS if joined else 1):
        for place in range(1, number):
            own = masks[:, place] > 0
            others = [other for other in range(number) if other != place]
            missed = errors[:, own] - a * x[:, own] - floors[:, others] @ shares[own][:, others].T
            beside = worth[:, others] @ masks[own][:, others].T  # effective masks of the other grades
            slope = b + c * x[:, own]
            near = np.ones(n)
            for candidates in (WORTHS, CLOSER):
                near, floor = _best(
                    law, missed, slope, beside, masks[own, place], shares[own, place], weights[own],
                    np.clip(near[:, None] * candidates, WORTHS[0], WORTHS[-1]),
                )  # fmt: skip
            worth[:, place], floors[:, place] = near, floor
    return replace(law, grades=grades, worth=worth, floors=floors)


def _best(
    law: Law,
    missed: Array,
    slope: Array,
    beside: Array,
    count: Array,
    share: Array,
    weights: Array,
    candidates: Array,
) -> tuple[Array, Array]:
    """Of each law's `candidates` (n, k) the worth that leaves least of its row of `missed` (n, cells), and its floor."""
    least, worth, floor = np.full(len(missed), np.inf), np.ones(len(missed)), np.zeros(len(missed))
    pull = weights * share / np.sum(weights * share**2)
    for worths in candidates.T:
        rest = missed - slope * law.power(1, beside + worths[:, None] * count)
        floors = np.maximum(rest @ pull, np.where(worths < 1, law.terms[:, 0], 0.0))
        loss = (rest - floors[:, None] * share) ** 2 @ weights
        better = loss < least
        least[better], worth[better], floor[better] = loss[better], worths[better], floors[better]
    return worth, floor
