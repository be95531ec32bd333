"""The four conventions against the slow reference, against SciPy and scikit-image, and by hand where they differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage
from skimage import measure as skimage_measure

from bench.micro import published as reference
from bench.store import SCHEMAS
from tests.wsshm.metrics.cases import CONVENTIONS, KINDS, VERSIONS, by_region, errors, pairs, person, predicted
from wsshm.metrics import CONVENTIONS as DESCRIBED
from wsshm.metrics import MEASURES, exact_levels, score
from wsshm.metrics.trimap import derive_trimap

Array = np.ndarray


def close_to(measure: str, value: float, pixels: int) -> object:
    """Equal to 1e-9 of the value, as far as float64 holds that many digits of it.

    Where a float32 matte meets the same label in float64, alphas and gradients differ by 1e-8. Rounding by 1e-16 then
    takes more than 1e-9 of the squares in Grad; Conn's differences of 1 - d keep an error of 1e-16 a pixel, in 1/1000.
    """
    relative = 1e-6 if measure == "grad" and value < 1e-12 else 1e-9
    return pytest.approx(value, rel=relative, abs=1e-18 * pixels if measure == "conn" else 1e-20)


def assert_like_the_reference(matte: Array, label: Array, trimap: Array | None, convention: str) -> None:
    if trimap is None:
        expected_trimap, radius = reference.derived_trimap(label)
        np.testing.assert_array_equal(derive_trimap(label, radius), expected_trimap)
    expected = reference.score(matte, label, trimap, convention)
    found = by_region(matte, label, trimap, convention)
    assert set(found) == set(expected)
    for region, values in expected.items():
        for measure, value in values.items():
            actual = getattr(found[region], measure)
            assert actual is None if value is None else actual == close_to(measure, value, label.size), (
                region,
                measure,
            )
        derived = trimap is None and region in ("unknown", "foreground", "background")
        assert found[region].unknown_px == (radius if derived else None)


@pytest.mark.parametrize("convention", CONVENTIONS)
@settings(max_examples=100, deadline=None)
@given(case=pairs())
def test_agrees_with_the_slow_reference(convention: str, case: tuple[Array, Array, Array | None]) -> None:
    assert_like_the_reference(*case, convention)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_person_agrees_with_the_slow_reference(convention: str, kind: type[np.floating]) -> None:
    label = person(300, 200).astype(kind)
    assert_like_the_reference(predicted(label).astype(kind), label, None, convention)


@pytest.mark.parametrize("size", [(127, 129), (128, 128), (129, 127), (1, 300), (300, 1), (257, 140)])
def test_larger_images_agree_with_the_slow_reference(size: tuple[int, int]) -> None:
    """Fast code works in tiles: noise shows every seam."""
    rng = np.random.default_rng(0)
    label = KINDS["bytes"](rng, *size)
    matte = (label + rng.normal(0, 0.2, size)).clip(0, 1)
    trimap = rng.choice(np.array([0, 128, 255], dtype=np.uint8), size)
    for convention in CONVENTIONS:
        assert_like_the_reference(matte, label, trimap, convention)


def test_p3m_agrees_with_scipy_and_scikit_image() -> None:
    label = person(300, 200)
    matte = predicted(label)
    down, across = (
        ndimage.gaussian_filter(np.stack([matte, label]), 1.4, order=o, axes=(1, 2)) for o in [(1, 0), (0, 1)]
    )
    p, g = np.hypot(down, across)
    thresholds, level = np.arange(0, 1.1, 0.1), np.ones_like(label, dtype=np.float32)
    for i in range(10, 0, -1):
        components = skimage_measure.label(np.minimum(matte, label) >= thresholds[i], connectivity=1)
        areas = np.bincount(components.ravel())
        areas[0] = 0  # the background is no component
        level[components != areas.argmax()] = thresholds[i - 1]
    (phi_p, phi_g) = (1 - (alpha - level) * (alpha - level >= 0.15) for alpha in (matte, label))
    scores = by_region(matte, label)["whole"]
    assert scores.grad == pytest.approx(((p - g) ** 2).sum() / 10, rel=1e-9)
    assert scores.conn == pytest.approx(np.abs(phi_p - phi_g).sum() / 1000, rel=1e-9)


@pytest.mark.parametrize("tenths", range(1, 9))
def test_thresholds_are_those_of_the_published_code(tenths: int) -> None:
    """Mattes equal to a threshold, against a label of 1: in p3m 3, 6 and 7 tenths lie below theirs, by an ulp.

    The label's distance from the level that both reach is counted whole, the matte's 0 or 0.1 not at all.
    """
    values = [tenths / 10]
    if tenths % 2 == 0:
        values += [float(np.uint8(51 * tenths // 2)) / 255, float(np.uint16(13107 * tenths // 2)) / 65535]
    below = (tenths - 1) / 10 if tenths in (3, 6, 7) else tenths / 10
    for value in values:
        matte, label = np.full((10, 10), value), np.ones((10, 10))
        found = {name: by_region(matte, label, None, name)["whole"].conn for name in CONVENTIONS}
        expected = dict.fromkeys(CONVENTIONS, 0.1 * (1 - tenths / 10)) | {"p3m": 0.1 * (1 - below)}
        assert found == pytest.approx(expected, rel=0, abs=1e-8)


def test_levels_are_kept_in_float32_in_p3m_alone() -> None:
    """0.25 lies 0.15 above the level 0.1, and is not tolerated; above 0.1 in float32 it is."""
    matte, label = np.full((10, 10), 0.1), np.full((10, 10), 0.25)
    found = {name: by_region(matte, label, None, name)["whole"].conn for name in CONVENTIONS}
    assert found == pytest.approx(dict.fromkeys(CONVENTIONS, 0.015) | {"p3m": 0.0})


def test_alphas_meet_thresholds_in_float32_in_rvm_alone() -> None:
    """A float64 just below 0.6 is 0.6 in float32; 0.7 in float32 is below 0.7 in float64."""
    label = np.ones((10, 10))
    for value in (np.full((10, 10), 0.6 - 1e-9), np.full((10, 10), 0.7, dtype=np.float32)):
        found = {name: by_region(value, label, None, name)["whole"].conn for name in CONVENTIONS}
        level = round(float(value[0, 0]), 1)
        expected = {name: 0.1 * (1 - level + (0.0 if name.startswith("rvm") else 0.1)) for name in CONVENTIONS}
        assert found == pytest.approx(expected, rel=0, abs=1e-8)


def test_levels_of_files_regain_what_float32_rounded_off() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(exact_levels(levels.astype(np.float32) / np.float32(255)), levels / 255)
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(exact_levels(deep.astype(np.float32) / np.float32(65535)), deep / 65535)
    for other in (np.array([[0.5, 0.25]], dtype=np.float32), levels / 255):
        assert exact_levels(other) is other


def whole_grad(matte: Array, label: Array) -> dict[str, float]:
    """Grad over the whole image in each convention."""
    return {name: errors(by_region(matte, label, None, name)["whole"])["grad"] for name in CONVENTIONS}


# 200 pixels, 0.45 predicted and 0.65 true; the trimap has 100 unknown, 60 foreground and 40 background ones. All
# are connected up to 0.4: the matte's distance 0.05 is tolerated, the label's 0.25 costs 0.25 a pixel.
Table = dict[str, dict[str, float | None]]
CONSTANT: Table = {
    "whole": {"sad": 0.04, "mse": 0.04, "mad": 0.2, "grad": 0, "conn": 0.05},
    "unknown": {"sad": 0.02, "mse": 0.04, "mad": 0.2, "grad": 0, "conn": 0.025},
    "boundary": {"sad": None, "mse": None, "mad": 0.2, "grad": None, "conn": None},
    "foreground": {"sad": 0.012, "mse": 0.04, "mad": 0.2, "grad": 0, "conn": 0.015},
    "background": {"sad": 0.008, "mse": 0.04, "mad": 0.2, "grad": 0, "conn": 0.01},
}
# p3m counts the known pixels as 1 and 0: 100 * 0.2 + 60 * 0.35 + 40 * 0.65 = 67 and 4 + 7.35 + 16.9 = 28.25, over 100
CONSTANT_P3M: Table = CONSTANT | {"unknown": CONSTANT["unknown"] | {"sad": 0.067, "mse": 0.2825, "mad": 0.67}}
CONSTANT_RVM: Table = {
    region: values | {"sad": None, "mse": values["mse"] and 40, "mad": 200} for region, values in CONSTANT.items()
}


@pytest.mark.parametrize(
    ("convention", "expected"),
    [("p3m", CONSTANT_P3M), ("dim", CONSTANT), ("rvm", CONSTANT_RVM), ("rvm-lr", CONSTANT_RVM)],
)
def test_constants(convention: str, expected: Table) -> None:
    trimap = np.full((10, 20), 128, dtype=np.uint8)
    trimap[:, 10:16], trimap[:, 16:] = 255, 0
    found = by_region(np.full((10, 20), 0.45), np.full((10, 20), 0.65), trimap, convention)
    for region, values in expected.items():
        for measure, value in values.items():
            actual = getattr(found[region], measure)
            # p3m keeps levels in float32
            assert actual is None if value is None else actual == pytest.approx(value, rel=1e-7, abs=1e-25), (
                region,
                measure,
            )


def test_gradient_of_an_edge_in_every_convention() -> None:
    """A Gaussian's 2-D derivative has an L2 norm of 1 / sqrt(8 pi sigma^4): with dim's normalisation and its / 1000 an
    edge scores 8 pi sigma^4 / 100 = 0.966 of what p3m's / 10 gives; the cut at 9 taps takes that down to 0.951."""
    edge = np.zeros((30, 40))
    edge[:, 20:] = 1
    nothing = np.zeros_like(edge)

    def by_hand(kernel: Array, scale: float) -> float:
        # the magnitude k columns from the edge is the sum of the kernel's columns that reach across it
        reaches = [kernel[:, k:].sum() for k in range(1, kernel.shape[1])]
        return float(30 * np.square(reaches).sum() / scale)

    found = whole_grad(edge, nothing)
    assert found["p3m"] == pytest.approx(by_hand(reference.p3m_kernel(), 10))
    assert found["dim"] == pytest.approx(by_hand(reference.dim_kernel(), 1000))
    assert found["rvm"] == found["rvm-lr"] == pytest.approx(found["dim"])
    assert found["dim"] == pytest.approx(0.951 * found["p3m"], rel=1e-3)
    # the ratio of the norms, with nearly all of the Gaussian kept
    assert (1 / np.linalg.norm(reference.p3m_kernel())) ** 2 / 100 == pytest.approx(0.966, rel=1e-3)


