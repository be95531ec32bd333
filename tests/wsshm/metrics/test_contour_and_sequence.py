"""Boundary F and IoU of masks, dtSSD of sequences: by hand, and against the slow reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.micro import published as reference
from tests.wsshm.metrics.cases import CONVENTIONS, KINDS, LAYOUTS, pairs, person, predicted, seeds, sizes
from wsshm.errors import UserError
from wsshm.metrics import score, score_mask
from wsshm.metrics.kernels.contour import boundary_f
from wsshm.metrics.sequence import dtssd

Array = np.ndarray


def dtssd_of(frames: list[Array], convention: str = "p3m") -> float:
    matte, previous_matte, label, previous_label = frames
    return dtssd(matte, previous_matte, label, previous_label, convention)


def half_plane(height: int, width: int, start: int) -> Array:
    mask = np.zeros((height, width))
    mask[:, start:] = 1
    return mask


def boxes(height: int, width: int, *corners_and_sides: tuple[int, int, int]) -> Array:
    mask = np.zeros((height, width))
    for top, left, side in corners_and_sides:
        mask[top : top + side, left : left + side] = 1
    return mask


def test_contours_match_within_the_tolerance_only() -> None:
    true = half_plane(100, 100, 50)  # diagonal 141.4, tolerance ceil(1.13) = 2 pixels
    assert boundary_f(half_plane(100, 100, 52), true) == 1.0
    assert boundary_f(half_plane(100, 100, 53), true) == 0.0


def test_tolerance_of_a_diagonal_that_divides_exactly() -> None:
    true = half_plane(75, 100, 50)  # diagonal 125, tolerance 0.008 * 125 = 1 pixel, not 2
    assert boundary_f(half_plane(75, 100, 51), true) == 1.0
    assert boundary_f(half_plane(75, 100, 52), true) == 0.0


def test_distances_are_euclidean() -> None:
    # tolerance 2: of points (dy, dx) apart, (2, 0) and (1, 1) are near, (2, 1) and (2, 2) are not
    true = boxes(100, 100, (50, 50, 1))  # one pixel has a contour of 4: itself, and its north, west and north-west
    assert boundary_f(np.roll(true, (2, 0), (0, 1)), true) == 1.0
    assert boundary_f(np.roll(true, (1, 1), (0, 1)), true) == 1.0
    # (2, 2): only the old contour's last pixel and the new one's first are near, (1, 1) apart: P = R = 1/4
    assert boundary_f(np.roll(true, (2, 2), (0, 1)), true) == pytest.approx(0.25)
    # (3, 2): each is within 2 of another in either direction alone, but none is nearer than (2, 1), so sqrt(5)
    assert boundary_f(np.roll(true, (3, 2), (0, 1)), true) == 0.0


def test_an_invented_person_costs_precision() -> None:
    # a box of side s has a contour of 4 s pixels: 20 true ones, all found, and 12 invented: P = 20/32, R = 1
    true, invented = boxes(100, 100, (10, 10, 5)), boxes(100, 100, (10, 10, 5), (60, 60, 3))
    assert boundary_f(invented, true) == pytest.approx(2 * (20 / 32) / (1 + 20 / 32))
    assert boundary_f(true, invented) == boundary_f(invented, true)


def test_the_contour_lies_north_and_west_of_the_change_and_stops_at_the_border() -> None:
    # 3 x 3, tolerance 1. The middle pixel's contour is the top left 2 x 2; the bottom right pixel's is the same block
    # one further, (1, 1) to (2, 2) without (2, 2) itself, whose neighbours all lie outside: 3 pixels.
    middle, corner = np.zeros((3, 3)), np.zeros((3, 3))
    middle[1, 1] = corner[2, 2] = 1
    # of the block's 4 pixels (0, 0) is sqrt(2) from the nearest: P = 3/4; all three of the corner's lie by the block
    assert boundary_f(middle, corner) == pytest.approx(2 * 0.75 / 1.75)


@pytest.mark.parametrize("empty", [0.0, 1.0, 0.49, 0.5])
def test_without_contours(empty: float) -> None:
    constant, person_in_it = np.full((20, 30), empty), boxes(20, 30, (5, 5, 6))
    assert boundary_f(constant, constant) == 1.0
    assert boundary_f(constant, np.zeros((20, 30))) == 1.0  # all one has no contour either
    assert boundary_f(constant, person_in_it) == 0.0
    assert boundary_f(person_in_it, constant) == 0.0


def test_masks_are_cut_at_one_half() -> None:
    true = boxes(20, 30, (5, 5, 6))
    scores = score_mask(np.where(true > 0, 0.5, 0.49), true)
    assert (scores.region, scores.iou, scores.boundary_f) == ("whole", 1.0, 1.0)
    assert score_mask(true * 0.49, true).iou == 0.0


def test_score_mask_reports_nothing_that_needs_a_matte() -> None:
    label = person(60, 44)
    mask = (label >= 0.5).astype(np.float64)
    matte = predicted(label)
    scores = score_mask(matte, mask)
    row = scores.as_row()
    for measure in ("sad", "mse", "mad", "grad", "conn", "dtssd", "unknown_px"):
        assert getattr(scores, measure) is None
        assert row[measure] is None
    # 4 of 6 columns shared
    assert score_mask(half_plane(10, 6, 0)[:, :6], half_plane(10, 6, 2)).iou == pytest.approx(4 / 6)
    assert row["iou"] == pytest.approx(reference.iou(matte, mask))
    assert row["boundary_f"] == pytest.approx(reference.boundary_f(matte, mask))
    assert score_mask(np.zeros((4, 4)), np.zeros((4, 4))).iou == 1.0


@settings(max_examples=60, deadline=None)
@given(case=pairs())
def test_masks_agree_with_the_slow_reference(case: tuple[Array, Array, Array | None]) -> None:
    matte, label, _ = case
    mask = (label >= 0.5).astype(np.float64)
    scores = score_mask(matte, mask)
    assert scores.iou == pytest.approx(reference.iou(matte, mask), rel=1e-12)
    assert scores.boundary_f == pytest.approx(reference.boundary_f(matte, mask), rel=1e-12)
    assert boundary_f(label, matte) == pytest.approx(reference.boundary_f(label, matte), rel=1e-12)
    assert boundary_f(matte.T, label.T) == pytest.approx(boundary_f(matte, label), rel=1e-12)


def test_boundary_f_of_a_person() -> None:
    label = person(600, 400)  # tolerance 6
    moved: Array = np.roll(cv2.GaussianBlur(label, (0, 0), 5), (3, 4), (0, 1))
    found = boundary_f(moved, label)
    assert found == pytest.approx(reference.boundary_f(moved, label), rel=1e-12)
    assert 0.2 < found < 0.8


@pytest.mark.parametrize(
    ("matte", "mask", "named"),
    [
        (np.full((4, 5), np.nan), np.zeros((4, 5)), "matte holds NaN"),
        (np.full((4, 5), 1.01), np.zeros((4, 5)), r"1\.01"),
        (np.zeros((4, 5)), np.full((4, 5), 255.0), "255"),
        (np.zeros((5, 4)), np.zeros((4, 5)), "5 x 4"),
        (np.zeros((0, 4)), np.zeros((0, 4)), "height x width"),
    ],
)
def test_faulty_masks_are_named(matte: Array, mask: Array, named: str) -> None:
    with pytest.raises(UserError, match=named):
        score_mask(matte, mask)


def test_dtssd_is_the_difference_of_the_changes() -> None:
    still = np.full((6, 8), 0.5)
    # the prediction flickers by 0.1, the person stands still
    assert dtssd(still + 0.1, still, still, still) == pytest.approx(0.1)
    # a wrong matte that moves as the true one does is steady
    assert dtssd(still + 0.3, still + 0.2, still + 0.1, still) == pytest.approx(0, abs=1e-15)
    # one pixel of 48 jumps by 1 where nothing moves: sqrt(1 / 48)
    jump = still * 0
    jump[2, 3] = 1
    assert dtssd(jump, still * 0, still, still) == pytest.approx((1 / 48) ** 0.5)
    for convention, unit in {"p3m": 1, "dim": 1, "rvm": 100, "rvm-lr": 100}.items():
        assert dtssd(still + 0.1, still, still, still, convention) == pytest.approx(0.1 * unit)


@settings(max_examples=40, deadline=None)
@given(
    size=sizes,
    seed=seeds,
    kinds=st.tuples(*[st.sampled_from(sorted(KINDS))] * 4),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_dtssd_agrees_with_the_slow_reference(
    size: tuple[int, int], seed: int, kinds: tuple[str, str, str, str], layout: str
) -> None:
    rng = np.random.default_rng(seed)
    frames = [LAYOUTS[layout](KINDS[kind](rng, *size)) for kind in kinds]
    frames[0] = frames[0].astype(np.float32)
    p, p_before, g, g_before = frames
    for convention in CONVENTIONS:
        expected = reference.dtssd(p, p_before, g, g_before, convention)
        assert dtssd_of(frames, convention) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    # running the sequence backwards, or exchanging prediction and truth, changes nothing
    assert dtssd(p_before, p, g_before, g) == pytest.approx(dtssd_of(frames), rel=1e-12)
    assert dtssd(g, g_before, p, p_before) == pytest.approx(dtssd_of(frames), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.01, -0.1])
def test_frames_with_other_values_than_alphas_are_refused(bad: float) -> None:
    for position in range(4):
        frames = [np.zeros((4, 5)) for _ in range(4)]
        frames[position][3, 4] = bad
        with pytest.raises(UserError):
            dtssd_of(frames)


def test_frames_of_other_sizes_and_unknown_conventions_are_refused() -> None:
    frame = np.zeros((4, 5))
    for position in range(4):
        frames = [frame] * 4
        frames[position] = np.zeros((5, 4))
        with pytest.raises(UserError, match="5 x 4"):
            dtssd_of(frames)
    with pytest.raises(UserError, match=r"rmv.*rvm"):
        dtssd(frame, frame, frame, frame, convention="rmv")


def test_score_leaves_dtssd_to_sequences() -> None:
    label = person(30, 20)
    assert {scores.dtssd for scores in score(label, label)} == {None}
