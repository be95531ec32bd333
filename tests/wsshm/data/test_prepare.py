"""`wsshm data prepare`: folders of your own become what the plan `photos` reads, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.wsshm import tiny
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.prepare import MANIFESTS, RECORD, prepare
from wsshm.data.split import hold_back
from wsshm.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "DATA"
    tiny.make_folders(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "M"
    assert prepare(data, out)
    return out


def test_it_does_what_the_single_commands_do(data: Path, prepared: Path) -> None:
    photos = import_layout("pairs", data / "photos", "estimated", domain="natural")
    photos, _ = hold_back(photos, "test", 1, of=[("split", "val")])
    photos, _ = hold_back(photos, "val", 5, of=[("split", "test")])
    cutouts, _ = hold_back(import_layout("rgba", data / "cutouts", domain="synthetic"), "test", 5)
    backgrounds, _ = hold_back(import_layout("backgrounds", data / "backgrounds"), "test", 5)
    made = {name: Manifest.read(prepared / name) for name in MANIFESTS}
    for name, manifest in zip(MANIFESTS, (photos, cutouts, backgrounds), strict=False):
        assert sorted(made[name].samples, key=lambda s: s.id) == sorted(manifest.samples, key=lambda s: s.id)
    assert {s.attributes["cutout"] for s in made[MANIFESTS[3]].samples} == {"04", "09"}
    assert {s.attributes["background"] for s in made[MANIFESTS[3]].samples} == {"04"}
    for manifest in made.values():  # the roots hold, though they were written in another folder
        assert all(
            manifest.path(sample, column).is_file()
            for sample in manifest.samples
            for column in ("image", "matte", "mask", "foreground")
            if getattr(sample, column)
        )


def test_photos_have_masks_of_the_grade_that_is_stated(data: Path, prepared: Path, tmp_path: Path) -> None:
    assert prepare(data, tmp_path / "fine", grade="fine")
    made = {name: Manifest.read(tmp_path / "fine" / name) for name in MANIFESTS}
    for manifest in made.values():
        assert {s.attributes.get("mask_grade") for s in manifest.samples if s.mask} <= {"fine"}
    assert not any("mask_grade" in s.attributes for s in made["cutouts.parquet"].samples)
    with pytest.raises(UserError, match="was prepared from other data"):
        prepare(data, prepared, grade="fine")


def test_it_changes_nothing_when_rerun(data: Path, prepared: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in prepared.rglob("*")}
    assert not prepare(data, prepared)
    assert {file: file.stat().st_mtime_ns for file in prepared.rglob("*")} == before


def test_another_folder_is_not_written_to(data: Path, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    shutil.copy(prepared / "photos.parquet", tmp_path / "half")
    with pytest.raises(UserError, match=rf"half holds other files, or an incomplete result \(no {RECORD}\)"):
        prepare(data, tmp_path / "half")
    other = tmp_path / "other"
    shutil.copytree(data, other)
    (other / "backgrounds" / "extra.png").write_bytes((other / "backgrounds" / "00.png").read_bytes())
    with pytest.raises(UserError, match=r"M was prepared from other data, or .*other has changed since"):
        prepare(other, prepared)
    (other / "backgrounds" / "extra.png").unlink()
    (other / "backgrounds" / "04.png").unlink()
    with pytest.raises(UserError, match="other/backgrounds has 4 pictures, and at least 5 are needed"):
        prepare(other, tmp_path / "M")
    assert not (tmp_path / "M").exists()
    assert not list(tmp_path.glob(".M*"))


def test_without_a_table_photos_with_mattes_are_measured_on(data: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "DATA")
    (tmp_path / "DATA" / "photos" / "photos.csv").unlink()
    assert prepare(tmp_path / "DATA", tmp_path / "M")
    made, known = (Manifest.read(folder / "photos.parquet").samples for folder in (tmp_path / "M", prepared))
    assert {sample.id: sample.split for sample in made} == {sample.id: sample.split for sample in known}


def edited(data: Path, old: str, new: str) -> None:
    table = data / "photos" / "photos.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: shutil.rmtree(data / "cutouts"), "has no folder cutouts/; put photos into"),
        (
            lambda data: edited(data, ",val", ",train"),
            r"has 0 photos with mattes to validate and test on, and .* give the 10 others with mattes the split val in",
        ),
        (lambda data: shutil.rmtree(data / "photos" / "mattes"), "at least 5 are needed; put more into mattes/"),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(data: Path, tmp_path: Path, change, said: str) -> None:
    shutil.copytree(data, tmp_path / "DATA")
    change(tmp_path / "DATA")
    with pytest.raises(UserError, match=said):
        prepare(tmp_path / "DATA", tmp_path / "M")
    assert not (tmp_path / "M").exists()
