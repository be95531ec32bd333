"""The manifest: a Parquet table that lists samples, one row a picture, with the labels it has."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wsshm.console import track
from wsshm.data.manifest_table import EXTENTS, KINDS, SCHEMA, SHARD, SPLITS, read_table, validate
from wsshm.data.roots import common_root, opened_root, stored_root
from wsshm.data.sample import Sample, content_hash
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location
from wsshm.files.whole import whole_file

__all__ = ["AHEAD", "Manifest", "Sample", "content_hash"]

AHEAD = 32
"""Samples that are fetched before they are read."""


class Manifest:
    """A list of samples and the root their paths are relative to: a folder of this machine, or one on an object store."""

    root: Path | Location

    def __init__(self, root: Path | str | Location, samples: Iterable[Sample]) -> None:
        place = Location.of(root) if "://" in str(root) else Path(str(root))
        self.root = place if isinstance(place, Path) or place.local is None else place.local
        self.samples = tuple(samples)
        if len({sample.id for sample in self.samples}) < len(self.samples):
            ((doubled, _),) = Counter(sample.id for sample in self.samples).most_common(1)
            raise UserError(f"the manifest lists the id {doubled!r} twice; ids must be unique")

    def __len__(self) -> int:
        return len(self.samples)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to other processes: not what is made of it."""
        return {"root": self.root, "samples": self.samples}

    @property
    def remote(self) -> bool:
        """Whether the files lie on an object store."""
        return isinstance(self.root, Location)

    @property
    def stored_apart(self) -> bool:
        """Whether files have to be fetched or unpacked before they can be read."""
        return self.remote or bool(self.shards)

    def check_present(self) -> None:
        """Raise UserError that names the first file that is not below the root, by a listing alone."""
        from wsshm.data.fetching import check_present

        check_present(self)

    @property
    def folder(self) -> Path:
        """The root, for what is made beside its files. UserError where they are no plain files of this machine."""
        if isinstance(self.root, Location):
            raise UserError(
                f"the pictures lie in {redacted(self.root)}, and this command needs them on a disk; copy them there, and"
                " import them again"
            )
        if packed := next((s.id for s in self.samples if s.shard is not None), None):
            raise UserError(f"{packed!r} is packed in a shard; give the manifest that was packed")
        return self.root

    def path(self, sample: Sample, column: str) -> Path:
        """Absolute path of one of a sample's files, on this machine; UserError where the sample has no such label.

        What lies on an object store or in a pack is fetched first, with all files of the sample, verified and kept in the
        node's cache (`wsshm.files.node_cache`): open it soon. UserError where it is missing or was changed since import.
        """
        relative = getattr(sample, column)
        if relative is None:
            raise UserError(f"sample {sample.id!r} has no {column}; choose a manifest whose samples have one")
        if sample.shard is None and not isinstance(self.root, Location):
            return self.root / relative
        from wsshm.data.fetching import local_path  # only now: reports read manifests, and no pictures

        return local_path(self, sample, column)

    def address(self, sample: Sample, column: str) -> str:
        """Where one of a sample's files lies, as a person is told it."""
        return redacted(self.root / getattr(sample, column))

    @contextmanager
    def told_by_address(self, sample: Sample) -> Iterator[None]:
        """Errors about the sample's files name the place that they were fetched from, not the cache."""
        try:
            yield
        except UserError as error:
            self.retell(error, sample)
            raise

    def retell(self, error: UserError, sample: Sample) -> None:
        """Put the address of a sample's files for their places in the cache, in an error's sentence."""
        if (sample.shard is not None or self.remote) and sample.sha256:
            from wsshm.data.fetching import cached_name
            from wsshm.files.node_cache import node_cache

            text, place = str(error), node_cache().place(sample.sha256)
            for column in sample.files:
                text = text.replace(str(place / cached_name(sample, column)), self.address(sample, column))
            error.args = (text,)

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to fetch samples that are read soon, in the order given; nothing for plain files of this machine."""
        if self.remote or any(sample.shard is not None for sample in samples):
            from wsshm.data.fetching import fetch_ahead

            fetch_ahead(self, samples)

    def in_turn(self, samples: Sequence[Sample] | None = None, ahead: int = AHEAD) -> Iterator[Sample]:
        """Samples (by default all), those that follow being fetched meanwhile, where they have to be."""
        samples = self.samples if samples is None else samples
        for place, sample in enumerate(samples):
            if place % ahead == 0:
                self.prefetch(samples[place : place + 2 * ahead])
            yield sample

    def content_hash(self, sample: Sample) -> str:
        """`content_hash` of a sample's files, wherever they lie."""
        if sample.shard is None and not isinstance(self.root, Location):
            return content_hash(self.root, sample)
        from wsshm.data.fetching import content_of

        return content_of(self, sample)

    @cached_property
    def shards(self) -> dict[str, list[Sample]]:
        """The packed samples by shard, in the order in which they lie there."""
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            if sample.shard is not None and sample.offsets:
                found.setdefault(sample.shard, []).append(sample)
        return {name: sorted(samples, key=lambda s: min(s.offsets)) for name, samples in found.items()}

    @cached_property
    def packed_bytes(self) -> int:
        """What the packed samples' files hold."""
        return sum(sum(sample.sizes) for samples in self.shards.values() for sample in samples)

    def where(self, keep: Callable[[Sample], bool]) -> Manifest:
        """The samples for which `keep` is true, under the same root."""
        return Manifest(self.root, filter(keep, self.samples))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (first 16 hex digits) over the sorted (id, split, content hash) of all samples."""
        digest = hashlib.sha256()
        for sample in sorted(self.samples, key=lambda s: s.id):
            digest.update(f"{sample.id}\0{sample.split}\0{sample.sha256}\n".encode())
        return digest.hexdigest()[:16]

    def hashed(self) -> Manifest:
        """The same manifest with every missing `sha256` computed from the files."""
        missing = [sample for sample in self.samples if not sample.sha256]
        if not missing:
            return self
        if self.remote:
            from wsshm.data.fetching import at_once

            found = at_once(self.content_hash, missing)
            digests = track(found, len(missing), f"fetching {Location.of(self.root).name}")
        else:
            digests = map(self.content_hash, missing)
        known = {sample.id: digest for sample, digest in zip(missing, digests, strict=True)}
        return Manifest(self.root, (s if s.sha256 else replace(s, sha256=known[s.id]) for s in self.samples))

    def rooted(self, root: Path) -> Manifest:
        """The same samples under `root`, which holds the present root; their paths become relative to it."""
        above = self.folder.resolve().relative_to(root).as_posix()
        return Manifest(root, (_moved(sample, above) for sample in self.samples))

    def around(self, place: Location) -> Manifest:
        """The same samples under a root that holds `place`, too. UserError if no root does, as in another bucket."""
        root = self.root
        if not isinstance(root, Location):
            if place.local is None:
                raise UserError(
                    f"the pictures lie in {root}, not on an object store as {redacted(place)} does; give a folder"
                )
            return self.rooted(common_root(self.folder, place.local))
        if not root.holds(place):
            raise UserError(
                f"{redacted(place)} is not in the bucket of the pictures, {redacted(root)}; give a place in it"
            )
        if any(sample.shard is not None for sample in self.samples):
            raise UserError(f"{redacted(root)} holds a pack; give the manifest that was packed")
        top = replace(root, path=posixpath.commonpath([root.path, place.path]))
        above = posixpath.relpath(root.path, top.path)
        return Manifest(top, (_moved(sample, above) for sample in self.samples))

    def below(self, place: Location) -> str:
        """The path of a file below the root, as its samples have it."""
        if isinstance(self.root, Location):
            return posixpath.relpath(place.path, self.root.path)
        return Path(place.path).resolve().relative_to(self.root).as_posix()

    def write(self, path: Path | str | Location) -> Path | Location:
        """Write as Parquet, whole or not at all. The root is stored relative to the manifest where possible.

        Raises UserError where a row could not be read again, such as one whose path leaves the root.
        """
        place = Location.of(path)
        packed = any(sample.shard is not None for sample in self.samples)
        names = [name for name in SCHEMA.names if packed or name not in (SHARD, *EXTENTS)]
        columns: dict[str, list[Any]] = {name: [getattr(s, name) for s in self.samples] for name in SCHEMA.names}
        validate(columns, redacted(place))
        columns["attributes"] = [list(s.attributes.items()) for s in self.samples]
        schema = pa.schema([SCHEMA.field(name) for name in names])
        table = pa.Table.from_arrays(
            [pa.array(columns[name], type=schema.field(name).type) for name in names],
            schema=schema.with_metadata({"root": stored_root(self.root, place), "schema_version": "1"}),
        )
        if place.local is None:
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, write_page_checksum=True)
            place.write_bytes(sink.getvalue().to_pybytes())
            return place
        with whole_file(place.local) as temporary:
            pq.write_table(table, temporary, write_page_checksum=True)
        return path if isinstance(path, Path) else place.local

    @classmethod
    def read(cls, path: Path | str | Location) -> Manifest:
        """Read a manifest, from a path or an address such as s3://bucket/photos.parquet.

        UserError names the file, and the row and column where one is at fault (`read_table`).
        """
        place = Location.of(path)
        root, columns = read_table(place if "://" in str(path) else Path(str(path)))
        blank = Sample(id="", split=SPLITS[0], kind=KINDS[0])
        for name in ("width", "height", "source", "licence", "sha256", *EXTENTS):
            columns[name] = [getattr(blank, name) if value is None else value for value in columns[name]]
        columns["attributes"] = [value or {} for value in columns["attributes"]]
        return cls(opened_root(root, place), Sample.from_columns(columns))


def _moved(sample: Sample, above: str) -> Sample:
    files: dict[str, Any] = {column: posixpath.normpath(f"{above}/{path}") for column, path in sample.files.items()}
    return replace(sample, **files)
