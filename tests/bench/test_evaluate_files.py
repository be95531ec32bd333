"""`bench evaluate`: all formats are read alike, broken files are counted, mistaken ones are refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.bench.prediction_folders import HEIGHT, MEASURED_EVERYWHERE, WIDTH, cut, fill, matte, rows
from wsshm.data.pictures import read_matte, write_png
from wsshm.metrics import score


def save_npy(array: NDArray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


def save_picture(array: NDArray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array).save(path)


VALUES = matte(3)
FORMATS: dict[str, tuple[str, str, Callable[[Path], None]]] = {  # ending, depth, writer
    "grey": ("png", "uint8", save_picture(VALUES)),
    "grey in three channels": ("png", "uint8", save_picture(np.dstack([VALUES] * 3))),
    "alpha of RGBA": ("png", "uint8", save_picture(np.dstack([matte(1), matte(2), matte(4), VALUES]))),
    "16 bit": ("png", "uint16", lambda path: cv2.imwrite(str(path), VALUES.astype(np.uint16) * 257)),
    "alpha of 16-bit RGBA": (
        "PNG",
        "uint16",
        lambda path: cv2.imwrite(str(path), np.dstack([matte(1), matte(2), matte(4), VALUES]).astype(np.uint16) * 257),
    ),
    "bmp": ("bmp", "uint8", save_picture(VALUES)),
    "tiff": ("tif", "uint8", save_picture(VALUES)),
    "16-bit tiff": ("tif", "uint16", lambda path: cv2.imwrite(str(path), VALUES.astype(np.uint16) * 257)),
    "float tiff": ("tiff", "float", save_picture(VALUES.astype(np.float32) / 255)),
    "webp, lossless": ("webp", "uint8", lambda path: Image.fromarray(VALUES).save(path, lossless=True)),
    "float32": ("npy", "float", save_npy(VALUES.astype(np.float32) / 255)),
    "float64, (1,H,W)": ("npy", "float", save_npy(VALUES[None] / 255)),
    "float32, (H,W,1), columns first": (
        "npy",
        "float",
        save_npy(np.asfortranarray(VALUES[..., None] / np.float32(255))),
    ),
    "uint8": ("npy", "uint8", save_npy(VALUES)),
    "uint16": ("npy", "uint16", save_npy(VALUES.astype(np.uint16) * 257)),
}


def test_all_formats_are_read_alike(tmp_path, evaluate):
    for folder in ("predictions", "labels"):
        (tmp_path / folder).mkdir()
    for name, (ending, _, write) in FORMATS.items():
        write(tmp_path / "predictions" / f"{name}.{ending}")
        np.save(tmp_path / "labels" / f"{name}.npy", matte(5) / 255)
    said = evaluate("--out", tmp_path / "rows.parquet")
    assert said.code == 0, said.err
    frame = rows(tmp_path / "rows.parquet")
    expected = score(VALUES / 255, matte(5) / 255)[0].as_row()
    for name, (_, depth, _) in FORMATS.items():
        for measure in (*MEASURED_EVERYWHERE, "iou"):
            assert frame.loc[name, measure] == pytest.approx(expected[measure], rel=1e-5), (name, measure)
        assert frame.loc[name, "depth"] == depth, name
        assert frame["quantised"].fillna("not said")[name] == ("not said" if depth == "uint8" else "none"), name


def test_jpg_is_scored_as_decoded(tmp_path, evaluate):
    fill(tmp_path, 1)
    (tmp_path / "predictions" / "000.png").unlink()
    Image.fromarray(VALUES).save(tmp_path / "predictions" / "000.jpg", quality=80)
    assert evaluate("--out", tmp_path / "rows.parquet").code == 0
    expected = score(read_matte(tmp_path / "predictions" / "000.jpg"), matte(0) / 255)[0].sad
    assert rows(tmp_path / "rows.parquet").loc["000", "sad"] == pytest.approx(expected, rel=1e-6)


BREAKS: dict[str, Callable[[Path], None]] = {
    "cut": cut,
    "cut at the very end": lambda path: path.write_bytes(path.read_bytes()[:-14]),
    "empty": lambda path: path.write_bytes(b""),
    "no picture": lambda path: path.write_text("<html>404</html>"),
}


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp", "npy"])
def test_a_file_that_is_cut_off_or_empty_is_broken(tmp_path, evaluate, ending):
    fill(tmp_path, len(BREAKS) + 1)
    for index, damage in enumerate(BREAKS.values()):
        path = tmp_path / "predictions" / f"{index:03d}.{ending}"
        path.with_suffix(".png").unlink()
        np.save(path, VALUES) if ending == "npy" else Image.fromarray(VALUES).save(path)
        damage(path)
    said = evaluate("--out", tmp_path / "rows.parquet")
    assert said.code == 1, said.err
    assert f"{len(BREAKS)} broken predictions: 000, 001, 002, 003\n" in said.out
    assert rows(tmp_path / "rows.parquet")["status"].tolist() == ["broken"] * len(BREAKS) + ["ok"]


def write_rgb(path: Path) -> None:
    write_png(path, np.dstack([VALUES, VALUES, 255 - VALUES]))


MISTAKES: dict[str, tuple[Callable[[Path], object], list[str], str]] = {  # what is done, options, what is said
    "NaN": (
        lambda r: np.save(r / "predictions" / "new.npy", np.full((HEIGHT, WIDTH), np.nan)),
        [],
        "new.npy holds NaN",
    ),
    "NaN in a label": (
        lambda r: [(r / "labels" / "000.png").unlink(), np.save(r / "labels" / "000.npy", VALUES * np.nan)],
        [],
        "000.npy holds NaN",
    ),
    "range": (
        lambda r: np.save(r / "predictions" / "new.npy", VALUES.astype(np.float32)),
        [],
        "new.npy holds values from 0 to ",
    ),
    "range of a tiff": (
        lambda r: Image.fromarray(VALUES.astype(np.float32)).save(r / "predictions" / "new.tif"),
        [],
        "new.tif holds values from 0 to ",
    ),
    "whole numbers": (
        lambda r: np.save(r / "predictions" / "new.npy", VALUES.astype(np.int64)),
        [],
        "new.npy holds int64",
    ),
    "shape": (
        lambda r: np.save(r / "predictions" / "new.npy", np.dstack([VALUES] * 3)),
        [],
        "new.npy has shape (30, 24, 3)",
    ),
    "NaN of a tiff": (
        lambda r: Image.fromarray(np.full((HEIGHT, WIDTH), np.nan, np.float32)).save(r / "predictions" / "new.tif"),
        [],
        "new.tif holds NaN",
    ),
    "infinity": (
        lambda r: np.save(r / "predictions" / "new.npy", np.full((HEIGHT, WIDTH), -np.inf)),
        [],
        "new.npy holds infinity",
    ),
    "8 bits in 16": (
        lambda r: np.save(r / "predictions" / "new.npy", VALUES.astype(np.uint16)),
        [],
        f"new.npy has 16 bits but no value above {VALUES.max()} ",
    ),
    "an opaque composite": (
        lambda r: write_png(
            r / "predictions" / "new.png", np.dstack([VALUES, VALUES, 255 - VALUES, np.full_like(VALUES, 255)])
        ),
        [],
        "new.png has an alpha channel that is full everywhere, over colours",
    ),
    "class indices": (
        lambda r: write_png(r / "labels" / "000.png", np.where(matte(0) > 127, np.uint8(15), np.uint8(0))),
        ["--truth", "mask"],
        "000.png holds the values 0 (",
    ),
    "classes of mattes": (lambda r: None, ["--class", "15"], "give --truth mask with it"),
    "class": (lambda r: None, ["--class", "person", "--truth", "mask"], "--class needs whole numbers"),
    "suffix": (lambda r: None, ["--suffix", "_fgr"], "no files of the predictions whose names end in _fgr"),
    "colours": (lambda r: write_rgb(r / "predictions" / "new.png"), [], "new.png has colours"),
    "two files of one stem": (
        lambda r: np.save(r / "predictions" / "000.npy", VALUES),
        [],
        "holds both 000.npy and 000.png",
    ),
    "empty folder": (
        lambda r: [path.unlink() for path in (r / "predictions").iterdir()],
        [],
        "holds no files of the predictions",
    ),
    "missing folder": (lambda r: (r / "labels").rename(r / "moved"), [], "there is no folder"),
    "no common stem": (
        lambda r: [path.rename(path.with_name(f"pred_{path.name}")) for path in (r / "predictions").iterdir()],
        [],
        "for example pred_000.png and 000.png",
    ),
    "trimap's size": (
        lambda r: [
            write_png(r / "trimaps" / f"{i:03d}.png", np.zeros((HEIGHT, WIDTH + 1), np.uint8)) for i in range(3)
        ],
        ["--trimaps", "trimaps"],
        "000.png is 25x30 but its label is 24x30",
    ),
    "a matte as trimap": (
        lambda r: [write_png(r / "trimaps" / f"{i:03d}.png", matte(i)) for i in range(3)],
        ["--trimaps", "trimaps"],
        "give 0 (background), 128 (unknown) and 255 (foreground)",
    ),
    "a trimap of 0, 1, 2": (
        lambda r: [write_png(r / "trimaps" / f"{i:03d}.png", matte(i) // 100) for i in range(3)],
        ["--trimaps", "trimaps"],
        "000.png holds no value above 2; give 0",
    ),
    "convention": (lambda r: None, ["--convention", "p3n"], "the nearest valid choice is 'p3m'"),
    "truth": (lambda r: None, ["--truth", "masks"], "the nearest valid choice is 'mask'"),
    "quantised": (lambda r: None, ["--quantised", "round"], "the nearest valid choice is 'rounded'"),
    "masks have no convention": (lambda r: None, ["--truth", "mask", "--convention", "dim"], "takes neither"),
    "workers": (lambda r: None, ["--workers", "0"], "--workers must be at least 1"),
    "ending": (lambda r: None, ["--out", "rows.xlsx"], "end it in .parquet, .csv or .md"),
    "out is a folder": (lambda r: (r / "a.parquet").mkdir(), ["--out", "a.parquet"], "is a folder"),
    "out under a file": (lambda r: (r / "file").touch(), ["--out", "file/rows.parquet"], "not a folder to write to"),
    "store is a file": (lambda r: (r / "file").touch(), ["--store", "file"], "not a folder to write to"),
    "clips and frames": (
        lambda r: (r / "labels" / "clip").mkdir(),
        ["--sequences"],
        "holds both clips (such as clip) and frames (such as 000.png)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(tmp_path, evaluate, monkeypatch, name):
    prepare, options, sentence = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, 3)
    write_png(tmp_path / "labels" / "new.png", matte(9))
    prepare(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    defaults = [] if "--out" in options else ["--out", "out.parquet"]
    said = evaluate(*defaults, *options)
    assert said.code == 2, said.out
    assert sentence in said.err
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_lossy_webp_is_read_as_grey(tmp_path, evaluate):
    fill(tmp_path, 2)
    for index in range(2):
        path = tmp_path / "predictions" / f"{index:03d}.png"
        Image.fromarray(matte(index)).save(path.with_suffix(".webp"), quality=80)
        path.unlink()
    said = evaluate("--out", tmp_path / "rows.parquet")
    assert said.code == 0, said.err
    assert rows(tmp_path / "rows.parquet")["mad"].max() < 0.02


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.bool_])
def test_masks_of_0_and_1_are_read_in_every_type(tmp_path, evaluate, kind):
    fill(tmp_path, 1)
    write_png(tmp_path / "predictions" / "000.png", matte(0))
    (tmp_path / "labels" / "000.png").unlink()
    np.save(tmp_path / "labels" / "000.npy", (matte(0) > 127).astype(kind))
    said = evaluate("--truth", "mask", "--out", tmp_path / "rows.parquet")
    assert said.code == 0, said.err
    assert rows(tmp_path / "rows.parquet")["iou"].tolist() == [1.0]


@pytest.mark.parametrize("options", [[], ["--strict-size"]])
def test_an_archive_or_a_false_header_under_the_name_of_npy_is_broken(tmp_path, evaluate, options):
    fill(tmp_path, 3)
    folder = tmp_path / "predictions"
    for index in range(2):
        (folder / f"{index:03d}.png").unlink()
    np.savez(tmp_path / "some.npz", a=matte(0))
    (tmp_path / "some.npz").rename(folder / "000.npy")
    header = np.lib.format.header_data_from_array_1_0(np.zeros((2, 2), np.float32)) | {"shape": (999_999_999, 50)}
    with (folder / "001.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    said = evaluate(*options)
    assert said.code == 1, said.err
    assert "2 broken predictions: 000, 001" in said.out
