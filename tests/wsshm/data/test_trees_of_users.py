"""What users' disks do to a tree: other systems' files, links, tables of other names, names of every kind."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest

from tests.wsshm.data.trees import DISC, TREES, Build, coco_persons, label, lip, p3m_10k, photo
from wsshm.data.importing import import_layout
from wsshm.errors import UserError

EACH = pytest.mark.parametrize(("name", "build"), TREES, ids=[build.__name__ for _, build in TREES])


@EACH
def test_what_operating_systems_leave_is_passed_over(
    name: str, build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = build(tmp_path / "set")
    root = next((p for p in (tmp_path / "set" / "PhotoMatte85",) if p.is_dir()), tmp_path / "set")
    for place in [root, *(p for p in root.rglob("*") if p.is_dir())]:
        for file in [p for p in place.iterdir() if p.is_file()]:
            (place / f"._{file.name}").write_bytes(b"left by macOS")
        for left in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (place / left).write_bytes(b"left by a system")
        (place / "__MACOSX").mkdir()
        (place / "__MACOSX" / "._a.png").write_bytes(b"left by macOS")
    said = len(caplog.records)
    assert {s.id for s in import_layout("auto", root, converted=tmp_path / "m-masks").samples} == rows.keys()
    assert not any("db" in record.getMessage() or "MACOSX" in record.getMessage() for record in caplog.records[said:])


@EACH
def test_a_link_out_of_the_root_is_refused_by_its_name(name: str, build: Build, tmp_path: Path) -> None:
    build(tmp_path / "set")
    root = next((p for p in (tmp_path / "set" / "PhotoMatte85",) if p.is_dir()), tmp_path / "set")
    files = import_layout(name, root, converted=tmp_path / "m-masks").samples[0].files
    link = tmp_path / "set" / next(iter(files.values())).removeprefix("set/").removeprefix("PhotoMatte85/")
    link = link if link.exists() else root / link.name
    shutil.move(link, tmp_path / link.name)
    link.symlink_to(tmp_path / link.name)
    with pytest.raises(UserError) as refused:
        import_layout(name, root, converted=tmp_path / "again")
    assert str(refused.value).startswith(f"{link} is a link to {tmp_path / link.name}, which lies outside of {root};")
    link.unlink()
    shutil.move(tmp_path / link.name, root / f"elsewhere{link.suffix}.bak")
    link.symlink_to(root / f"elsewhere{link.suffix}.bak")
    import_layout(name, root, converted=tmp_path / "again")


def test_a_folder_that_is_a_link_out_of_the_root_is_refused_by_its_name(tmp_path: Path) -> None:
    p3m_10k(tmp_path / "set")
    shutil.move(tmp_path / "set" / "train", tmp_path / "elsewhere")
    (tmp_path / "set" / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        UserError, match=r"set/train is a link to .*elsewhere, which lies outside of .*set; give a folder"
    ):
        import_layout("p3m-10k", tmp_path / "set")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")  # the root itself may be one
    shutil.move(tmp_path / "elsewhere", tmp_path / "whole" / "train")
    (tmp_path / "linked").unlink()
    (tmp_path / "linked").symlink_to(tmp_path / "whole")
    assert len(import_layout("p3m-10k", tmp_path / "linked")) == 2


def test_names_of_every_kind_pair(tmp_path: Path) -> None:
    names = ["a b (1)", "x.y.z", "人物", "Zoé", "UPPER"]
    for name in names:
        photo(tmp_path / "train" / "blurred_image" / f"{name}.JPG")
        label(tmp_path / "train" / "mask" / f"{unicodedata.normalize('NFD', name)}.PNG")
    assert sorted(s.id for s in import_layout("auto", tmp_path).samples) == sorted(names)


def test_two_photos_of_one_stem_are_refused_and_named(tmp_path: Path) -> None:
    p3m_10k(tmp_path)
    photo(tmp_path / "train" / "blurred_image" / "p_01.png")
    with pytest.raises(UserError, match=r"p_01\.png have the same name; rename or remove one of them"):
        import_layout("p3m-10k", tmp_path)


def test_a_table_of_another_name_beside_the_folder_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place in ("photos", "other"):
        photo(tmp_path / place / "images" / "a.jpg")
        label(tmp_path / place / "masks" / "a.png", DISC)
    (tmp_path / "other.csv").write_text("id,split\na,test\n")  # of that folder
    (tmp_path / "prices.csv").write_text("name,price\na,1\n")
    assert [s.split for s in import_layout("pairs", tmp_path / "photos").samples] == ["train"]
    assert "csv" not in caplog.text
    (tmp_path / "splits.csv").write_text("id,split\na,test\n")
    assert [s.split for s in import_layout("pairs", tmp_path / "photos").samples] == ["train"]
    assert f"not used: {tmp_path / 'splits.csv'}; a table that is meant is named photos.csv" in caplog.text
    (tmp_path / "splits.csv").rename(tmp_path / "photos.csv")
    assert [s.split for s in import_layout("pairs", tmp_path / "photos").samples] == ["test"]


def test_a_table_named_after_a_published_folder_completes_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    p3m_10k(tmp_path / "set")
    (tmp_path / "splits.csv").write_text("id,split\np_02,val\n")
    (tmp_path / "set.csv").write_text("id,split,note\np_01,val,looked at\n")
    found = {s.id: (s.split, s.attributes) for s in import_layout("p3m-10k", tmp_path / "set", split="test").samples}
    assert found["p_01"] == ("val", {"part": "train", "note": "looked at"})
    assert found["p_02"] == ("test", {"part": "train"})
    assert f"not used: {tmp_path / 'splits.csv'}" in caplog.text


@pytest.mark.parametrize(
    ("name", "build", "what"), [("lip", lip, "class indices"), ("coco-persons", coco_persons, "annotations")]
)
def test_what_masks_hold_is_known_of_a_published_set(name: str, build: Build, what: str, tmp_path: Path) -> None:
    build(tmp_path / "set")
    for kind in ("matte", "mask"):
        with pytest.raises(
            UserError, match=f"--masks-as is for masks and mattes, and {name} has .*{what}; leave it out"
        ):
            import_layout(name, tmp_path / "set", masks_as=kind, converted=tmp_path / "m-masks")
