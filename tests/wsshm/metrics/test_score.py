"""score(): hand-worked cases in convention p3m, the traps of published code, invariances, and what it takes and refuses.

Values against the slow reference stand in test_conventions.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from bench.micro import published as reference
from bench.store import SCHEMAS
from tests.wsshm.metrics.cases import (
    CONVENTIONS,
    ERRORS,
    LAYOUTS,
    VERSIONS,
    by_region,
    errors,
    pairs,
    person,
    predicted,
)
from wsshm.errors import UserError
from wsshm.metrics import MEASURES, RegionScores, score
from wsshm.metrics.trimap import derive_trimap, unknown_radius

Array = np.ndarray


def whole(matte: Array, label: Array, convention: str = "p3m") -> RegionScores:
    return by_region(matte, label, convention=convention)["whole"]


def measured(convention: str, *measures: str) -> dict[str, float]:
    """Zero for each of the measures but SAD in RVM's conventions, which do not report it."""
    return {measure: 0.0 for measure in measures if (measure, convention[:3]) != ("sad", "rvm")}


def test_regions_come_in_a_fixed_order() -> None:
    label = person(30, 20)
    assert [scores.region for scores in score(label, label)] == list(reference.REGIONS)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_perfect_prediction_has_no_error(convention: str) -> None:
    label = np.random.default_rng(0).random((20, 30))
    scores = whole(label, label, convention)
    assert errors(scores) == measured(convention, *ERRORS)
    assert scores.iou == 1.0
    assert scores.unknown_px is None


def test_constants() -> None:
    matte, label = np.full((10, 20), 0.45), np.full((10, 20), 0.65)
    scores = whole(matte, label)
    assert scores.sad == pytest.approx(200 * 0.2 / 1000)
    assert scores.mse == pytest.approx(0.04)
    assert scores.mad == pytest.approx(0.2)
    assert scores.grad == pytest.approx(0)
    # both are connected up to 0.4: the matte's distance 0.05 is tolerated, the label's 0.25 is not
    assert scores.conn == pytest.approx(200 * 0.25 / 1000)
    assert scores.iou == 0


def test_an_all_zero_prediction_loses_all_connectivity() -> None:
    label = np.zeros((10, 10))
    label[2:6, 3:8] = 1
    scores = whole(np.zeros_like(label), label)
    assert scores.conn == pytest.approx(20 / 1000)  # code that skips thresholds without a component says 0
    assert scores.sad == pytest.approx(20 / 1000)
    assert scores.iou == 0


def test_the_background_is_no_component() -> None:
    label = np.zeros((10, 10))
    label[2:6, 3:8] = 1  # 20 pixels, fewer than the 80 around them
    label[5, 3:8] = 0.4
    matte = label * 0.85  # 0.85 on 15 pixels and 0.34 on 5
    # 15 pixels are connected up to 0.8: d is 0.05 (tolerated) and 0.2; 5 up to 0.3: 0.04 and 0.1 (both tolerated).
    # Code that takes label 0 for a component holds all for unconnected and says (15 * 0.15 + 5 * 0.06) / 1000.
    assert whole(matte, label).conn == pytest.approx(15 * 0.2 / 1000)


def test_only_the_largest_person_is_connected() -> None:
    label = np.zeros((12, 12))
    label[1:6, 1:6] = 1  # 25 pixels
    label[8:11, 8:11] = 1  # 9 pixels
    assert whole(label, label).conn == 0
    missed = label.copy()
    missed[8:11, 8:11] = 0
    assert whole(missed, label).conn == pytest.approx(9 / 1000)
    invented = missed.copy()
    invented[9, 9] = 1
    assert whole(invented, label).conn == pytest.approx(8 / 1000)  # where both are 1 both are disconnected alike
    diagonal = np.zeros((4, 4))
    diagonal[:2, :2] = diagonal[2, 2] = 1
    without = diagonal.copy()
    without[2, 2] = 0.85
    # touching corners do not connect: at (2, 2) both stand at level 0, with distances 0.85 and 1
    assert whole(without, diagonal).conn == pytest.approx(0.15 / 1000)


