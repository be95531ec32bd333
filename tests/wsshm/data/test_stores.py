"""Manifests whose files lie on an object store, packed or not: the same pictures as on a disk, or one clear sentence."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.object_store import bucket
from tests.wsshm.data.small_sets import small_set
from wsshm.config import DataConfig
from wsshm.data import fetching
from wsshm.data.check import check
from wsshm.data.gate import check_data
from wsshm.data.manifest import Manifest
from wsshm.data.packing import pack
from wsshm.data.sources import open_manifest, open_sources
from wsshm.data.stats import measure
from wsshm.errors import UserError
from wsshm.files import node_cache
from wsshm.files.filesystems import RemoteError
from wsshm.files.location import Location

IDS = [f"photo {number}" for number in range(12)]


@pytest.fixture(scope="module")
def template() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with bucket() as template:
        yield template


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return small_set(tmp_path_factory.mktemp("stores") / "set", IDS)


@pytest.fixture(scope="module")
def root(template: str, local: Manifest) -> Location:
    """The set in the bucket, with its manifest, and packed beside it."""
    place = Location.of(template.format("sets"))
    place.upload(local.folder)
    Manifest(place, local.samples).write(place / "set.parquet")
    pack(local, Location.of(template.format("packed")), "set", 10_000)
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/cache:10MB")
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(fetching, "WAITS_S", (0.01,))
    monkeypatch.setattr(fetching, "_silent_since", {})
    return tmp_path / "cache"


def contents(manifest: Manifest) -> dict[tuple[str, str], bytes]:
    return {(s.id, column): manifest.path(s, column).read_bytes() for s in manifest.samples for column in s.files}


def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are read from now on."""
    read: list[str] = []
    for name in ("read_bytes", "read_range", "opened"):
        whole = getattr(Location, name)

        def counted(self: Location, *arguments: int, whole=whole):
            read.append(self.path)
            return whole(self, *arguments)

        monkeypatch.setattr(Location, name, counted)
    return read


def test_a_manifest_in_a_bucket_gives_the_pictures_of_the_disk(root: Location, local: Manifest) -> None:
    remote = Manifest.read(str(root / "set.parquet"))
    assert remote.root == root
    assert remote.fingerprint == local.fingerprint
    assert contents(remote) == contents(local)
    with pytest.raises(UserError, match="this command needs them on a disk"):
        _ = remote.folder


