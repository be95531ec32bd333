"""Dilations and window sums against OpenCV and against every pixel's window, summed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.blending import dilated, summed
from wsshm.neighbourhood import dilate, window_sum


def _maps(seed: int, height: int, width: int, share: float) -> np.ndarray:
    """Two pictures of two channels, each pixel 1 with the given probability."""
    return (np.random.default_rng(seed).random((2, 2, height, width)) < share).astype(np.float32)


sizes = st.integers(1, 40)


@given(st.integers(0, 2**32 - 1), sizes, sizes, st.sampled_from([0.0, 0.002, 0.05, 0.6, 1.0]), st.integers(1, 50))
def test_dilations_are_opencvs(seed: int, height: int, width: int, share: float, radius: int) -> None:
    maps = _maps(seed, height, width, share)
    found = dilate(torch.from_numpy(maps), radius).numpy()
    assert found.dtype == maps.dtype
    for n, c in np.ndindex(2, 2):
        np.testing.assert_array_equal(found[n, c], dilated(maps[n, c], radius))


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 8, 13, 20, 41, 97])
def test_one_pixel_becomes_opencvs_ellipse(radius: int) -> None:
    point = np.zeros((2 * radius + 7, 2 * radius + 7), np.float32)
    point[radius + 3, radius + 3] = 1
    found = dilate(torch.from_numpy(point)[None, None], radius)[0, 0].numpy()
    np.testing.assert_array_equal(found, dilated(point, radius))


@given(st.integers(0, 2**32 - 1), sizes, sizes, st.floats(0, 1), st.integers(0, 30))
def test_window_sums_are_exact(seed: int, height: int, width: int, share: float, reach: int) -> None:
    maps = _maps(seed, height, width, share)
    found = window_sum(torch.from_numpy(maps), 2 * reach + 1).numpy()
    for n, c in np.ndindex(2, 2):
        np.testing.assert_array_equal(found[n, c], summed(maps[n, c], 2 * reach + 1))


def test_sums_of_a_large_picture_do_not_round() -> None:
    full = torch.ones(1, 1, 6000, 6000)  # 3.6e7 pixels, above float32's whole numbers
    found = window_sum(full, 5)
    assert found[0, 0, 3000, 3000] == 25
    assert found[0, 0, 5999, 5999] == 9
