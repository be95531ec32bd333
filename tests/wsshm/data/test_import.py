"""`wsshm data import` on trees as they are published: paired rightly, or refused by what to type, nothing left out unsaid."""

from __future__ import annotations

import os
import unicodedata

import cv2
import numpy as np
import pytest

from wsshm.__main__ import main
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask, write_png
from wsshm.errors import UserError

SIZE = 48
DISC = cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (24, 24), 14, 255, -1)
HAIR = cv2.GaussianBlur(DISC, (0, 0), 4)
VOC = cv2.circle(np.where(DISC, 15, 0).astype(np.uint8), (24, 24), 14, 255, 1)  # a person in an unlabelled outline
VOC[:6, :6] = 9  # a chair


def photo(path):
    return write_png(path, np.full((SIZE, SIZE, 3), 120, np.uint8))


@pytest.fixture
def wsshm(monkeypatch, capsys, tmp_path):
    """Runs `wsshm data import WORDS --out OUT/m.parquet`; returns (exit status, stdout, stderr)."""

    def run(*words):
        monkeypatch.setattr(
            "sys.argv", ["wsshm", "data", "import", *map(str, words), "--out", str(tmp_path / "m.parquet")]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run


def test_nested_folders_pair_by_name_and_by_path(tmp_path):
    """As aisegment has it (names are enough) and as VideoMatte240K has it (frames of several videos have one name)."""
    photo(tmp_path / "a" / "clip_img" / "18" / "clip_0" / "18-3.png")
    write_png(tmp_path / "a" / "matting" / "18" / "matting_0" / "18-3.png", DISC)
    (sample,) = import_layout("pairs", tmp_path / "a").samples
    assert (sample.id, sample.matte) == ("18-3", "matting/18/matting_0/18-3.png")
    for video in ("0001", "0002"):
        photo(tmp_path / "v" / "fgr" / video / "00000.png")
        write_png(tmp_path / "v" / "pha" / video / "00000.png", DISC)
    samples = import_layout("foregrounds", tmp_path / "v").samples
    assert [(s.id, s.kind, s.foreground, s.matte) for s in samples] == [
        (f"{v}/00000", "cutout", f"fgr/{v}/00000.png", f"pha/{v}/00000.png") for v in ("0001", "0002")
    ]


def test_labels_pair_with_an_ending_and_two_of_one_photo_are_refused(tmp_path, caplog):
    photo(tmp_path / "images" / "a.png")
    photo(tmp_path / "images" / "b_mask.png")
    write_png(tmp_path / "masks" / "a_mask.png", DISC)
    write_png(tmp_path / "masks" / "b_mask.png", DISC)
    caplog.set_level("INFO")
    assert [(s.id, s.mask) for s in import_layout("pairs", tmp_path).samples] == [
        ("a", "masks/a_mask.png"),
        ("b_mask", "masks/b_mask.png"),
    ]
    assert "1 of mask paired by the name without its ending, such as a_mask" in caplog.text
    write_png(tmp_path / "masks" / "a.png", DISC)
    with pytest.raises(UserError, match=r"two labels of a: a\.png and a_mask\.png"):
        import_layout("pairs", tmp_path)


def test_composed_and_decomposed_names_pair(tmp_path):
    composed, decomposed = "Zoé", unicodedata.normalize("NFD", "Zoé")
    photo(tmp_path / "set" / "images" / f"{composed}.png")
    write_png(tmp_path / "set" / "masks" / f"{decomposed}.png", DISC)
    (tmp_path / "set" / "set.csv").write_text(f"id,split\n{decomposed}.png,val\n")
    (sample,) = import_layout("pairs", tmp_path / "set").samples
    assert (sample.id, sample.split, sample.mask) == (composed, "val", f"masks/{decomposed}.png")


def test_formats_that_are_not_read_are_named(tmp_path, caplog):
    photo(tmp_path / "images" / "a.png")
    write_png(tmp_path / "masks" / "a.png", DISC)
    (tmp_path / "images" / "b.HEIC").write_bytes(b"x")
    (tmp_path / "images" / "notes.txt").write_text("x")
    assert len(import_layout("pairs", tmp_path)) == 1
    assert "1 file in formats that are not read: b.HEIC" in caplog.text
    assert "1 file other than pictures: notes.txt" in caplog.text
    write_png(tmp_path / "masks" / "b.png", DISC)
    with pytest.raises(
        UserError, match=r"b\.png belongs to b\.HEIC, whose format is not read; save such photos as JPG"
    ):
        import_layout("pairs", tmp_path)


def test_another_layout_is_named_where_its_folders_are_there(tmp_path):
    photo(tmp_path / "fg" / "a.png")
    write_png(tmp_path / "alpha" / "a.png", DISC)
    for layout in ("rgba", "pairs", "backgrounds"):
        with pytest.raises(UserError, match=f"laid out as foregrounds, so name that in place of {layout}"):
            import_layout(layout, tmp_path)


def test_class_masks_are_refused_until_a_class_is_chosen_and_then_written_as_masks(wsshm, tmp_path, caplog):
    root = tmp_path / "voc"
    for name in "ab":
        photo(root / "images" / f"{name}.png")
    write_png(root / "masks" / "a.png", VOC)
    write_png(root / "masks" / "b.png", np.where(VOC == 9, 9, 0).astype(np.uint8))
    code, _, err = wsshm("pairs", root)
    assert code == 2
    assert "9 (36 px)" in err
    assert "--class 15" in err
    assert {p.name for p in tmp_path.iterdir()} == {"voc"}
    assert wsshm("pairs", root, "--class", "15")[0] == 0
    assert "1 of 2 masks have no pixel of --class 15, such as b" in caplog.text
    listed = Manifest.read(tmp_path / "m.parquet")
    a, b = (read_mask(listed.path(s, "mask")) for s in listed.samples)
    np.testing.assert_array_equal(a, VOC == 15)
    assert not b.any()
    assert listed.path(listed.samples[0], "mask") == tmp_path / "m-masks" / "a.png"
    assert listed.path(listed.samples[0], "image") == root / "images" / "a.png"
    code, _, err = wsshm("pairs", root, "--class", "15")
    assert code == 2
    assert "m-masks is there already" in err
    for words, message in (
        (("--class", "9,"), "--class needs whole numbers"),
        (("--class", "7"), "no mask has a pixel of"),
    ):
        (tmp_path / "m-masks").exists() and (tmp_path / "m-masks").rename(tmp_path / "old")
        code, _, err = wsshm("pairs", root, *words)
        assert code == 2
        assert message in err
        assert not (tmp_path / "m-masks").exists()


def test_mattes_in_a_folder_of_masks_become_neither_without_a_word(wsshm, tmp_path):
    for name, label in (("a", DISC), ("b", HAIR)):
        photo(tmp_path / "p3m" / "images" / f"{name}.png")
        write_png(tmp_path / "p3m" / "mask" / f"{name}.png", label)
    code, _, err = wsshm("pairs", tmp_path / "p3m")
    assert code == 2
    assert "1 of 2 masks have wide soft edges" in err
    assert "--masks-as matte" in err
    for said, column in (("matte", "matte"), ("mask", "mask")):
        assert wsshm("pairs", tmp_path / "p3m", "--masks-as", said)[0] == 0
        samples = Manifest.read(tmp_path / "m.parquet").samples
        assert [set(s.files) for s in samples] == [{"image", column}] * 2
    assert (
        "cannot hold 'mate'; the nearest valid choices are 'matte', 'mask'"
        in wsshm("pairs", tmp_path, "--masks-as", "mate")[2]
    )


@pytest.mark.parametrize("label", [DISC, cv2.GaussianBlur(DISC, (3, 3), 0), cv2.resize(DISC, (24, 24), 1)])
def test_masks_with_a_thin_soft_edge_are_masks(tmp_path, label):
    write_png(tmp_path / "images" / "a.png", np.zeros((*label.shape, 3), np.uint8))
    write_png(tmp_path / "masks" / "a.png", label)
    assert len(import_layout("pairs", tmp_path)) == 1


def test_what_is_no_file_is_passed_over_and_said(wsshm, tmp_path, caplog):
    root = tmp_path / "set"
    photo(root / "a.png")
    os.mkfifo(root / "pipe.png")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "round").symlink_to(root)
    (root / "loop.png").symlink_to(root / "loop.png")
    code, out, _ = wsshm("backgrounds", root)
    assert (code, out) == (0, f"{tmp_path / 'm.parquet'}: 1 sample (1 train, 0 val, 0 test)\n")
    assert "4 files other than pictures: loop.png, pipe.png, round, zero.png" in caplog.text


