import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from wsshm.data import check_records
from wsshm.data.check import check
from wsshm.data.check_sample import look
from wsshm.data.findings import KINDS, Finding, errors
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import write_png
from wsshm.errors import UserError

RNG = np.random.default_rng(2)
HALF = np.repeat(np.array([[0], [255]], np.uint8), 4, axis=0) * np.ones((1, 10), np.uint8)
SOFT = np.repeat(np.array([0, 60, 200, 255], np.uint8), [3, 1, 1, 3])[:, None] * np.ones((1, 10), np.uint8)


@pytest.fixture
def root(tmp_path):
    """Four photos with mask and matte, all sound."""
    for name in "abcd":
        write_png(tmp_path / "images" / f"{name}.png", RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        write_png(tmp_path / "masks" / f"{name}.png", HALF)
        write_png(tmp_path / "mattes" / f"{name}.png", SOFT)
    return tmp_path


def only(found: list[Finding]) -> tuple[str, str, str]:
    (finding,) = found
    return finding.id, finding.column, finding.problem


def without_hash(root):
    manifest = import_layout("pairs", root)
    return Manifest(root, (replace(s, sha256="") for s in manifest.samples))


def test_sound_manifest_has_no_fault(root):
    assert check(import_layout("pairs", root)) == []


NOISE = RNG.integers(0, 256, (8, 10), dtype=np.uint8)
FRAME = np.pad(np.zeros((6, 8), np.uint8), 1, constant_values=255)
LARGE = np.pad(np.full((1, 1), 255, np.uint8), ((20, 20), (20, 29)))
BAD_LABELS = {
    "no mask": ("mask", np.zeros((8, 10), np.uint8), "empty", "0 everywhere"),
    "no matte": ("matte", np.zeros((8, 10), np.uint8), "empty", "0 everywhere"),
    "faint matte": ("matte", HALF // 25, "empty", "without a person: no value above 0.04"),
    "full matte": ("matte", np.full((8, 10), 255, np.uint8), "full", "1 everywhere"),
    "full mask": ("mask", np.full((8, 10), 255, np.uint8), "full", "1 everywhere"),
    "inverted mask": ("mask", FRAME, "inverted", "it may be inverted"),
    "inverted matte": ("matte", FRAME, "inverted", "it may be inverted"),
    "small matte": ("matte", HALF[:, :7] // 2, "size", "7 x 8, but the image is 10 x 8"),
    "grey mask": ("mask", np.where(NOISE < 9, 90, HALF).astype(np.uint8), "grey-mask", "of its pixels are neither"),
    "binary matte": ("matte", HALF, "binary-matte", "0.00 soft pixels for each of its outline's"),
    "foreign mask": ("mask", HALF[::-1], "misfit", "does not fit the matte: their IoU is 0.00"),
    "all known": ("trimap", HALF, "trimap", "has no unknown pixel"),
    "another's": ("trimap", np.where(np.arange(10) < 2, 128, HALF[::-1]).astype(np.uint8), "trimap", "contradicts"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_each_bad_label_is_found(root, case):
    column, pixels, kind, problem = BAD_LABELS[case]
    write_png(root / f"{column}s" / "b.png", pixels)
    found = [each for each in check(without_hash(root)) if each.id == "b"]
    (finding,) = [each for each in found if each.column == column and each.kind == kind]
    assert problem in finding.problem
    assert {each.kind for each in found} - {kind} <= {"misfit", "binary-matte", "trimap"}  # of what no longer fits it


def test_a_tiny_person_is_found(tmp_path):
    write_png(tmp_path / "images" / "a.png", RNG.integers(0, 256, (41, 50, 3), dtype=np.uint8))
    write_png(tmp_path / "masks" / "a.png", LARGE)
    assert only(check(import_layout("pairs", tmp_path))) == ("a", "mask", "the person covers 0.049% of the picture")


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
    write_png(root / "masks" / "c.png", HALF // 255)
    assert only(check(manifest)) == ("c", "image", "changed since import; import the data again")


def test_size_in_the_manifest_is_compared(root):
    samples = [replace(s, width=11) if s.id == "d" else s for s in without_hash(root).samples]
    assert only(check(Manifest(root, samples)))[2] == "10 x 8, but the manifest says 11 x 8"


def test_same_picture_twice_names_the_other_one(root):
    (root / "images" / "d.png").write_bytes((root / "images" / "a.png").read_bytes())
    assert only(check(without_hash(root))) == ("d", "image", "the same picture as a (train)")


def picture(seed=0):
    """A picture (64,80,3) with shapes of all sizes, the larger the stronger, as photos have them."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.uniform(-1, 1, (k, k, 3)), (80, 64)) * 200 / k for k in (2, 4, 8, 16, 32)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def listed(folder, **pictures):
    """A manifest of pictures without labels; id_split=pixels, or bytes of a file."""
    samples = []
    for name, content in pictures.items():
        file = folder / f"{name}.png"
        file.write_bytes(content) if isinstance(content, bytes) else write_png(file, content)
        samples.append(Sample(name[0], name[2:], "background", image=file.name))
    return Manifest(folder, samples)


def jpeg(pixels, quality=90):
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def moved(pixels):
    """The same scene a little later: what stands in it has gone to the right."""
    later = pixels.copy()
    later[16:48, 29:53] = pixels[16:48, 25:49]
    return later


def test_pictures_that_are_alike_in_and_across_splits(tmp_path):
    a, b = picture(0), picture(1)
    manifest = listed(
        tmp_path, a_train=a, b_train=b, c_train=moved(a), d_val=jpeg(a), e_test=moved(b), f_test=picture(2)
    )
    found = {(f.id, f.kind, f.twin, f.twin_split, f.severity) for f in check(manifest)}
    assert found == {
        ("c", "near-duplicate", "a", "train", "warning"),
        ("d", "leak", "a", "train", "error"),
        ("e", "near-leak", "b", "train", "warning"),
    }


def test_a_leak_between_manifests_names_both(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    train = listed(tmp_path / "x", a_train=picture(0), b_train=picture(1))
    test = listed(tmp_path / "y", a_train=picture(0), c_test=picture(0), d_test=picture(2))
    (leak,) = check(train, test, names=["x.parquet", "y.parquet"])  # a picture may be in one split of several manifests
    assert (leak.manifest, leak.id, leak.twin_manifest, leak.kind) == ("y.parquet", "c", "x.parquet", "leak")
    assert leak.problem == "the same picture as a (train of x.parquet)"
    assert check(train) == []


def test_a_file_may_be_listed_for_each_person_in_it(tmp_path):
    manifest = listed(tmp_path, a_train=picture(0), b_train=moved(picture(0)))
    second = [replace(s, id=f"{s.id}2") for s in manifest.samples]
    assert [(f.id, f.kind) for f in check(Manifest(tmp_path, [*manifest.samples, *second]))] == [
        ("b", "near-duplicate")
    ]
    (test,) = [replace(s, id="c", split="test") for s in manifest.samples[:1]]
    found = check(Manifest(tmp_path, [*manifest.samples, test]))
    assert ("c", "leak") in {(f.id, f.kind) for f in found}


def test_plain_pictures_are_not_compared(tmp_path):
    grey = [np.full((64, 80, 3), level, np.uint8) for level in (100, 101)]
    assert check(listed(tmp_path, a_train=grey[0], b_test=grey[1])) == []


def test_cutouts_are_compared_over_grey(tmp_path):
    """Colours where nothing is seen differ; what is seen is the same."""
    matte = cv2.GaussianBlur(cv2.circle(np.zeros((64, 80), np.uint8), (40, 32), 20, 255, -1), (0, 0), 2)
    for name, fill in (("a", 0), ("b", 255)):
        seen = np.where(matte[..., None] > 0, picture(0), fill).astype(np.uint8)
        write_png(tmp_path / f"{name}.png", np.dstack([seen, matte]))
    assert only(check(import_layout("rgba", tmp_path))) == (
        *("b", "foreground", "the same picture, saved again, as a (train)"),
    )


def test_rows_that_a_jpeg_lost_are_seen(tmp_path):
    whole = jpeg(picture(0))
    closed = whole[: len(whole) // 2] + b"\xff\xd9"  # cut off, and closed by what saved it
    name, column, problem = only(check(listed(tmp_path, a_train=closed)))
    assert (name, column) == ("a", "image")
    assert re.fullmatch(r"its lowest \d\d rows are plain grey, as where data were lost; look at it", problem)
    painted = np.vstack([picture(0)[:40], np.full((24, 80, 3), 128, np.uint8)])
    assert check(listed(tmp_path, a_train=painted)) == []  # a PNG is whole, or it is not read


def test_what_was_looked_at_is_not_opened_again(root, monkeypatch, tmp_path):
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "cache"))
    write_png(root / "masks" / "b.png", HALF * 0)
    manifest, opened = without_hash(root), []
    monkeypatch.setattr("wsshm.data.check.look", lambda *each: opened.append(each[1].id) or look(*each))
    first = check(manifest)
    assert (opened, [f.kind for f in first]) == (list("abcd"), ["empty"])
    opened.clear()
    assert check(manifest, remembered=True) == first
    assert opened == []
    write_png(root / "masks" / "c.png", np.zeros((8, 10), np.uint8))
    assert [f.id for f in check(manifest, remembered=True)] == ["b", "c"]
    assert opened == ["c"]
    (root / "images" / "a.png").unlink()
    assert [f.kind for f in check(manifest, remembered=True)] == ["missing", "empty", "empty"]
    (record,) = (tmp_path / "cache" / check_records.FOLDER).iterdir()
    record.write_bytes(b"PAR1 damaged")
    assert len(check(manifest, remembered=True)) == 3
    assert check(manifest) == check(manifest, remembered=True)


def test_samples_are_known_whichever_manifest_lists_them(root, monkeypatch, tmp_path):
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "cache"))
    write_png(root / "masks" / "b.png", HALF * 0)
    manifest, opened = without_hash(root), []
    check(manifest)
    monkeypatch.setattr("wsshm.data.check.look", lambda *each: opened.append(each[1].id) or look(*each))
    renamed = [replace(s, id=f"{s.id}2", split="test") for s in manifest.samples[1:]]
    (found,) = check(Manifest(root, renamed), remembered=True)
    assert (found.id, found.split, found.kind, opened) == ("b2", "test", "empty", [])
    check(Manifest(root, [replace(s, width=11) for s in renamed[:1]]), remembered=True)
    assert opened == ["b2"]
    assert check(manifest, remembered=True)
    assert opened == ["b2"]


def test_records_do_not_pile_up(root, monkeypatch, tmp_path):
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(check_records, "MOST_RECORDS", 2)
    monkeypatch.setattr(check_records, "MOST_ROWS", 6)
    manifest = without_hash(root)
    for place in ("x", "y", "z"):
        shutil.copytree(root / "images", tmp_path / place / "images")
        check(Manifest(tmp_path / place, [replace(s, matte=None, mask=None) for s in manifest.samples]))
    assert len(list((tmp_path / "cache" / check_records.FOLDER).iterdir())) == 2
    check(Manifest(tmp_path / "z", [replace(s, matte=None, mask=None, width=9) for s in manifest.samples]))
    newest = max((tmp_path / "cache" / check_records.FOLDER).iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(pq.read_table(newest)) == 6


def test_the_report_lists_every_finding(root, tmp_path):
    write_png(root / "masks" / "b.png", HALF * 0)
    (root / "images" / "d.png").write_bytes((root / "images" / "a.png").read_bytes())
    manifest = without_hash(root)
    found = check(manifest, names=["m.parquet"])
    path = check_records.write_report(tmp_path / "r.parquet", found, {"m.parquet": manifest})
    table = pq.read_table(path)
    assert [
        tuple(row.values()) for row in table.select(["severity", "kind", "id", "twin", "distance"]).to_pylist()
    ] == [
        ("error", "empty", "b", None, None),
        ("warning", "duplicate", "d", "a", 0),
    ]
    metadata = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    assert metadata["checked"] == [{"manifest": "m.parquet", "fingerprint": manifest.fingerprint, "samples": 4}]
    assert metadata["counts"] == {"empty": 1, "duplicate": 1}
    assert len(errors(found)) == 1
    assert set(table.column("kind").to_pylist()) <= set(KINDS)


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


def test_the_readme_lists_every_kind():
    text = (Path(__file__).parents[3] / "wsshm" / "data" / "README.md").read_text()
    for name, kind in KINDS.items():
        assert f"| `{name}` | {kind.severity} | {kind.about} |" in text
