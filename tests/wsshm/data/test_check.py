from dataclasses import replace

import numpy as np
import pytest

from wsshm.data.check import Fault, check
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import write_png
from wsshm.errors import UserError

RNG = np.random.default_rng(2)
HALF = np.repeat(np.array([[0], [255]], np.uint8), 4, axis=0) * np.ones((1, 10), np.uint8)


@pytest.fixture
def root(tmp_path):
    """Four photos with mask and matte, all sound."""
    for name in "abcd":
        write_png(tmp_path / "images" / f"{name}.png", RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        write_png(tmp_path / "masks" / f"{name}.png", HALF)
        write_png(tmp_path / "mattes" / f"{name}.png", HALF // 2)
    return tmp_path


def only(faults: list[Fault]) -> tuple[str, str, str]:
    (fault,) = faults
    return fault.id, fault.column, fault.problem


def without_hash(root):
    manifest = import_layout("pairs", root)
    return Manifest(root, (replace(s, sha256="") for s in manifest.samples))


def test_sound_manifest_has_no_fault(root):
    assert check(import_layout("pairs", root)) == []


@pytest.mark.parametrize(
    ("column", "pixels", "problem"),
    [
        ("mattes", np.zeros((8, 10), np.uint8), "0 everywhere"),
        ("mattes", np.full((8, 10), 255, np.uint8), "1 everywhere"),
        ("masks", np.zeros((8, 10), np.uint8), "0 everywhere"),
        ("masks", np.full((8, 10), 255, np.uint8), "1 everywhere"),
        ("masks", np.pad(np.zeros((6, 8), np.uint8), 1, constant_values=255), "it may be inverted"),
        ("mattes", np.pad(np.zeros((6, 8), np.uint8), 1, constant_values=255), "it may be inverted"),
        ("mattes", HALF[:, :7] // 2, "7 x 8, but the image is 10 x 8"),
        ("masks", np.where(np.arange(80) < 2, 90, HALF.ravel()).astype(np.uint8).reshape(8, 10), "2.50% of its pixels"),
    ],
)
def test_each_bad_label_is_one_fault(root, column, pixels, problem):
    write_png(root / column / "b.png", pixels)
    name, found, text = only(check(without_hash(root)))
    assert (name, found) == ("b", column.removesuffix("s"))
    assert problem in text


def test_missing_broken_and_coloured_files(root):
    manifest = without_hash(root)
    (root / "images" / "a.png").unlink()
    (root / "masks" / "b.png").write_bytes((root / "masks" / "b.png").read_bytes()[:40])
    write_png(root / "mattes" / "c.png", RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    found = [(f.id, f.column, f.path, f.problem.split(",")[0].split(";")[0]) for f in check(manifest)]
    assert found == [
        ("a", "image", "images/a.png", "missing"),
        ("b", "mask", "masks/b.png", "is not a readable picture"),
        ("c", "matte", "mattes/c.png", "has colours"),
    ]


def test_changed_file_is_noticed(root):
    manifest = import_layout("pairs", root)
    write_png(root / "masks" / "c.png", HALF[::-1])
    assert only(check(manifest)) == ("c", "image", "changed since import; import the data again")


def test_size_in_the_manifest_is_compared(root):
    samples = [replace(s, width=11) if s.id == "d" else s for s in without_hash(root).samples]
    assert only(check(Manifest(root, samples)))[2] == "10 x 8, but the manifest says 11 x 8"


def test_same_picture_twice_names_the_other_one(root):
    (root / "images" / "d.png").write_bytes((root / "images" / "a.png").read_bytes())
    assert only(check(without_hash(root))) == ("d", "image", "the same picture as a (train)")


def test_one_broken_cutout_is_one_fault(tmp_path):
    write_png(tmp_path / "p.png", RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8))
    manifest = import_layout("rgba", tmp_path)
    assert check(manifest) == []
    (tmp_path / "p.png").unlink()
    assert only(check(manifest))[2] == "missing"


def test_sample_without_any_picture_is_a_fault(root):
    assert "needs an image" in only(check(Manifest(root, [Sample("e", "train", "photo", mask="masks/a.png")])))[2]


def test_an_impossible_limit_is_no_fault_of_the_files(root, monkeypatch):
    manifest = import_layout("pairs", root)
    monkeypatch.setenv("WSSHM_MAX_PIXELS", "many")
    with pytest.raises(UserError, match=r"^WSSHM_MAX_PIXELS must be a number of pixels, not "):
        check(manifest)
