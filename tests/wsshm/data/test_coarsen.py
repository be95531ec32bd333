"""Masks redrawn at a grade, all else in their manifest as it was."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from wsshm.__main__ import main
from wsshm.data.coarsen import write_coarser
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask, write_png
from wsshm.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """Six photos with a mask of a lobed figure; the last has a matte in its place."""
    rng = np.random.default_rng(0)
    for k in range(6):
        write_png(tmp_path / "data" / "images" / f"p{k}.png", rng.integers(0, 255, (160, 120, 3), dtype=np.uint8))
        mask = np.zeros((160, 120), np.uint8)
        cv2.ellipse(mask, (60, 90), (30, 55), 10.0 * k, 0, 360, 255, -1)
        cv2.circle(mask, (60 + 3 * k, 30), 16, 255, -1)
        write_png(tmp_path / "data" / ("masks" if k < 5 else "mattes") / f"p{k}.png", mask)
    return import_layout("pairs", tmp_path / "data", split="train", domain="natural")


def overlap(manifest: Manifest, redrawn: Manifest) -> dict[str, float]:
    """IoU of each redrawn mask with the one it was drawn after."""
    found = {}
    for old, new in zip(manifest.samples, redrawn.samples, strict=True):
        if old.mask:
            a, b = read_mask(manifest.path(old, "mask")), read_mask(redrawn.path(new, "mask"))
            found[old.id] = float((a & b).sum() / (a | b).sum())
    return found


def test_the_coarser_the_farther_from_the_mask_and_nothing_else_changes(photos, tmp_path):
    made = {c: Manifest.read(write_coarser(photos, tmp_path / f"c{c}", masks=c, seed=0)) for c in (0, 1, 3)}
    means = [np.mean(list(overlap(photos, redrawn).values())) for redrawn in made.values()]
    assert means[0] == 1.0 > means[1] > means[2] > 0.5
    redrawn = made[1]
    for old, new in zip(photos.rooted(tmp_path).samples, redrawn.samples, strict=True):
        same = replace(new, mask=old.mask, sha256=old.sha256, attributes=old.attributes)
        assert same == old
        assert redrawn.path(new, "image") == tmp_path / old.files["image"]
        assert new.attributes == (old.attributes | {"mask_coarseness": "1"} if old.mask else old.attributes)
    rehashed = Manifest(redrawn.root, (replace(s, sha256="") for s in redrawn.samples)).hashed()
    assert [s.sha256 for s in rehashed.samples] == [s.sha256 for s in redrawn.samples]
    assert redrawn.fingerprint != photos.fingerprint


def test_a_mask_hangs_on_its_id_and_the_seed_alone(photos, tmp_path):
    def drawn(name: str, manifest: Manifest, seed: int) -> dict[str, bytes]:
        write_coarser(manifest, tmp_path / name, masks="polygon", seed=seed)
        return {path.name: path.read_bytes() for path in (tmp_path / name / "masks").iterdir()}

    all_ = drawn("all", photos, 0)
    few = drawn("few", Manifest(photos.root, photos.samples[3:0:-1]), 0)
    assert len(few) == 3
    assert all_ | few == all_
    assert drawn("other", photos, 1) != all_


def test_a_folder_is_there_whole_or_not_at_all(photos, tmp_path):
    (photos.root / "masks" / "p3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"p3\.png is not a readable picture"):
        write_coarser(photos, tmp_path / "made", masks="fine", seed=0)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    (tmp_path / "made").mkdir()
    with pytest.raises(UserError, match="made is there already"):
        write_coarser(photos, tmp_path / "made", masks="fine", seed=0)
    with pytest.raises(UserError, match="no sample of the manifest has a mask"):
        write_coarser(Manifest(photos.root, photos.samples[-1:]), tmp_path / "new", masks="fine", seed=0)
    with pytest.raises(UserError, match="coarseness -1 is not possible"):
        write_coarser(photos, tmp_path / "new", masks=-1, seed=0)


def test_the_command_says_what_it_did(photos, tmp_path, monkeypatch, capsys):
    listed = photos.write(tmp_path / "photos.parquet")
    monkeypatch.setattr("sys.argv", ["wsshm", "data", "coarsen", str(listed), "--out", str(tmp_path / "rough")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert "rough.parquet: 5 masks redrawn" in capsys.readouterr().out
    redrawn = Manifest.read(tmp_path / "rough" / "rough.parquet")
    assert [s.attributes.get("mask_grade") for s in redrawn.samples] == ["polygon"] * 5 + [None]


def test_a_better_grade_is_nearer_and_the_manifest_says_which_it_is(photos, tmp_path):
    """What the masks were before, which is said of them no more, does not matter."""
    stated = Manifest(photos.root, [replace(s, attributes={"mask_coarseness": "2"}) for s in photos.samples])
    grades = ("polygon", "fine", "expert")
    made = {g: Manifest.read(write_coarser(stated, tmp_path / g, masks=g, seed=0)) for g in grades}
    means = [np.mean(list(overlap(photos, redrawn).values())) for redrawn in made.values()]
    assert 0.5 < means[0] < means[1] < means[2] < 1
    for grade, redrawn in made.items():
        assert {str(s.attributes) for s in redrawn.samples if s.mask} == {str({"mask_grade": grade})}
    again = Manifest.read(write_coarser(made["fine"], tmp_path / "again", masks=1, seed=0))
    assert {str(s.attributes) for s in again.samples if s.mask} == {str({"mask_coarseness": "1"})}
    with pytest.raises(UserError, match="no grade 'fien'; the nearest valid choice is 'fine'"):
        write_coarser(photos, tmp_path / "new", masks="fien", seed=0)


def test_an_id_that_is_a_path_writes_nothing_outside_of_the_folder(photos, tmp_path):
    samples = [replace(s, id=name) for s, name in zip(photos.samples, ("../../evil", "a/b", "x" * 400), strict=False)]
    redrawn = Manifest.read(write_coarser(Manifest(photos.root, samples), tmp_path / "made", masks="fine", seed=0))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "made"}
    assert [s.id for s in redrawn.samples] == [s.id for s in samples]
    masks = {redrawn.path(s, "mask") for s in redrawn.samples}
    assert masks == set((tmp_path / "made" / "masks").iterdir())
