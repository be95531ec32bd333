"""Intervals and verdicts, held against a slow loop, simulated data and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench import statistics
from bench.statistics import Interval, mean_interval, mean_intervals, paired_difference, resampled_means, verdict
from tests.reference.statistics import bootstrap_means

columns = arrays.arrays(float, st.integers(2, 30), elements=st.floats(-100, 100, width=32))


def test_resampled_means_are_distributed_as_the_slow_loop_says():
    values = np.random.default_rng(1).exponential(2.0, 25)
    fast = resampled_means(values[:, None], rounds=20_000)[:, 0]
    slow = bootstrap_means(values, 4_000, np.random.default_rng(2))
    standard_error = values.std() / np.sqrt(len(values))
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.08 * standard_error)
    assert fast.std() == pytest.approx(standard_error, rel=0.03)
    for quantile in (0.025, 0.1, 0.5, 0.9, 0.975):
        assert np.quantile(fast, quantile) == pytest.approx(np.quantile(slow, quantile), abs=0.12 * standard_error)


def test_interval_of_two_values_is_worked_by_hand():
    # The mean of two draws from {0, 1} is 0, 0.5 or 1 with probability 1/4, 1/2, 1/4.
    assert mean_interval([0.0, 1.0]) == Interval(0.5, 0.0, 1.0)
    assert mean_interval([0.0, 1.0], level=0.4) == Interval(0.5, 0.5, 0.5)


def test_blocks_do_not_change_the_rounds(monkeypatch):
    values = np.random.default_rng(3).normal(size=(17, 3))
    whole = resampled_means(values, rounds=1000)
    monkeypatch.setattr(statistics, "BLOCK_WEIGHTS", 17 * 64)
    assert resampled_means(values, rounds=1000) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_intervals_cover_the_truth_as_often_as_they_say(level):
    rng = np.random.default_rng(4)
    samples = rng.gamma(4.0, 1.0, size=(60, 1500))  # each column is one simulated study with mean 4
    covered = [found.low <= 4.0 <= found.high for found in mean_intervals(samples, rounds=2000, level=level)]
    assert np.mean(covered) == pytest.approx(level, abs=0.03)


def test_verdict_is_rarely_wrong_where_nothing_differs():
    rng = np.random.default_rng(5)
    hardness = rng.normal(0, 5, size=(50, 2000))
    differences = (hardness + rng.normal(size=hardness.shape)) - (hardness + rng.normal(size=hardness.shape))
    verdicts = [verdict(interval) for interval in mean_intervals(differences, rounds=4000)]
    assert np.mean([found != "not told apart" for found in verdicts]) == pytest.approx(0.05, abs=0.02)


def test_pairing_tells_apart_what_the_means_alone_do_not():
    rng = np.random.default_rng(6)
    hard = rng.exponential(10, 80)
    a, b = hard + rng.normal(0, 0.1, 80), hard + 0.2 + rng.normal(0, 0.1, 80)
    assert mean_interval(a).high > mean_interval(b).low
    assert paired_difference(a, b).verdict == "better"
    assert paired_difference(b, a).verdict == "worse"
    assert paired_difference(a, b, lower_is_better=False).verdict == "worse"


def test_same_seed_same_interval_and_other_seed_another():
    values = np.random.default_rng(7).normal(size=40)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@settings(deadline=None, max_examples=40)
@given(columns, st.floats(-50, 50), st.floats(0.25, 4))
def test_intervals_move_and_stretch_with_their_values(values, shift, scale):
    before, after = mean_interval(values, rounds=300), mean_interval(values * scale + shift, rounds=300)
    assert before.low <= before.high
    assert values.min() - 1e-9 <= before.low <= before.high <= values.max() + 1e-9
    for name in ("mean", "low", "high"):
        assert getattr(after, name) == pytest.approx(getattr(before, name) * scale + shift, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(columns)
def test_a_method_does_not_differ_from_itself(values):
    assert paired_difference(values, values, rounds=200).verdict == "not told apart"


def test_columns_share_their_draws_with_a_single_one():
    values = np.random.default_rng(8).normal(size=(30, 4))
    assert mean_intervals(values)[2].low == pytest.approx(mean_interval(values[:, 2]).low, abs=1e-12)


def test_one_image_has_a_mean_but_no_interval_and_no_verdict():
    alone = mean_interval([3.0])
    assert alone.mean == 3.0
    assert not alone.known
    assert paired_difference([3.0], [1.0]).verdict == "not told apart"


def test_an_interval_that_touches_zero_tells_nothing():
    assert verdict(Interval(1.0, 0.0, 2.0)) == "not told apart"
    assert verdict(Interval(-1.0, -2.0, 0.0)) == "not told apart"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, np.inf], [[1.0], [2.0]]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="values"):
        mean_interval(values)


def test_columns_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        paired_difference([1.0, 2.0], [1.0])
