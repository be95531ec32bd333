"""`wsshm data estimate-mattes`: mattes of photos by a peer and masks; who is left out, what is kept, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench import peer_files
from wsshm.__main__ import main
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_image, read_matte, read_trimap, write_png

SIDE = 144
Run = Callable[..., int]


def blob(x: float, radius: float) -> NDArray[np.float64]:
    yy, xx = np.mgrid[0:SIDE, 0:SIDE]
    return np.clip(0.5 + (radius - np.hypot(xx - x, yy - SIDE / 2)) / 4, 0, 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of a reddish person, whose red is their alpha: the peer `red` knows it. In `crowd` it sees two, the mask one."""
    samples = []
    for name, split, alpha, drawn in (
        ("one", "val", blob(60, 40), blob(61.5, 40)),
        ("two", "train", blob(80, 36), blob(80, 37.5)),
        ("crowd", "val", np.maximum(blob(40, 30), blob(116, 20)), blob(40, 30)),
    ):
        seen = alpha[..., None] * (255, 80, 60) + (1 - alpha[..., None]) * (0, 60, 120)
        write_png(tmp_path / f"{name}.png", np.rint(seen).astype(np.uint8))
        write_png(tmp_path / f"{name}-mask.png", np.uint8(255) * (drawn > 0.5).astype(np.uint8))
        samples.append(Sample(name, split, "photo", "natural", image=f"{name}.png", mask=f"{name}-mask.png"))
    Manifest(tmp_path, samples).write(tmp_path / "photos.parquet")
    peer_files.first_channel(tmp_path / "red.onnx")
    peer_files.describe(tmp_path / "red.yaml")
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, photos: Path) -> Run:
    """The command on these photos, to its exit status."""

    def called(*options: object, manifest: str = "photos.parquet") -> int:
        peer = f"{photos / 'red.yaml'}={photos / 'red.onnx'}"
        words = ["data", "estimate-mattes", photos / manifest, "--peer", peer, "--out", photos / "made", *options]
        monkeypatch.setattr("sys.argv", ["wsshm", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0)

    return called


def test_mattes_are_better_than_masks_and_say_what_they_are(
    photos: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    said = capsys.readouterr().out
    assert "made.parquet: 2 mattes" in said
    assert "1 left out, as who is there is not agreed on: crowd" in said
    made, listed = Manifest.read(photos / "made" / "made.parquet"), Manifest.read(photos / "photos.parquet")
    assert [(s.id, s.split, s.width, s.height) for s in made.samples] == [
        ("one", "val", SIDE, SIDE),
        ("two", "train", SIDE, SIDE),
    ]
    for sample in made.samples:
        assert sample.attributes["truth"] == "estimated"
        assert sample.attributes["truth_by"] == "closed-form matting between the opinions of mask, red"
        photo = next(s for s in listed.samples if s.id == sample.id)
        assert made.path(sample, "image").samefile(listed.path(photo, "image"))
        alpha = read_image(made.path(sample, "image"))[..., 0] / 255
        matte, trimap = read_matte(made.path(sample, "matte")), read_trimap(made.path(sample, "trimap"))
        mask = cv2.imread(str(made.path(sample, "mask")), cv2.IMREAD_GRAYSCALE) / 255
        assert np.abs(matte - alpha).mean() < 0.3 * np.abs(mask - alpha).mean()
        assert 0.02 < (trimap == 128).mean() < 0.4
    left = Manifest.read(photos / "made" / "made-left-out.parquet")
    assert [(s.id, s.matte, s.attributes["left_out"]) for s in left.samples] == [
        ("crowd", None, "who is there is not agreed on")
    ]
    for name in ("made.png", "made-left-out.png"):
        assert read_image(photos / "made" / name).std() > 10
    assert made.hashed().fingerprint == Manifest(made.root, made.samples).fingerprint


def test_a_rerun_keeps_what_is_there(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == 0
    files = {file: file.stat().st_mtime_ns for file in (photos / "made").rglob("*/*.png")}
    assert len(files) == 5  # three bands, two mattes
    first = Manifest.read(photos / "made" / "made.parquet")
    (photos / "made" / "made.parquet").unlink()
    next(file for file in files if file.parent.name == "mattes").unlink()
    asked: list[int] = []
    monkeypatch.setattr("sweeps.estimate_mattes._Peer.__call__", lambda *_: asked.append(1))
    assert run() == 0
    assert not asked
    again = {file: file.stat().st_mtime_ns for file in (photos / "made").rglob("*/*.png")}
    assert sum(files[file] != again[file] for file in files) == 1
    assert Manifest.read(photos / "made" / "made.parquet").fingerprint == first.fingerprint


def test_others_asked_give_other_files(photos: Path, run: Run) -> None:
    assert run() == 0
    before = {file.name for file in (photos / "made" / "trimaps").iterdir()}
    peer_files.describe(photos / "blue.yaml", input={"layout": "NCHW", "channels": "BGR"})
    assert run("--peer", f"{photos / 'blue.yaml'}={photos / 'red.onnx'}") == 2  # blue is where nobody is
    assert len(before | {file.name for file in (photos / "made" / "trimaps").iterdir()}) == 6


def test_a_split_alone_and_what_looked_wrong_left_out(
    photos: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--split", "train") == 0
    assert [s.id for s in Manifest.read(photos / "made" / "made.parquet").samples] == ["two"]
    assert not (photos / "made" / "made-left-out.parquet").exists()
    assert run("--leave-out", "two") == 0
    assert [s.id for s in Manifest.read(photos / "made" / "made.parquet").samples] == ["one"]
    assert "1 left out, as --leave-out names them: two" in capsys.readouterr().out
    assert run("--leave-out", "tow") == 2
    assert "--leave-out names no photo 'tow'; the nearest" in capsys.readouterr().err


def test_mistakes_are_named(photos: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    listed = Manifest.read(photos / "photos.parquet")
    Manifest(listed.root, [Sample("x", "val", "photo", image="one.png")]).write(photos / "no_masks.parquet")
    listed.where(lambda s: s.id == "crowd").write(photos / "crowd.parquet")
    for manifest, options, said in (
        ("no_masks.parquet", [], "the photo 'x' has one opinion alone"),
        ("photos.parquet", ["--split", "test"], "lists no photo of the split test"),
        ("photos.parquet", ["--split", "tset"], "--split tset is no split"),
        (
            "crowd.parquet",
            [],
            "no matte could be estimated: all 1 photos were left out (who is there is not agreed on)",
        ),
        ("photos.parquet", ["--peer", "rvm"], "--peer takes PEER=FILE"),
        ("photos.parquet", ["--out", photos / "red.onnx"], "is a file; give a folder by --out"),
    ):
        assert run(*options, manifest=manifest) == 2
        assert said in capsys.readouterr().err
