"""`bench evaluate`: which files pair, which are turned, and what is said of pairs that look mistaken."""

from __future__ import annotations

import os
import unicodedata

import numpy as np
from PIL import Image

from tests.bench.prediction_folders import fill, matte, rows
from wsshm.data.pictures import write_png


def turned(path, array, orientation):
    """Save a picture as a camera held otherwise stores it: turned back, with a tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {3: np.rot90(array, 2), 6: np.rot90(array, 1), 8: np.rot90(array, -1)}[orientation]
    Image.fromarray(np.ascontiguousarray(back)).save(path, exif=exif)


def test_what_wsshm_predict_wrote_is_scored_as_it_lies(tmp_path, evaluate):
    fill(tmp_path, 2)
    assert evaluate("--out", tmp_path / "plain.parquet").code == 0
    for index in range(2):
        path = tmp_path / "predictions" / f"{index:03d}.png"
        path.rename(path.with_name(f"{index:03d}_alpha.png"))
        write_png(path.with_name(f"{index:03d}_cutout.png"), np.dstack([matte(7)] * 4))
    said = evaluate("--out", tmp_path / "ours.parquet")
    assert said.code == 0, said.err
    assert "NAME_alpha with the label NAME" in said.out
    assert rows(tmp_path / "ours.parquet")["sad"].tolist() == rows(tmp_path / "plain.parquet")["sad"].tolist()
    assert evaluate("--suffix", "_cutout", "--out", tmp_path / "other.parquet").code == 0
    assert (rows(tmp_path / "other.parquet")["sad"] > rows(tmp_path / "plain.parquet")["sad"]).all()


def test_a_suffix_is_not_looked_for_where_names_pair_without_it(tmp_path, evaluate):
    fill(tmp_path, 2)
    write_png(tmp_path / "predictions" / "000_alpha.png", matte(0))
    said = evaluate()
    assert said.code == 1
    assert "1 prediction without a label: 000_alpha" in said.out


def test_labels_and_predictions_are_turned_by_their_tags(tmp_path, evaluate):
    fill(tmp_path, 3)
    assert evaluate("--out", tmp_path / "plain.parquet").code == 0
    for index, (folder, orientation) in enumerate((("labels", 3), ("predictions", 6), ("labels", 8))):
        path = tmp_path / folder / f"{index:03d}.png"
        turned(path, np.asarray(Image.open(path)), orientation)
    path = tmp_path / "predictions" / "002.png"
    turned(path, np.asarray(Image.open(path)), 8)
    said = evaluate("--strict-size", "--out", tmp_path / "turned.parquet")
    assert said.code == 0, said.err
    assert "orientation tag differs from the label's in 2 predictions: 000, 001; each file" in said.out
    assert rows(tmp_path / "turned.parquet")["sad"].tolist() == rows(tmp_path / "plain.parquet")["sad"].tolist()


def test_names_pair_in_whichever_form_unicode_writes_them(tmp_path, evaluate):
    fill(tmp_path, 1)
    for folder, form in (("predictions", "NFD"), ("labels", "NFC")):
        path = tmp_path / folder / "000.png"
        path.rename(path.with_name(unicodedata.normalize(form, "Zoé_ü.png")))
    said = evaluate("--out", tmp_path / "rows.parquet")
    assert said.code == 0, said.err
    assert rows(tmp_path / "rows.parquet").index.tolist() == [unicodedata.normalize("NFC", "Zoé_ü")]


def test_scoring_files_against_themselves_is_pointed_out(tmp_path, evaluate):
    fill(tmp_path, 2)
    same = evaluate(predictions="labels")
    assert same.code == 0
    assert "predictions and labels are the same folder" in same.out
    (tmp_path / "predictions" / "001.png").write_bytes((tmp_path / "labels" / "001.png").read_bytes())
    assert "Warning: identical to the label, byte for byte: 1 prediction: 001\n" in evaluate().out


def test_labels_as_jpg_are_said_to_depend_on_their_compression(tmp_path, evaluate):
    fill(tmp_path, 2)
    assert "JPG" not in evaluate().out
    path = tmp_path / "labels" / "000.png"
    Image.fromarray(matte(0)).save(path.with_suffix(".jpg"), quality=75)
    path.unlink()
    assert (
        "1 of 2 labels are JPG: compression changes their fractional pixels, and the unknown region" in evaluate().out
    )


def test_classes_are_chosen_from_labels_of_class_indices(tmp_path, evaluate):
    fill(tmp_path, 1)
    inside = matte(0) > 127
    write_png(tmp_path / "predictions" / "000.png", inside * np.uint8(255))
    write_png(tmp_path / "labels" / "000.png", np.where(inside, np.uint8(15), np.uint8(3)))
    said = evaluate("--truth", "mask", "--class", "15", "--out", tmp_path / "rows.parquet")
    assert said.code == 0, said.err
    assert rows(tmp_path / "rows.parquet")["iou"].tolist() == [1.0]
    write_png(tmp_path / "predictions" / "000.png", inside * np.uint8(100))
    assert "no person is found, in 1 prediction: 000" in evaluate("--truth", "mask", "--class", "15").out


def test_names_that_are_no_utf8_and_names_that_control_a_terminal_are_escaped(tmp_path, evaluate):
    fill(tmp_path, 2)
    for folder in ("predictions", "labels"):
        (tmp_path / folder / "000.png").rename(tmp_path / folder / "\x1b[2J.png")
        os.rename(tmp_path / folder / "001.png", os.fsencode(tmp_path / folder) + b"/caf\xe9.png")
    said = evaluate("--out", tmp_path / "rows.parquet", "--store", tmp_path / "store")
    assert said.code == 0, said.err
    assert "\x1b" not in said.out
    assert set(rows(tmp_path / "rows.parquet").index) == {r"\x1b[2J", r"caf\xe9"}


def test_what_is_no_file_is_broken_and_never_waited_for(tmp_path, evaluate):
    fill(tmp_path, 5)
    folder = tmp_path / "predictions"
    for index in range(4):
        (folder / f"{index:03d}.png").unlink()
    os.mkfifo(folder / "000.png")
    os.mkfifo(folder / "001.npy")
    (folder / "002.png").symlink_to("/dev/zero")
    (folder / "003.npy").symlink_to(folder / "003.npy")
    (folder / "a folder.png").mkdir()
    said = evaluate("--out", tmp_path / "rows.parquet")
    assert said.code == 1, said.err
    assert "4 broken predictions: 000, 001, 002, 003\n" in said.out
    assert rows(tmp_path / "rows.parquet")["reason"].str.contains("cannot be read").sum() == 4