def test_of_equal_components_the_first_in_reading_order_is_the_source() -> None:
    label = np.array([[0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
    matte = np.array([[0.0, 0.0, 0.85, 0.0, 0.0], [1.0, 0.0, 0.85, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
    # right column: connected up to 0.8, so d = 0.05 (tolerated) and 0.2; left column: level 0, d = 1 and 1.
    # Were the left one the source, it would be free of error too, but the right column at level 0: d = 0.85 and 1.
    assert whole(matte, label).conn == whole(label, matte).conn == pytest.approx(2 * 0.2 / 1000)


def test_a_component_that_grows_larger_below_takes_over() -> None:
    # At 0.8 and above the source is the pair on the left; from 0.7 down the three on the right are larger, and the left
    # is out: level 0, d = 0.9 and 1 on two pixels. Right: connected up to 0.7, d = 0.0 and 0.3 on three.
    matte = np.array([[0.9, 0.9, 0.0, 0.7, 0.7, 0.7]])
    label = np.array([[1.0, 1.0, 0.0, 1.0, 1.0, 1.0]])
    assert whole(matte, label, "dim").conn == pytest.approx((2 * 0.1 + 3 * 0.3) / 1000)


def test_who_once_left_the_source_never_returns() -> None:
    # 0.2 to 0.5: the four on the left (0.5) are the source, so the right leaves at 0.1 already, where they are equal in
    # size only from 0.6 on would the right be the largest. Level 0 on the right: d = 0.9 and 1.
    matte = np.array([[0.5, 0.5, 0.5, 0.5, 0.0, 0.9, 0.9]])
    label = np.array([[0.5, 0.5, 0.5, 0.5, 0.0, 1.0, 1.0]])
    assert whole(matte, label).conn == pytest.approx(2 * 0.1 / 1000)


@pytest.mark.parametrize(
    ("predicted", "true", "conn"),
    [
        *[(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.3, 0.5, 0.2)],
        # d is float64's difference: 0.45 - 0.3 is a little more than 0.15, and 0.95 - 0.8 a little less
        *[(0.3, 0.45, 0.15), (0.75, 0.6, 0.15), (0.8, 0.95, 0.0), (0.95, 0.8, 0.0)],
    ],
)
def test_one_pixel(predicted: float, true: float, conn: float) -> None:
    scores = whole(np.array([[predicted]]), np.array([[true]]), "dim")
    assert scores.sad == pytest.approx(abs(predicted - true) / 1000)
    assert scores.grad == pytest.approx(0, abs=1e-30)
    assert scores.conn == pytest.approx(conn / 1000)


def test_gradient_of_a_ramp() -> None:
    ramp = np.tile(np.arange(64) / 64, (40, 1))
    # far from the border a Gaussian derivative gives a ramp's slope (less what truncation loses)
    label = np.zeros_like(ramp)
    trimap = np.zeros(ramp.shape, dtype=np.uint8)
    trimap[10, 32] = 128
    scores = by_region(ramp, label, trimap)["unknown"]
    assert scores.grad == pytest.approx((1 / 64) ** 2 / 10, rel=1e-2)


def test_thresholds_are_compared_in_float64_in_dim() -> None:
    # as float32, 0.7 lies below 0.7: the matte is connected up to 0.6 only
    matte = np.full((3, 3), 0.7, dtype=np.float32)
    label = np.ones((3, 3))
    assert whole(matte, label, "dim").conn == whole(label, matte, "dim").conn == pytest.approx(9 * 0.4 / 1000)
    assert whole(matte.astype(np.float64).round(6), label, "dim").conn == pytest.approx(9 * 0.3 / 1000)


def test_rounding_beyond_the_range_is_clipped() -> None:
    matte = np.array([[1 + 1e-9, -1e-9]])
    assert whole(matte, np.array([[1.0, 0.0]])).sad == 0


def test_unknown_region_follows_p3m() -> None:
    label = np.array([[0.0, 0.02, 0.5, 0.9, 1.0, 0.98]])
    matte = np.array([[1.0, 1.0, 0.4, 0.5, 0.0, 0.0]])
    trimap = np.array([[0, 0, 128, 128, 255, 255]], dtype=np.uint8)
    scores = by_region(matte, label, trimap)
    # known pixels count as 0 and 1 whatever was predicted: 0.02 + 0.1 + 0.4 + 0.02
    assert scores["unknown"].sad == pytest.approx(0.54 / 1000)
    assert scores["unknown"].mad == pytest.approx(0.54 / 2)
    assert scores["unknown"].mse == pytest.approx((0.02**2 + 0.1**2 + 0.4**2 + 0.02**2) / 2)
    assert scores["boundary"].mad == pytest.approx((0.1 + 0.4) / 2)
    # nothing is overwritten elsewhere: 0 and 0.98 against 1 and 0 in front, 1 and 1 against 0 and 0.02 behind
    assert scores["foreground"].sad == pytest.approx(1.98 / 1000)
    assert scores["foreground"].mad == pytest.approx(0.99)
    assert scores["background"].sad == pytest.approx(1.98 / 1000)
    assert scores["background"].mse == pytest.approx((1 + 0.98**2) / 2)
    assert {of_region.unknown_px for of_region in scores.values()} == {None}


def test_a_trimap_overwrites_even_where_the_label_contradicts_it() -> None:
    label = np.array([[0.0, 1.0, 0.5]])
    trimap = np.array([[255, 0, 128]], dtype=np.uint8)
    scores = by_region(label, label, trimap)
    assert scores["unknown"].mad == 2.0  # two whole pixels of error over one unknown pixel, although nothing is wrong
    assert scores["foreground"].mad == scores["background"].mad == 0.0


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_empty_regions_have_sums_but_no_means(convention: str) -> None:
    matte, label = np.full((5, 5), 0.3), np.zeros((5, 5))
    scores = by_region(matte, label, convention=convention)
    nothing = measured(convention, "sad", "grad", "conn")
    assert errors(scores["unknown"]) == errors(scores["foreground"]) == nothing
    assert errors(scores["boundary"]) == {}
    assert scores["background"].mad == pytest.approx(300 if "rvm" in convention else 0.3)
    assert {region: of_region.unknown_px for region, of_region in scores.items()} == {
        **{"whole": None, "boundary": None},  # these two need no trimap
        **{"unknown": 1, "foreground": 1, "background": 1},
    }
    assert scores["whole"].iou == 1.0  # neither holds a person


def test_derived_trimap_of_a_known_size() -> None:
    label = np.zeros((150, 400))
    label[:, 200:] = 1
    label[:, 200] = 0.5
    scores = by_region(label, label)["unknown"]
    assert scores.unknown_px == unknown_radius(150, 400) == 3
    trimap = derive_trimap(label, 3)
    assert (trimap[0] == 128).nonzero()[0].tolist() == list(range(197, 204))
    assert set(trimap[:, :197].ravel()) == {0}
    assert set(trimap[:, 204:].ravel()) == {255}


@pytest.mark.parametrize("radius", [1, 2, 3, 7, 20, 61])
def test_the_dilating_ellipse_is_opencvs(radius: int) -> None:
    size = 2 * radius + 3
    label = np.zeros((size, size))
    label[radius + 1, radius + 1] = 0.5
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    np.testing.assert_array_equal(derive_trimap(label, radius) == 128, np.pad(ellipse, 1) > 0)
    widths = (derive_trimap(label, radius) == 128).sum(axis=1)
    rows = np.arange(-radius - 1, radius + 2)
    halves = np.rint(radius * np.sqrt(np.clip(1 - (rows / radius) ** 2, 0, None)))
    assert widths.tolist() == np.where(abs(rows) <= radius, 2 * halves + 1, 0).astype(int).tolist()


def test_the_boundary_is_open_at_both_ends() -> None:
    label = np.repeat([[0.05, 0.5, 0.95]], 20, axis=1)  # 20 columns each: one pixel around the middle ones is unknown
    scores = by_region(np.zeros_like(label), label)
    assert scores["boundary"].mad == pytest.approx(0.5)
    assert scores["foreground"].mad == pytest.approx(0.95)
    assert scores["background"].mad == pytest.approx(0.05)
    assert scores["background"].sad == pytest.approx(19 * 0.05 / 1000)


def test_a_derived_trimap_scores_like_the_same_one_given() -> None:
    label = person(120, 90)
    trimap, radius = reference.derived_trimap(label)
    np.testing.assert_array_equal(derive_trimap(label, radius), trimap)
    derived, given = score(predicted(label), label), score(predicted(label), label, trimap)
    assert [replace(scores, unknown_px=None) for scores in derived] == given


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_flips_and_transposition_change_nothing(convention: str) -> None:
    label = person(60, 44)
    matte = predicted(label)
    trimap, _ = reference.derived_trimap(label)  # given, as OpenCV's ellipse is not quite the same when transposed
    expected = by_region(matte, label, trimap, convention)
    for turned in (np.flipud, np.fliplr, np.transpose):
        found = by_region(turned(matte), turned(label), turned(trimap), convention)
        for region, scores in expected.items():
            assert errors(found[region]) == pytest.approx(errors(scores), rel=1e-12), (turned.__name__, region)


@settings(max_examples=25, deadline=None)
@given(case=pairs())
def test_matte_and_label_may_change_roles(case: tuple[Array, Array, Array | None]) -> None:
    matte, label, _ = case
    trimap = np.where(np.arange(label.size).reshape(label.shape) % 3 == 1, 255, 128).astype(np.uint8)
    for convention in CONVENTIONS:
        there, back = by_region(matte, label, trimap, convention), by_region(label, matte, trimap, convention)
        # P3M overwrites the matte, not the label, in the unknown region; the boundary is the label's alone
        regions = ("whole", "foreground") if convention == "p3m" else ("whole", "foreground", "unknown")
        for region in regions:
            assert errors(there[region]) == pytest.approx(errors(back[region]), rel=1e-9, abs=1e-15)
        assert there["whole"].iou == back["whole"].iou


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_number_of_threads_changes_nothing(convention: str) -> None:
    label = person(420, 330)
    matte = predicted(label)
    one, two, every = (score(matte, label, convention=convention, threads=threads) for threads in (1, 2, None))
    assert one == two == every


def test_images_may_be_scored_at_the_same_time() -> None:
    labels = [person(80 + 7 * i, 60 + 5 * i, seed=i) for i in range(8)]
    mattes = [predicted(label, seed=i) for i, label in enumerate(labels)]
    expected = [score(matte, label, threads=1) for matte, label in zip(mattes, labels, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda matte, label: score(matte, label, threads=1), mattes, labels))
    assert found == expected


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_memory_layout_changes_nothing(layout: str, kind: type[np.floating]) -> None:
    label = person(40, 50).astype(kind)
    matte = predicted(label).astype(kind)
    trimap, _ = reference.derived_trimap(label)
    turned = LAYOUTS[layout]
    assert score(turned(matte), turned(label), turned(trimap)) == score(matte, label, trimap)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_tensors_score_like_arrays(kind: torch.dtype) -> None:
    label = torch.from_numpy(person(40, 50)).to(kind)
    matte = torch.from_numpy(predicted(person(40, 50))).to(kind)
    assert score(matte, label) == score(matte.numpy(), label.numpy())
    trimap, _ = reference.derived_trimap(label.numpy())
    assert score(matte.T, label.T, torch.from_numpy(trimap).T) == score(matte.numpy().T, label.numpy().T, trimap.T)


def test_the_arrays_given_are_left_alone() -> None:
    label = person(40, 50)
    matte = predicted(label)
    trimap, _ = reference.derived_trimap(label)
    before = [array.copy() for array in (matte, label, trimap)]
    for array in (matte, label, trimap):
        array.flags.writeable = False
    for convention in CONVENTIONS:
        score(matte, label, trimap, convention=convention)
    for array, copy in zip((matte, label, trimap), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_rows_fit_the_store(convention: str) -> None:
    for scores in score(np.zeros((4, 4)), np.ones((4, 4)), convention=convention):
        row = scores.as_row()
        assert set(row) <= set(SCHEMAS["scores"].names)
        assert row["convention"] == convention.removesuffix("-lr")
        assert row["metric_version"] == VERSIONS[convention]
        assert row["region"] == scores.region


def test_measures_are_described() -> None:
    assert set(MEASURES) <= set(SCHEMAS["scores"].names)
    assert {name for name, measure in MEASURES.items() if measure.higher_is_better} == {"iou", "boundary_f"}
    assert all(measure.about for measure in MEASURES.values())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"matte": np.full((4, 5), 1.01)}, r"matte .*1\.01"),
        ({"matte": np.full((4, 5), -0.1)}, r"matte .*-0\.1"),
        ({"label": np.full((4, 5), 1.01, dtype=np.float32)}, r"label .*1\.01"),
        ({"label": np.where(np.eye(4, 5) > 0, np.nan, 0.5)}, "label holds NaN"),
        ({"matte": np.where(np.eye(4, 5) > 0, np.inf, 0.5)}, "matte .*inf"),
        ({"matte": np.where(np.eye(4, 5) > 0, -np.inf, 0.5).astype(np.float32)}, "matte .*-inf"),
        ({"matte": np.full((4, 5), 255, dtype=np.uint8)}, r"8-bit values / 255"),
        ({"matte": np.zeros((5, 4))}, "matte is 5 x 4 but its label is 4 x 5"),
        ({"matte": np.zeros((4, 5, 1))}, "height x width"),
        ({"matte": np.zeros((0, 5))}, "height x width"),
        ({"label": np.zeros((4, 0))}, "height x width"),
        ({"trimap": np.zeros((5, 4), dtype=np.uint8)}, "trimap is 5 x 4"),
        ({"trimap": np.full((4, 5), 127, dtype=np.uint8)}, "trimap holds the value 127"),
        ({"trimap": np.full((4, 5), 1, dtype=np.uint8)}, "trimap holds the value 1"),
        ({"convention": "pm3"}, "pm3.*p3m"),
        ({"convention": "rvmlr"}, "rvmlr.*rvm-lr"),
        ({"convention": "DIM"}, "DIM.*dim"),
    ],
)
def test_faulty_input_is_named(changed: dict[str, Any], named: str) -> None:
    given: dict[str, Any] = {"matte": np.zeros((4, 5)), "label": np.ones((4, 5)), "trimap": None}
    with pytest.raises(UserError, match=named) as refusal:
        score(**given | changed)
    assert "\n" not in str(refusal.value)


def test_one_bad_pixel_in_a_large_image_is_found() -> None:
    label = person(300, 200)
    for value in (np.nan, np.inf, 1.01, -0.1):
        matte = label.copy()
        matte[299, 199] = value
        with pytest.raises(UserError, match="matte"):
            score(matte, label)


def test_as_row_is_the_dataclass_with_plain_numbers() -> None:
    scores = by_region(np.full((4, 4), 0.25), np.zeros((4, 4)))["whole"]
    assert {name: value for name, value in scores.as_row().items() if value is not None} == {
        name: value for name, value in asdict(scores).items() if value is not None and name != "added"
    }


def test_read_only_mattes_are_measured() -> None:
    matte, label = np.random.default_rng(0).random((2, 20, 30)).astype(np.float32)
    expected = score(matte, label)
    matte.setflags(write=False)
    assert score(matte, label) == expected
    label.setflags(write=False)
    assert score(matte, label, regions="whole")[0].mad == pytest.approx(expected[0].mad)


def test_a_nearly_constant_matte_is_stretched_without_loss() -> None:
    rough = np.random.default_rng(0).random((20, 30))
    label = np.random.default_rng(1).random((20, 30))
    expected = {s.region: s.grad for s in score(rough, label, convention="rvm-lr")}["whole"]
    for extent in (1e-9, 1e-200):
        base = 0.5 if extent == 1e-9 else 0.0
        found = {s.region: s.grad for s in score(base + extent * rough, label, convention="rvm-lr")}["whole"]
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_without_a_folder_to_keep_them_the_loops_are_compiled_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = "import numpy as np; from wsshm.metrics import score; print(score(np.zeros((2, 2)), np.ones((2, 2)))[0].sad)"
    environment = os.environ | {"WSSHM_CACHE": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0.004", done.stderr