def test_names_that_cannot_be_shown_and_folders_that_are_none_are_refused(wsshm, tmp_path):
    photo(tmp_path / "set" / "a.png")
    os.rename(tmp_path / "set" / "a.png", os.fsencode(tmp_path / "set") + b"/a\xff.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place, message in (
        (tmp_path / "set", r"a\xff.png has a name that cannot be shown or is not UTF-8; rename it"),
        (tmp_path / "loop", "there is no folder"),
        ("/dev/zero", "there is no folder"),
        (tmp_path / ("x" * 300), "file name too long"),
    ):
        code, _, err = wsshm("backgrounds", place)
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1


def test_a_name_of_two_lines_is_told_in_one(wsshm, tmp_path):
    photo(tmp_path / "a\nb.png")
    code, _, err = wsshm("backgrounds", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert r"a\nb.png has a name" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--split", "tests"), "--split cannot be 'tests'; the nearest valid choice is 'test'"),
        (("--domain", "real"), "--domain cannot be 'real'; the nearest valid choice is 'natural'"),
    ],
)
def test_options_that_are_no_choice_are_named(wsshm, tmp_path, words, message):
    photo(tmp_path / "a.png")
    code, _, err = wsshm("backgrounds", tmp_path, *words)
    assert (code, err) == (2, f"error: {message}\n")


