"""Training from a disk, a bucket and packs is the same training, bit for bit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.object_store import bucket
from tests.wsshm import tiny
from wsshm.__main__ import main
from wsshm.config import RunConfig
from wsshm.data import fetching
from wsshm.data.gate import check_data
from wsshm.data.manifest import Manifest
from wsshm.data.packing import pack
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.files import node_cache
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.models.checkpoint import WEIGHTS
from wsshm.training.batches import StepDataset
from wsshm.training.run import TrainingFailed, train

SHARD = 40_000  # bytes: several a split
PARTS = ("mattes", "masks", "val", "test")
GONE = "s3://bucket/gone?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"
PLACES = ("disk", "bucket", "packs on a disk", "packs in a bucket")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The tiny data set's root in each of `PLACES`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("data")
    disk = tiny.make(folder / "disk")
    with bucket() as template:
        Location.of(template.format("plain")).upload(disk)
        for part in PARTS:
            manifest = Manifest.read(disk / f"{part}.parquet")
            for place in (str(folder / "packs"), template.format("packs")):
                pack(manifest, Location.of(place), part, SHARD)
        yield dict(
            zip(PLACES, (disk, template.format("plain"), folder / "packs", template.format("packs")), strict=True)
        )


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/cache:50MB")


def config_of(root: str, **train_options: object) -> RunConfig:
    config = tiny.config(Path("unused"), "joint", **train_options)
    return config.model_copy(update={"data": config.data.model_copy(update={"root": str(root)})})


def _fetched() -> None:
    """Wait for what is being fetched ahead."""
    fetching._pool().threads.shutdown(wait=True)
    fetching._pool.cache_clear()


def alike(one: Any, other: Any) -> bool:
    """Whether two samples hold the same, to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


@pytest.mark.parametrize("place", PLACES[1:])
def test_samples_are_the_same(roots: dict[str, str], place: str) -> None:
    made = []
    for root in (roots["disk"], roots[place]):
        config = config_of(root)
        sources = open_sources(config.data)
        (stage,) = stages_of(config)
        dataset = StepDataset(sources, stage, config)
        made.append([dataset[index] for index in range(8)])
    assert alike(*made)
    assert not alike(made[0][0], made[1][1])


@pytest.mark.parametrize("loaders", [0, 2])
def test_what_later_steps_need_is_fetched_ahead(
    roots: dict[str, str], monkeypatch: pytest.MonkeyPatch, loaders: int
) -> None:
    config = config_of(roots["bucket"], loader_workers=loaders, steps=6)
    (stage,) = stages_of(config)
    dataset = StepDataset(open_sources(config.data), stage, config)
    batch, stride = config.train.batch, max(1, loaders)
    dataset.__getitems__(list(range(batch)))
    _fetched()
    monkeypatch.setattr(Location, "read_bytes", lambda place: pytest.fail(f"{place} is fetched only now"))
    for step in range(0, min(6, 1 + 3 * stride), stride):
        _ = [dataset[step * batch + slot] for slot in range(batch)]


def test_a_run_is_the_same_run(roots: dict[str, str]) -> None:
    runs = {tiny.planned(config_of(root)).run_id for root in roots.values()}
    assert len(runs) == 1


def test_a_broken_picture_is_named_by_its_address(roots: dict[str, str], tmp_path: Path) -> None:
    place = Location.of(roots["bucket"]).joined("../broken")
    place.upload(Manifest.read(Path(roots["disk"]) / "masks.parquet").folder)
    (place / "photo/1.png").write_bytes(b"no picture")
    Manifest(place, [replace(s, sha256="") for s in Manifest.read(place / "masks.parquet").samples]).hashed().write(
        place / "masks.parquet"
    )
    config = config_of(str(place), steps=8)
    (stage,) = stages_of(config)
    dataset = StepDataset(open_sources(config.data), stage, config)
    with pytest.raises(UserError, match=r"broken/photo/1\.png\?\S+ ") as told:
        dataset.__getitems__(list(range(len(dataset))))
    assert str(tmp_path) not in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("loaders", [0, 2])
def test_weights_and_scores_are_the_same(
    roots: dict[str, str],
    tmp_path: Path,
    loaders: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.set_num_threads(1)
    weights, said = {}, {}
    for place, root in roots.items():
        if loaders and place not in ("disk", "packs in a bucket"):
            continue
        config = config_of(root, loader_workers=loaders)
        check_data(config.data, open_sources(config.data))
        run = tiny.planned(config)
        model = train(run, tmp_path / place, scratch=tmp_path / f"{place} scratch").model
        weights[place] = (model / WEIGHTS).read_bytes()
        test = Location.of(str(root)) / "test.parquet"
        monkeypatch.setattr("sys.argv", ["wsshm", "bench", "accuracy", str(model), "--data", str(test)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        said[place] = capsys.readouterr().out.replace(model.name, "MODEL")
    assert len(set(said.values())) == 1, said
    assert len(set(weights.values())) == 1, [place for place in weights if weights[place] != weights["disk"]]


@pytest.mark.slow
def test_a_bucket_that_goes_away_fails_the_run_which_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(fetching, "WAITS_S", (0.0,))
    disk = tiny.make(tmp_path / "disk")
    with bucket() as template:
        Location.of(template.format("plain")).upload(disk)
        config = config_of(template.format("plain"), steps=6)
        run = tiny.planned(config)
        read, reads = Location.read_bytes, []

        def failing(place: Location) -> bytes:
            reads.extend([place] if place.base else [])
            return read(Location.of(GONE) if place.base and len(reads) > 20 else place)

        with monkeypatch.context() as patched:
            patched.setattr(Location, "read_bytes", failing)
            patched.setattr("wsshm.files.filesystems.ATTEMPTS", 1)
            with pytest.raises(
                TrainingFailed, match=r"s3://bucket/gone\?.* does not answer; check the address"
            ) as failed:
                train(run, tmp_path / "stages", scratch=tmp_path / "scratch")
            _fetched()
        assert failed.value.mistake
        model = train(run, tmp_path / "stages", scratch=tmp_path / "scratch").model
        whole = train(tiny.planned(config_of(str(disk), steps=6)), tmp_path / "other", scratch=tmp_path / "s").model
        assert (model / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_a_missing_object_stops_the_run_before_it_begins(roots: dict[str, str], tmp_path: Path) -> None:
    plain = Location.of(roots["bucket"])
    masks = Manifest.read(plain / "masks.parquet")
    other = plain.joined("../lacking")
    masks.write(other / "masks.parquet")
    Manifest(other, masks.samples).write(other / "lacking.parquet")
    config = config_of(roots["bucket"])
    data = config.data.model_copy(update={"masks": str(other / "lacking.parquet")})
    with pytest.raises(UserError, match=r"lacking/photo/0\.png\?.* is missing, which the manifest lists for 'photo0'"):
        check_data(data, open_sources(data))
