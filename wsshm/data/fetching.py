"""Samples that are not plain files of this machine: their bytes fetched, verified, and kept in the node's cache.

They lie on an object store, or in a pack's shards (`packing`), on a disk or on an object store.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from wsshm.errors import UserError, first_line, redacted
from wsshm.files.filesystems import RemoteError
from wsshm.files.location import Location
from wsshm.files.node_cache import NodeCache, node_cache

if TYPE_CHECKING:
    from wsshm.data.manifest import Manifest, Sample

WAITS_S = (1.0, 4.0, 15.0)
"""Before each further try of a store that does not answer; its client has tried several times by then."""
SILENT_S = 60.0
"""For so long after all tries at a store failed, others try once: many samples would wait for it one after the other."""
READERS = 16
"""Samples fetched at once: what hides an object store's latency."""
MOST_AHEAD = 256
WHOLE = 0.8
"""Shards are fetched whole if all of them take at most this part of the cache."""
_ENDING = re.compile(r"(?<=[^/])\.[A-Za-z0-9]{1,8}$")
T = TypeVar("T")
R = TypeVar("R")


class Changed(UserError):
    """A sample whose files are not what was imported."""


class Absent(UserError):
    """A file that is not where the manifest says, or is shorter than it says."""


def digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """sha256 over column names and bytes, as `content_hash` has it."""
    digest = hashlib.sha256()
    for column, content in files:
        digest.update(column.encode())
        digest.update(content)
    return digest.hexdigest()


def cached_name(sample: Sample, column: str) -> str:
    """The name of a column's file in the cache: the column's, with the ending of the original."""
    ending = _ENDING.search(getattr(sample, column))
    return column + (ending[0].lower() if ending else "")


def cached_names(sample: Sample) -> tuple[str, ...]:
    """The names of all files of a sample in the cache."""
    return tuple(cached_name(sample, column) for column in sample.files)


def local_path(manifest: Manifest, sample: Sample, column: str) -> Path:
    """Where a column's file lies on this machine, fetched with all files of its sample if it is not there."""
    kept, name = node_cache(), cached_name(sample, column)
    if kept.just_used(sample.sha256, name):
        return Path(f"{kept.folder}/{sample.sha256[:2]}/{sample.sha256}/{name}")
    names = cached_names(sample)
    folder = kept.find(sample.sha256, names)
    if folder is None:
        if sample.shard is not None and manifest.remote:
            _fetch_shard(manifest, sample.shard, kept)
        folder = kept.obtain(sample.sha256, names, lambda: _named(sample, verified(manifest, sample)))
    return folder / name


def content_of(manifest: Manifest, sample: Sample) -> str:
    """The hash of a sample's content as it is now, read without the cache, and kept there under this hash."""
    contents = _contents(manifest, sample)
    digest = digest_of(contents.items())
    if not node_cache().find(digest, cached_names(sample)):
        node_cache().put(digest, _named(sample, contents))
    return digest


def fetch_ahead(manifest: Manifest, samples: Sequence[Sample]) -> None:
    """Begin to fetch what of these samples is not here. What fails is fetched again, and told, when it is read."""
    kept, pool = node_cache(), _pool()
    for sample in samples:
        names = cached_names(sample)
        known = not names or all(kept.just_used(sample.sha256, name) for name in names)
        if not known and sample.sha256 and pool.room() and not kept.find(sample.sha256, names):
            pool.begin(manifest, sample)


