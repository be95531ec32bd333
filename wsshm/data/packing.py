"""Packing: a manifest's files in shards, tar files as webdataset has them, and a manifest that says where in them each lies.

A sample's files are neighbours: KEY.COLUMN.ENDING for each, and KEY.json with what the manifest says of it. Each split has
shards of its own. The same manifest gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wsshm.console import track
from wsshm.data.fetching import at_once, cached_name, patiently, sizes_there, verified
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.manifest_table import FILE_COLUMNS, SPLITS
from wsshm.data.names import file_names, readable_name
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location
from wsshm.files.whole import whole_file

RECORD = "{name}.pack.json"
"""In OUT: what is packed there under a name, so that a rerun goes on with it."""
FORMAT = 1
BLOCK = tarfile.BLOCKSIZE

log = logging.getLogger(__name__)


@dataclass
class _Member:
    """A file in a shard, whose bytes begin at `offset`; those of a sample's column, or its `document`."""

    name: str
    column: str
    offset: int
    size: int
    document: bytes = b""


@dataclass
class _Shard:
    """A planned tar file: `size` bytes with headers, padding and its end."""

    name: str
    size: int = 0
    samples: list[tuple[Sample, list[_Member]]] = field(default_factory=list)


def pack(manifest: Manifest, out: Location, name: str, shard_bytes: int) -> Location | None:
    """Pack all files of a manifest into shards of at most `shard_bytes` (unless one sample has more) in the folder `out`.

    Shards are named NAME-SPLIT-000000.tar; other packs may lie beside them. Returns the address of the new manifest,
    OUT/NAME.parquet, which is written last; None if all is there already. What an earlier call packed is kept. Raises
    UserError for files that are missing or were changed since import, and where OUT holds something else of this name.
    """
    if not len(manifest):
        raise UserError("the manifest lists no samples, so there is nothing to pack; import a folder with pictures")
    manifest = manifest.hashed()
    shards = _planned(manifest, name, shard_bytes)
    listed, recorded = out / f"{name}.parquet", out / RECORD.format(name=name)
    record = json.dumps({"format": FORMAT, "shards": len(shards), "content": _digest(shards)}, indent=1)
    there = {place.name: size for place, size in patiently(out.files) if place.parent == out}
    missing = [shard for shard in shards if there.get(shard.name) != shard.size]
    if recorded.name in there:
        if recorded.read_text() != record:
            raise UserError(
                f"{redacted(out)} holds a pack {name} of other data or shard size; give another folder by --out"
            )
        if listed.name in there and not missing:
            return None
    elif foreign := there.keys() & {listed.name, *(shard.name for shard in shards)}:
        raise UserError(f"{redacted(out)} holds {min(foreign)}, which was not packed; give another folder by --out")
    else:
        recorded.write_text(record)
    if len(missing) < len(shards):
        log.info("%d of %d shards are there already", len(shards) - len(missing), len(shards))
    samples = sum(len(shard.samples) for shard in missing)
    for _ in track((sample for shard in missing for sample in _write(manifest, shard, out)), samples, "packing"):
        pass
    packed = {sample.id: _packed(shard.name, sample, members) for shard in shards for sample, members in shard.samples}
    Manifest(out.local or out, (packed[sample.id] for sample in manifest.samples)).write(listed)
    return listed


def _planned(manifest: Manifest, name: str, shard_bytes: int) -> list[_Shard]:
    """The shards, by the files' sizes alone: nothing is read."""
    sizes, keys = _sizes(manifest), _keys(manifest)
    shards: list[_Shard] = []
    for split in SPLITS:
        number = 0
        shard = _Shard(f"{name}-{split}-{number:06d}.tar")
        for sample in manifest.samples:
            if sample.split != split:
                continue
            members, end = _placed(sample, keys[sample.id], sizes, shard.size)
            if shard.samples and end > shard_bytes:
                shards.append(shard)
                number += 1
                shard = _Shard(f"{name}-{split}-{number:06d}.tar")
                members, end = _placed(sample, keys[sample.id], sizes, 0)
            shard.samples.append((sample, members))
            shard.size = end
        if shard.samples:
            shards.append(shard)
    for shard in shards:
        shard.size += 2 * BLOCK + -(shard.size + 2 * BLOCK) % tarfile.RECORDSIZE
    return shards