def test_borders_differ() -> None:
    # A ramp to the border: p3m mirrors it (slope 0 there), dim repeats its last value (half of the slope).
    ramp = np.tile(np.arange(41) / 40, (30, 1))
    trimap = np.zeros(ramp.shape, dtype=np.uint8)
    trimap[10:20, 0] = 128
    found = {c: by_region(ramp, np.zeros_like(ramp), trimap, c)["unknown"].grad for c in ("p3m", "dim")}
    for convention, kernel, scale in (("p3m", reference.p3m_kernel(), 10), ("dim", reference.dim_kernel(), 1000)):
        half = len(kernel) // 2
        steps = np.arange(-half, half + 1)
        values = np.where(steps < 0, -steps - 1 if convention == "p3m" else 0, steps) / 40
        assert found[convention] == pytest.approx(10 * (kernel.sum(axis=0) @ values) ** 2 / scale)


def test_only_low_resolution_rvm_and_dim_normalise_before_grad() -> None:
    label = person(60, 44)
    label = (label - label.min()) / (label.max() - label.min())
    faint = 0.25 + label / 2
    against_nothing, found = whole_grad(np.zeros_like(label), label), whole_grad(faint, label)
    assert found["dim"] == pytest.approx(0, abs=1e-20)
    assert found["rvm-lr"] == pytest.approx(0, abs=1e-20)
    # every magnitude is halved, so what is missing is a quarter of the square of the whole
    assert found["rvm"] == pytest.approx(against_nothing["rvm"] / 4)
    assert found["p3m"] == pytest.approx(against_nothing["p3m"] / 4)


