"""Prices of labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost import CostModel
from wsshm.errors import UserError
from wsshm.grades import GRADES


def test_default_prices_are_the_published_ones_and_say_so():
    cost = CostModel()
    assert cost.of(40, 1000) == pytest.approx(40 * 690 + 1000 * 79.2)
    assert cost.format(cost.of(40, 1000)) == "29.7 h"
    assert "PointSup" in cost.describe()
    assert CostModel.parse("matte=690s, mask=79.2s") == cost


@pytest.mark.parametrize(
    ("text", "matte", "mask", "unit"),
    [
        ("matte=23EUR,mask=2EUR", 23, 2, "EUR"),
        ("mask=2.5USD,matte=1e2USD", 100, 2.5, "USD"),
        ("matte=12min,mask=90s", 720, 90, "s"),
        ("matte=0.5h,mask=1 min", 1800, 60, "s"),
    ],
)
def test_prices_are_read_in_time_or_money(text, matte, mask, unit):
    cost = CostModel.parse(text)
    assert (cost.matte, cost.mask, cost.unit) == (matte, mask, unit)
    assert "given by the user" in cost.describe()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("matte=690s,mask=2EUR", "mixes units"),
        ("matte=23USD,mask=2EUR", "mixes units"),
        ("matte=690s", "mask"),
        ("matte=690s,masks=2s", "'mask'"),
        ("matte=690s,matte=2s", "twice"),
        ("690s", "name a price"),
        ("matte=690s,mask=79.2s,mask.polygon=80s", "twice"),
        ("matte=690s,mask=79.2s,mask.fien=80s", "'mask.fine'"),
        ("matte=690s,mask=79.2s,mask.fine=4EUR", "4EUR for a mask.fine"),
        ("matte=690,mask=2s", "'690'"),
        ("matte=-1s,mask=2s", "'-1s'"),
        ("matte=0s,mask=2s", "'0s'"),
        ("matte=1e999s,mask=2s", "'1e999s'"),
        ("matte=1week,mask=2s", "'week'"),
        ("", "name a price"),
    ],
)
def test_a_wrong_price_is_one_sentence_that_names_it(text, named):
    with pytest.raises(UserError, match=named) as caught:
        CostModel.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (8, "8 s"), (59, "59 s"), (60, "1 min"), (2520, "42 min"), (3600, "1.0 h"), (720_000, "200 h")],
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert CostModel().format(seconds) == text


def test_money_is_said_with_its_currency():
    cost = CostModel.parse("matte=23EUR,mask=2.5EUR")
    assert cost.format(cost.of(40, 168)) == "1,340 EUR"
    assert cost.format(cost.of(0, 1)) == "2.50 EUR"
    assert cost.shown(cost.of(1, 0)) == 23
    assert cost.display_unit == "EUR"


def test_masks_are_priced_by_grade():
    cost = CostModel.parse("matte=690s,mask.polygon=79.2s,mask.fine=200s")
    assert cost.of(40, {"polygon": 1000, "fine": 100}) == pytest.approx(40 * 690 + 1000 * 79.2 + 100 * 200)
    assert cost.of(0, {"clicks": 10}) == pytest.approx(10 * GRADES["clicks"].seconds)
    assert cost.of(1, {"polygon": 7}) == cost.of(1, 7)
    assert cost.describe(["fine"]).endswith("A mask of the grade fine costs 200 s: given by the user.")
    assert (
        f"A mask of the grade fine costs {GRADES['fine'].seconds:g} s: no published time was found; ours"
        in CostModel().describe(["fine"])
    )
    nested = {"matte": "690s", "mask": {"polygon": "79.2s", "fine": "200s"}}
    assert CostModel.from_prices(nested) == cost != CostModel()
    assert CostModel.parse(f"matte=690s,mask=79.2s,mask.fine={GRADES['fine'].seconds}s") == CostModel()


def test_a_grade_without_a_price_in_money_is_asked_for():
    cost = CostModel.parse("matte=23EUR,mask=2EUR,mask.fine=4EUR")
    assert cost.of(1, {"polygon": 1, "fine": 1}) == 29
    with pytest.raises(UserError, match=r"no price for masks of the grade expert; add it, such as mask\.expert=4EUR"):
        cost.of(1, {"expert": 1})


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 100))
def test_cost_adds_up(mattes, masks, more):
    cost = CostModel()
    assert cost.of(mattes + more, masks) == pytest.approx(cost.of(mattes, masks) + cost.of(more, 0))
    assert cost.shown(cost.of(mattes, masks)) == pytest.approx(cost.of(mattes, masks) / 3600)
