"""The search for pictures that are alike, against comparing each with each; and what a hash survives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wsshm.data.test_check import picture
from wsshm.data import near_duplicates
from wsshm.data.near_duplicates import COPY_BITS, COPY_LEVELS, NEAR_BITS, NEAR_CORRELATION, Likeness, Likenesses, Twin


def slow(likenesses: list[Likeness | None], rows: list[int], others: list[int], above: bool) -> list[Twin]:
    """The nearest twin of each row, by the definition."""
    twins = []
    for row in rows:
        best = None
        for other in others:
            a, b = likenesses[row], likenesses[other]
            if a is None or b is None or (above and other >= row):
                continue
            bits = (a.bits ^ b.bits).bit_count()
            first, second = (np.frombuffer(each.thumbnail, np.uint8).astype(float) for each in (a, b))
            if bits <= NEAR_BITS and np.corrcoef(first, second)[0, 1] >= NEAR_CORRELATION:
                copy = bits <= COPY_BITS and np.abs(first - second).max() <= COPY_LEVELS
                best = min(best or (True, 99, 0), (not copy, bits, other))
        if best:
            twins.append(Twin(row, best[2], best[1], not best[0]))
    return twins


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([(4, 8), (3, 5), (64, 64)]))
def test_the_search_finds_what_comparing_each_with_each_finds(seed: int, count: int, tile: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 256, (4, near_duplicates.THUMBNAIL**2))
    likenesses: list[Likeness | None] = []
    for kind in rng.integers(0, 4, count):
        bits = sum(1 << int(k) for k in set(rng.integers(0, 64, rng.integers(0, 8))))
        noise = rng.integers(-6, 7, kinds.shape[1]) * rng.integers(0, 2)
        thumbnail = np.clip(kinds[kind] + noise, 0, 255).astype(np.uint8)
        likenesses.append(None if rng.random() < 0.1 else Likeness(bits, thumbnail.tobytes()))
    split = int(rng.integers(0, count + 1))
    first, rest = np.arange(split), np.arange(split, count)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in zip(("ROWS", "COLUMNS", "TRIED"), (*tile, 64), strict=True):
            patched.setattr(near_duplicates, name, value)
        searched = Likenesses(likenesses)
        among, between = searched.among(np.arange(count)), searched.between(rest, first)
    key = lambda twin: twin.row  # noqa: E731
    assert sorted(among, key=key) == slow(likenesses, list(range(count)), list(range(count)), above=True)
    assert sorted(between, key=key) == slow(likenesses, list(rest), list(first), above=False)


CHANGES = {
    "saved again": (lambda a: cv2.imdecode(cv2.imencode(".jpg", a, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1), True),
    "half the size": (lambda a: cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), True),
    "twice the size": (lambda a: cv2.resize(a, None, fx=2, fy=2), True),
    "brighter": (lambda a: cv2.convertScaleAbs(a, alpha=1.1), False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_hash_survives(change: str) -> None:
    alter, copy = CHANGES[change]
    pictures = [cv2.resize(picture(seed), (320, 256)) for seed in range(6)]
    likenesses = Likenesses([Likeness.of(each) for each in [*pictures, *map(alter, pictures)]])
    found = likenesses.among(np.arange(12))
    assert [(twin.row, twin.other, twin.copy) for twin in found] == [(k + 6, k, copy) for k in range(6)]
