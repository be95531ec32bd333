"""The manifest: a Parquet table that lists samples, one row a picture, with the labels it has."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wsshm.data.manifest_table import CHOICES, FILE_COLUMNS, KINDS, SCHEMA, SPLITS, read_table, validate
from wsshm.errors import UserError, nearest
from wsshm.files.whole import whole_file


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its labels. File columns are paths relative to the manifest's root, or None.

    `kind` is `photo` (an image with labels), `cutout` (`foreground` colours plus `matte`, to be composited) or
    `background` (an image without people). `sha256` covers the bytes of all its files, see
    `content_hash`; where a run reads the embedded set, its recipe, see `procedural.embedded`.
    """

    id: str
    split: str
    kind: str
    domain: str | None = None
    image: str | None = None
    matte: str | None = None
    mask: str | None = None
    trimap: str | None = None
    foreground: str | None = None
    width: int = 0
    height: int = 0
    source: str = ""
    licence: str = ""
    sha256: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and (value is not None or name != "domain"):
                raise UserError(f"sample {self.id!r} has {name} {value!r}; {nearest(str(value), choices)}")

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> list[Sample]:
        """Samples of columns that were validated (`read_table`): of hundreds of thousands, several times as fast as one
        by one.
        """
        samples = [object.__new__(cls) for _ in columns["id"]]
        for name in cls.__slots__:
            deque(map(getattr(cls, name).__set__, samples, columns[name]), maxlen=0)
        return samples

    @property
    def files(self) -> dict[str, str]:
        """The file columns that are present, as {column: relative path}."""
        return {name: getattr(self, name) for name in FILE_COLUMNS if getattr(self, name) is not None}


def content_hash(root: Path, sample: Sample) -> str:
    """sha256 over the column names and bytes of a sample's files, in the order of `FILE_COLUMNS`.

    UserError for what is missing or no regular file.
    """
    from wsshm.data.decoding import open_regular  # only now: reports read manifests, and no pictures

    digest = hashlib.sha256()
    for column, relative in sample.files.items():
        digest.update(column.encode())
        with open_regular(root / relative) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def common_root(root: Path, folder: Path) -> Path:
    """The folder that holds both, links followed: a root for pictures under `root` and new ones in `folder`.

    UserError if there is none, as on two drives.
    """
    try:
        return Path(os.path.commonpath([root.resolve(), folder.resolve()]))
    except ValueError as error:
        raise UserError(f"{folder} is on another drive than {root}; give a folder on that one") from error


class Manifest:
    """A list of samples and the root their paths are relative to."""

    def __init__(self, root: Path | str, samples: Iterable[Sample]) -> None:
        self.root = Path(root)
        self.samples = tuple(samples)
        if len({sample.id for sample in self.samples}) < len(self.samples):
            ((doubled, _),) = Counter(sample.id for sample in self.samples).most_common(1)
            raise UserError(f"the manifest lists the id {doubled!r} twice; ids must be unique")

    def __len__(self) -> int:
        return len(self.samples)

    def path(self, sample: Sample, column: str) -> Path:
        """Absolute path of one of a sample's files; UserError where the sample has no such label."""
        relative = getattr(sample, column)
        if relative is None:
            raise UserError(f"sample {sample.id!r} has no {column}; choose a manifest whose samples have one")
        return self.root / relative

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
        return Manifest(
            self.root, (s if s.sha256 else replace(s, sha256=content_hash(self.root, s)) for s in self.samples)
        )

    def rooted(self, root: Path) -> Manifest:
        """The same samples under `root`, which holds the present root; their paths become relative to it."""
        above = self.root.resolve().relative_to(root)

        def moved(sample: Sample) -> Sample:
            files: dict[str, Any] = {column: (above / path).as_posix() for column, path in sample.files.items()}
            return replace(sample, **files)

        return Manifest(root, map(moved, self.samples))

    def write(self, path: Path | str) -> Path:
        """Write as Parquet, whole or not at all. The root is stored relative to the manifest where possible.

        Raises UserError where a row could not be read again, such as one whose path leaves the root.
        """
        path = Path(path)
        columns = {name: [getattr(s, name) for s in self.samples] for name in SCHEMA.names}
        validate(columns, path)
        columns["attributes"] = [list(s.attributes.items()) for s in self.samples]
        try:
            root = os.path.relpath(self.root.resolve(), path.parent.resolve())
        except ValueError:  # another drive on Windows
            root = str(self.root.resolve())
        table = pa.Table.from_arrays(
            [pa.array(columns[name], type=SCHEMA.field(name).type) for name in SCHEMA.names],
            schema=SCHEMA.with_metadata({"root": root, "schema_version": "1"}),
        )
        with whole_file(path) as temporary:
            pq.write_table(table, temporary, write_page_checksum=True)
        return path

    @classmethod
    def read(cls, path: Path | str) -> Manifest:
        """Read a manifest. UserError names the file, and the row and column where one is at fault (`read_table`)."""
        path = Path(path)
        root, columns = read_table(path)
        try:
            folder = (path.parent / root).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
            raise UserError(
                f"{path}: its root {root[:60]!r} cannot be followed ({error}); move the manifest"
            ) from error
        blank = Sample(id="", split=SPLITS[0], kind=KINDS[0])
        for name in ("width", "height", "source", "licence", "sha256"):
            columns[name] = [getattr(blank, name) if value is None else value for value in columns[name]]
        columns["attributes"] = [value or {} for value in columns["attributes"]]
        return cls(folder, Sample.from_columns(columns))
