"""A teacher compared with masks: rows that equal slow sums, the band along a mask's edge, and what is known already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.disagreement import edge_trimap, held_against_masks, judged
from bench.store import Store
from sweeps.place import Place
from sweeps.trial import _judges, _measure, _unjudged
from tests.wsshm import tiny
from wsshm.config import Budget
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask, write_png
from wsshm.data.sources import budgeted, open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.models.checkpoint import load_model
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import Short
from wsshm.training.planning import plan_run
from wsshm.training.run import Trained, train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def trained(root: Path) -> Trained:
    return train(tiny.planned(tiny.config(root)), root / "out" / "stages")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0, 1))
def test_the_band_is_where_the_other_side_is_near(seed: int, radius: int, share: float) -> None:
    mask = (np.random.default_rng(seed).random((9, 12)) < share).astype(np.uint8)
    trimap = edge_trimap(mask, radius)
    for y, x in np.ndindex(mask.shape):
        others = np.argwhere(mask != mask[y, x])
        near = any(np.hypot(*(other - (y, x))) <= radius for other in others)
        assert trimap[y, x] == (128 if near else 255 * mask[y, x])


def test_rows_are_plain_sums_over_the_photo_and_the_band(root: Path, trained: Trained) -> None:
    photos = Manifest.read(root / "masks.parquet")
    teacher = trained.folders["teacher"].model()
    rows = held_against_masks(teacher, "0a1b", photos, "masks.parquet", device="cpu")
    assert len(rows) == 2 * len(photos)
    network, card = load_model(teacher)
    for sample in photos.samples:
        mask = read_mask(photos.path(sample, "mask")).astype(np.float64)
        image = read_image(photos.path(sample, "image"))
        error = np.abs(predict_matte(network, image, Short(card.size)).matte - mask)
        band = edge_trimap(mask.astype(np.uint8), 3) == 128  # 0.04 x 64 px
        assert band.any()
        assert not band.all()
        whole, edge = (row for row in rows if row["image"] == sample.id)
        assert (whole["region"], edge["region"], edge["unknown_px"]) == ("whole", "unknown", 3)
        for row, part in ((whole, error), (edge, error[band])):
            assert row["run_id"] == "teacher-0a1b"
            assert (row["dataset"], row["truth"], row["protocol"]) == ("masks.parquet", "mask", "short64")
            assert row["sad"] == pytest.approx(part.sum() / 1000)
            assert row["mad"] == pytest.approx(part.mean())
            assert row["mse"] == pytest.approx((part**2).mean())
            assert row["grad"] is None


def test_a_finished_run_holds_its_teacher_against_the_masks(root: Path, trained: Trained) -> None:
    place, run = Place(Location.of(root / "out")), tiny.planned(tiny.config(root))
    _, rows, _ = _measure(run, place)
    assert {row["run_id"] for row in rows} == {f"teacher-{run.named('teacher').address}"}
    assert {row["image"] for row in rows} == {f"photo{index}" for index in range(8)}


def test_a_teacher_is_held_against_each_photo_of_a_budget_once(root: Path, tmp_path: Path) -> None:
    place, sources = Place(Location.of(tmp_path)), open_sources(tiny.config(root).data)

    def budget(masks: int) -> set[str]:
        return {sample.id for sample in budgeted(sources.masks, masks, 0, "masks")}

    def left(masks: int, address: str = "0a1b") -> set[str]:
        config = tiny.config(root).model_copy(update={"budget": Budget(masks=masks)})
        return {sample.id for sample in _unjudged(plan_run(config), place, address).samples}

    assert left(3) == budget(3)
    shared = {"run_id": "teacher-0a1b", "protocol": "short64", "convention": "p3m", "metric_version": "p3m-1"}
    key = shared | {"dataset": "masks.parquet", "region": "whole"}
    place.store.write("scores", [key | {"image": image} for image in budget(3)])
    place.store.write("scores", [key | {"image": "photo0", "dataset": "other.parquet"}])
    assert left(3) == set()
    assert left(5) == budget(5) - budget(3)
    assert left(5, "ffff") == budget(5)


def test_only_what_teaches_masks_without_having_seen_any_is_held_against_them(root: Path) -> None:
    def judges(method: str) -> list[str]:
        return _judges(plan_run(tiny.config(root, method)))

    assert judges("mlb") == judges("mlb_masklabel") == ["teacher"]
    for method in ("matte_only", "seg_only", "joint", "matte_then_seg", "pseudo_label", "mean_teacher", "oracle"):
        assert judges(method) == []
    config = tiny.config(root, steps=8)
    rounds = config.method.model_copy(update={"blend": config.method.blend.model_copy(update={"refresh": 2})})
    assert _judges(plan_run(config.model_copy(update={"method": rounds}))) == ["teacher"]


def test_nothing_is_known_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert judged(Store(tmp_path / "none"), "0a1b", "masks.parquet") == set()
    folder = tmp_path / "store" / "scores"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert judged(Store(tmp_path / "store"), "0a1b", "masks.parquet") == set()
    (folder / f"{0:020d}-{0:032x}.parquet").write_bytes(b"half")
    assert judged(Store(tmp_path / "store"), "0a1b", "masks.parquet") == set()


def test_a_mask_of_another_size_is_named(trained: Trained, tmp_path: Path) -> None:
    photos = Manifest.read(tiny.make(tmp_path) / "masks.parquet")
    write_png(tmp_path / "photo" / "0_mask.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match=r"0_mask.png is 8x8 but its picture is 64x64"):
        held_against_masks(trained.folders["teacher"].model(), "0a1b", photos, "masks.parquet", device="cpu")
