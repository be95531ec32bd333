"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from reports.document import between, decimals, number
from reports.write import prose, prose_markdown


@pytest.mark.parametrize(
    ("values", "places"),
    [([0.591, 1.986], 3), ([36.0, 121.1], 1), ([1200.0, 5000.0], 0), ([0.0003, 0.9], 4), ([0.0], 2), ([math.nan], 2)],
)
def test_a_column_has_decimals_for_its_smallest_and_largest_value(values, places):
    assert decimals(values) == places


@pytest.mark.parametrize(
    ("value", "places", "sign", "text"),
    [
        (1234.5, 1, False, "1,234.5"),
        (-0.26, 1, False, "−0.3"),
        (0.26, 1, True, "+0.3"),
        (-0.004, 2, True, "0.00"),
        (math.nan, 2, False, "–"),
    ],
)
def test_numbers_have_a_true_minus_and_no_signed_zero(value, places, sign, text):
    assert number(value, places, sign) == text


def test_an_interval_that_is_not_known_is_not_shown():
    assert between(-1, 2, 1, sign=True) == "−1.0 to +2.0"
    assert between(math.nan, math.nan, 1) == ""


def test_printed_commands_are_code_and_all_else_is_escaped():
    text = "Of <b>a|b</b> `x` type `wsshm report build 'a b' --out <i>`."
    assert prose(text) == (
        "Of &lt;b&gt;a|b&lt;/b&gt; `x` type <code>wsshm report build &#39;a b&#39; --out &lt;i&gt;</code>."
    )
    assert prose_markdown(text).endswith("type `wsshm report build 'a b' --out <i>`.")
    assert "<b>" not in prose_markdown(text)
