"""Every published data set is imported from a miniature of its tree, by name and by `auto`, as its publisher means it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.wsshm.data.trees import (
    DISC,
    HEIGHT,
    TREES,
    WIDTH,
    Build,
    Rows,
    aim_500,
    cutout,
    distinctions_646,
    label,
    p3m_10k,
    photo,
)
from wsshm.__main__ import main
from wsshm.data.check import check
from wsshm.data.importing import import_layout
from wsshm.data.layouts import LAYOUTS
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask
from wsshm.errors import UserError

EACH = pytest.mark.parametrize(("name", "build"), TREES, ids=[build.__name__ for _, build in TREES])


def made(build: Build, tmp_path: Path) -> tuple[Path, Rows]:
    """A tree's root and rows; a tree in a single folder has that as its root."""
    rows = build(tmp_path / "set")
    root = tmp_path / "set"
    return (root / "PhotoMatte85", rows) if (root / "PhotoMatte85").is_dir() else (root, rows)


@EACH
def test_a_published_tree_is_imported_by_name_and_by_itself(name: str, build: Build, tmp_path: Path) -> None:
    root, rows = made(build, tmp_path)
    manifest = import_layout(name, root, converted=tmp_path / "m-masks")
    read = Manifest.read(manifest.write(tmp_path / "m.parquet"))
    assert {s.id for s in read.samples} == rows.keys()
    layout = LAYOUTS.get(name)
    for sample in read.samples:
        row = rows[sample.id]
        assert (sample.split, sample.kind, sample.domain) == (row.split, row.kind, row.domain)
        assert (sample.width, sample.height, sample.attributes) == (WIDTH, HEIGHT, row.attributes)
        assert (sample.source, sample.licence) == (layout.source, layout.terms)
        files = {column: read.path(sample, column) for column in sample.files}
        if row.mask is not None:
            np.testing.assert_array_equal(read_mask(files.pop("mask")), row.mask)
        assert files == {column: root / file for column, file in row.files.items()}
    assert import_layout("auto", root, converted=tmp_path / "again").fingerprint == manifest.fingerprint
    assert check(read) == []


@EACH
def test_a_split_that_is_asked_for_takes_the_place_of_published_ones(name: str, build: Build, tmp_path: Path) -> None:
    root, rows = made(build, tmp_path)
    samples = import_layout(name, root, converted=tmp_path / "m-masks", split="val", domain="natural").samples
    assert [(s.split, s.domain) for s in samples] == [("val", "natural")] * len(rows)


@EACH
def test_an_empty_folder_is_none_of_them(name: str, build: Build, tmp_path: Path) -> None:
    assert not LAYOUTS.get(name).fits(tmp_path)
    with pytest.raises(UserError, match=r"(has no|holds no) .*; give the folder that holds them"):
        import_layout(name, tmp_path, converted=tmp_path / "m-masks")


@EACH
def test_who_names_another_layout_is_told_of_this_one(name: str, build: Build, tmp_path: Path) -> None:
    root, _ = made(build, tmp_path)
    for other in {"coco-persons", "bg-20k", "lip", "rgba"} - {name}:
        with pytest.raises(UserError, match=f"; it is laid out as {name}, so name that in place of {other}$"):
            import_layout(other, root, converted=tmp_path / "m-masks")
    if root == tmp_path / "set" and not LAYOUTS.get(name).fits(tmp_path):
        with pytest.raises(UserError, match=rf"recognised, but in it {root.name}/ as {name}; give that$"):
            import_layout("auto", tmp_path)


def test_photos_of_photomatte85_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    cutout(tmp_path / "people" / "1.png")
    (sample,) = import_layout("photomatte85", tmp_path / "people").samples
    assert (sample.kind, sample.domain, sample.source) == ("cutout", "synthetic", "PhotoMatte85")


def test_every_layout_of_a_data_set_says_where_it_is_from_and_has_a_tree_here() -> None:
    published = {layout.name for layout in LAYOUTS.entries() if not layout.general}
    assert published == {name for name, _ in TREES}
    for name in published:
        layout = LAYOUTS.get(name)
        assert layout.terms
        assert layout.source
        assert layout.obtained


def test_the_people_of_p3m_are_cutouts_where_asked(tmp_path: Path) -> None:
    p3m_10k(tmp_path)
    samples = import_layout("p3m-10k", tmp_path, options={"rows": "cutouts"}).samples
    assert [(s.id, s.kind, s.split, s.domain, s.files) for s in samples] == [
        (n, "cutout", "train", "synthetic", {"matte": f"train/mask/{n}.png", "foreground": f"train/fg/{n}.png"})
        for n in ("p_01", "p_02")
    ]
    (tmp_path / "train/fg").rename(tmp_path / "fg")
    with pytest.raises(UserError, match="no folder train/fg, which rows=cutouts lists"):
        import_layout("p3m-10k", tmp_path, options={"rows": "cutouts"})


