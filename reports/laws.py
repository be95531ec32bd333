"""How a method's error falls with its labels: a saturating power law in both kinds, its fit, and how far to trust it.

    error(m, s) = floor + a x + b y + c x y,    x = ((m + p) / m̄)^-α,    y = ((s + q) / s̄)^-β,    all terms >= 0

for m mattes and s masks; m̄ and s̄ are the middle of what was measured, so that a, b and c are errors, in the error's
unit, that are left there. The sum is the form of Hoffmann et al. 2022 (arXiv 2203.15556,
eq. 2) for parameters and tokens, and fits what the labels teach: masks, where the person is; mattes, how the edge
dissolves. c lets one kind matter more where the other is scarce (with a = b = 0 the law is a product) and is fitted
where there are at least nine cells. A few counts hardly tell the offsets p and q from floor and exponent, but beyond
them they matter: p = q = 1 unless the runs say otherwise, and the bootstrap's rounds go through all that fit as well.

For given exponents the law is linear, so its least squares under the signs are exact: the best of all subsets of terms
that come out positive. Exponents are searched on a grid, which has no local minima to fall into, and polished by
scipy. Errors are weighted relative to the fitted value, as by logarithms but without their bias.

`reports.worth` adds masks of further grades to a fitted law: s is then a sum of effective masks, and each grade has a
floor of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from wsshm.grades import DEFAULT

Array = NDArray[np.float64]

KINDS = ("mattes", "masks")
OFFSET = 1.0
AS_WELL = 4.0  # by how many variances of a run the sum of squares of laws may differ that fit as well: two sigma
EXPONENTS = np.geomspace(0.1, 2.0, 20)  # the bootstrap stays on them: errors between two differ by less than 1 %
ROUNDS = 400
FEWEST_CELLS = 7  # two more than the five parameters of the sum
CELLS_FOR_BOTH = 9
LEAST_SHARE = 0.05  # of the fitted error, that a drawn one keeps: errors are positive


@dataclass(frozen=True)
class Law:
    """Laws: `terms` (n, 4) floor, a, b, c; `exponents` (n, 2) α, β; `offsets` (n, 2) p, q; `middle` (m̄, s̄).

    Of masks of several `grades` the first is the one that the terms are of; `worth` (n, G) is how many of those a mask of
    each grade makes up for (1 for the first), `floors` (n, G) the error that each leaves however many there are.
    """

    terms: Array
    exponents: Array
    offsets: Array
    middle: tuple[float, float]
    grades: tuple[str, ...] = (DEFAULT,)
    worth: Array | None = None
    floors: Array | None = None

    def at(self, mattes: ArrayLike, masks: ArrayLike) -> Array:
        """Errors (n, k) of every law at k numbers of mattes and of masks: (k,) of the first grade, or (k, G) by grade."""
        x = self.power(0, np.atleast_1d(np.asarray(mattes, np.float64)))
        counts = np.atleast_1d(np.asarray(masks, np.float64))
        _, a, b, c = (self.terms[:, [term]] for term in range(4))
        y = self.power(1, counts if counts.ndim == 1 else self.effective(counts))
        return self.floor(counts) + a * x + b * y + c * x * y

    def power(self, kind: int, counts: Array) -> Array:
        """x (kind 0) or y (kind 1) of every law (n, k), at the same counts (k,) or each at its own (n, k)."""
        return ((counts + self.offsets[:, [kind]]) / self.middle[kind]) ** -self.exponents[:, [kind]]

    def effective(self, counts: Array) -> Array:
        """How many masks of the first grade make up for those of all grades: (n, k) of counts (k, G)."""
        return np.ones((len(self.terms), 1)) * counts[:, 0] if self.worth is None else self.worth @ counts.T

    def floor(self, counts: Array) -> Array:
        """The error that no number of labels removes, (n, k): the grades' floors by their shares of the masks.

        Without masks no grade's errors are learnt, and it is the least of the floors.
        """
        if self.floors is None or counts.ndim == 1:
            return self.terms[:, [0]]
        total = counts.sum(axis=1)
        shares = np.divide(counts, total[:, None], out=np.zeros_like(counts), where=total[:, None] > 0)
        return np.where(total > 0, self.floors @ shares.T, self.floors.min(axis=1, keepdims=True))


@dataclass(frozen=True)
class Scatter:
    """Chance and misfit, relative to the fitted error.

    `run` and `seed` are what the bootstrap draws from: deviations of a run, and of all runs of a seed (the same labels
    and order in every cell). `sd` is that of a single run (NaN without repeats), `misfit` the law's typical distance
    from a cell's true mean beyond chance, `p_misfit` how often chance alone would show as much.
    """

    run: Array
    seed: Array
    sd: float
    misfit: float
    p_misfit: float


@dataclass(frozen=True)
class Fitted:
    """A law fitted to runs. `cells`: mattes, masks, runs, mean, fitted, residual ((mean - fitted) / fitted).

    `of_seeds` has a column for each seed of the runs, and in the order of `draws` what every round gave all its runs.
    `runs` and `cells` are those of the law's first grade; `further` are the cells of others, with a column for each grade,
    and `misfits` their (misfit, p_misfit) by grade, as `Scatter` has those of the first.
    """

    runs: pd.DataFrame
    cells: pd.DataFrame
    law: Law
    draws: Law
    scatter: Scatter
    of_seeds: pd.DataFrame
    further: pd.DataFrame = field(default_factory=pd.DataFrame)
    misfits: dict[str, tuple[float, float]] = field(default_factory=dict)

    def interval(self, mattes: ArrayLike, masks: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
        """The law's bootstrap interval at k pairs of counts: for the mean over seeds on the same test images."""
        tail = (1 - level) / 2
        low, high = np.quantile(self.draws.at(mattes, masks), [tail, 1 - tail], axis=0)
        return low, high


