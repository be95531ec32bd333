"""`bench micro loading` makes pictures like photographs, times every step, and says whether the goal is met."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import float_loading, loading, photographs
from wsshm.data.check import check
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError

COST = loading.Cost(decode=70, read=3, cut=4, hand_over=1, device=9)


def lines(*options: str) -> list[str]:
    result = CliRunner().invoke(app, ["micro", "loading", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_every_case_is_a_line_that_ends_in_its_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_pictures_a_second", lambda config: 10.0 * config.train.loader_workers)
    said = lines("--sizes", "64,128", "--megapixels", "0.05", "--samples", "8")
    for size in (64, 128):
        for kind in ("photo", "composite"):
            [line] = [line for line in said if re.match(rf" *{size} +0.05 +{kind} ", line)]
            assert re.search(r"(\d+\.\d +){6}\d+\.\d x *$", line)
        [line] = [line for line in said if re.match(rf" *{size} +0.05 +10 ", line)]
        found = re.match(r" *\d+ +0.05 +10 +20 +40 +([\d.]+) +(\d+) +(\d+) +(\d+) +(\d+) +[\d.]+ x *$", line)
        assert found
        cpu_ms, *cores = map(float, found.groups())
        assert cores[:3] == [pytest.approx(rate * cpu_ms / 1000, abs=1.1) for rate in (500, 1000, 2000)]


def test_the_goal_is_for_512_px() -> None:
    half = loading.Cost(decode=0, read=0, cut=20, hand_over=0, device=0)
    told = list(loading.goal({(512, 1.5): [COST, COST], (512, 6): [COST, half], (192, 6): [COST]}))
    assert told == [
        "512 px, 1.5 megapixels: 8.0 ms beside decoding (goal: at most 8: met), decoding is 90% (goal: at least 70%: met)",
        "512 px, 6 megapixels: 14.0 ms beside decoding (goal: at most 8: not met), decoding is 71% (goal: at least 70%: met)",
    ]


def test_the_pictures_are_a_data_set_that_can_be_trained_on(tmp_path: Path) -> None:
    made = photographs.write(tmp_path, 0.05)
    assert 0.5 < made.bits < 6, "as photographs have; a flat picture has hundredths"
    for name in ("mattes", "masks"):
        assert not [fault for fault in check(Manifest.read(tmp_path / f"{name}.parquet")) if "cannot" in str(fault)]
    height, width = cv2.imread(str(tmp_path / "photo0.jpg")).shape[:2]
    assert width * height == pytest.approx(0.05e6, rel=0.02)


def test_the_float_order_makes_samples(tmp_path: Path) -> None:
    photographs.write(tmp_path, 0.05)
    for image, label in (
        float_loading.photo(tmp_path / "photo0.jpg", tmp_path / "mask0.png", 64),
        float_loading.composite(tmp_path / "cutout0.png", tmp_path / "background0.jpg", 64, np.random.default_rng(0)),
    ):
        assert (image.shape, label.shape) == ((3, 64, 64), (1, 64, 64))
        for maps in (image, label):
            assert 0 <= float(maps.min()) < float(maps.max()) <= 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--sizes", "100"], "--sizes takes multiples of 64 up to 4096, as data.size is, not 100"),
        (["--megapixels", "0.001"], "--megapixels takes numbers from 0.01 to 100"),
        (["--samples", "0"], "--samples must be at least 1, not 0"),
        (["--device", "gpu9"], "there is no device 'gpu9' here"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "loading", *options], catch_exceptions=False)


@pytest.mark.slow
def test_samples_arrive_from_loader_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "TIMED_S", 0.2)
    data = photographs.write(tmp_path, 0.05).data
    assert loading._pictures_a_second(loading._config(data, "joint", 64, 2)) > 0
