"""The micro-benchmark's own straightforward way is right, and the command says what it measured."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import blending, calibration
from bench.micro import metrics as benchmark
from bench.micro import published as reference
from bench.micro.straightforward import measures
from wsshm.errors import UserError
from wsshm.metrics import CONVENTIONS


@pytest.mark.parametrize("kind", benchmark.MATTES)
def test_the_script_and_the_slow_reference_agree(kind: str) -> None:
    matte, label = (alpha.astype(np.float64) for alpha in benchmark.MATTES[kind](48))
    expected = reference.score(matte, label, None)["whole"]
    for published in (False, True):
        for name, value in measures(matte, label, published).items():
            assert value == pytest.approx(expected[name], rel=1e-9), name


def test_the_mattes_are_alphas_of_the_size_asked_for() -> None:
    for make in benchmark.MATTES.values():
        for alpha in make(64):
            assert alpha.shape == (64, 64)
            assert alpha.dtype == np.float32
            assert 0 <= alpha.min() < 0.1
            assert 0.9 < alpha.max() <= 1


def test_every_case_is_a_line_that_ends_in_its_ratio() -> None:
    options = [
        "--sizes",
        "64,96",
        "--kinds",
        "blob,noise",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--published",
    ]
    result = CliRunner().invoke(app, ["micro", "metrics", *options])
    assert result.exit_code == 0, result.output
    for kind in ("blob", "noise"):
        for size in (64, 96):
            lines = [line for line in result.output.splitlines() if re.match(rf" *{kind} +{size} ", line)]
            assert len(lines) == 2, "the table, and tensors on a device"
            assert all(re.search(r"\d\.\d x *$", line) for line in lines)
        assert re.search(rf"{kind} +of it components +\d", result.output)
    assert "All values agree" in result.output


def test_a_wrong_value_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "straightforward", lambda p, g: measures(p, g) | {"conn": 1e9})
    result = CliRunner().invoke(app, ["micro", "metrics", "--sizes", "64", "--kinds", "blob", "--rounds", "1"])
    assert result.exit_code == 1
    assert "DIFFER" in result.output


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--kinds", "hare"], "--kinds does not know 'hare'.*hair"),
        (["--sizes", "0"], "--sizes takes whole numbers above 0"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--sizes", "32", "--kinds", "blob", "--rounds", "1", "--device", "gpu9"], "there is no device 'gpu9' here"),
    ],
)
def test_mistakes_are_named(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "metrics", *options], catch_exceptions=False)


def test_calibration_holds_every_convention_to_the_published_code() -> None:
    result = CliRunner().invoke(app, ["micro", "calibration"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    for name, convention in CONVENTIONS.items():
        for measure in ("sad", "mse", "mad", "grad", "conn", "iou"):
            said = [line for line in lines if line[:3] == [name, convention.version, measure]]
            assert len(said) == (measure != "sad" or convention.reports_sad), (name, measure)
            assert all(float(line[4]) <= 1e-12 and line[5:] == ["ok"] for line in said)


def test_calibration_finds_thresholds_that_are_not_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [pair for pair in calibration.pairs() if pair.name.startswith(("at thresholds", "empty"))]
    monkeypatch.setattr(calibration, "pairs", lambda: made)
    monkeypatch.setitem(CONVENTIONS, "p3m", replace(CONVENTIONS["p3m"], steps=CONVENTIONS["dim"].steps))
    result = CliRunner().invoke(app, ["micro", "calibration"])
    assert result.exit_code == 1, result.output
    differing = [line.split()[:3] for line in result.output.splitlines() if "DIFFER" in line]
    assert differing == [["p3m", "p3m-2", "conn"]]


def test_calibration_pairs_are_twenty_of_8_bits() -> None:
    made = list(calibration.pairs())
    assert len({pair.name for pair in made}) == len(made) == 20
    for pair in made:
        for alpha in (pair.matte, pair.label):
            np.testing.assert_array_equal(alpha, np.rint(alpha * 255) / 255)
    assert sum((pair.matte == 153 / 255).sum() > 100 for pair in made) >= 5


def test_the_blend_is_the_same_by_all_three_ways() -> None:
    options = ["--sizes", "64,96", "--bands", "0.04,0.2", "--rounds", "1", "--backbone", "test_efficientnet"]
    result = CliRunner().invoke(app, ["micro", "blending", *options])
    assert result.exit_code == 0, result.output
    for size in (64, 96):
        for band in ("0.04", "0.2"):
            [line] = [line for line in result.output.splitlines() if re.match(rf" *{size} +{band} ", line)]
            assert re.search(r"\d% +\d+\.\d x *$", line)
    assert "All labels are equal, pixel by pixel." in result.output


def test_a_wrong_label_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blending, "_opencv", (blending._dilate_opencv, lambda values, size: values))
    options = ["--sizes", "64", "--bands", "0.04", "--rounds", "1", "--backbone", "test_efficientnet"]
    result = CliRunner().invoke(app, ["micro", "blending", *options])
    assert result.exit_code == 1
    assert "DIFFER" in result.output
