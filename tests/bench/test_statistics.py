"""Intervals and verdicts, compared with a slow loop, simulated data and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench import statistics
from bench.statistics import (
    Interval,
    mean_interval,
    mean_intervals,
    means_and_differences,
    paired_difference,
    resampled_means,
    simultaneous,
    verdict,
)
from tests.reference import statistics as reference
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


@pytest.mark.parametrize("ones", [2, 3, 5])
def test_a_bound_at_zero_is_zero_and_tells_nothing_apart(ones):
    values = np.concatenate([np.zeros(7), np.ones(ones) / 3])
    found = paired_difference(values, np.zeros(len(values)), rounds=500, level=0.999)
    assert (found.low, found.verdict) == (0.0, "no significant difference")


def test_blocks_do_not_change_the_rounds(monkeypatch):
    values = np.random.default_rng(3).normal(size=(17, 3))
    whole = resampled_means(values, rounds=1000)
    monkeypatch.setattr(statistics, "BLOCK_WEIGHTS", 17 * 64)
    assert resampled_means(values, rounds=1000) == pytest.approx(whole, abs=1e-6)


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
    assert np.mean([found != "no significant difference" for found in verdicts]) == pytest.approx(0.05, abs=0.02)


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
    assert paired_difference(values, values, rounds=200).verdict == "no significant difference"


def test_columns_share_their_draws_with_a_single_one():
    values = np.random.default_rng(8).normal(size=(30, 4))
    assert mean_intervals(values)[2].low == pytest.approx(mean_interval(values[:, 2]).low, abs=1e-6)


def test_one_image_has_a_mean_but_no_interval_and_no_verdict():
    alone = mean_interval([3.0])
    assert alone.mean == 3.0
    assert not alone.known
    assert paired_difference([3.0], [1.0]).verdict == "no significant difference"


def test_an_interval_that_touches_zero_tells_nothing():
    assert verdict(Interval(1.0, 0.0, 2.0)) == "no significant difference"
    assert verdict(Interval(-1.0, -2.0, 0.0)) == "no significant difference"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, np.inf], [[1.0], [2.0]]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="values"):
        mean_interval(values)


def test_columns_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        paired_difference([1.0, 2.0], [1.0])


def test_intervals_are_those_of_a_loop_with_the_same_draws():
    values = np.random.default_rng(9).exponential(1.0, (13, 5))
    expected = np.quantile(reference.drawn_means(values, 500), [0.05, 0.95], axis=0)
    found = mean_intervals(values, rounds=500, level=0.9)
    assert [interval.low for interval in found] == pytest.approx(list(expected[0]), abs=1e-6)
    assert [interval.high for interval in found] == pytest.approx(list(expected[1]), abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    arrays.arrays(float, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=st.floats(-9, 9, width=16)),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_bounds_are_quantiles_of_all_rounds(values, level):
    """Also where the draws take few values, far from a normal law."""
    means = resampled_means(values, rounds=99)
    expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    found = mean_intervals(values, rounds=99, level=level)
    assert np.array([[i.low for i in found], [i.high for i in found]]) == pytest.approx(expected, abs=1e-5)


def test_simultaneous_intervals_are_those_of_a_loop_with_the_same_draws():
    values = np.random.default_rng(10).gamma(2.0, 1.0, (15, 4)) - 2
    for interval, (low, high) in zip(
        simultaneous(values, rounds=400, level=0.9), reference.simultaneous(values, 400, 0.9), strict=True
    ):
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("images", [20, 80])
def test_simultaneous_intervals_hold_all_together_and_single_ones_do_not(images):
    """400 studies of 12 differences, half of them moving together, each with a mean of 0."""
    rng = np.random.default_rng(11)
    together, single = 0, 0
    for _ in range(400):
        shared = np.where(np.arange(12) < 6, 3.0, 0.0) * rng.normal(size=(images, 1))
        values = rng.normal(size=(images, 12)) + shared
        together += all(interval.low <= 0 <= interval.high for interval in simultaneous(values, rounds=800))
        single += all(interval.low <= 0 <= interval.high for interval in mean_intervals(values, rounds=800))
    assert together / 400 == pytest.approx(0.95, abs=0.025)
    assert single / 400 < 0.75


def test_what_moves_together_costs_less_than_bonferroni():
    rng = np.random.default_rng(12)
    one = rng.normal(size=(60, 1))
    alike, apart = one + 0.01 * rng.normal(size=(60, 20)), rng.normal(size=(60, 20))
    width = [
        np.mean([interval.high - interval.low for interval in simultaneous(values / values.std(axis=0))])
        for values in (alike, apart)
    ]
    assert width[0] < 0.75 * width[1]


@pytest.mark.parametrize("block", [10, 4_000_000])
def test_pairs_of_columns_are_their_differences(monkeypatch, block):
    monkeypatch.setattr(statistics, "BLOCK_MEANS", block * 200)
    values = np.random.default_rng(13).normal(size=(21, 31)) + np.arange(31)
    pairs = [(a, b) for b in (0, 7, 30) for a in range(0, 31, 2)]
    families = ["even" if position % 3 else "third" for position in range(len(pairs))]
    alone, apart = means_and_differences(values, pairs, families, rounds=200)
    for found, expected in zip(alone, mean_intervals(values, rounds=200), strict=True):
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    for family in ("even", "third"):
        inside = [position for position, name in enumerate(families) if name == family]
        table = np.column_stack([values[:, a] - values[:, b] for a, b in (pairs[position] for position in inside)])
        for position, expected in zip(inside, simultaneous(table, rounds=200), strict=True):
            found = apart[position]
            assert (found.mean, found.low, found.high) == pytest.approx(
                (expected.mean, expected.low, expected.high), abs=1e-6
            )


def test_columns_that_are_all_but_alike_are_told_apart_as_exactly_as_others():
    rng = np.random.default_rng(15)
    first, other = rng.normal(100, 30, 200), rng.normal(100, 30, 200)
    alike = first + 1e-7 * rng.normal(1, 3, 200)  # far below what is left of a column's draws in float32
    values = np.column_stack([first, alike, other])
    _, apart = means_and_differences(values, [(1, 0), (2, 0)], ["same", "same"], rounds=2000)
    expected = simultaneous(np.column_stack([alike - first, other - first]), rounds=2000)
    for found, wanted in zip(apart, expected, strict=True):
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-4)


def test_a_difference_without_spread_is_told_apart_and_disturbs_no_other():
    values = np.random.default_rng(14).normal(size=(30, 2))
    constant = np.column_stack([values, np.full(30, 0.1 + 0.2), np.zeros(30)])
    found = simultaneous(constant)
    assert found[2].low == found[2].high == found[2].mean
    assert [verdict(interval) for interval in found[2:]] == ["worse", "no significant difference"]
    assert [interval.low for interval in found[:2]] == pytest.approx([i.low for i in simultaneous(values)])


def test_one_image_has_no_simultaneous_interval_either():
    [first, second] = simultaneous([[1.0, 2.0]])
    assert (first.mean, second.mean) == (1.0, 2.0)
    assert not first.known
    assert verdict(second) == "no significant difference"


def test_many_images_are_drawn_in_blocks_without_being_kept(monkeypatch):
    values = np.random.default_rng(15).normal(size=(40, 3))
    kept = resampled_means(values, rounds=300)
    monkeypatch.setattr(statistics, "KEPT_COUNTS", 0)
    monkeypatch.setattr(statistics, "BLOCK_WEIGHTS", 40 * 7)
    assert resampled_means(values, rounds=300) == pytest.approx(kept, abs=1e-6)
