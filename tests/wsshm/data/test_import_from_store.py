"""`wsshm data import`, `check`, `preview`, `split` and `pack` of a data set in a bucket: as of one on a disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.object_store import bucket
from tests.wsshm.data import trees
from wsshm.__main__ import main
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask
from wsshm.errors import UserError
from wsshm.files import node_cache
from wsshm.files.location import Location


@pytest.fixture(scope="module")
def template() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with bucket() as template:
        yield template


@pytest.fixture
def wsshm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the console script; returns (exit status, stdout, stderr)."""

    def run(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["wsshm", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The cache's folder and size, by option and not by variable: which the option sets for this process."""
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/elsewhere")
    monkeypatch.chdir(tmp_path)  # where reports of checks go
    return f"{tmp_path}/cache:50MB"


def uploaded(template: str, tree: Path, name: str) -> Location:
    place = Location.of(template.format(name))
    place.upload(tree)
    return place


def rows(manifest: Manifest) -> list[object]:
    return [replace(sample, attributes={}) for sample in manifest.samples]


@pytest.mark.parametrize("build", [trees.p3m_10k, trees.human_2k], ids=lambda build: build.__name__)
def test_a_published_tree_is_imported_as_from_a_disk(build: trees.Build, template: str, tmp_path: Path) -> None:
    tree = tmp_path / "set"
    build(tree)
    (tmp_path / "set.csv").write_text("id,hair\np_01,curly\n")
    name = f"{build.__name__}/set"
    uploaded(template, tree, name)
    Location.of(template.format(f"{build.__name__}/set.csv")).write_text("id,hair\np_01,curly\n")
    here = import_layout("auto", tree)
    there = import_layout("auto", template.format(name))
    assert there.samples == here.samples
    assert there.fingerprint == here.fingerprint


def test_a_whole_bucket_is_imported(tmp_path: Path) -> None:
    with bucket() as alone:
        trees.rwp_636(tmp_path / "set")
        uploaded(alone, tmp_path / "set", "")
        assert [s.id for s in import_layout("auto", alone.format("")).samples] == ["7"]


@pytest.mark.parametrize("build", [trees.coco_persons, trees.supervisely_person], ids=lambda build: build.__name__)
def test_masks_of_annotations_are_drawn_beside_out(
    build: trees.Build, template: str, tmp_path: Path, wsshm, cache: str
) -> None:
    tree = tmp_path / "set"
    expected = build(tree)
    name = f"{build.__name__}-drawn"
    root = uploaded(template, tree, f"{name}/set")
    out = template.format(f"{name}/lists/people.parquet")
    code, said, error = wsshm("data", "import", "auto", root, "--out", out, "--cache", cache)
    assert code == 0, error
    assert said.startswith(f"{out}: {len(expected)} samples")
    manifest = Manifest.read(out)
    assert (tmp_path / "cache").is_dir()
    assert Location.of(template.format(f"{name}/lists/people-masks")).is_folder()
    masks = [(expected[s.id].mask, s) for s in manifest.samples if expected[s.id].mask is not None]
    assert masks
    for mask, sample in masks:
        assert (read_mask(manifest.path(sample, "mask")) == mask).all()
    here = import_layout("auto", tree, converted=tmp_path / "people-masks")
    assert manifest.fingerprint == here.fingerprint

    with pytest.raises(UserError, match="is not in the bucket of the pictures"):
        import_layout("auto", root, converted=Location.of(out.replace("s3://b", "s3://other")))
    code, _, error = wsshm("data", "import", "auto", root, "--out", tmp_path / "others.parquet")
    assert (code, "is not in the bucket of the pictures" in error) == (2, True)


def test_commands_take_addresses(template: str, tmp_path: Path, wsshm, cache: str) -> None:
    tree = tmp_path / "set"
    trees.lip(tree)
    root = uploaded(template, tree, "commands/set")
    listed = template.format("commands/set.parquet")
    assert wsshm("data", "import", "auto", root, "--out", listed, "--cache", cache)[0] == 0
    code, said, error = wsshm("data", "check", listed)
    assert (code, error.count("error")) == (0, 0), said
    assert said.startswith(f"{listed}: ")
    assert wsshm("data", "preview", listed, "--out", tmp_path / "sheet.png")[0] == 0
    held = template.format("commands/held.parquet")
    assert wsshm("data", "split", listed, "--out", held, "--every", "2", "--to", "val")[0] == 0
    packed = template.format("commands/packed")
    code, said, error = wsshm("data", "pack", held, "--out", packed, "--shard-size", "1MB")
    assert code == 0, error
    assert said.startswith(template.format("commands/packed/held.parquet"))
    assert "samples in 2 shards" in said
    assert "holds this pack of held already" in wsshm("data", "pack", held, "--out", packed, "--shard-size", "1MB")[1]
    assert wsshm("data", "check", template.format("commands/packed/held.parquet"))[0] == 0
    held_there, packed_there = Manifest.read(held), Manifest.read(template.format("commands/packed/held.parquet"))
    assert held_there.fingerprint == packed_there.fingerprint


def test_mistakes_name_the_address_and_no_secret(template: str, tmp_path: Path, wsshm) -> None:
    with_key = template.format("nothing").replace("s3://", "s3://test:sEcReT@")
    code, said, error = wsshm("data", "import", "pairs", with_key, "--out", tmp_path / "m.parquet")
    assert code == 2
    assert "there is no folder s3://***@" in error
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a.jpg").write_bytes(b"")
    root = uploaded(template, tmp_path / "odd", "odd")
    code, said, error = wsshm("data", "import", "pairs", root, "--out", tmp_path / "m.parquet")
    assert code == 2
    assert f"{str(root).partition('?')[0]} has no folder of photos" in error
    assert "/tmp" not in error.replace(str(tmp_path), "")
    code, said, error = wsshm("data", "import", "backgrounds", root, "--out", tmp_path / "m.parquet")
    assert code == 2
    assert "s3://" in error
    assert "odd/a.jpg" in error
    assert "sEcReT" not in said + error
    code, said, error = wsshm("data", "check", root, "--cache", "/x:2XB")
    assert (code, "--cache takes a size" in error) == (2, True)
