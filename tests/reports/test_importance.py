"""Which searched key explains the objective, against a slow computation and against what is true."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from reports.importance import FEWEST_RUNS, importances


def slowly(column: pd.Series, objective: np.ndarray, numeric: bool) -> float:
    """Adjusted share by least squares on ranks."""
    target = rankdata(objective)
    if numeric:
        ranks = rankdata(column)
        design = np.column_stack([np.ones(len(ranks)), ranks, ranks**2])
    else:
        design = pd.get_dummies(column.astype(str)).to_numpy(dtype=float)
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    share = 1 - ((target - fitted) ** 2).sum() / ((target - target.mean()) ** 2).sum()
    runs, terms = len(target), np.linalg.matrix_rank(design) - 1
    return max(0.0, 1 - (1 - share) * (runs - 1) / (runs - terms - 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(FEWEST_RUNS, 40))
def test_shares_are_those_of_least_squares_on_ranks(seed, runs):
    rng = np.random.default_rng(seed)
    values = pd.DataFrame(
        {
            "number": rng.uniform(size=runs),
            "choice": rng.choice(["a", "b", "c"], runs),
            "flag": rng.choice([0, 1], runs),
        }
    )
    objective = rng.normal(size=runs) + values["number"].to_numpy() ** 2
    for one in importances(values, objective, rounds=10):
        assert one.numeric == (one.key == "number")
        assert one.share == pytest.approx(slowly(values[one.key], objective, one.numeric), abs=1e-9)
        assert 0 <= one.low <= one.share <= one.high <= 1


def test_ranks_alone_count():
    rng = np.random.default_rng(1)
    values = pd.DataFrame({"x": rng.uniform(size=30)})
    objective = values["x"] + rng.normal(0, 0.3, 30)
    [plain] = importances(values, objective)
    [bent] = importances(values.assign(x=np.exp(5 * values["x"])), np.exp(3 * objective))
    assert plain == bent


def test_a_best_value_in_the_middle_is_found_and_noise_is_not():
    found_it, false = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = pd.DataFrame({name: rng.uniform(size=24) for name in ("middle", *"abcde")})
        objective = (values["middle"] - 0.5) ** 2 + rng.normal(0, 0.03, 24)
        found = {one.key: one for one in importances(values, objective, rounds=400)}
        found_it += found["middle"].significant
        false += any(found[name].significant for name in "abcde")
    assert found_it >= 38
    assert false <= 6  # 5 % of 40 are 2; six or fewer in 99.5 % of such tests


def test_intervals_cover_the_share_of_very_many_runs():
    def drawn(rng: np.random.Generator, runs: int) -> tuple[pd.DataFrame, np.ndarray]:
        x = rng.uniform(size=runs)
        return pd.DataFrame({"x": x}), x + rng.normal(0, 0.3, runs)

    values, objective = drawn(np.random.default_rng(0), 20_000)
    truth = importances(values, objective, rounds=2)[0].share
    covered = 0
    for seed in range(1, 101):
        [one] = importances(*drawn(np.random.default_rng(seed), 40), rounds=300)
        covered += one.low <= truth <= one.high
    assert covered >= 85


def test_too_few_runs_or_an_infinite_objective_are_refused():
    values = pd.DataFrame({"x": np.arange(FEWEST_RUNS, dtype=float)})
    with pytest.raises(ValueError, match="at least"):
        importances(values.iloc[1:], np.arange(FEWEST_RUNS - 1, dtype=float))
    with pytest.raises(ValueError, match="finite"):
        importances(values, np.full(FEWEST_RUNS, np.nan))
