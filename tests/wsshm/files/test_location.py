"""Files and folders on a disk and on an object store: the same, whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store import bucket
from wsshm.errors import UserError
from wsshm.files import claims
from wsshm.files.claims import Claim
from wsshm.files.location import Location, check_writable
from wsshm.models.checkpoint import STATE
from wsshm.training.stages import RESULT, StageFolder


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with bucket() as template:
        yield template


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, uri: str) -> Location:
    return Location.of(tmp_path / "x" if request.param == "disk" else uri.format(f"{tmp_path.name}/x"))


def test_names_go_round(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Location.of(uri.format("a/b"))
    assert Location.of(str(remote)) == remote
    assert str(remote / "c.json").startswith(f"{remote.base}{remote.path}/c.json?endpoint_override=")
    assert (remote / "c.json").name == "c.json"
    assert remote.local is None
    monkeypatch.chdir(tmp_path)
    assert Location.of("a") == Location.of(tmp_path / "a") == Location.of(f"file://{tmp_path}/a")
    assert Location.of("a").local == tmp_path / "a"


def test_an_address_that_cannot_be_opened_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"the address 'nosuch://x' cannot be opened"):
        Location.of("nosuch://x/y")


def test_files(place: Location) -> None:
    assert not place.exists()
    assert place.listing() == []
    place.delete()
    with pytest.raises(FileNotFoundError):
        (place / "a").read_text()
    (place / "a").write_text("one")
    (place / "a").write_text("two")
    (place / "b" / "c").write_text("three")
    assert (place / "a").read_text() == "two"
    assert (place / "a").is_file()
    assert (place / "b").is_folder()
    assert (place / "a").modified() > 0
    assert [p.name for p in place.listing()] == ["a", "b"]
    assert sorted((f.name, size) for f, size in place.files()) == [("a", 3), ("c", 5)]
    (place / "a").delete()
    assert [p.name for p in place.listing()] == ["b"]
    place.delete()
    assert not place.exists()


def test_a_folder_is_whole_or_not_there(place: Location, tmp_path: Path) -> None:
    def fail() -> None:
        with (place / "new").new_folder(last="last") as folder:
            (folder / "first").write_text("x")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail()
    assert not (place / "new").exists()
    for text in ("one", "two"):
        with (place / "new").new_folder(last="last") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "first").write_text(text)
            (folder / "last").write_text(text)
        scratch = tmp_path / f"scratch-{text}"
        scratch.mkdir()
        copy = (place / "new").fetched(scratch)
        assert (copy / "sub" / "first").read_text() == (copy / "last").read_text() == text
        assert (place / "new").fetched(scratch) == copy


def test_the_last_file_is_written_last(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed upload leaves is not taken for whole, nor mixed with what was there."""
    place = Location.of(uri.format(f"{tmp_path.name}/torn"))
    with place.new_folder(last="z") as folder:
        (folder / "z").write_text("old")
    written = []
    real = Location.upload

    def half(self: Location, folder: Path, last: str | None = None) -> None:
        (folder / "z").unlink()
        real(self, folder, last)
        written.append(last)
        raise KeyboardInterrupt

    monkeypatch.setattr(Location, "upload", half)

    def torn() -> None:
        with place.new_folder(last="z") as folder:
            (folder / "a").write_text("new")
            (folder / "z").write_text("new")

    with pytest.raises(KeyboardInterrupt):
        torn()
    assert written == ["z"]
    assert [p.name for p in place.listing()] == ["a"]


def test_training_states_follow_each_other(place: Location, tmp_path: Path) -> None:
    stage = StageFolder(place, "abc", tmp_path)
    assert stage.state_progress() is None
    for step in (5, 10, 15):
        with stage.new_state(step) as folder:
            (folder / STATE).write_text(f'{{"step": {step}}}')
    assert [s.name for s in stage.states()] == ["state-00000010", "state-00000015"]
    (stage.place / "state-00000020" / "model.safetensors").write_text("an upload that was cut off")
    assert (stage.state_progress() or {})["step"] == 15
    (stage.place / "state-00000015" / STATE).write_text('{"step": 1')
    assert (stage.state_progress() or {})["step"] == 10
    with stage.final.new_folder(last=RESULT) as folder:
        (folder / RESULT).write_text("{}")
    stage.clear_states()
    assert stage.done
    assert [p.name for p in stage.place.listing()] == ["final"]


def test_a_claim_on_an_object_store(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SETTLE_S", 0.05)
    place = Location.of(uri.format(f"{tmp_path.name}/claim.json"))
    mine, other = Claim(place), Claim(place)
    assert mine.try_take()
    assert not other.try_take()
    assert (other.owner() or {})["pid"] == os.getpid()
    mine.release()
    assert other.try_take()
    with other.held():
        assert not mine.try_take()
    assert not place.exists()
    # Both wrote before either looked: the one that wrote last has it, and only that one.
    real = Location.write_bytes

    def overtaken(self: Location, content: bytes) -> None:
        real(self, content)
        real(self, b'{"host": "another", "pid": 1}')

    monkeypatch.setattr(Location, "write_bytes", overtaken)
    assert not mine.try_take()


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path: Path, uri: str) -> None:
    check_writable(Location.of(tmp_path), "--out")
    check_writable(Location.of(uri.format("fine")), "--out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file" / "x", uri.replace("s3://b", "s3://another-b").format("x")):
        with pytest.raises(UserError, match=r"--out \S+ (cannot be written to|is in a bucket that does not exist)"):
            check_writable(Location.of(bad), "--out")
