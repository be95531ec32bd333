"""What `wsshm data stats` measures, on pictures whose values are known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.wsshm.data.test_cli import wsshm
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import write_png
from wsshm.data.stats import Spread, boundary_error, by_split, grade_sentences, measure
from wsshm.metrics import score_mask

__all__ = ["wsshm"]  # a fixture
COLUMNS = np.arange(40)[None] * np.ones((20, 1))
MATTE = np.select([COLUMNS < 10, COLUMNS < 14], [255, 102], 0).astype(np.uint8)  # 10 columns of 1, 4 of 0.4
MASK = np.where(COLUMNS < 8, 255, 0).astype(np.uint8)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Photos: a and b with matte and mask, c with a mask; a is for training, the others for tests."""
    for name in "abc":
        write_png(tmp_path / "images" / f"{name}.png", np.full((20, 40, 3), ord(name), np.uint8))
    for name in "abc":
        write_png(tmp_path / "masks" / f"{name}.png", MASK)
    for name in "ab":
        write_png(tmp_path / "mattes" / f"{name}.png", MATTE)
    (tmp_path / f"{tmp_path.name}.csv").write_text("id,split\na,train\nb,test\nc,test\n")
    return Path(import_layout("pairs", tmp_path).write(tmp_path / "m.parquet"))


def test_every_sample_is_measured(manifest: Path) -> None:
    a, b, c = measure(Manifest.read(manifest))
    assert (a.width, a.height, a.megapixels, a.split) == (40, 20, 0.0008, "train")
    assert a.person == pytest.approx((10 + 4 * 0.4) / 40)
    assert a.soft == pytest.approx(4 / 14)
    assert a.mask_iou == pytest.approx(8 / 10)
    assert a.mask_boundary_f == score_mask(MASK / 255, MATTE / 255).boundary_f
    assert (b.person, b.mask_iou) == (a.person, a.mask_iou)
    assert (c.person, c.soft, c.mask_iou, c.mask_boundary_f) == (8 / 40, None, None, None)


def test_boundary_errors_are_mean_distances_between_outlines() -> None:
    """A rectangle and one whose right side lies 2 px further left, against plain loops over their outlines' pixels."""

    def rectangle(right: int) -> np.ndarray:
        mask = np.zeros((40, 60))
        mask[10:30, 5:right] = 1
        return mask

    assert boundary_error(rectangle(45), rectangle(45)) == 0
    a, b = rectangle(45), rectangle(43)
    outlines = [
        {(y, x) for y in range(10, 30) for x in range(5, right) if y in (10, 29) or x in (5, right - 1)}
        for right in (45, 43)
    ]
    apart = [
        np.mean([min(np.hypot(y - v, x - u) for v, u in theirs) for y, x in ours])
        for ours, theirs in (outlines, outlines[::-1])
    ]
    assert boundary_error(a, b) == pytest.approx(1000 * np.mean(apart) / 40, rel=1e-3)
    assert boundary_error(a, b) == boundary_error(b, a)
    assert boundary_error(np.kron(a, np.ones((3, 3))), np.kron(b, np.ones((3, 3)))) == pytest.approx(
        boundary_error(a, b), rel=0.15
    )
    assert boundary_error(np.zeros((40, 60)), a) is None
    assert boundary_error(np.ones((40, 60)), a) is None  # no outline but the picture's edge


def test_masks_are_said_to_be_like_a_grade(wsshm, manifest: Path, tmp_path: Path) -> None:
    _, out, _ = wsshm("data", "stats", manifest)
    assert "2 masks with mattes, of unstated grade (they count as polygon): mean IoU 0.800" in out
    assert "; most like polygon (outside of its 0.83 to 0.87)" in out
    (far, band) = re.findall(
        r"boundary error (\S+) thousandths .* \(a blend as wide: method\.blend\.band=(\S+)\)", out
    )[0]
    assert float(band) == pytest.approx(float(far) / 1000, abs=6e-5)
    assert "gained nothing from a blend" not in out
    read = Manifest.read(manifest)
    a, b, c = read.samples
    stated = [replace(a, attributes={"mask_grade": "expert"}), b, c]
    Manifest(read.root, stated).write(tmp_path / "stated.parquet")
    _, out, _ = wsshm("data", "stats", tmp_path / "stated.parquet")
    assert "1 mask with mattes, stated to be expert: mean IoU 0.800" in out
    assert "1 mask with mattes, of unstated grade" in out


def test_distributions() -> None:
    values = list(np.random.default_rng(0).uniform(0, 1, 101))
    spread = Spread.of([*values, None])
    assert spread == Spread(101, pytest.approx(np.mean(values)), *np.quantile(values, (0.05, 0.5, 0.95)))
    assert Spread.of([None, None]) is None


def test_splits_and_all_of_them(manifest: Path) -> None:
    measured = measure(Manifest.read(manifest))
    groups = by_split(measured)
    assert [(name, len(group)) for name, group in groups.items()] == [("train", 1), ("test", 2), ("all", 3)]
    assert list(by_split(groups["train"])) == ["train"]


def test_the_command_prints_and_writes(wsshm, manifest: Path, tmp_path: Path) -> None:
    table = tmp_path / "s.parquet"
    code, out, _ = wsshm("data", "stats", manifest, "--out", table)
    assert code == 0
    assert "29.0 (29.0 to 29.0)" in out  # people of the only training sample
    assert "28.6 (28.6 to 28.6), of 1" in out  # soft, of one in two test samples
    stored = pq.read_table(table)
    assert stored.column("mask_iou").to_pylist() == [0.8, 0.8, None]
    assert stored.schema.metadata[b"fingerprint"].decode() == Manifest.read(manifest).fingerprint
    assert json.loads(stored.schema.metadata[b"units"])["width"] == "px"
    wsshm("data", "stats", manifest, "--out", tmp_path / "s.csv")
    assert list(pd.read_csv(tmp_path / "s.csv")["id"]) == list("abc")


def test_what_cannot_be_read_is_left_out_and_told(wsshm, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "mattes" / "a.png").write_bytes(b"")
    code, out, _ = wsshm("data", "stats", manifest)
    assert code == 0
    assert f"1 of 3 samples could not be read, the first: {tmp_path / 'mattes' / 'a.png'} is not a readable" in out
    assert f"`wsshm data check {manifest}` lists them" in out
    code, _, err = wsshm("data", "stats", manifest, "--figure", "s.jpg")
    assert (code, err) == (2, "error: --figure s.jpg does not say what to write; end it in .png\n")


@pytest.mark.slow
def test_the_figure_has_a_panel_for_each_quantity(wsshm, manifest: Path, tmp_path: Path) -> None:
    code, out, _ = wsshm("data", "stats", manifest, "--figure", tmp_path / "s.png")
    assert (code, out.splitlines()[-1]) == (0, str(tmp_path / "s.png"))
    with Image.open(tmp_path / "s.png") as drawn:
        assert drawn.width > 4 * drawn.height


@pytest.mark.parametrize(("far", "nothing"), [(2.4, True), (3.0, True), (3.1, False), (19.0, False)])
def test_nearly_exact_masks_are_said_to_gain_nothing_from_a_blend(far: float, nothing: bool) -> None:
    mask: Any = SimpleNamespace(mask_grade=None, mask_iou=0.97, mask_boundary_error=far)
    [said] = grade_sentences([mask])
    assert f"method.blend.band={far / 1000:.4f}" in said
    assert ("gained nothing from a blend: compare joint and seg_only first" in said) == nothing
