"""The error measures: hand-worked cases, and the slow reference on random mattes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.store import SCHEMAS
from tests.reference import metrics as reference
from wsshm.errors import UserError
from wsshm.metrics import CONVENTION, MEASURES, METRIC_VERSION, RegionScores, score
from wsshm.metrics.trimap import derive_trimap, unknown_radius

Array = np.ndarray


def by_region(matte: Array, label: Array, trimap: Array | None = None) -> dict[str, RegionScores]:
    return {scores.region: scores for scores in score(matte, label, trimap)}


def whole(matte: Array, label: Array) -> RegionScores:
    return by_region(matte, label)["whole"]


def test_a_perfect_prediction_has_no_error() -> None:
    label = np.random.default_rng(0).random((20, 30))
    assert asdict(whole(label, label)) == {
        **{"region": "whole", "unknown_px": None, "iou": 1.0},
        **dict.fromkeys(("sad", "mse", "mad", "grad", "conn"), 0.0),
    }


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
    without[2, 2] = 0.2
    # touching corners do not connect: at (2, 2) both stand at level 0, with distances 1 and 0.2
    assert whole(without, diagonal).conn == pytest.approx(0.8 / 1000)


def test_of_equal_components_the_first_in_reading_order_is_the_source() -> None:
    label = np.array([[0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
    matte = label * 0.85
    # right column: connected up to 0.8, so d = 0.05 (tolerated) and 0.2; left column: level 0, d = 0.85 and 1
    assert whole(matte, label).conn == pytest.approx((2 * 0.2 + 2 * 0.15) / 1000)


@pytest.mark.parametrize(
    ("predicted", "true", "conn"), [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.3, 0.5, 0.2)]
)
def test_one_pixel(predicted: float, true: float, conn: float) -> None:
    scores = whole(np.array([[predicted]]), np.array([[true]]))
    assert scores.sad == pytest.approx(abs(predicted - true) / 1000)
    assert scores.grad == 0
    assert scores.conn == pytest.approx(conn / 1000)


def test_gradient_of_a_ramp() -> None:
    ramp = np.tile(np.arange(64) / 64, (40, 1))
    # far from the border a Gaussian derivative gives a ramp's slope (less what truncation loses)
    label = np.zeros_like(ramp)
    trimap = np.zeros(ramp.shape, dtype=np.uint8)
    trimap[10, 32] = 128
    scores = by_region(ramp, label, trimap)["unknown"]
    assert scores.grad == pytest.approx((1 / 64) ** 2 / 10, rel=1e-2)


def test_thresholds_are_compared_in_float64() -> None:
    # as float32, 0.7 lies below 0.7: the matte is connected up to 0.6 only
    matte = np.full((3, 3), 0.7, dtype=np.float32)
    label = np.ones((3, 3))
    assert whole(matte, label).conn == pytest.approx(9 * 0.4 / 1000)
    assert whole(matte.astype(np.float64).round(6), label).conn == pytest.approx(9 * 0.3 / 1000)


def test_rounding_beyond_the_range_is_clipped() -> None:
    matte = np.array([[1 + 1e-9, -1e-9]])
    assert whole(matte, np.array([[1.0, 0.0]])).sad == 0


def test_unknown_region_follows_p3m() -> None:
    label = np.array([[0.0, 0.02, 0.5, 0.9, 1.0, 0.98]])
    matte = np.array([[1.0, 1.0, 0.4, 0.5, 0.0, 0.0]])
    trimap = np.array([[0, 0, 128, 128, 255, 255]], dtype=np.uint8)
    scores = by_region(matte, label, trimap)["unknown"]
    # known pixels count as 0 and 1 whatever was predicted: 0.02 + 0.1 + 0.4 + 0.02
    assert scores.sad == pytest.approx(0.54 / 1000)
    assert scores.mad == pytest.approx(0.54 / 2)
    assert scores.mse == pytest.approx((0.02**2 + 0.1**2 + 0.4**2 + 0.02**2) / 2)
    assert scores.unknown_px is None
    assert by_region(matte, label)["boundary"].mad == pytest.approx((0.1 + 0.4) / 2)


def test_nothing_unknown_leaves_means_absent() -> None:
    scores = by_region(np.full((5, 5), 0.3), np.zeros((5, 5)))
    assert asdict(scores["unknown"]) == {
        **{"region": "unknown", "unknown_px": 1, "sad": 0.0, "mse": None, "mad": None},
        **{"grad": 0.0, "conn": 0.0, "iou": None},
    }
    assert scores["boundary"].mad is None
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


@pytest.mark.parametrize("radius", [1, 2, 3, 7, 20])
def test_the_dilating_ellipse_is_the_documented_one(radius: int) -> None:
    size = 2 * radius + 3
    label = np.zeros((size, size))
    label[radius + 1, radius + 1] = 0.5
    widths = (derive_trimap(label, radius) == 128).sum(axis=1)
    rows = np.arange(-radius - 1, radius + 2)
    halves = np.rint(radius * np.sqrt(np.clip(1 - (rows / radius) ** 2, 0, None)))
    assert widths.tolist() == np.where(abs(rows) <= radius, 2 * halves + 1, 0).astype(int).tolist()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, Array, Array | None]:
    """A matte, a label and perhaps a trimap: blobs, few levels (ties and thresholds), 8-bit values, or plain noise."""
    height, width = draw(st.integers(1, 32)), draw(st.integers(1, 32))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def alpha() -> Array:
        kind = draw(st.sampled_from(["noise", "tenths", "twentieths", "eighths", "bytes", "blobs", "zero", "one"]))
        noise = rng.random((height, width))
        if kind == "blobs":
            coarse = rng.random((height // 6 + 1, width // 6 + 1)) > 0.5
            blocks = np.kron(coarse, np.ones((6, 6)))[:height, :width]
            return np.clip(blocks + (noise - 0.5) * draw(st.sampled_from([0.0, 0.2, 0.6])), 0, 1)
        steps = {"tenths": 10, "twentieths": 20, "eighths": 8, "bytes": 255}
        if kind in steps:
            return np.round(noise * steps[kind]) / steps[kind]
        return {"noise": noise, "zero": np.zeros_like(noise), "one": np.ones_like(noise)}[kind]

    label = alpha()
    matte = alpha() if draw(st.booleans()) else np.clip(label + rng.normal(0, 0.1, label.shape), 0, 1)
    if draw(st.booleans()):
        matte = matte.astype(np.float32)
    trimap = rng.choice(np.array([0, 128, 255], dtype=np.uint8), label.shape) if draw(st.booleans()) else None
    return matte, label, trimap


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_agrees_with_the_slow_reference(case: tuple[Array, Array, Array | None]) -> None:
    matte, label, trimap = case
    expected = reference.score(matte.astype(np.float64), label, trimap)
    for region, scores in by_region(matte, label, trimap).items():
        for measure, value in expected[region].items():
            found = getattr(scores, measure)
            assert found is None if value is None else found == pytest.approx(value, rel=1e-9, abs=1e-12), (
                region,
                measure,
            )
    if trimap is None:
        slow, radius = reference.derived_trimap(label)
        np.testing.assert_array_equal(derive_trimap(label, radius), slow)
        assert by_region(matte, label)["unknown"].unknown_px == radius


def test_rows_fit_the_store() -> None:
    for scores in score(np.zeros((4, 4)), np.ones((4, 4))):
        row = scores.as_row()
        assert set(row) <= set(SCHEMAS["scores"].names)
        assert row["convention"] == CONVENTION
        assert row["metric_version"] == METRIC_VERSION
    assert set(MEASURES) <= set(SCHEMAS["scores"].names)
    assert [name for name, measure in MEASURES.items() if measure.higher_is_better] == ["iou"]
    for name, measure in MEASURES.items():
        stored = SCHEMAS["scores"].field(name).metadata[b"unit"].decode()
        assert stored in ("", measure.unit)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"matte": np.full((4, 5), 1.01)}, r"matte holds values from 1\.01 to 1\.01"),
        ({"label": np.full((4, 5), np.nan)}, "label holds values from nan"),
        ({"matte": np.full((4, 5), 255, dtype=np.uint8)}, r"8-bit values / 255"),
        ({"matte": np.zeros((5, 4))}, "matte is 5 x 4 but its label is 4 x 5"),
        ({"matte": np.zeros((4, 5, 1))}, "height x width"),
        ({"matte": np.zeros((0, 5))}, "height x width"),
        ({"trimap": np.zeros((5, 4), dtype=np.uint8)}, "trimap is 5 x 4"),
        ({"trimap": np.full((4, 5), 127, dtype=np.uint8)}, "trimap holds the value 127"),
    ],
)
def test_faulty_input_is_named(changed: dict[str, Any], named: str) -> None:
    given: dict[str, Any] = {"matte": np.zeros((4, 5)), "label": np.ones((4, 5)), "trimap": None}
    with pytest.raises(UserError, match=named):
        score(**given | changed)
