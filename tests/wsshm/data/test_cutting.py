"""Cutting in 8 bits and mapping what was cut, against one direct map of the whole picture in floats."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsshm.data.arithmetic import warped
from wsshm.data.cutting import Canvas, cut, largest_side, reduced, reduction_of, scales_of
from wsshm.data.pictures import read_cutout, read_image, write_png
from wsshm.data.placing import Placement, background_map, photo_map

SIDES = st.integers(48, 400)
MIDDLE = (slice(3, -3), slice(3, -3))


def smooth(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A picture without detail finer than a twentieth of its longer side, so that any good filter shows the same."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, channels))
    blurred = cv2.GaussianBlur(noise, (0, 0), max(height, width) / 20).reshape(height, width, channels)
    low, high = blurred.min(), blurred.max()
    return np.rint((blurred - low) / (high - low) * 255).astype(np.uint8)


def seen(canvas: Canvas, size: int, beyond: str = "border") -> NDArray[np.float32]:
    """What a sample of `size` px sees of a canvas (S,S,C)."""
    pixels = torch.from_numpy(np.atleast_3d(canvas.pixels))[None]
    matrix = torch.from_numpy(canvas.matrix.astype(np.float32))[None]
    return warped(pixels, matrix, size, beyond=beyond)[0].permute(1, 2, 0).numpy()


def directly(picture: NDArray[np.uint8], matrix: NDArray, size: int, border: int) -> NDArray[np.float32]:
    """The map applied at once, in floats, eight points to a pixel's side, the mean of which is the pixel."""
    points = 8
    fine = np.array(matrix)
    fine[:, :2] /= points
    fine[:, 2] += fine[:, :2].sum(1) / 2 - 0.5  # OpenCV counts from pixels' middles
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = picture.astype(np.float32) / 255
    shown = cv2.warpAffine(values, fine, (size * points, size * points), flags=flags, borderMode=border)
    return shown.reshape(size, points, size, points, -1).mean((1, 3))


@settings(max_examples=15, deadline=None)
@given(SIDES, SIDES, st.sampled_from([32, 64, 96]), st.integers(0, 2**32 - 1))
def test_a_cut_photo_shows_what_a_direct_map_does(height: int, width: int, size: int, seed: int) -> None:
    picture = smooth(height, width)
    matrix = photo_map((width, height), size, np.random.default_rng(seed))
    reduction = reduction_of(matrix)
    canvas = cut([reduced(picture, reduction)], matrix, size, reduction)
    if (scales_of(matrix) >= 1).all():
        assert canvas.shape == (size, size, 3), "a box that is shrunk is not resampled a second time"
        assert np.abs(np.abs(canvas.matrix[:, :2]) - np.eye(2)).max() < 1e-9
    else:
        assert max(canvas.shape[:2]) <= largest_side(size)
    expected = directly(picture, matrix, size, cv2.BORDER_REPLICATE)
    assert np.abs(seen(canvas, size)[MIDDLE] - expected[MIDDLE]).max() < 0.05


@pytest.mark.parametrize("size", [128, 256, 320])
def test_a_large_photo_is_shown_as_a_direct_map_does(size: int) -> None:
    """Some of these crops are shrunk bilinearly, by areas, or as they are decoded."""
    picture = smooth(900, 700)
    for seed in range(3):
        matrix = photo_map((700, 900), size, np.random.default_rng(seed))
        reduction = reduction_of(matrix)
        canvas = cut([reduced(picture, reduction)], matrix, size, reduction)
        expected = cv2.remap(
            picture.astype(np.float32) / 255,
            *(
                matrix
                @ np.stack([*np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), np.ones((size, size))]).reshape(
                    3, -1
                )
                - 0.5
            )
            .reshape(2, size, size)
            .astype(np.float32),
            cv2.INTER_LINEAR,
        )
        assert np.abs(seen(canvas, size)[MIDDLE] - expected[MIDDLE]).max() < 0.05