@pytest.mark.parametrize("constant", [0.0, 0.3, 1.0])
def test_a_constant_matte_has_no_gradient_in_any_convention(constant: float) -> None:
    label = person(40, 30)
    label = (label - label.min()) / (label.max() - label.min())
    assert whole_grad(np.full_like(label, constant), label) == pytest.approx(whole_grad(np.zeros_like(label), label))


def test_the_two_rvm_protocols_differ_in_grad_only() -> None:
    label = person(60, 44) * 0.9
    high, low = (score(predicted(label), label, convention=convention) for convention in ("rvm", "rvm-lr"))
    for of_high, of_low in zip(high, low, strict=True):
        assert (of_high.metric_version, of_low.metric_version) == ("rvm-2", "rvm-lr-2")
        assert replace(of_high, grad=None, metric_version="") == replace(
            of_low, grad=None, metric_version="", convention=of_high.convention
        )
    assert high[0].grad != low[0].grad


def test_dim_and_rvm_measure_the_same_but_for_units_and_their_own_region() -> None:
    label = person(60, 44)
    dim, rvm = (by_region(predicted(label), label, None, convention) for convention in ("dim", "rvm-lr"))
    for region in reference.REGIONS:
        expected = errors(dim[region])
        expected.pop("sad", None)
        for measure in {"mse", "mad"} & set(expected):
            expected[measure] *= 1000
        assert errors(rvm[region]) == pytest.approx(expected, rel=1e-12)
    assert {name: described.own_region for name, described in DESCRIBED.items()} == {
        **{"p3m": "whole", "dim": "unknown", "rvm": "whole", "rvm-lr": "whole"}
    }


def test_stored_rows_are_unscaled() -> None:
    label = person(60, 44)
    rows = {
        convention: {scores.region: scores.as_row() for scores in score(predicted(label), label, convention=convention)}
        for convention in CONVENTIONS
    }
    for region in reference.REGIONS:
        for measure in ("mse", "mad"):
            plain = rows["dim"][region][measure]
            expected = None if plain is None else pytest.approx(plain)
            assert rows["rvm"][region][measure] == rows["rvm-lr"][region][measure] == expected
        assert rows["rvm"][region]["sad"] is None


def test_units_are_named() -> None:
    assert set(DESCRIBED) == set(CONVENTIONS)
    for name, described in DESCRIBED.items():
        assert described.name == name.removesuffix("-lr")  # the column `convention`; the version tells them apart
        assert described.version == VERSIONS[name]
        for measure in MEASURES:
            assert described.unit(measure)
    for measure in ("mse", "mad"):
        assert DESCRIBED["rvm"].unit(measure) != DESCRIBED["dim"].unit(measure)
    for measure in MEASURES:  # the store keeps p3m's units
        assert SCHEMAS["scores"].field(measure).metadata[b"unit"].decode() in ("", DESCRIBED["p3m"].unit(measure))
