"""Packs: standard tar files that anybody reads, the same bytes each time, and a manifest that is the same data."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset

from tests.wsshm.data.small_sets import small_set
from wsshm.data.manifest import Manifest
from wsshm.data.packing import pack
from wsshm.errors import UserError
from wsshm.files import node_cache
from wsshm.files.location import Location

IDS = ["plain", "p.hoto.jpg", "sub/folder", "Ünïcode ein", "x" * 150, "plain2", "plain3", "PLAIN"]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/cache:10MB")
    return small_set(tmp_path / "set", IDS)


def packed(source: Manifest, out: Path, size: int = 8000) -> Manifest:
    written = pack(source, Location.of(out), "photos", size)
    assert written is not None
    return Manifest.read(written)


def contents(manifest: Manifest) -> dict[tuple[str, str], bytes]:
    return {(s.id, column): manifest.path(s, column).read_bytes() for s in manifest.samples for column in s.files}


def test_a_pack_is_the_same_data(source: Manifest, tmp_path: Path) -> None:
    pack_ = packed(source, tmp_path / "packed")
    assert pack_.fingerprint == source.fingerprint
    assert [s.id for s in pack_.samples] == [s.id for s in source.samples]
    blank = {"image": None, "matte": None, "mask": None, "foreground": None, "shard": None, "offsets": (), "sizes": ()}
    for ours, theirs in zip(pack_.samples, source.samples, strict=True):
        assert replace(ours, **blank) == replace(theirs, **blank)  # type: ignore[arg-type]
        assert ours.files.keys() == theirs.files.keys()
    assert contents(pack_) == contents(source)
    assert all(len({s.split for s in samples}) == 1 for samples in pack_.shards.values())
    assert {
        "photos-train-000000.tar",
        "photos-train-000001.tar",
        "photos-val-000000.tar",
        "photos-test-000000.tar",
    } <= {*pack_.shards}


def test_the_same_manifest_gives_the_same_bytes(source: Manifest, tmp_path: Path) -> None:
    packed(source, tmp_path / "one" / "packed")
    packed(source, tmp_path / "two" / "packed")
    names = {file.name for file in (tmp_path / "one" / "packed").iterdir()}
    assert len(names) > 4
    for name in names:
        first, second = ((tmp_path / side / "packed" / name).read_bytes() for side in ("one", "two"))
        assert first == second, name


def test_webdataset_and_tar_read_the_shards(source: Manifest, tmp_path: Path) -> None:
    pack_ = packed(source, tmp_path / "packed", 10**6)
    shards = sorted(str(path) for path in (tmp_path / "packed").glob("*.tar"))
    found = {}
    for row in webdataset.WebDataset(shards, shardshuffle=False):
        about = json.loads(row["json"])
        found[about["id"]] = (row, about)
    assert found.keys() == {s.id for s in source.samples}
    for sample in source.samples:
        row, about = found[sample.id]
        assert (about["split"], about["attributes"]) == (sample.split, sample.attributes)
        for column in sample.files:
            ending = about["files"][column].partition(".")[2]
            assert row[ending] == source.path(sample, column).read_bytes()
    listed = subprocess.run(["tar", "tf", shards[0]], capture_output=True, text=True, check=True).stdout.split("\n")
    with tarfile.open(shards[0]) as tar:
        assert len(tar.getnames()) == len(listed) - 1
        for sample in pack_.shards[Path(shards[0]).name]:
            for column, (offset, size) in zip(sample.files, sample.extents, strict=True):
                member = tar.getmember(sample.files[column].partition("/")[2])
                assert (member.offset_data, member.size) == (offset, size)


def test_a_pack_that_broke_off_goes_on(source: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = packed(source, tmp_path / "packed")
    out = tmp_path / "packed"
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert pack(source, Location.of(out), "photos", 8000) is None
    (out / "photos.parquet").unlink()
    (out / "photos-train-000001.tar").unlink()
    (out / "photos-test-000000.tar").write_bytes(before["photos-test-000000.tar"][:1000])
    with caplog.at_level("INFO"):
        assert packed(source, out).fingerprint == whole.fingerprint
    assert "shards are there already" in caplog.text
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_folder_with_something_else_is_left_alone(source: Manifest, tmp_path: Path) -> None:
    packed(source, tmp_path / "packed")
    with pytest.raises(UserError, match="holds a pack photos of other data or shard size"):
        pack(source, Location.of(tmp_path / "packed"), "photos", 10**6)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photos-train-000000.tar").write_text("mine")
    with pytest.raises(UserError, match=r"holds photos-train-000000\.tar, which was not packed"):
        pack(source, Location.of(tmp_path / "other"), "photos", 9000)


def test_files_that_changed_or_are_missing_are_named(source: Manifest, tmp_path: Path) -> None:
    (tmp_path / "set" / "images" / "2.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"images/2\.jpg and what else 'sub/folder' has were changed since import"):
        packed(source, tmp_path / "packed")
    assert not (tmp_path / "packed" / "photos.parquet").exists()
    (tmp_path / "set" / "images" / "2.jpg").unlink()
    with pytest.raises(UserError, match=r"images/2\.jpg is missing, the image of 'sub/folder'"):
        packed(source, tmp_path / "elsewhere")


def test_a_shard_that_was_cut_off_or_altered_is_named(source: Manifest, tmp_path: Path) -> None:
    pack_ = packed(source, tmp_path / "packed", 10**6)
    shard = tmp_path / "packed" / "photos-train-000000.tar"
    content = shard.read_bytes()
    last = pack_.shards["photos-train-000000.tar"][-1]
    shard.write_bytes(content[: last.offsets[-1] + 10])
    with pytest.raises(UserError, match=r"photos-train-000000\.tar ends before the files of 'scene': it was cut off"):
        pack_.path(last, "image")
    shard.write_bytes(content.replace(content[last.offsets[0] :][:8], b"altered!"))
    with pytest.raises(UserError, match="'scene' has were changed since import"):
        pack_.path(last, "image")
    shard.unlink()
    with pytest.raises(UserError, match=r"photos-train-000000\.tar is missing, which the manifest lists for 'plain'"):
        pack_.check_present()


def test_a_shard_that_is_gone_or_cut_off_is_packed_again(source: Manifest, tmp_path: Path) -> None:
    packed(source, tmp_path / "packed")
    shards = sorted((tmp_path / "packed").glob("*.tar"))
    before = [shard.read_bytes() for shard in shards]
    shards[0].unlink()
    shards[1].write_bytes(before[1][:600])
    packed(source, tmp_path / "packed")
    assert [shard.read_bytes() for shard in shards] == before


def test_a_folder_in_place_of_a_shard_is_named(source: Manifest, tmp_path: Path) -> None:
    pack_ = packed(source, tmp_path / "packed")
    shard = tmp_path / "packed" / "photos-val-000000.tar"
    shard.unlink()
    shard.mkdir()
    with pytest.raises(UserError, match=r"photos-val-000000\.tar, which the manifest lists for .*, cannot be read"):
        pack_.path(pack_.shards[shard.name][0], "image")


def test_packs_in_folders_below_are_others(source: Manifest, tmp_path: Path) -> None:
    packed(source, tmp_path / "packed" / "below")
    assert packed(source, tmp_path / "packed").fingerprint == source.fingerprint


def test_a_pack_of_a_pack_is_the_same_data(source: Manifest, tmp_path: Path) -> None:
    again = packed(packed(source, tmp_path / "packed"), tmp_path / "again", 20_000)
    assert again.fingerprint == source.fingerprint
    assert contents(again) == contents(source)


def test_impossible_places_in_shards_are_refused(source: Manifest, tmp_path: Path) -> None:
    pack_ = packed(source, tmp_path / "packed")
    for sample, message in (
        (
            replace(pack_.samples[0], offsets=(1,)),
            "row 1 .'plain'., column 'offsets': .* is not a number of bytes for each",
        ),
        (replace(pack_.samples[0], sizes=(-1, 5)), "column 'sizes'"),
        (replace(pack_.samples[0], shard="../x.tar"), "column 'shard': '../x.tar' leaves the manifest's root"),
    ):
        with pytest.raises(UserError, match=message):
            Manifest(pack_.root, [sample]).write(tmp_path / "packed" / "wrong.parquet")
