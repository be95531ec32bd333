"""The cache of fetched files: bounded, least recently used out, shared by processes, and cheap when it hits."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wsshm.errors import UserError
from wsshm.files import node_cache
from wsshm.files.node_cache import IN_USE_S, NodeCache, parse_cache, parse_size

KB = 1000


def key(name: int | str) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def holding(cache: NodeCache, name: int, size: int = KB) -> Path:
    return cache.put(key(name), {"image.png": bytes([name % 256]) * size})


def aged(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def held(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("[0-9a-f][0-9a-f]/*/*"))


@pytest.mark.parametrize(
    ("text", "folder", "size"),
    [
        ("/scratch/x:200GB", "/scratch/x", 200 * 10**9),
        ("/scratch/x", "/scratch/x", None),
        (":1.5TB", None, 1500 * 10**9),
        ("/a:b/c:64MiB", "/a:b/c", 64 << 20),
        ("/a:b/c", "/a:b/c", None),
    ],
)
def test_folder_and_size_are_read(text: str, folder: str | None, size: int | None) -> None:
    assert parse_cache(text) == (Path(folder) if folder else None, size)


@pytest.mark.parametrize("text", ["/x:2XB", "/x:0GB", ":", "s3://bucket/x:2GB", "/x:5"])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="takes"):
        parse_cache(text, "--cache")


def test_sizes() -> None:
    assert [parse_size(text, "--shard-size") for text in ("256MB", "1 kB", "7B")] == [256 * 10**6, 1000, 7]


def test_the_least_recently_used_goes_first_and_a_hit_counts_as_use(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 10 * KB)
    for name in range(9):
        aged(holding(cache, name), 1000 - name)
    other = NodeCache(tmp_path, 10 * KB)  # another process
    assert other.find(key(0), ("image.png",)) is not None
    for name in (100, 101, 102):
        holding(other, name)
    left = {name for name in range(9) if (tmp_path / key(name)[:2] / key(name)).exists()}
    assert 0 in left
    assert 1 not in left
    assert held(tmp_path) <= 10 * KB


def test_what_was_just_used_stays_though_the_cache_grows_beyond_its_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = NodeCache(tmp_path, 3 * KB)
    folders = [holding(cache, name) for name in range(6)]
    assert all(folder.is_dir() for folder in folders)
    assert sum("holds" in record.message for record in caplog.records) == 1
    for folder in folders:
        aged(folder, IN_USE_S + 1)
    holding(cache, 50)
    assert held(tmp_path) <= 3 * KB


def test_one_sample_larger_than_the_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"may hold [\d,]+ bytes and one sample has [\d,]+; give it more by --cache"):
        holding(NodeCache(tmp_path, KB), 1, 2 * KB)
    assert held(tmp_path) == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(node_cache.VARIABLE, f"{tmp_path}/file/cache:1GB")
    with pytest.raises(UserError, match=r"file/cache cannot be written to \(not a directory\); name another folder"):
        node_cache.node_cache()


@pytest.mark.parametrize("name", ["../../outside", "", "A" * 64, key(1)[:-1]])
def test_a_key_of_a_foreign_manifest_leads_nowhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a sha256"):
        NodeCache(tmp_path, KB).put(name, {"image.png": b"x"})


def test_an_entry_that_somebody_removed_is_fetched_again(tmp_path: Path) -> None:
    cache, fetched = NodeCache(tmp_path, 10 * KB), []

    def fetch() -> dict[str, bytes]:
        fetched.append(1)
        return {"image.png": b"x"}

    folder = cache.obtain(key(1), ("image.png",), fetch)
    assert cache.obtain(key(1), ("image.png",), fetch) == folder
    (folder / "image.png").unlink()
    folder.rmdir()
    assert (cache.obtain(key(1), ("image.png",), fetch) / "image.png").read_bytes() == b"x"
    assert (cache.obtain(key(1), ("image.jpg",), lambda: {"image.jpg": b"x"}) / "image.jpg").exists()
    assert len(fetched) == 2


def test_of_several_threads_one_fetches(tmp_path: Path) -> None:
    cache, fetched = NodeCache(tmp_path, 10 * KB), []

    def fetch() -> dict[str, bytes]:
        fetched.append(1)
        time.sleep(0.1)
        return {"image.png": b"x"}

    threads = [threading.Thread(target=cache.obtain, args=(key(1), ("image.png",), fetch)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [1]


def test_a_fetch_that_fails_leaves_nothing_and_is_tried_anew(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 10 * KB)

    def fail() -> dict[str, bytes]:
        raise UserError("gone")

    for _ in range(2):
        with pytest.raises(UserError, match="gone"):
            cache.obtain(key(1), ("image.png",), fail)
    assert cache.obtain(key(1), ("image.png",), lambda: {"image.png": b"x"}).is_dir()


def _fill(folder: Path, number: int, wait: Callable[[], object]) -> None:
    cache = NodeCache(folder, 40 * KB)
    wait()
    for name in range(60):
        kept = cache.obtain(key(name), ("image.png",), lambda name=name: {"image.png": bytes([name]) * KB})
        assert (kept / "image.png").read_bytes() == bytes([name]) * KB
        if name % 7 == number:
            aged(kept, IN_USE_S + 50)


def test_processes_share_it_and_no_entry_is_ever_half(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_fill, args=(tmp_path, number, barrier.wait)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    for name in range(60):
        entry = tmp_path / key(name)[:2] / key(name)
        if entry.exists():
            assert (entry / "image.png").read_bytes() == bytes([name]) * KB
    assert not list((tmp_path / ".writing").iterdir())