def at_once(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `do` gives for each item, in order, several at a time: it waits for an object store."""
    with ThreadPoolExecutor(READERS) as pool:
        try:
            yield from pool.map(do, items)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def patiently(read: Callable[[], T], waits: Sequence[float] | None = None) -> T:
    """What `read` gives, tried again after waits while a store does not answer; then its RemoteError."""
    for wait in WAITS_S if waits is None else waits:
        try:
            return read()
        except RemoteError as error:
            if not error.passing:
                raise
        time.sleep(wait)
    return read()


class _Ahead:
    """Threads that fetch samples before they are read, a bounded number of them waiting."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(READERS, thread_name_prefix="fetch")
        self.waiting: set[str] = set()

    def room(self) -> bool:
        return len(self.waiting) < MOST_AHEAD

    def begin(self, manifest: Manifest, sample: Sample) -> None:
        if sample.sha256 in self.waiting:
            return
        self.waiting.add(sample.sha256)
        self.threads.submit(self._fetch, manifest, sample)

    def _fetch(self, manifest: Manifest, sample: Sample) -> None:
        try:
            if sample.sha256 in self.waiting:
                local_path(manifest, sample, next(iter(sample.files)))
        except Exception:  # a hint only: who reads the sample meets it again
            self.waiting.clear()  # and nobody waits at the end of the process for a store that does not answer
        finally:
            self.waiting.discard(sample.sha256)


@cache
def _pool() -> _Ahead:
    return _Ahead()


def verified(manifest: Manifest, sample: Sample) -> dict[str, bytes]:
    """The bytes of each column's file. UserError where they are not what was imported, though read twice."""
    for _ in range(2):
        contents = _contents(manifest, sample)
        if digest_of(contents.items()) == sample.sha256:
            return contents
    address = manifest.address(sample, next(iter(sample.files)))
    raise Changed(f"{address} and what else {sample.id!r} has were changed since import; import the data again")


def check_present(manifest: Manifest) -> None:
    """Raise UserError that names the first file that is not below the root, by listings alone."""
    root, there = Location.of(manifest.root), patiently(lambda: sizes_there(manifest))
    for sample in manifest.samples:
        for relative in [sample.shard] if sample.shard else sample.files.values():
            if relative not in there:
                raise _missing(root / relative, sample)


def sizes_there(manifest: Manifest) -> dict[str, int]:
    """Bytes of the files below the root, by their relative paths; only folders that the manifest names are listed."""
    root = Location.of(manifest.root)
    start = len(root.path) + 1
    found: dict[str, int] = {}
    files = {
        path for sample in manifest.samples for path in ([sample.shard] if sample.shard else sample.files.values())
    }
    for folder in sorted({path.partition("/")[0] if "/" in path else "" for path in files}):
        places = (root / folder).files() if folder else root.files(deep=False)
        found |= {file.path[start:]: size for file, size in places}
    return found


def _named(sample: Sample, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {cached_name(sample, column): content for column, content in contents.items()}


def _contents(manifest: Manifest, sample: Sample) -> dict[str, bytes]:
    """The bytes of each column's file; a file that fills two columns is read once."""
    root = Location.of(manifest.root)
    if sample.shard is not None:
        return _of_shard(root / sample.shard, sample)
    read: dict[str, bytes] = {}
    for relative in sample.files.values():
        if relative not in read:
            read[relative] = _read(root / relative, sample, Location.read_bytes)
    return {column: read[relative] for column, relative in sample.files.items()}


def _of_shard(shard: Location, sample: Sample) -> dict[str, bytes]:
    """The sample's files out of a shard, where they are neighbours: one request."""
    begin = min(offset for offset, _ in sample.extents)
    end = max(offset + size for offset, size in sample.extents)
    block = _read(shard, sample, lambda place: place.read_range(begin, end - begin))
    if len(block) < end - begin:
        raise Absent(f"{redacted(shard)} ends before the files of {sample.id!r}: it was cut off; copy it again")
    parts = (block[offset - begin : offset - begin + size] for offset, size in sample.extents)
    return dict(zip(sample.files, parts, strict=True))


def _read(place: Location, sample: Sample, read: Callable[[Location], T]) -> T:
    try:
        found = patiently(lambda: read(place), () if _silent(place) else None)
    except FileNotFoundError:
        raise _missing(place, sample) from None
    except RemoteError as error:
        if error.passing:
            _silent_since[_store(place)] = time.monotonic()
        raise
    except UserError:
        raise
    except OSError as error:  # a folder where a file was
        raise Absent(
            f"{redacted(place)}, which the manifest lists for {sample.id!r}, cannot be read ({first_line(error)}); put it"
            " back, or import the data again"
        ) from error
    _silent_since.pop(_store(place), None)
    return found


_silent_since: dict[tuple[str, str, str], float] = {}
"""When a store did not answer though it was asked patiently, by time.monotonic(); of this process."""


def _store(place: Location) -> tuple[str, str, str]:
    return place.base, place.path.partition("/")[0], place.query


def _silent(place: Location) -> bool:
    return time.monotonic() - _silent_since.get(_store(place), -SILENT_S) < SILENT_S


def _missing(place: Location, sample: Sample) -> UserError:
    return Absent(
        f"{redacted(place)} is missing, which the manifest lists for {sample.id!r}; put it back, or import the data again"
    )


def _fetch_shard(manifest: Manifest, name: str, kept: NodeCache) -> None:
    """Fetch a shard from its begin to its end, once on a machine, if the whole pack fits the cache.

    A sample that is not as imported is left out: who reads it reads it again, and says so.
    """
    if manifest.packed_bytes > WHOLE * kept.limit:
        return
    place, samples = Location.of(manifest.root) / name, manifest.shards[name]
    known_as = hashlib.sha256(f"{place} {samples[0].sha256}".encode()).hexdigest()[:32]
    if not kept.noted(known_as):
        with kept.alone(known_as) as note:
            if not note.exists() and not _silent(place):
                _read(place, samples[0], lambda shard: _unpack(samples, shard, kept))
                note.touch()


def _unpack(samples: Sequence[Sample], shard: Location, kept: NodeCache) -> None:
    with shard.opened() as stream:
        at = 0
        for sample in samples:
            contents: dict[int, bytes] = {}
            for offset, size in sample.extents:
                if offset not in contents:
                    _skip(stream, offset - at)
                    contents[offset] = stream.read(size)
                    at = offset + size
            files = {column: contents[offset] for column, (offset, _) in zip(sample.files, sample.extents, strict=True)}
            if digest_of(files.items()) == sample.sha256 and not kept.find(sample.sha256, cached_names(sample)):
                kept.put(sample.sha256, _named(sample, files))


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0 and (part := stream.read(min(count, 1 << 20))):
        count -= len(part)