def cells_of(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of counts: mattes, masks, runs, mean."""
    groups = runs.groupby(list(KINDS), as_index=False)["sad"]
    return groups.agg(runs="size", mean="mean")


def fit(runs: pd.DataFrame, rounds: int = ROUNDS, seed: int = 0) -> Fitted:
    """Fit the law to `runs`: columns mattes, masks, seed, sad (positive), one row a run, in any order.

    A round of the bootstrap adds to each run's fitted error deviations drawn from those of all runs and of all seeds,
    and fits again. Where the law misses the cells by more than chance, they are enlarged by as much (Birge's ratio).
    Raises ValueError where there are fewer than `FEWEST_CELLS` cells, or an error that is not positive.
    """
    runs = runs.sort_values([*KINDS, "seed", "sad"], kind="stable").reset_index(drop=True)
    if not (np.isfinite(runs["sad"]) & (runs["sad"] > 0)).all():
        raise ValueError("errors must be positive and finite")
    cells = cells_of(runs)
    if len(cells) < FEWEST_CELLS:
        raise ValueError(f"the law needs {FEWEST_CELLS} cells, not {len(cells)}")
    index = pd.MultiIndex.from_frame(cells[list(KINDS)])
    cell = index.get_indexer(pd.MultiIndex.from_frame(runs[list(KINDS)]))
    seeds, names = pd.factorize(runs["seed"])
    counts = cells["runs"].to_numpy(np.float64)
    offsets = _offsets(runs["sad"].to_numpy(), cell, cells)
    fitted = cells["mean"].to_numpy()
    for _ in range(3):  # weights by the measured error would favour cells that came out low by chance
        weights = counts / fitted**2
        law = _polished(_solved(cells, cells[["mean"]].to_numpy().T, weights, offsets[0]), cells, weights)
        fitted = law.at(cells["mattes"], cells["masks"])[0]
    scatter = _scatter(runs["sad"].to_numpy() / fitted[cell] - 1, cell, counts, seeds, len(names))

    rng = np.random.default_rng(seed)
    of_runs, of_seeds = rng.choice(scatter.run, (rounds, len(runs))), rng.choice(scatter.seed, (rounds, len(names)))
    noise = of_runs + of_seeds[:, seeds]
    averaging = np.zeros((len(runs), len(cells)))
    averaging[np.arange(len(runs)), cell] = 1 / counts[cell]
    drawn = fitted * np.maximum(1 + noise @ averaging, LEAST_SHARE)
    draws = [_solved(cells, drawn[i :: len(offsets)], weights, pair) for i, pair in enumerate(offsets)]
    cells = cells.assign(fitted=fitted, residual=cells["mean"] / fitted - 1)
    of_seeds = np.concatenate([of_seeds[i :: len(offsets)] for i in range(len(offsets))])
    return Fitted(runs, cells, law, _joined(draws), scatter, pd.DataFrame(of_seeds, columns=names))


def _offsets(errors: Array, cell: NDArray, cells: pd.DataFrame) -> list[tuple[float, float]]:
    """The law's offsets first, then others that fit as well: each kind's is 1, or its smallest measured count."""
    means, counts = cells["mean"].to_numpy(), cells["runs"].to_numpy(np.float64)
    of_mattes, of_masks = ([OFFSET, max(OFFSET, float(cells.loc[cells[kind] > 0, kind].min()))] for kind in KINDS)
    pairs = list(itertools.product(of_mattes, of_masks))
    weights = counts / means**2
    missed = np.array([_misses(_solved(cells, means[None], weights, pair), cells, weights) for pair in pairs])
    repeats = len(errors) - len(cells)
    within = float(np.sum((errors / means[cell] - 1) ** 2)) / repeats if repeats else 0.0
    chance = within if repeats else missed.min() / (len(cells) - _parameters(len(cells)))
    alike = [pair for pair, miss in zip(pairs, missed, strict=True) if miss - missed.min() <= AS_WELL * chance]
    main = pairs[0] if pairs[0] in alike else pairs[int(missed.argmin())]
    return [main, *(pair for pair in dict.fromkeys(alike) if pair != main)]


def _scatter(residuals: Array, cell: NDArray, counts: Array, seeds: NDArray, seed_count: int) -> Scatter:
    """Split relative residuals (runs,) into misfit of cells, effects of seeds, and what is left to each run."""
    parameters = _parameters(len(counts))
    spare, repeats = len(counts) - parameters, len(residuals) - len(counts)
    if repeats < 1:  # chance and misfit cannot be separated without repeats: all is counted as chance
        run = _with_variance(residuals, float(np.sum(residuals**2)) / spare)
        return Scatter(run, np.zeros(1), np.nan, np.nan, np.nan)
    of_cell = np.bincount(cell, residuals) / counts
    within = residuals - of_cell[cell]
    effects = np.zeros(seed_count)
    freedom = repeats
    if repeats >= 2 * seed_count:
        effects = np.bincount(seeds, within) / np.bincount(seeds)
        within = within - effects[seeds]
        freedom = repeats - (seed_count - 1)
    variance = max(float(np.sum(within**2)) / freedom, 1e-12)
    between = float(np.var(effects, ddof=1)) - variance * seed_count / len(residuals) if seed_count > 1 else 0.0
    ratio = float(np.sum(counts * of_cell**2)) / spare / variance
    return Scatter(
        run=_with_variance(within, variance * max(1.0, ratio)),
        seed=_with_variance(effects, max(0.0, between)),
        sd=float(np.sqrt(variance + max(0.0, between))),
        misfit=float(np.sqrt(max(0.0, ratio - 1) * variance * np.mean(1 / counts))),
        p_misfit=float(scipy.stats.f.sf(ratio, spare, freedom)),
    )


def _with_variance(values: Array, variance: float) -> Array:
    """`values` about zero, with this variance: residuals of a fit are smaller than what they stand for."""
    centred = values - values.mean()
    own = float(np.mean(centred**2))
    return centred * np.sqrt(variance / own) if own > 0 else np.zeros_like(centred)


def _parameters(cells: int) -> int:
    return 6 if cells >= CELLS_FOR_BOTH else 5


def _solved(cells: pd.DataFrame, errors: Array, weights: Array, offsets: tuple[float, float]) -> Law:
    """The least squares law of each row of `errors` (n, cells) over the grid of exponents."""
    middle = np.exp(np.log(cells[list(KINDS)].to_numpy(np.float64) + OFFSET).mean(axis=0))
    x, y = (
        ((cells[kind].to_numpy(np.float64) + offset) / scale) ** -EXPONENTS[:, None]
        for kind, offset, scale in zip(KINDS, offsets, middle, strict=True)
    )
    terms = _parameters(len(cells)) - 2
    subsets = [subset for size in range(1, terms + 1) for subset in itertools.combinations(range(terms), size)]
    root = np.sqrt(weights)
    target = (errors * root).T
    least = np.full(len(errors), np.inf)
    found, exponents = np.zeros((len(errors), 4)), np.zeros((len(errors), 2))
    rows = np.arange(len(errors))
    for alpha, column in zip(EXPONENTS, x, strict=True):  # all β at once
        design = np.stack([np.ones_like(y), np.broadcast_to(column, y.shape), y, column * y], axis=-1)
        design = design[:, :, :terms] * root[:, None]
        gram, moments = design.transpose(0, 2, 1) @ design, design.transpose(0, 2, 1) @ target
        for subset in subsets:
            chosen = list(subset)
            values = np.linalg.solve(gram[:, chosen][:, :, chosen], moments[:, chosen])
            unexplained = -np.sum(values * moments[:, chosen], axis=1)  # less the target's square, the same for all
            unexplained[(values < 0).any(axis=1)] = np.inf
            best = unexplained.argmin(axis=0)
            better = np.flatnonzero(unexplained[best, rows] < least)
            least[better] = unexplained[best[better], better]
            found[better] = 0.0
            found[better[:, None], chosen] = values[best[better], :, better]
            exponents[better] = np.column_stack([np.full(len(better), alpha), EXPONENTS[best[better]]])
    return Law(found, exponents, np.tile(offsets, (len(errors), 1)), (middle[0], middle[1]))


def _joined(laws: list[Law]) -> Law:
    """All of `laws` as one; they have the same cells."""
    terms, exponents, offsets = (
        np.concatenate([getattr(law, name) for law in laws]) for name in ("terms", "exponents", "offsets")
    )
    return Law(terms, exponents, offsets, laws[0].middle)


def _misses(law: Law, cells: pd.DataFrame, weights: Array) -> float:
    """The weighted sum of squares that a single law leaves."""
    return float(np.sum(weights * (law.at(cells["mattes"], cells["masks"])[0] - cells["mean"].to_numpy()) ** 2))


def _polished(law: Law, cells: pd.DataFrame, weights: Array) -> Law:
    """The single `law` moved from the grid's exponents to the best ones between them."""
    free = [*range(_parameters(len(cells)) - 2), 4, 5]
    start = np.concatenate([law.terms[0], law.exponents[0]])
    means, root = cells["mean"].to_numpy(), np.sqrt(weights)

    def as_law(values: Array) -> Law:
        full = start.copy()
        full[free] = values
        return Law(full[None, :4], full[None, 4:], law.offsets, law.middle)

    def residuals(values: Array) -> Array:
        return (as_law(values).at(cells["mattes"], cells["masks"])[0] - means) * root

    low = np.array([0, 0, 0, 0, EXPONENTS[0], EXPONENTS[0]])[free]
    high = np.array([*[np.inf] * 4, EXPONENTS[-1], EXPONENTS[-1]])[free]
    found = scipy.optimize.least_squares(residuals, np.clip(start[free], low, high), bounds=(low, high))
    return as_law(found.x) if 2 * found.cost < _misses(law, cells, weights) else law
