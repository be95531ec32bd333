"""The band in which opinions about a photo do not agree, and when it is no edge."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsshm.data.unknown_band import DISAGREE, TOO_WIDE, band, fault

Float32 = NDArray[np.float32]


def disc(side: int = 200, x: float = 0.5, radius: float = 0.3, soft: float = 1.0) -> Float32:
    """A disc whose edge goes from 1 to 0 over 2 `soft` pixels."""
    yy, xx = np.mgrid[0:side, 0:side]
    return np.clip(0.5 + (radius * side - np.hypot(xx - x * side, yy - 0.5 * side)) / (2 * soft), 0, 1).astype(
        np.float32
    )


def test_the_band_is_where_opinions_differ_or_are_soft() -> None:
    sharp, soft, moved = disc(soft=0.01), disc(soft=6), disc(x=0.53, soft=0.01)
    assert fault(band([sharp, soft])) is None
    unknown = band([sharp, soft]) == 128
    assert unknown[(soft > 0.2) & (soft < 0.8)].all()
    assert (band([sharp, soft])[~unknown] == 255 * sharp[~unknown]).all()
    differ = sharp != moved
    assert (band([sharp, moved])[differ] == 128).all()
    assert (band([sharp, moved]) == 128).mean() < 2.5 * differ.mean()


@given(st.permutations(range(3)), st.floats(0.1, 0.4), st.floats(0.5, 6))
def test_who_says_what_makes_no_difference_nor_does_the_size_of_the_photo(
    order: list[int], radius: float, soft: float
) -> None:
    opinions = [disc(96, radius=radius, soft=soft), disc(96, 0.52, radius, 1), disc(96, radius=radius, soft=0.01)]
    found = band(opinions)
    assert (found == band([opinions[place] for place in order])).all()
    doubled = [cv2.resize(opinion, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for opinion in opinions]
    assert (band(doubled) == 128).mean() == pytest.approx((found == 128).mean(), abs=0.04)


def test_somebody_whom_not_all_see_is_no_edge() -> None:
    person, bystander = disc(x=0.3, radius=0.22), np.maximum(disc(x=0.3, radius=0.22), disc(x=0.8, radius=0.12))
    assert fault(band([person, person])) is None
    assert fault(band([person, bystander])) == DISAGREE
    assert fault(band([person] * 3 + [bystander])) == DISAGREE
    assert (
        band([person] * 4 + [bystander]) == band([person] * 5)
    ).all()  # one of five is outvoted where no edge is near
    assert fault(band([bystander, bystander])) is None
    assert fault(band([person, np.zeros_like(person)])) == DISAGREE  # nobody on whom all agree
    assert fault(band([np.ones_like(person)] * 2)) == DISAGREE  # no background
    assert fault(band([person, disc(x=0.3, radius=0.22, soft=14)])) in (DISAGREE, TOO_WIDE)


def test_a_band_that_is_nowhere_thick_may_be_too_wide_on_the_whole() -> None:
    stripes = np.zeros((200, 200), np.float32)
    stripes[20:180, 20:180:16] = 1
    grown = cv2.dilate(stripes, np.ones((3, 3), np.uint8))
    filled = cv2.dilate(stripes, np.ones((11, 11), np.uint8))
    assert fault(band([filled, grown])) == TOO_WIDE
