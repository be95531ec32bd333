"""The micro-benchmark's own straightforward way is right, and the command says what it measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import metrics as benchmark
from bench.micro.straightforward import measures
from tests.reference import metrics as reference
from wsshm.errors import UserError


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
