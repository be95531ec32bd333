"""The Pareto front, compared with every pair compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reports.pareto import front
from tests.reference.statistics import pareto_front

few_values = st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")])  # so that ties and equal points are common


@given(arrays.arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=few_values))
def test_front_is_what_comparing_all_pairs_leaves(points):
    assert set(front(points)) == pareto_front(points)


def test_front_is_sorted_and_keeps_equal_points():
    assert list(front([[3, 1], [1, 3], [2, 2], [2, 2], [3, 3]])) == [1, 2, 3, 0]


def test_a_tie_in_one_objective_is_decided_by_the_other():
    assert list(front([[1, 2], [1, 1], [2, 1]])) == [1]


def test_a_point_with_nan_is_not_on_the_front_and_beats_nobody():
    assert list(front([[np.nan, 0], [1, 1], [0, np.nan]])) == [1]
    assert list(front([[np.nan, np.nan]])) == []


def test_no_points_no_front_and_a_flat_list_is_refused():
    assert front([]).size == 0
    with pytest.raises(ValueError, match="shape"):
        front([1.0, 2.0])
