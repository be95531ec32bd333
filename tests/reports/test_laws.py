"""The law's fit against a slow search, its bootstrap against repeated experiments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from reports.laws import EXPONENTS, Fitted, Law, fit
from tests.reports.simulated_runs import LAWS, MASKS, MATTES, simulated


def test_a_law_is_the_sum_of_its_terms():
    law = Law(np.array([[0.5, 2.0, 3.0, 4.0]]), np.array([[1.0, 0.5]]), np.array([[1.0, 1.0]]), (10.0, 100.0))
    # x = (19 + 1) / 10 = 2, to the power -1; y = (399 + 1) / 100 = 4, to the power -1/2
    assert law.at(19, 399) == pytest.approx(0.5 + 2 * 0.5 + 3 * 0.5 + 4 * 0.25)
    assert law.at([19, 9], [399, 99])[0] == pytest.approx([4.0, 9.5])


def test_without_noise_the_law_is_found_and_holds_beyond_the_grid():
    for name in ("sum", "slow sum"):
        fitted = fit(simulated(name, noise=0, seed_noise=0), rounds=5)
        mattes, masks = np.array([15.0, 60, 80, 160]), np.array([150.0, 600, 2000, 3000])
        assert fitted.law.at(mattes, masks)[0] == pytest.approx(LAWS[name](mattes, masks), rel=0.01)
        assert fitted.scatter.sd < 1e-4


def misses(fitted: Fitted, predicted: np.ndarray) -> float:
    cells = fitted.cells
    return float(np.sum(cells["runs"] * ((cells["mean"] - predicted) / cells["fitted"]) ** 2))


@pytest.mark.parametrize("name", LAWS)
def test_no_exponents_on_the_grid_fit_better(name):
    fitted = fit(simulated(name, rng=5, seeds=2), rounds=2)
    cells = fitted.cells
    root = np.sqrt(cells["runs"]) / cells["fitted"]
    x, y = (
        (cells[kind].to_numpy() + offset) / middle
        for kind, offset, middle in zip(("mattes", "masks"), fitted.law.offsets[0], fitted.law.middle, strict=True)
    )
    least = np.inf
    for alpha in EXPONENTS:
        for beta in EXPONENTS:
            design = np.column_stack([np.ones(len(cells)), x**-alpha, y**-beta, x**-alpha * y**-beta])
            _, norm = scipy.optimize.nnls(design * root.to_numpy()[:, None], (cells["mean"] * root).to_numpy())
            least = min(least, norm**2)
    own = misses(fitted, fitted.law.at(cells["mattes"], cells["masks"])[0])
    assert own <= least * 1.01  # the weights moved a little with the last step of the polish


def test_neither_the_order_of_runs_nor_the_names_of_seeds_matter():
    runs = simulated("product", rng=1)
    one = fit(runs, rounds=20)
    other = fit(runs.sample(frac=1, random_state=3).assign(seed=lambda frame: frame["seed"] + 40), rounds=20)
    assert np.array_equal(one.law.terms, other.law.terms)
    assert np.array_equal(one.draws.terms, other.draws.terms)


def test_the_scatter_of_runs_and_of_seeds_is_found():
    runs = simulated("sum", rng=2, seeds=12, noise=0.04, seed_noise=0.03)
    scatter = fit(runs, rounds=2).scatter
    assert scatter.sd == pytest.approx(0.05, rel=0.35)
    assert np.std(scatter.seed) > 0.01
    assert scatter.p_misfit > 0.01
    assert fit(simulated("exponential", rng=2), rounds=2).scatter.p_misfit < 0.01


def test_one_seed_takes_all_that_the_law_misses_for_chance():
    scatter = fit(simulated("sum", rng=2, seeds=1), rounds=2).scatter
    assert np.isnan(scatter.sd)
    assert np.isnan(scatter.p_misfit)
    assert 0.01 < np.std(scatter.run) < 0.1


def covered(name: str, repeats: int, rounds: int = 120, **settings) -> float:
    """How often the 95 % intervals hold the true error, inside of the grid, at its corner and a little beyond it."""
    mattes, masks = np.array([20.0, 80, 120]), np.array([300.0, 1000, 1500])
    truth = LAWS[name](mattes, masks)
    hits = []
    for repeat in range(repeats):
        low, high = fit(simulated(name, rng=[7, repeat], **settings), rounds, repeat).interval(mattes, masks)
        hits.append((low <= truth) & (truth <= high))
    return float(np.mean(hits))


def test_intervals_cover_the_truth():
    assert covered("sum", 30, 100, seed_noise=0.0) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("slow sum", {"seed_noise": 0.0}),
        ("product", {"seed_noise": 0.0}),
        ("offsets", {"seed_noise": 0.0}),
        ("sum", {"noise": 0.05, "mattes": (10, 30, 100), "masks": (100, 300, 1000)}),
        ("sum", {"seeds": 5, "seed_noise": 0.02}),
    ],
)
def test_intervals_cover_the_truth_of_other_laws(name, settings):
    assert covered(name, 60, **settings) >= 0.88


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (simulated("sum", mattes=(10, 20), masks=(100, 300, 1000)), "7 cells, not 6"),
        (simulated("sum").assign(sad=0.0), "positive"),
        (simulated("sum").assign(sad=np.nan), "positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused(runs: pd.DataFrame, said: str):
    with pytest.raises(ValueError, match=said):
        fit(runs)


def test_seven_cells_are_fitted_without_the_product():
    runs = simulated("sum", mattes=MATTES[:3], masks=MASKS)
    runs = runs[~((runs["mattes"] == 10) & (runs["masks"] < 1000))]
    fitted = fit(runs, rounds=5)
    assert len(fitted.cells) == 7
    assert fitted.law.terms[0, 3] == 0
    assert (fitted.draws.terms[:, 3] == 0).all()
