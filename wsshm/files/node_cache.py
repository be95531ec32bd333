"""A bounded cache of fetched files on this machine, shared by all its processes: what was used longest ago goes first.

An entry is a folder of files under the hash of their content, whole or not there. It was used when the folder's time
says; that is renewed at most twice a minute, so a hit is a look into a dictionary.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

from filelock import FileLock

from wsshm.errors import UserError
from wsshm.files.cache import cache_folder

VARIABLE = "WSSHM_DATA_CACHE"
SPELLING = "FOLDER:SIZE, such as /scratch/wsshm:200GB"
SHARE = 0.5
"""Of the disk's free space, for a cache whose size nobody says."""
KEPT = 0.9
"""What eviction leaves of the limit, so that it is not needed again at once."""
TOUCH_S, IN_USE_S = 30.0, 120.0
"""A hit renews an entry's time this often. One used within IN_USE_S is never evicted: its path may just have been given."""
LEFTOVER_S = 3600.0
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[kKMGT]?)(?P<binary>i?)B")
_KEY = re.compile(r"[0-9a-f]{64}")
_POWER = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}

log = logging.getLogger(__name__)


def parse_size(text: str, option: str) -> int:
    """Bytes of a size such as 256MB, 1.5TB or 64GiB; UserError names `option`."""
    found = _SIZE.fullmatch(text)
    size = round(float(found["number"]) * (1024 if found["binary"] else 1000) ** _POWER[found["unit"]]) if found else 0
    if size <= 0:
        raise UserError(f"{option} takes a size such as 256MB or 200GB, not {text!r}")
    return size


def parse_cache(text: str, option: str = VARIABLE) -> tuple[Path | None, int | None]:
    """(folder, bytes) of FOLDER:SIZE, FOLDER or :SIZE, None for what is left out; UserError where it is neither."""
    folder, colon, size = text.rpartition(":")
    if not colon or not (size[:1].isdigit() or not folder):
        return _absolute(text, option), None
    return (_absolute(folder, option) if folder else None), parse_size(size, option)


def _absolute(folder: str, option: str) -> Path:
    if not folder or "://" in folder:
        raise UserError(f"{option} takes {SPELLING}, a folder of this machine; not {folder!r}")
    return Path(folder).expanduser().absolute()


def use(text: str, option: str = VARIABLE) -> None:
    """Make the cache `text` (`parse_cache`), given by `option`, that of this process and of those that it starts."""
    folder, size = parse_cache(text, option)
    os.environ[VARIABLE] = f"{folder or ''}" + (f":{size}B" if size else "")
    node_cache()


def node_cache() -> NodeCache:
    """This machine's cache: WSSHM_DATA_CACHE (`parse_cache`), else `data` in the usual cache, with half of its free disk.

    UserError where the folder cannot be used.
    """
    return _opened(os.environ.get(VARIABLE, ""))


@functools.lru_cache(maxsize=4)
def _opened(text: str) -> NodeCache:
    folder, size = parse_cache(text) if text else (None, None)
    if folder is None:
        return NodeCache(cache_folder("data"), size)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "no permission to write there")
    except OSError as error:
        raise _unusable(folder, error) from error
    return NodeCache(folder, size)