def test_the_portraits_of_aim_are_kept_where_asked(tmp_path: Path) -> None:
    aim_500(tmp_path)
    assert [s.id for s in import_layout("aim-500", tmp_path, options={"category": "portrait"}).samples] == ["o_1"]
    with pytest.raises(UserError, match=r"category.*portrait"):
        import_layout("aim-500", tmp_path, options={"category": "portraits"})
    (tmp_path / "aim_category_type.json").unlink()
    with pytest.raises(UserError, match=r"no aim_category_type\.json, which says what is a portrait"):
        import_layout("aim-500", tmp_path, options={"category": "portrait"})
    assert len(import_layout("aim-500", tmp_path)) == 2


def test_the_people_of_distinctions_are_those_that_a_list_names(tmp_path: Path) -> None:
    distinctions_646(tmp_path)
    (tmp_path / "people.txt").write_text("girl.png\n\n")
    assert [s.id for s in import_layout("distinctions-646", tmp_path, options={"only": "people.txt"}).samples] == [
        "girl"
    ]
    (tmp_path / "people.txt").write_text("boy\n")
    with pytest.raises(UserError, match=r"people\.txt names boy, of which there is no cut-out"):
        import_layout("distinctions-646", tmp_path, options={"only": "people.txt"})
    with pytest.raises(UserError, match="which --option only names"):
        import_layout("distinctions-646", tmp_path, options={"only": "gone.txt"})


def test_auto_hesitates_between_two_and_says_so(tmp_path: Path) -> None:
    cutout(tmp_path / "loose" / "a.png")
    with pytest.raises(UserError, match=r"may be laid out as backgrounds or rgba; name the one that is meant"):
        import_layout("auto", tmp_path / "loose")
    p3m_10k(tmp_path / "two")
    photo(tmp_path / "two" / "testval" / "h.jpg")
    with pytest.raises(UserError, match=r"may be laid out as bg-20k or p3m-10k"):
        import_layout("auto", tmp_path / "two")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="laid out in no way that is recognised"):
        import_layout("auto", tmp_path / "none")
    with pytest.raises(UserError, match="in it loose/ as backgrounds or rgba, two/ as bg-20k or p3m-10k; give one of"):
        import_layout("auto", tmp_path)


def test_auto_takes_jpegs_for_no_cutouts(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    assert [s.kind for s in import_layout("auto", tmp_path).samples] == ["background"]


def test_auto_takes_plain_folders_of_ones_own(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "images" / "1.jpg")
    label(tmp_path / "a" / "masks" / "1.png", DISC)
    assert [s.kind for s in import_layout("auto", tmp_path / "a").samples] == ["photo"]
    photo(tmp_path / "b" / "fg" / "1.png")
    label(tmp_path / "b" / "alpha" / "1.png")
    assert [(s.kind, s.split) for s in import_layout("auto", tmp_path / "b").samples] == [("cutout", "train")]


def test_the_commands_take_auto_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wsshm(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["wsshm", "data", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    p3m_10k(tmp_path / "P3M-10k")
    out = tmp_path / "m.parquet"
    code, said, _ = wsshm("import", "auto", tmp_path / "P3M-10k", "--out", out)
    assert (code, said) == (0, f"{out}: 4 samples (2 train, 0 val, 2 test)\n")
    code, said, _ = wsshm("import", "p3m-10k", tmp_path / "P3M-10k", "--out", out, "--option", "rows=cutouts")
    assert (code, said) == (0, f"{out}: 2 samples (2 train, 0 val, 0 test)\n")
    for words, message in (
        (("--option", "rows=cutout"), "cutouts"),
        (("--option", "row=cutouts"), "'row'"),
        (("--option", "rows"), "--option takes KEY=VALUE, not 'rows'"),
    ):
        code, _, said = wsshm("import", "auto", tmp_path / "P3M-10k", "--out", out, *words)
        assert code == 2
        assert message in said.splitlines()[-1]
    code, _, said = wsshm("import", "pairs", tmp_path / "P3M-10k", "--out", out, "--option", "rows=cutouts")
    assert (code, said) == (2, "error: the layout 'pairs' has no options of its own; leave out 'rows'\n")
    code, said, _ = wsshm("layouts")
    assert code == 0
    assert all(f"{name}: " in said for name in LAYOUTS.names())
    assert max(map(len, said.splitlines())) <= 80
