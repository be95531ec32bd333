"""Labels compared with true mattes: plain sums, hand-worked labels, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from bench.cli import app
from bench.label_error import MASK, TEACHER, _beside_the_edge, blends, judged, label_errors
from tests.wsshm import tiny
from wsshm.blending import blend
from wsshm.config import BlendConfig
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask, read_matte
from wsshm.errors import UserError
from wsshm.models.checkpoint import load_model
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import Short
from wsshm.training.run import train

CHOICES = {"variant": ["gated"], "threshold": ["0.3"], "band": ["0.04"], "feather": ["0"], "veto": ["none"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def teacher(root: Path) -> Path:
    return train(tiny.planned(tiny.config(root)), root / "out" / "stages").folders["teacher"].model()


def test_rows_are_plain_means_over_pixels(root: Path, teacher: Path) -> None:
    photos, config = Manifest.read(root / "val.parquet"), BlendConfig(threshold=0.2, veto="none")
    rows = label_errors(teacher, photos, {"b": config}, device="cpu").set_index(["label", "image"])
    network, card = load_model(teacher)
    assert len(rows) == 3 * len(photos)
    for sample in photos.samples:
        truth = read_matte(photos.path(sample, "matte")).astype(np.float64)
        mask = read_mask(photos.path(sample, "mask")).astype(np.float32)
        said = predict_matte(network, read_image(photos.path(sample, "image")), Short(card.size))
        made = blend(*(torch.from_numpy(a)[None, None] for a in (mask, *said)), config)
        label, share = made.label[0, 0].numpy(), made.share[0, 0].numpy()
        for name, values in ((MASK, mask), (TEACHER, said.matte), ("b", label)):
            row = rows.loc[(name, sample.id)]
            assert row["sad"] == pytest.approx(np.abs(values - truth).sum() / 1000, rel=1e-5)
            assert row["mse"] == pytest.approx(((values - truth) ** 2).mean(), rel=1e-5)
        row = rows.loc[("b", sample.id)]
        assert row["share"] == pytest.approx(share.mean())
        if share.any():
            inside = share > 0
            assert row["taught_mad"] == pytest.approx(np.abs(said.matte - truth)[inside].mean(), rel=1e-4)
            assert row["kept_mad"] == pytest.approx(np.abs(mask - truth)[inside].mean(), rel=1e-4)


def test_what_labels_have_in_common_is_seen_beside_the_edge() -> None:
    """A half plane of 100 x 100 px: shifted outlines, blur, and an outline that errs to either side."""
    truth = torch.zeros(1, 1, 100, 100)
    truth[..., 50:] = 1

    def beside(label: torch.Tensor) -> tuple[float, float]:
        found = _beside_the_edge(label, truth)
        return found["outside"], found["inside"]

    def from_column(column: int) -> torch.Tensor:
        return (torch.arange(100) >= column).float().expand(1, 1, 100, 100)

    assert beside(truth) == (0, 0)
    assert beside(from_column(48)) == (1, 0)
    assert beside(from_column(52)) == (0, -1)
    blurred = truth.clone()
    blurred[..., 49], blurred[..., 50] = 0.25, 0.75
    assert beside(blurred) == (0.25, -0.25)
    ragged = torch.cat([from_column(column)[..., :rows, :] for column, rows in ((46, 30), (50, 40), (54, 30))], dim=2)
    assert (ragged - truth).abs().sum() > (blurred - truth).abs().sum()
    assert beside(ragged) == (0, 0)
    assert _beside_the_edge(truth, torch.ones_like(truth)) == {}


def test_larger_photos_are_judged_at_the_students_size(root: Path, teacher: Path) -> None:
    photos = Manifest.read(root / "val.parquet")
    small = label_errors(teacher, photos, {}, size=32, device="cpu")
    large = label_errors(teacher, photos, {}, device="cpu")
    of_masks = [rows.loc[rows["label"] == MASK, "sad"].mean() for rows in (small, large)]
    assert of_masks[0] < 0.5 * of_masks[1]  # a quarter of the pixels along half of the edge's length


def test_a_label_is_told_from_the_mask_by_its_photos() -> None:
    photos = [f"p{k}" for k in range(40)]
    rows = [
        {"label": name, "image": photo, "sad": sad + 0.2 * k, "mse": 0.01 * sad, "grad": 1.0}
        for name, sad in ((MASK, 1.0), (TEACHER, 2.0), ("worse", 1.1), ("better", 0.75))
        for k, photo in enumerate(photos)
    ]
    found = judged(pd.DataFrame(rows))
    assert [one.label for one in found] == ["better", MASK, "worse", TEACHER]
    better, mask = found[0], found[1]
    assert better.sad.high < 0
    assert better.sad.mean == pytest.approx(-0.25)
    assert better.means["sad"] == pytest.approx(0.75 + 0.2 * 19.5)
    assert (mask.sad.mean, mask.sad.low, mask.sad.high) == (0, 0, 0)


def test_blends_are_named_by_what_they_are_and_equal_ones_come_once() -> None:
    choices = CHOICES | {"variant": ["gated", "hard", "soft"], "band": ["0.02", "0.04"], "veto": ["none", "mask"]}
    found = blends(**choices)
    assert list(found) == [
        "gated, threshold 0.3, band 0.02",
        "gated, threshold 0.3, band 0.02, veto",
        "gated, threshold 0.3, band 0.04",
        "gated, threshold 0.3, band 0.04, veto",
        "hard, threshold 0.3",
        "hard, threshold 0.3, band 0.02, veto",
        "hard, threshold 0.3, band 0.04, veto",
        "soft",
        "soft, band 0.02, veto",
        "soft, band 0.04, veto",
    ]
    assert found["gated, threshold 0.3, band 0.02, veto"] == BlendConfig(threshold=0.3, band=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": ["gatd"]}, "the nearest valid choices are 'gated', 'hard'"),
        ({"threshold": ["2"]}, "threshold"),
        ({"veto": ["ignore"]}, "write mask"),
    ],
)
def test_impossible_blends_are_named(change: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        blends(**CHOICES | change)


def test_the_command_prints_labels_and_writes_rows(root: Path, teacher: Path, tmp_path: Path) -> None:
    words = ["label-error", str(teacher), "--data", str(root / "val.parquet"), "--device", "cpu"]
    blends_tried = ["--thresholds", "0.01,1", "--bands", "0.04,0.1", "--vetoes", "none", "--variants", "gated"]
    result = CliRunner().invoke(app, [*words, *blends_tried, "--out", str(tmp_path / "rows.parquet"), "--best", "2"])
    assert result.exit_code == 0, result.output
    lines = [line.split("  ")[0].strip() for line in result.output.splitlines()]
    assert lines.index(MASK) < lines.index(TEACHER)
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    assert sum(line in set(rows["label"]) for line in lines) == 4
    assert "2 take nothing from the teacher" in result.output.splitlines()[-1]  # no boundary is above 1
    assert not rows.loc[rows["label"].str.contains("threshold 1,"), "share"].any()
    mean = rows.loc[rows["label"] == MASK, "sad"].mean()
    assert f"{mean:.3f}" in next(line for line in result.output.splitlines() if line.strip().startswith(MASK))


def test_the_test_split_is_refused_and_so_are_photos_without_both_labels(root: Path, teacher: Path) -> None:
    words = ["label-error", str(teacher), "--data", str(root / "test.parquet")]
    assert "does not know 'test'" in str(CliRunner().invoke(app, [*words, "--split", "test"]).exception)
    result = CliRunner().invoke(app, words)
    assert "no photo has both a mask and a true matte" in str(result.exception)
