"""`bench micro ray-overhead` trains in all its ways and prints a line for each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import ray_overhead
from bench.micro.training import Timing
from wsshm.errors import UserError


def test_an_epoch_costs_what_splitting_the_same_steps_adds() -> None:
    """Ten epochs took 1.8 s more than one: nine further ends at 0.2 s."""
    assert ray_overhead.per_epoch(Timing(0, [], 6.8), Timing(0, [], 5.0), 10) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--steps", "25", "--epochs", "10"], "--steps 25 must be a multiple of --epochs 10"),
        (["--epochs", "1"], "--epochs must be at least 2, not 1"),
        (["--backbone", "resnet35"], "no backbone 'resnet35'"),
    ],
)
def test_mistakes_are_named(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "ray-overhead", *options], catch_exceptions=False)


@pytest.mark.ray
@pytest.mark.bench
def test_every_way_is_a_line_that_ends_in_its_ratio(only_here: Path) -> None:
    options = ["--steps", "150", "--epochs", "3", "--rounds", "1"]
    result = CliRunner().invoke(app, ["micro", "ray-overhead", *options], catch_exceptions=False)
    assert result.exit_code == 0
    ways = (ray_overhead.PLAIN, ray_overhead.LOCAL, ray_overhead.FIRST, ray_overhead.LATER, ray_overhead.TRIAL)
    for way in ways:
        lines = [line for line in result.stdout.splitlines() if line.strip().startswith(way)]
        timed = [line for line in lines if re.search(r"\d\.\d x *$", line)]
        assert len(timed) >= 2, f"a step and the start of {way}"
    assert "an epoch's end" in result.stdout
    assert not list(only_here.iterdir()), "nothing is left behind"
