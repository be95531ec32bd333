"""Alpha by closed-form matting inside a band, where the answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wsshm.data import closed_form
from wsshm.data.closed_form import matte_in_band


def soft_disc(side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """A picture of one colour over another, its trimap and its alpha: there closed-form matting has alpha exactly."""
    yy, xx = np.mgrid[0:side, 0:side]
    away = 0.3 * side - np.hypot(xx - 0.5 * side, yy - 0.45 * side)
    alpha = np.clip(0.5 + away / (0.08 * side), 0, 1).astype(np.float32)
    colours = alpha[..., None] * np.array([220, 60, 40]) + (1 - alpha[..., None]) * np.array([20, 90, 160])
    trimap = np.where(np.abs(away) < 0.07 * side, 128, np.where(away > 0, 255, 0))
    return np.rint(colours).astype(np.uint8), trimap.astype(np.uint8), alpha


def test_alpha_of_two_colours_is_found() -> None:
    image, trimap, alpha = soft_disc(96)
    found = matte_in_band(image, trimap)
    assert found.dtype == np.float32
    assert np.abs(found - alpha).max() < 0.06
    assert (found[trimap == 255] == 1).all()
    assert (found[trimap == 0] == 0).all()


def test_a_large_picture_is_solved_smaller_and_what_is_known_stays_sharp(monkeypatch: pytest.MonkeyPatch) -> None:
    image, trimap, alpha = soft_disc(160)
    monkeypatch.setattr(closed_form, "SIDE", 64)
    found = matte_in_band(image, trimap)
    assert found.shape == alpha.shape
    assert np.abs(found - alpha).mean() < 0.01
    assert (found[trimap != 128] == alpha[trimap != 128].round()).all()


def test_what_is_not_joined_to_the_person_is_dropped() -> None:
    image, trimap, _ = soft_disc(96)
    image[4:12, 4:12] = (220, 60, 40)  # the person's colour
    trimap[2:14, 2:14] = 128
    assert matte_in_band(image, trimap)[:16, :16].max() == 0


def test_what_cannot_be_solved_is_a_value_error_and_nothing_unknown_needs_no_solution() -> None:
    image, trimap, _ = soft_disc(48)
    with pytest.raises(ValueError, match="foreground"):
        matte_in_band(image, np.where(trimap == 255, 128, trimap).astype(np.uint8))
    known = np.where(trimap > 0, 255, 0).astype(np.uint8)
    assert (matte_in_band(image, known) == known / 255).all()


def test_the_band_alone_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def solve(image: NDArray[np.float64], trimap: NDArray[np.float64]) -> NDArray[np.float64]:
        asked.append(trimap.shape)
        return trimap

    monkeypatch.setattr(closed_form, "_solver", lambda: solve)
    image, trimap, _ = soft_disc(64)
    wide = [cv2.copyMakeBorder(picture, 100, 200, 300, 0, cv2.BORDER_REPLICATE) for picture in (image, trimap)]
    assert matte_in_band(*wide).shape == (364, 364)
    assert max(asked[0]) < 64 + 2 * closed_form.ROOM
