"""What masks of further grades are worth: against the truth behind simulated runs, a slow search, repeated experiments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from reports import laws, worth
from reports.laws import Law
from reports.support import usable
from tests.reports.simulated_kinds import GRID, Kinds, cells_of, simulated
from tests.reports.simulated_runs import MASKS, MATTES

BETTER = Kinds({"fine": 2.0}, {"fine": -0.15})
GRADES = ("polygon", "fine")


def test_a_law_of_several_grades_adds_their_worths_and_mixes_their_floors():
    law = Law(
        np.array([[0.5, 2.0, 3.0, 4.0]]), np.array([[1.0, 0.5]]), np.array([[1.0, 1.0]]), (10.0, 100.0),
        GRADES, np.array([[1.0, 3.0]]), np.array([[0.5, 0.2]]),
    )  # fmt: skip
    # As in test_laws, with 399 = 99 + 3 x 100 effective masks; 100 of 199 masks leave 0.2, 99 leave 0.5
    floor = (99 * 0.5 + 100 * 0.2) / 199
    assert law.at(19, [[99, 100]])[0, 0] == pytest.approx(floor + 2 * 0.5 + 3 * 0.5 + 4 * 0.25)
    assert law.at([19, 19], [[399, 0], [0, 133]])[0] == pytest.approx([0.5 + 3.5, 0.2 + 3.5])
    without, hardly = law.at([19, 19], [[0, 0], [0, 1e-9]])[0]
    assert without == pytest.approx(hardly), "without masks the least floor is left"


@pytest.mark.parametrize(
    ("truth", "cells"),
    [
        (BETTER, cells_of("fine")),
        (Kinds({"fine": 0.5}, {"fine": 0.1}), cells_of("fine")),
        (Kinds({"fine": 3.0}, {"fine": 0.1}), cells_of("fine")),
        (BETTER, [(40, {"polygon": 300, "fine": 100}), (10, {"fine": 300}), (80, {"polygon": 100, "fine": 600})]),
    ],
)
def test_without_noise_worth_and_floor_are_found(truth, cells):
    runs = simulated(truth, cells, noise=0, seed_noise=0)
    fitted = worth.fit(runs, GRADES, rounds=5)
    assert fitted.law.worth[0, 1] == pytest.approx(truth.worth["fine"], rel=0.05)
    assert fitted.law.floors[0, 1] - fitted.law.floors[0, 0] == pytest.approx(truth.above["fine"], abs=0.01)
    counts = np.array([[0, 500], [300, 200], [1000, 50]])
    expected = [float(truth(30, {"polygon": p, "fine": f})) for p, f in counts]
    assert fitted.law.at([30] * 3, counts)[0] == pytest.approx(expected, rel=0.01)


def test_the_first_grades_law_is_the_same_whatever_lies_beside_it():
    runs = simulated(BETTER, cells_of("fine"), 3)
    alone = laws.fit(runs[runs["grades"] == ""], 20)
    beside = worth.fit(runs, GRADES, 20)
    for one, other in ((alone.law, beside.law), (alone.draws, beside.draws)):
        assert np.array_equal(one.terms, other.terms)
        assert np.array_equal(one.exponents, other.exponents)
    at = [20, 50], [200, 700]
    assert beside.law.at(at[0], [[count, 0] for count in at[1]])[0] == pytest.approx(alone.law.at(*at)[0])


def test_neither_the_order_of_runs_nor_the_names_of_seeds_matter():
    runs = simulated(BETTER, cells_of("fine"), 1)
    one = worth.fit(runs, GRADES, 20)
    other = worth.fit(runs.sample(frac=1, random_state=3).assign(seed=lambda frame: frame["seed"] + 40), GRADES, 20)
    for name in ("worth", "floors"):
        assert np.array_equal(getattr(one.law, name), getattr(other.law, name))
        assert np.array_equal(getattr(one.draws, name), getattr(other.draws, name))


@pytest.mark.parametrize("rng", range(3))
def test_no_worth_fits_better(rng):
    """Against every worth on a fine grid, with the floors by scipy's non-negative least squares."""
    runs = simulated(Kinds({"fine": 2.0, "clicks": 0.7}, {"fine": -0.1}), [*cells_of("fine"), *cells_of("clicks")], rng)
    grades = ("polygon", "clicks", "fine")
    fitted = worth.fit(runs, grades, rounds=2)
    law, cells = fitted.law, fitted.further
    weights = cells["runs"] / cells["fitted"] ** 2
    predicted = law.at(cells["mattes"], cells[list(grades)].to_numpy())[0]
    floor, a, b, c = law.terms[0]
    for place, grade in enumerate(grades[1:], 1):
        own = (cells[grade] > 0).to_numpy()
        x = law.power(0, cells["mattes"][own].to_numpy(float))[0]
        least = np.inf
        for value in np.geomspace(1 / 16, 16, 1500):
            y = law.power(1, value * cells[grade][own].to_numpy(float))[0]
            lowest = floor if value < 1 else 0.0  # what makes up for less leaves no less
            rest = (cells["mean"][own] - a * x - b * y - c * x * y - lowest).to_numpy()
            root = np.sqrt(weights[own].to_numpy())
            _, norm = scipy.optimize.nnls(root[:, None], rest * root)
            least = min(least, norm**2)
        missed = float(np.sum(weights[own] * (cells["mean"][own] - predicted[own]) ** 2))
        assert missed <= least * 1.03  # the weights moved a little with the last step
        assert law.worth[0, place] >= 1 or law.floors[0, place] >= law.floors[0, 0]