def test_a_sample_is_fetched_once(root: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Manifest.read(root / "set.parquet")
    read = requests(monkeypatch)
    contents(remote)
    files = {f"{root.path}/{file}" for sample in remote.samples for file in sample.files.values()}
    assert sorted(read) == sorted(files)
    contents(remote)
    node_cache._opened.cache_clear()  # as another process of the machine
    contents(remote)
    assert len(read) == len(files)


def test_roots_are_stored_as_they_can_be_found_again(root: Location, local: Manifest, tmp_path: Path) -> None:
    Manifest(root, local.samples).write(tmp_path / "here.parquet")
    here = Manifest.read(tmp_path / "here.parquet")
    assert here.root == root
    assert contents(here) == contents(local)
    (root / "below").joined("m.parquet")
    Manifest(root, local.samples).write(root / "below/m.parquet")
    assert Manifest.read(root / "below/m.parquet").root == root
    local.write(root / "local.parquet")
    assert Manifest.read(root / "local.parquet").root == local.folder.resolve()
    (root / "local.parquet").delete()


def test_a_stored_root_holds_no_secret(root: Location, local: Manifest, tmp_path: Path) -> None:
    with_keys = Location.of(str(root).replace("s3://", "s3://test:sEcReT@"))
    Manifest(with_keys, local.samples).write(tmp_path / "here.parquet")
    assert b"sEcReT" not in (tmp_path / "here.parquet").read_bytes()
    assert Manifest.read(tmp_path / "here.parquet").root == root


@pytest.mark.parametrize("form", ["root", "address", "packed"])
def test_a_configuration_names_addresses(template: str, root: Location, local: Manifest, form: str) -> None:
    address = {"root": "set.parquet", "address": template.format("sets/set.parquet"), "packed": "set.parquet"}[form]
    config = DataConfig(
        root=None if form == "address" else template.format("sets" if form == "root" else "packed"),
        **dict.fromkeys(("mattes", "masks", "val"), address),  # type: ignore[arg-type]
        test=(address,),
        size=64,
    )
    sources = open_sources(config)
    assert open_manifest(address, config) is open_manifest(address, config)
    assert sources.masks.fingerprint == local.where(lambda s: s.split == "train" and s.mask is not None).fingerprint
    check_data(config, sources)  # without an earlier check no picture is fetched


@pytest.mark.parametrize("address", ["sets/set.parquet", "packed/set.parquet"])
def test_a_check_of_an_address_finds_what_that_of_the_disk_does(
    template: str, root: Location, local: Manifest, address: str
) -> None:
    remote = Manifest.read(template.format(address))
    found = check(remote)
    assert [(each.id, each.kind, each.problem) for each in found] == [
        (each.id, each.kind, each.problem) for each in check(local)
    ]
    assert "empty" in {each.kind for each in found}
    place = str(template.format(address))
    config = DataConfig(mattes=place, masks=place, val=place, test=(place,), size=64)
    with pytest.raises(UserError, match=r"s3://.*: 0 everywhere \(the first of .* errors\)"):
        check_data(config, open_sources(config))  # it is known from the check


def test_a_check_of_an_address_names_what_was_changed_or_is_gone(
    template: str, root: Location, local: Manifest
) -> None:
    place = Location.of(template.format("changed"))
    place.upload(local.folder)
    (place / "images/1.jpg").write_bytes((root / "images/2.jpg").read_bytes())
    (place / "masks/4.png").delete()
    found = [each for each in check(Manifest(place, local.samples)) if each.kind in ("changed", "missing")]
    assert [(each.id, each.kind) for each in found] == [("photo 1", "changed"), ("photo 4", "missing")]
    assert "changed/masks/4.png" in found[1].problem
    (place / "images/1.jpg").write_bytes((root / "images/1.jpg").read_bytes())
    (place / "masks/4.png").write_bytes((root / "masks/4.png").read_bytes())
    mended = check(Manifest(place, local.samples), remembered=True)
    assert not [each for each in mended if each.kind in ("changed", "missing")]


def test_a_cache_that_is_too_small_is_no_fault_of_the_data(root: Location, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/cache:100B")
    with pytest.raises(UserError, match=r"the cache .* may hold 100 bytes and one sample has"):
        check(Manifest.read(root / "set.parquet"))


@pytest.mark.parametrize("look_at", [check, measure])
def test_a_store_that_goes_away_is_no_fault_of_the_data(
    root: Location, local: Manifest, monkeypatch: pytest.MonkeyPatch, look_at: Callable[[Manifest], object]
) -> None:
    remote = Manifest.read(root / "set.parquet")

    def away(place: Location) -> bytes:
        raise RemoteError.about(str(place), "does not answer", passing=True)

    monkeypatch.setattr(Location, "read_bytes", away)
    with pytest.raises(RemoteError, match="does not answer"):
        look_at(remote)
    monkeypatch.undo()
    assert not [each for each in check(remote, remembered=True) if each.kind == "missing"]


def test_a_pack_that_fits_the_cache_is_read_shard_by_shard(
    template: str, root: Location, local: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = Manifest.read(template.format("packed/set.parquet"))
    read = requests(monkeypatch)
    assert contents(packed) == contents(local)
    assert sorted(read) == sorted(f"{Location.of(packed.root).path}/{shard}" for shard in packed.shards)
    assert len(read) > 3


def test_a_pack_that_does_not_is_read_sample_by_sample(
    template: str, root: Location, local: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = Manifest.read(template.format("packed/set.parquet"))
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/small:{packed.packed_bytes}B")
    read = requests(monkeypatch)
    assert contents(packed) == contents(local)
    assert len(read) == len(packed)


def test_samples_read_ahead_are_there_when_they_are_asked_for(
    root: Location, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    remote = Manifest.read(root / "set.parquet")
    remote.prefetch(remote.samples)
    fetching._pool().threads.shutdown(wait=True)
    fetching._pool.cache_clear()
    read = requests(monkeypatch)
    contents(remote)
    assert read == []


def test_equal_files_with_other_endings_are_found_under_both(root: Location, template: str, local: Manifest) -> None:
    place = Location.of(template.format("endings"))
    (place / "images/0.jpeg").write_bytes((root / "images/0.jpg").read_bytes())
    (place / "mattes/0.png").write_bytes((root / "mattes/0.PNG").read_bytes())
    sample = local.samples[0]
    twin = Manifest(place, [replace(sample, image="images/0.jpeg", matte="mattes/0.png")])
    remote = Manifest.read(root / "set.parquet")
    for _ in range(2):
        for manifest in (remote, twin):
            one = manifest.samples[0]
            assert manifest.path(one, "image").read_bytes() == local.path(sample, "image").read_bytes()


def test_a_cache_that_holds_a_part_still_gives_all(
    root: Location, local: Manifest, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/tiny:6kB")
    monkeypatch.setattr(node_cache, "IN_USE_S", -1.0)
    monkeypatch.setattr(node_cache, "TOUCH_S", -1.0)
    remote = Manifest.read(root / "set.parquet")
    assert contents(remote) == contents(local) == contents(remote)
    assert sum(file.stat().st_size for file in (tmp_path / "tiny").glob("??/*/*")) <= 6000


class TestFaults:
    """Each is one sentence that names the address."""

    @pytest.fixture
    def place(self, template: str, local: Manifest) -> Location:
        place = Location.of(template.format(f"faulty-{os.urandom(4).hex()}"))
        place.upload(local.folder)
        Manifest(place, local.samples).write(place / "set.parquet")
        return place

    def test_an_object_changed_since_import(self, place: Location) -> None:
        remote = Manifest.read(place / "set.parquet")
        (place / "images/3.jpg").write_bytes(b"other")
        with pytest.raises(UserError, match=r"images/.*'photo 3' has were changed since import; import the data again"):
            remote.path(remote.samples[3], "matte")
        other = remote.samples[4]
        assert remote.path(other, "image").is_file()

    def test_a_missing_object(self, place: Location) -> None:
        remote = Manifest.read(place / "set.parquet")
        (place / "mattes/3.PNG").delete()
        message = r"mattes/3\.PNG\?.* is missing, which the manifest lists for 'photo 3'; put it back"
        with pytest.raises(UserError, match=message):
            remote.path(remote.samples[3], "image")
        with pytest.raises(UserError, match=message):
            remote.check_present()

    def test_a_missing_manifest_and_one_of_another_kind(self, place: Location) -> None:
        with pytest.raises(UserError, match=r"there is no manifest at s3://.*none\.parquet"):
            Manifest.read(place / "none.parquet")
        with pytest.raises(UserError, match="it is not a Parquet file"):
            Manifest.read(place / "images/0.jpg")

    def test_a_bucket_that_does_not_exist(self, template: str) -> None:
        address = template.format("x/m.parquet").replace("s3://b", "s3://none")
        with pytest.raises(UserError, match=r"is in a bucket that does not exist|there is no manifest at"):
            Manifest.read(address)

    def test_a_path_that_leaves_the_bucket(self, template: str) -> None:
        with pytest.raises(UserError, match="is not in the bucket of"):
            open_manifest("../../../x.parquet", DataConfig(root=template.format("sets")))

    def test_a_broken_picture_is_named_by_its_address(self, place: Location, local: Manifest) -> None:
        (place / "images/0.jpg").write_bytes(b"no picture")
        broken = Manifest(place, [s if s.id != "photo 0" else type(s)("photo 0", "train", "photo", image="images/0.jpg")
                                  for s in local.samples]).hashed()  # fmt: skip
        from wsshm.data.pictures import read_image

        sample = broken.samples[0]
        with pytest.raises(UserError, match=r"s3://.*images/0\.jpg\?"), broken.told_by_address(sample):
            read_image(broken.path(sample, "image"))

    def test_a_shard_that_was_cut_off(self, template: str, local: Manifest) -> None:
        out = Location.of(template.format(f"cut-{os.urandom(4).hex()}"))
        pack(local, out, "photos", 10**6)
        packed = Manifest.read(out / "photos.parquet")
        last = packed.shards["photos-train-000000.tar"][-1]
        (out / "photos-train-000000.tar").write_bytes(
            (out / "photos-train-000000.tar").read_bytes()[: last.offsets[0] + 5]
        )
        assert packed.path(packed.shards["photos-train-000000.tar"][0], "image").is_file()
        with pytest.raises(
            UserError, match=r"photos-train-000000\.tar\?.* ends before the files of 'scene': it was cut off"
        ):
            packed.path(last, "image")


def test_a_store_that_goes_away_is_one_sentence(
    local: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", waits.append)
    monkeypatch.setattr(fetching, "WAITS_S", (1.0, 4.0))
    monkeypatch.setattr("wsshm.files.filesystems.ATTEMPTS", 1)
    gone = Location.of("s3://bucket/gone?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")
    remote = Manifest(gone, local.samples)
    with pytest.raises(UserError, match=r"s3://bucket/gone/images/0\.jpg\?.* does not answer; check the address"):
        remote.path(remote.samples[0], "image")
    assert waits == [1.0, 4.0]
    with pytest.raises(UserError, match="does not answer"):
        remote.path(remote.samples[1], "image")
    assert waits == [1.0, 4.0]  # nobody waits again for what was silent just now
    shutil.rmtree(tmp_path / "cache")
