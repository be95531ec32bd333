"""Where files that can be regenerated are kept: a home that cannot be written to, a folder that others can write to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from wsshm.data.procedural.dataset import ensure
from wsshm.errors import UserError
from wsshm.files import cache
from wsshm.files.cache import cache_folder


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home and a temporary folder of the test's own."""
    monkeypatch.delenv("WSSHM_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    cache._temporary.cache_clear()


def no_home(tmp_path: Path) -> None:
    """A file is in the way, as root, too, is kept from writing there."""
    (tmp_path / "home").write_text("")


def test_the_cache_is_in_the_home_or_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder("x") == tmp_path / "home" / ".cache" / "wsshm" / "x"
    monkeypatch.setenv("WSSHM_CACHE", "~/kept")
    assert cache_folder("x") == tmp_path / "home" / "kept" / "x"
    assert (tmp_path / "home" / "kept" / "x").is_dir()


def test_without_a_home_a_temporary_folder_of_ones_own_is_shared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    no_home(tmp_path)
    with caplog.at_level("INFO", "wsshm"):
        first, again = cache_folder("x"), cache_folder("x")
    assert first == again == tmp_path / "tmp" / f"wsshm-cache-{os.getuid()}" / "x"
    assert first.parent.stat().st_mode & 0o777 == 0o700
    assert caplog.text.count("set WSSHM_CACHE to a folder that lasts") == 1
    assert ensure("val", 32, counts={"val": 1}).is_relative_to(first.parent)


@pytest.mark.parametrize("planted", ["link", "open"])
def test_a_temporary_folder_that_another_made_is_not_taken(tmp_path: Path, planted: str) -> None:
    no_home(tmp_path)
    (tmp_path / "other").mkdir()
    there = tmp_path / "tmp" / f"wsshm-cache-{os.getuid()}"
    if planted == "link":
        there.symlink_to(tmp_path / "other")
    else:
        there.mkdir()
        there.chmod(0o777)
    taken = cache_folder("x")
    assert taken.parent != there
    assert taken.parent.parent == tmp_path / "tmp"
    assert not list((tmp_path / "other").iterdir())
    assert list(there.iterdir()) == []


def test_a_named_place_that_is_none_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"WSSHM_CACHE names .*/file, whose procedural cannot be used"):
        ensure("val", 32, counts={"val": 1})


def test_drawn_pictures_are_found_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = ensure("val", 32, counts={"val": 1})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert ensure("val", 32, counts={"val": 1}) == drawn
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "home" / ".cache" / "wsshm"))
    with pytest.raises(UserError, match="no permission to write there, or a read-only filesystem"):
        ensure("val", 32, counts={"val": 2})


def test_what_is_run_is_kept_where_nobody_else_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compiled loops are, which numba keeps as pickles."""
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "named"))
    folder = cache_folder("compiled/abc", private=True)
    (folder / "index").write_text("mine")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)  # as the first release made it: closed now
    assert cache_folder("compiled/abc", private=True).stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UserError, match=r"compiled/abc cannot be used \(others than this user can write to it\)"):
        cache_folder("compiled/abc", private=True)
    folder.chmod(0o700)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(UserError, match="it is not this user's"):
        cache_folder("compiled/abc", private=True)