def test_intervals_cover_the_truth_of_one_grade_and_of_mixtures():
    truth = Kinds({"fine": 2.0, "clicks": 0.6}, {"fine": -0.1, "clicks": 0.05})
    grades = ("polygon", "clicks", "fine")
    mattes, counts = np.array([20, 60, 40, 80]), np.array([[0, 0, 300], [0, 500, 0], [300, 0, 200], [100, 400, 500]])
    expected = np.array(
        [float(truth(m, dict(zip(grades, row, strict=True)))) for m, row in zip(mattes, counts, strict=True)]
    )
    hits = []
    for repeat in range(30):
        runs = simulated(truth, [*cells_of("fine"), *cells_of("clicks")], [7, repeat], seed_noise=0.0)
        low, high = worth.fit(runs, grades, 100, repeat).interval(mattes, counts)
        hits.append((low <= expected) & (expected <= high))
    assert np.mean(hits) >= 0.88


def cells_and(*further) -> pd.DataFrame:
    return simulated(BETTER, further)


@pytest.mark.parametrize(
    ("runs", "grades", "short"),
    [
        (cells_and(), ("polygon",), {}),
        (cells_and(*cells_of("fine")), GRADES, {}),
        (cells_and(*cells_of("fine")[:2]), ("polygon",), {"fine": "2 combinations of labels with 2 numbers of them"}),
        (
            cells_and(*cells_of("fine", (10, 40, 80), (100,))),
            ("polygon",),
            {"fine": "3 combinations of labels with 1 number of them"},
        ),
        (  # a cell with two grades counts for neither where one of them is left out
            cells_and(*cells_of("fine")[:2], (40, {"fine": 300, "expert": 30})),
            ("polygon",),
            {
                "expert": "1 combination of labels with 1 number of them",
                "fine": "2 combinations of labels with 2 numbers of them",
            },
        ),
        (
            simulated(BETTER, [], grid=[(m, {"fine": s}) for m in MATTES for s in MASKS]),
            ("fine",),
            {},
        ),
        (  # the default grade goes before, where its runs carry a law
            simulated(BETTER, cells_of("polygon"), grid=[(m, {"fine": s}) for m in MATTES for s in MASKS]),
            ("fine", "polygon"),
            {},
        ),
    ],
)  # fmt: skip
def test_a_grade_needs_three_cells_with_two_numbers(runs, grades, short):
    used = usable(runs)
    assert (used.grades, used.short) == (grades, short)
    counts = worth.by_grade(used.runs, ("polygon", "clicks", "fine", "expert"))
    assert {grade for grade in counts if (counts[grade] > 0).any()} == set(grades)
    assert len(used.first) >= 3 * len(GRID)


def test_a_grade_of_another_law_is_noticed():
    runs = simulated(BETTER, cells_of("fine", (10, 40, 80), (100, 300, 1000)), 2)
    odd = (runs["grades"] == "fine=300") | ((runs["grades"] == "fine=1000") & (runs["mattes"] == 10))
    for strange in (False, True):
        fitted = worth.fit(runs.assign(sad=runs["sad"] * np.where(odd & strange, 1.3, 1.0)), GRADES, 10)
        size, p = fitted.misfits["fine"]
        assert (p < 0.01) is strange
        assert (size > 0.03) is strange