def _placed(sample: Sample, key: str, sizes: dict[tuple[str, str], int], begin: int) -> tuple[list[_Member], int]:
    """The members of a sample that begins at `begin`, and where the next one does."""
    owners = {
        relative: column for column, relative in sample.files.items()
    }  # a file that fills two columns is there once
    names = {column: f"{key}.{cached_name(sample, column)}" for column in owners.values()}
    about = {k: v for k, v in asdict(sample).items() if k not in (*FILE_COLUMNS, "shard", "offsets", "sizes")}
    about["files"] = {column: names[owners[relative]] for column, relative in sample.files.items()}
    document = json.dumps(about, ensure_ascii=False, sort_keys=True).encode()
    members, at = [], begin
    for column, relative in sample.files.items():
        if owners[relative] == column:
            size = sizes[sample.id, column]
            at += len(_header(names[column], size))
            members.append(_Member(names[column], column, at, size))
            at += size + -size % BLOCK
    at += len(_header(f"{key}.json", len(document)))
    members.append(_Member(f"{key}.json", "", at, len(document), document))
    return members, at + len(document) + -len(document) % BLOCK


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _keys(manifest: Manifest) -> dict[str, str]:
    """What each sample's members begin with: its id, or what can be shown of it. Without dots, which end a key."""
    names = file_names(sample.id for sample in manifest.samples)
    return {
        name: readable_name(name, name).replace(".", "_") if "." in plain else plain for name, plain in names.items()
    }


def _sizes(manifest: Manifest) -> dict[tuple[str, str], int]:
    """Bytes of each file by (id, column); of an object store by one listing."""
    known = patiently(lambda: sizes_there(manifest)) if manifest.remote else {}
    found: dict[tuple[str, str], int] = {}
    for sample in manifest.samples:
        extents = dict(zip(sample.files, sample.extents, strict=True)) if sample.shard is not None else {}
        for column, relative in sample.files.items():
            if column in extents:
                found[sample.id, column] = extents[column][1]
            elif manifest.remote and relative in known:
                found[sample.id, column] = known[relative]
            else:
                found[sample.id, column] = _size(manifest, sample, column)
    return found


def _size(manifest: Manifest, sample: Sample, column: str) -> int:
    try:
        if manifest.remote:
            raise FileNotFoundError
        return manifest.path(sample, column).stat().st_size
    except FileNotFoundError:
        raise UserError(
            f"{manifest.address(sample, column)} is missing, the {column} of {sample.id!r}; put it back, or import the data"
            " again"
        ) from None


def _digest(shards: list[_Shard]) -> str:
    """What tells these shards' bytes from any others'."""
    plan = [[s.name, s.size, [[x.sha256, [asdict(m) for m in members]] for x, members in s.samples]] for s in shards]
    return hashlib.sha256(json.dumps(plan, default=bytes.decode).encode()).hexdigest()


def _write(manifest: Manifest, shard: _Shard, out: Location) -> Iterator[Sample]:
    """Write one shard, whole or not at all; each sample once it was read."""

    def contents(planned: tuple[Sample, list[_Member]]) -> dict[str, bytes]:
        return dict(verified(manifest, planned[0]))

    with _becoming(out / shard.name) as file:
        for (sample, members), files in zip(shard.samples, at_once(contents, shard.samples), strict=True):
            for member in members:
                content = member.document or files[member.column]
                file.write(_header(member.name, len(content)))
                if file.tell() != member.offset or len(content) != member.size:
                    raise UserError(f"a file of {sample.id!r} was changed while it was packed; rerun the command")
                file.write(content + bytes(-len(content) % BLOCK))
            yield sample
        file.write(bytes(shard.size - file.tell()))


@contextmanager
def _becoming(target: Location) -> Iterator[io.BufferedWriter]:
    """A file that becomes `target` when the block ends well: written beside it on a disk, else uploaded."""
    if target.local is not None:
        with whole_file(target.local) as temporary, open(temporary, "wb") as file:
            yield file
        return
    with TemporaryDirectory(prefix="wsshm-pack-") as folder:
        path = Path(folder) / target.name
        with open(path, "wb") as file:
            yield file
        target.upload_file(path)


def _packed(shard: str, sample: Sample, members: list[_Member]) -> Sample:
    """The sample as the pack's manifest lists it."""
    by_column = {member.column: member for member in members}
    owners = {relative: by_column[column] for column, relative in sample.files.items() if column in by_column}
    placed = [owners[relative] for relative in sample.files.values()]
    files: dict[str, Any] = {c: f"{shard}/{member.name}" for c, member in zip(sample.files, placed, strict=True)}
    files |= {"offsets": tuple(m.offset for m in placed), "sizes": tuple(m.size for m in placed)}
    return replace(sample, shard=shard, **files)