def test_an_empty_root_is_not_this_folder(wsshm):
    code, _, err = wsshm("backgrounds", "")
    assert code == 2
    assert "is empty text" in err


def test_a_link_that_leads_back_to_itself_is_no_place_to_write_to(monkeypatch, capsys, tmp_path):
    photo(tmp_path / "set" / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    out = str(tmp_path / "loop" / "m.parquet")
    monkeypatch.setattr("sys.argv", ["wsshm", "data", "import", "backgrounds", str(tmp_path / "set"), "--out", out])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()  # from Python 3.13 on it is the system's own "file exists"
    assert str(tmp_path / "loop") in line
    assert line.endswith("give another path")


def test_masks_have_the_grade_that_is_stated_and_count_as_polygons_where_none_is(wsshm, tmp_path):
    """The folder's table goes before --grade, which is of pictures with masks alone."""
    root = tmp_path / "set"
    for name in "abc":
        photo(root / "images" / f"{name}.png")
    for name in "ab":
        write_png(root / "masks" / f"{name}.png", DISC)
    write_png(root / "mattes" / "c.png", DISC)
    code, out, _ = wsshm("pairs", root)
    assert (code, "2 masks of unstated grade, which counts as polygon" in out) == (0, True)
    (root / "set.csv").write_text("id,mask_grade\na,expert\n")
    code, out, _ = wsshm("pairs", root, "--grade", "fine")
    assert (code, "unstated" in out) == (0, False)
    samples = Manifest.read(tmp_path / "m.parquet").samples
    assert {s.id: s.attributes.get("mask_grade") for s in samples} == {"a": "expert", "b": "fine", "c": None}
    code, _, said = wsshm("pairs", root, "--grade", "fien")
    assert (code, "--grade cannot be 'fien'; the nearest valid choice is 'fine'" in said) == (2, True)
    (root / "set.csv").write_text("id,mask_grade\na,fien\n")
    code, _, said = wsshm("pairs", root)
    assert (code, "sample 'a' has mask_grade 'fien'; the nearest valid choice is 'fine'" in said) == (2, True)
    photo(tmp_path / "scenery" / "a.png")
    code, _, said = wsshm("backgrounds", tmp_path / "scenery", "--grade", "fine")
    assert (code, "--grade fine is of masks, and" in said) == (2, True)
