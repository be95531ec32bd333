"""Cut-outs made of photos with mattes, by the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.wsshm import tiny
from wsshm.__main__ import main
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_matte, write_png


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    tiny.make(tmp_path, cutouts=1, photos=3, held_out=1)
    return tmp_path


Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The console script, to its exit status."""

    def called(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["wsshm", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0)

    return called


def test_cutouts_have_the_persons_colours_and_the_photos_alpha(
    photos: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, out = Manifest.read(photos / "masks.parquet"), photos / "cut"
    assert run("data", "cutouts", photos / "masks.parquet", "--out", out) == 0
    assert "cut.parquet: 3 cut-outs" in capsys.readouterr().out
    made = Manifest.read(out / "cut.parquet")
    assert [s.id for s in made.samples] == [s.id for s in listed.samples]
    for photo, cutout in zip(listed.samples, made.samples, strict=True):
        assert (cutout.kind, cutout.split, cutout.attributes["foreground"]) == ("cutout", photo.split, "estimated")
        matte, alpha = read_matte(listed.path(photo, "matte")), read_matte(made.path(cutout, "matte"))
        assert (cutout.height, cutout.width) == alpha.shape
        assert alpha.shape < matte.shape
        assert alpha.sum() == pytest.approx(matte.sum(), abs=1e-2)
        # The discs are of one colour: where they are half transparent, the dark behind them is gone.
        colours = read_image(made.path(cutout, "foreground")).astype(float)
        inside = np.median(colours[alpha == 1], axis=0)
        soft = colours[(alpha > 0.3) & (alpha < 0.7)]
        assert np.abs(soft.mean(0) - inside).max() < 20
    assert run("data", "check", out / "cut.parquet") == 0


def test_a_rerun_keeps_what_is_there_and_makes_what_changed(photos: Path, run: Run) -> None:
    out = photos / "cut"
    assert run("data", "cutouts", photos / "masks.parquet", "--out", out) == 0
    before = {file.name: file.stat().st_mtime_ns for file in (out / "images").iterdir()}
    (out / "images" / sorted(before)[0]).unlink()
    (out / "cut.parquet").unlink()
    assert run("data", "cutouts", photos / "masks.parquet", "--out", out) == 0
    after = {file.name: file.stat().st_mtime_ns for file in (out / "images").iterdir()}
    assert before.keys() == after.keys()
    assert sum(before[name] != after[name] for name in before) == 1


def test_photos_without_people_are_left_out_and_named(photos: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    listed = Manifest.read(photos / "masks.parquet")
    first, *_ = listed.samples
    write_png(listed.path(first, "matte"), np.zeros((tiny.SIZE, tiny.SIZE), np.uint8))
    assert run("data", "cutouts", photos / "masks.parquet", "--out", photos / "cut") == 0
    assert f"1 mattes are empty and give no cut-out, the first: {first.id}" in caplog.text
    assert len(Manifest.read(photos / "cut" / "cut.parquet")) == 2


def test_mistakes_are_named(photos: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    backgrounds = Manifest.read(photos / "mattes.parquet").where(lambda s: s.kind != "photo")
    backgrounds.write(photos / "no_photos.parquet")
    assert run("data", "cutouts", photos / "no_photos.parquet", "--out", photos / "cut") == 2
    assert "no photo of the manifest has a matte" in capsys.readouterr().err
    (photos / "file").write_text("")
    assert run("data", "cutouts", photos / "masks.parquet", "--out", photos / "file") == 2
    assert "is a file; give a folder by --out" in capsys.readouterr().err