class NodeCache:
    """Entries of files below `folder`, `limit` bytes in all (by default a share of the free disk).

    More only for as long as entries of the last minutes hold more. Threads and processes may use it at once.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self.limit = limit or max(1, int(SHARE * (shutil.disk_usage(folder).free + self._counted())))
        self._touched: dict[str, tuple[float, frozenset[str]]] = {}
        self._flying: dict[str, Future[Path]] = {}
        self._guard = threading.Lock()
        self._warned = False

    def place(self, key: str) -> Path:
        """Where the entry lies, if it is there. UserError for a key that is no sha256."""
        if not _KEY.fullmatch(key):
            raise UserError(f"{key[:80]!r} is not a sha256, so nothing can be kept under it; import the data again")
        return Path(f"{self.folder}/{key[:2]}/{key}")

    def just_used(self, key: str, name: str) -> bool:
        """Whether this process found the entry's file so shortly before that nobody can have evicted it since."""
        known = self._touched.get(key)
        return known is not None and time.monotonic() - known[0] < TOUCH_S and name in known[1]

    def find(self, key: str, names: tuple[str, ...]) -> Path | None:
        """The entry's folder if it holds these files, marked as used; None if it does not."""
        now, folder = time.monotonic(), self.place(key)
        try:
            with contextlib.suppress(PermissionError):  # another user's, who gave leave to read only
                os.utime(folder)
            there = frozenset(os.listdir(folder))
        except FileNotFoundError:
            self._touched.pop(key, None)
            return None
        self._touched[key] = now, there
        return folder if there.issuperset(names) else None

    def obtain(self, key: str, names: tuple[str, ...], fetch: Callable[[], Mapping[str, bytes]]) -> Path:
        """The entry's folder, its files fetched now if it is not there; of several threads one fetches."""
        if found := self.find(key, names):
            return found
        with self._guard:
            future = self._flying.get(key)
            mine = future is None
            if future is None:
                future = self._flying[key] = Future()
        if mine:
            try:
                future.set_result(self.put(key, fetch()))
            except BaseException as error:
                future.set_exception(error)
            finally:
                with self._guard:
                    del self._flying[key]
        return future.result()

    def put(self, key: str, files: Mapping[str, bytes]) -> Path:
        """Keep files as an entry, making room for them first. UserError where it does not fit or cannot be written."""
        target = self.place(key)
        size = sum(map(len, files.values()))
        if size > self.limit:
            raise UserError(
                f"the cache {self.folder} may hold {self.limit:,} bytes and one sample has {size:,}; give it"
                f" more by --cache {SPELLING}"
            )
        try:
            try:
                self._write(target, files, size)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                with self._locked():
                    self._evict(int(self._counted() * SHARE))
                self._write(target, files, size)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        self._touched[key] = time.monotonic(), frozenset(files)
        return target

    def noted(self, name: str) -> bool:
        """Whether a note of this name was left (`alone`)."""
        return (self.folder / ".notes" / name).exists()

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[Path]:
        """One process of the machine at a time for what `name` stands for; the path of a note that may be left there."""
        notes = self.folder / ".notes"
        try:
            notes.mkdir(exist_ok=True)
            with FileLock(notes / f"{name}.lock"):
                yield notes / name
        except PermissionError as error:
            raise _unusable(self.folder, error) from error

    def _write(self, target: Path, files: Mapping[str, bytes], size: int) -> None:
        unfinished = self.folder / ".writing" / uuid.uuid4().hex
        unfinished.mkdir(parents=True)
        try:
            for name, content in files.items():
                (unfinished / name).write_bytes(content)
            self._reserve(size)
            target.parent.mkdir(exist_ok=True)
            while True:
                try:
                    os.rename(unfinished, target)
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise
                    try:
                        os.utime(target)  # another was faster: from now on it stays
                    except FileNotFoundError:
                        continue
                    for name in files:  # its files may have other endings
                        os.replace(unfinished / name, target / name)
                return
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _locked(self) -> FileLock:
        return FileLock(self.folder / ".lock")

    def _counted(self) -> int:
        """Bytes held, by the count that all processes keep; 0 before the first."""
        try:
            return int((self.folder / ".size").read_text())
        except (OSError, ValueError):
            return 0

    def _reserve(self, size: int) -> None:
        with self._locked():
            total = self._counted() + size
            if total > self.limit:
                total = self._evict(max(0, int(KEPT * self.limit) - size)) + size
            (self.folder / ".size").write_text(str(total))

    def _evict(self, most: int) -> int:
        """Remove entries, the least recently used first, until `most` bytes are held; the bytes that are, counted anew."""
        now = time.time()
        entries = sorted(self._entries())
        held = sum(size for _, size, _ in entries)
        gone = self.folder / ".writing" / uuid.uuid4().hex
        gone.mkdir(parents=True)
        for used, size, path in entries:
            if held <= most or now - used < IN_USE_S:
                break
            with contextlib.suppress(OSError):  # another process's eviction
                os.rename(path, gone / path.name)
                held -= size
        shutil.rmtree(gone, ignore_errors=True)
        for leftover in (self.folder / ".writing").iterdir():  # of killed processes
            with contextlib.suppress(OSError):
                if now - leftover.stat().st_mtime > LEFTOVER_S:
                    shutil.rmtree(leftover, ignore_errors=True)
        if held > self.limit and not self._warned:
            self._warned = True
            log.warning(
                "the cache %s holds %.1f MB, more than its %.1f, because nothing that was used in the last minutes is removed;"
                " give it more by --cache %s",
                *(self.folder, held / 1e6, self.limit / 1e6, SPELLING),
            )
        return held

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """(time of last use, bytes, folder) of each entry."""
        for shelf in self.folder.glob("[0-9a-f][0-9a-f]"):
            for entry in os.scandir(shelf):
                with contextlib.suppress(OSError):
                    size = sum(file.stat().st_size for file in os.scandir(entry))
                    yield entry.stat().st_mtime, size, Path(entry.path)


def _unusable(folder: Path, error: OSError) -> UserError:
    why = (error.strerror or str(error)).lower()
    return UserError(f"the cache {folder} cannot be written to ({why}); name another folder by --cache {SPELLING}")
