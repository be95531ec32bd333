"""Held-back samples, and test sets of composites whose mattes are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsshm.data.composites import write_composites
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_image, read_matte, write_png
from wsshm.data.split import hold_back
from wsshm.errors import UserError


def samples(count: int) -> Manifest:
    """Photos p00, p01, ...; every other one is `drawn`."""
    return Manifest(
        ".",
        [
            Sample(id=f"p{k:02d}", split="train", kind="photo", attributes={"made": ("drawn", "taken")[k % 2]})
            for k in range(count)
        ],
    )


def test_every_fifth_of_those_that_meet_the_condition_is_moved():
    held, moved = hold_back(samples(24), "test", 5, of=[("made", "drawn")])
    assert moved == 2
    assert [s.id for s in held.samples if s.split == "test"] == ["p08", "p18"]
    assert len(held) == 24


def test_what_is_not_kept_is_left_out_before_anything_is_counted():
    held, moved = hold_back(samples(24), "val", 6, keep=[("made", "taken")])
    assert ([s.id for s in held.samples if s.split == "val"], moved, len(held)) == (["p11", "p23"], 2, 12)


@given(st.integers(1, 60), st.integers(1, 9), st.randoms())
def test_what_is_held_back_does_not_depend_on_the_order_of_rows(count, every, random):
    manifest = samples(count)
    shuffled = list(manifest.samples)
    random.shuffle(shuffled)
    if count < every:
        with pytest.raises(UserError, match="none would go to test"):
            hold_back(manifest, "test", every)
        return
    held, moved = hold_back(Manifest(".", shuffled), "test", every)
    assert held.samples == hold_back(manifest, "test", every)[0].samples
    assert moved == count // every == sum(s.split == "test" for s in held.samples)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="the nearest valid choice is 'made'"):
        hold_back(samples(9), "test", 2, of=[("mode", "drawn")])
    with pytest.raises(UserError, match="the nearest valid choice is 'test'"):
        hold_back(samples(9), "tests", 2)


@pytest.fixture
def parts(tmp_path):
    """Three cut-outs of one colour and two backgrounds of another; of each, one is held back."""
    rng = np.random.default_rng(0)
    for k in range(3):
        alpha = np.zeros((60, 40), np.uint8)
        alpha[10:50, 10:30] = 255
        alpha[8:10, 10:30] = 120
        colours = np.full((60, 40, 3), 200, np.uint8)
        write_png(tmp_path / "people" / f"c{k}.png", np.dstack([colours, alpha]))
    for k in range(2):
        write_png(tmp_path / "walls" / f"b{k}.png", rng.integers(0, 20, (50, 70, 3), dtype=np.uint8))
    people, _ = hold_back(import_layout("rgba", tmp_path / "people"), "test", 3)
    walls, _ = hold_back(import_layout("backgrounds", tmp_path / "walls"), "test", 2)
    return people, walls


def test_composites_are_made_of_what_was_held_back_alone_and_are_what_their_mattes_say(parts, tmp_path):
    people, walls = parts
    written = write_composites(people, walls, tmp_path / "set", each=3, size=96, seed=0, split="test")
    assert written == tmp_path / "set" / "set.parquet"
    made = Manifest.read(written)
    assert [s.id for s in made.samples] == ["c2-00", "c2-01", "c2-02"]
    assert {(s.split, s.domain, s.attributes["cutout"], s.attributes["background"]) for s in made.samples} == {
        ("test", "synthetic", "c2", "b1")
    }
    assert {s.sha256 for s in made.hashed().samples} == {s.sha256 for s in made.samples}
    for sample in made.samples:
        image = read_image(made.path(sample, "image")).astype(float).mean(axis=2)
        matte = read_matte(made.path(sample, "matte"))
        assert image.shape == matte.shape == (96, 96)
        assert matte.max() > 0.9
        assert image[matte > 0.99].min() > 90  # the person's 200, at least 0.75 of it, tinted
        assert image[matte == 0].max() <= 20
        half = image[(matte > 0.4) & (matte < 0.6)]
        assert half.size > 0
        assert image[matte == 0].mean() < half.mean() < image[matte > 0.99].mean()


def test_more_of_them_leave_the_first_as_they_are_and_another_seed_does_not(parts, tmp_path):
    people, walls = parts

    def hashes(name, **options):
        made = write_composites(people, walls, tmp_path / name, size=64, split="test", **options)
        return {s.id: s.sha256 for s in Manifest.read(made).samples}

    few, many = hashes("few", each=2, seed=1), hashes("many", each=4, seed=1)
    assert many | few == many
    assert not set(few.values()) & set(hashes("other", each=2, seed=2).values())


def test_a_folder_is_there_whole_or_not_at_all(parts, tmp_path):
    people, walls = parts
    (people.root / "c2.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"c2\.png is not a readable picture"):
        write_composites(people, walls, tmp_path / "set", each=1, size=64, seed=0, split="test")
    assert {p.name for p in tmp_path.iterdir()} == {"people", "walls"}
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match="is there already"):
        write_composites(people, walls, tmp_path / "set", each=1, size=64, seed=0, split="test")
    with pytest.raises(UserError, match=r"no cutout of the manifest .* is of the split val"):
        write_composites(people, walls, tmp_path / "new", each=1, size=64, seed=0, split="val")


def test_a_cutout_whose_id_is_a_path_writes_nothing_outside_of_the_folder(parts, tmp_path):
    people, walls = parts
    renamed = Manifest(people.root, (replace(s, id=f"../../{s.id}") for s in people.samples))
    made = Manifest.read(write_composites(renamed, walls, tmp_path / "set", each=2, size=64, seed=0, split="test"))
    assert {path.name for path in tmp_path.iterdir()} == {"people", "walls", "set"}
    assert [s.id for s in made.samples] == ["../../c2-00", "../../c2-01"]
    assert {made.path(s, "matte") for s in made.samples} == set((tmp_path / "set" / "mattes").iterdir())
