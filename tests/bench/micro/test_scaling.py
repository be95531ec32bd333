"""`bench micro scaling` trains the cases it says, refuses what the machine cannot hold, and its rates are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import scaling
from bench.micro.training import draw
from wsshm.config import parse
from wsshm.cores import usable_cores
from wsshm.errors import UserError
from wsshm.training.planning import resolved


def test_one_worker_serves_both_kinds() -> None:
    cases = [(case.workers, case.batch, len(case.kinds)) for case in scaling.cases_of([1, 2, 4], 16)]
    assert cases == [(1, 16, 2), (2, 16, 1), (2, 32, 1), (4, 16, 1), (4, 64, 1)]


def test_images_per_second() -> None:
    assert scaling.rate(16, [0.1, 0.2, 9.0]) == 80


@pytest.mark.slow
def test_plain_loops_at_once_each_take_their_share_of_the_batch(tmp_path: Path) -> None:
    document = {
        "data": draw(tmp_path / "data", 64),
        "model": {"backbone": "test_efficientnet", "weights": "none"},
        "method": {"name": "joint"},
        "train": {"steps": 150, "batch": 8, "precision": "fp32", "workers": 2},
    }
    steps = scaling.side_by_side(resolved(parse(document)), 2)
    assert len(steps) >= 2
    assert all(step > 0 for step in steps)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            ["--workers", f"1,{usable_cores() + 1}", "--batch", f"{2 * (usable_cores() + 1)}"],
            f"and this machine has {usable_cores()}",
        ),
        (["--workers", "1,3", "--batch", "16"], "--batch 16 must be a multiple of 3 workers"),
        (["--workers", "none"], "--workers takes whole numbers above 0"),
        (["--size", "100"], "multiple of 64"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "scaling", *options], catch_exceptions=False)


@pytest.mark.ray
@pytest.mark.bench
@pytest.mark.skipif(usable_cores() < 2, reason="needs two CPUs")
def test_every_case_is_a_line_that_ends_in_its_ratio(only_here: Path) -> None:
    options = ["--workers", "1,2", "--rounds", "1", "--steps", "150", "--size", "64", "--batch", "8"]
    result = CliRunner().invoke(app, ["micro", "scaling", *options], catch_exceptions=False)
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "same batch" in line and line.rstrip().endswith(" x")]
    found = [re.match(r" *same batch (in all|each) +(\d) +(\d+) +(\d+) .* (\d+\.\d) x *$", line) for line in lines]
    assert [match.groups()[:4] for match in found if match] == [
        ("in all", "1", "8", "8"),
        ("in all", "2", "8", "4"),
        ("each", "1", "8", "8"),
        ("each", "2", "16", "8"),
    ]
    assert not list(only_here.iterdir()), "nothing is left behind"