@settings(max_examples=15, deadline=None)
@given(SIDES, SIDES, st.sampled_from([32, 64, 96]), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_placed_cutout_shows_what_a_direct_map_does(
    height: int, width: int, size: int, cut_off: bool, seed: int
) -> None:
    cutout = smooth(height, width, 4)
    matrix = Placement.drawn(np.random.default_rng(seed)).map((width, height), size, cut_off)
    reduction = reduction_of(matrix)
    canvas = cut([reduced(cutout, reduction, fill=0)], matrix, size, reduction)
    expected = directly(cutout, matrix, size, cv2.BORDER_CONSTANT)
    difference = np.abs(seen(canvas, size, "zeros") - expected)
    # Along its own edge, also just out of sight, a cut-out ends within three pixels: a block, an area and a bilinear map
    # meet there.
    around = matrix.copy()
    around[:, 2] -= around[:, :2].sum(1) * 4
    inside = directly(np.full((height, width, 1), 255, np.uint8), around, size + 8, cv2.BORDER_CONSTANT)[..., 0]
    edge = cv2.dilate(((inside > 0) & (inside < 1)).astype(np.uint8), np.ones((7, 7), np.uint8))[4:-4, 4:-4] > 0
    assert difference[~edge].max(initial=0) < 0.05
    assert difference.mean() < 0.015


@settings(max_examples=15, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_crops_stay_inside_their_picture(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for matrix in (photo_map((width, height), 64, rng), background_map((width, height), 64, rng)):
        corners = matrix @ np.array([[0, 64, 0, 64], [0, 0, 64, 64], [1, 1, 1, 1]])
        assert (corners >= -1e-6).all()
        assert (corners <= np.array([[width], [height]]) + 1e-6).all()


def test_a_person_cut_off_below_stays_so() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        placement = Placement.drawn(rng)._replace(degrees=0)
        _, below = placement.map((80, 100), 64, cut_off=True) @ (32, 64, 1)
        assert below < 100


def test_a_label_lies_on_its_picture_however_it_is_turned_or_mirrored() -> None:
    disc = np.zeros((300, 200), np.uint8)
    cv2.circle(disc, (120, 90), 50, 255, -1)
    picture = np.dstack([disc] * 3)
    for seed in range(20):
        matrix = photo_map((200, 300), 64, np.random.default_rng(seed))
        shown = seen(cut([picture, disc], matrix, 64), 64)
        assert np.ptp(shown, axis=2).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(160, 120), (163, 121)])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_picture_decoded_small_is_the_whole_one_shrunk(
    tmp_path: Path, orientation: int, width: int, height: int, reduction: int
) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth(height, width)).save(tmp_path / "a.jpg", quality=95, exif=exif)
    small, whole = read_image(tmp_path / "a.jpg", reduction), read_image(tmp_path / "a.jpg")
    expected = reduced(whole, reduction)
    assert small.shape == expected.shape
    difference = np.abs(small.astype(int) - expected)
    assert difference[:-1, :-1].max() <= 4  # the last blocks go on beyond the picture


def test_shrinking_a_cutout_lets_no_colour_bleed_into_its_outline(tmp_path: Path) -> None:
    """What is transparent has colours, too, here a loud green; premultiplied, they have no part in any mean."""
    rng = np.random.default_rng(0)
    alpha = np.rint(smooth(256, 256, 1)[..., 0]).astype(np.float64)
    alpha = np.clip((alpha - 100) * 3, 0, 255).astype(np.uint8)
    straight = np.where(alpha[..., None] > 0, smooth(256, 256, 3, 1), (0, 255, 0)).astype(np.uint8)
    write_png(tmp_path / "both.png", np.dstack([straight, alpha]))
    write_png(tmp_path / "colours.png", straight)
    write_png(tmp_path / "alpha.png", alpha)
    together = read_cutout(tmp_path / "both.png", tmp_path / "both.png")
    assert np.array_equal(together, read_cutout(tmp_path / "colours.png", tmp_path / "alpha.png"))
    matrix = Placement.drawn(rng)._replace(degrees=0, zoom=1.0).map((256, 256), 64, cut_off=False)
    reduction = reduction_of(matrix)
    assert reduction == 4
    shown = seen(cut([reduced(together, reduction, fill=0)], matrix, 64, reduction), 64, "zeros")
    exact = np.dstack([straight / 255 * (alpha / 255)[..., None], alpha / 255]).astype(np.float32)
    fine = np.array(matrix)
    blurred = cv2.resize(exact, (64, 64), interpolation=cv2.INTER_AREA)
    fine /= 4
    fine[:, 2] += fine[:, :2].sum(1) / 2 - 0.5
    expected = cv2.warpAffine(blurred, fine, (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    assert np.abs(shown - expected).max() < 0.02
