"""The manifest: a Parquet table that lists samples, one row a picture, with the labels it has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wsshm.errors import UserError, nearest

FILE_COLUMNS = ("image", "matte", "mask", "trimap", "foreground")
SPLITS = ("train", "val", "test")
DOMAINS = ("synthetic", "natural")
KINDS = ("photo", "cutout", "background")

_text = pa.string()
SCHEMA = pa.schema(
    [
        ("id", _text),
        ("split", _text),
        ("domain", _text),
        ("kind", _text),
        *((name, _text) for name in FILE_COLUMNS),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("source", _text),
        ("licence", _text),
        ("sha256", _text),
        ("attributes", pa.map_(_text, _text)),
    ]
)


@dataclass(frozen=True)
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
        for name, choices in (("split", SPLITS), ("kind", KINDS)):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"sample {self.id!r} has {name} {getattr(self, name)!r}; {nearest(str(getattr(self, name)), choices)}"
                )
        if self.domain is not None and self.domain not in DOMAINS:
            raise UserError(f"sample {self.id!r} has domain {self.domain!r}; {nearest(self.domain, DOMAINS)}")

    @property
    def files(self) -> dict[str, str]:
        """The file columns that are present, as {column: relative path}."""
        return {name: getattr(self, name) for name in FILE_COLUMNS if getattr(self, name) is not None}


def content_hash(root: Path, sample: Sample) -> str:
    """sha256 over the column names and bytes of a sample's files, in the order of `FILE_COLUMNS`."""
    digest = hashlib.sha256()
    for column, relative in sample.files.items():
        digest.update(column.encode())
        digest.update((root / relative).read_bytes())
    return digest.hexdigest()


class Manifest:
    """A list of samples and the root their paths are relative to."""

    def __init__(self, root: Path | str, samples: Iterable[Sample]) -> None:
        self.root = Path(root)
        self.samples = tuple(samples)
        seen: set[str] = set()
        for sample in self.samples:
            if sample.id in seen:
                raise UserError(f"the manifest lists the id {sample.id!r} twice; ids must be unique")
            seen.add(sample.id)

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

    def write(self, path: Path | str) -> Path:
        """Write as Parquet, whole or not at all. The root is stored relative to the manifest where possible."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            root = os.path.relpath(self.root.resolve(), path.parent.resolve())
        except ValueError:  # another drive on Windows
            root = str(self.root.resolve())
        columns = [[getattr(s, name) for s in self.samples] for name in SCHEMA.names[:-1]]
        columns.append([list(s.attributes.items()) for s in self.samples])
        table = pa.Table.from_arrays(
            [pa.array(values, type=kind) for values, kind in zip(columns, SCHEMA.types, strict=True)],
            schema=SCHEMA.with_metadata({"root": root, "schema_version": "1"}),
        )
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        pq.write_table(table, temporary)
        os.replace(temporary, path)
        return path

    @classmethod
    def read(cls, path: Path | str) -> Manifest:
        """Read a manifest; one sentence that names the file where it is missing, broken or lacks a column."""
        path = Path(path)
        if not path.is_file():
            raise UserError(
                f"there is no manifest at {path}; write one with `wsshm data import` or `wsshm data make procedural`"
            )
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            why = "it is no Parquet file" if "magic bytes" in str(error) else str(error).partition("\n")[0]
            raise UserError(f"{path} is not a readable manifest ({why}); give one that `wsshm data` wrote") from error
        for column in ("id", "split", "kind"):
            if column not in table.column_names:
                raise UserError(
                    f"{path} is no manifest of samples: it has no column {column!r}; give one that `wsshm data` wrote"
                )
        root = (table.schema.metadata or {}).get(b"root", b".").decode()
        known = {f.name for f in fields(Sample)} & set(table.column_names)
        rows = table.select(sorted(known)).to_pylist(maps_as_pydicts="strict")
        return cls((path.parent / root).resolve(), (Sample(**_without_nulls(row)) for row in rows))


def _without_nulls(row: dict) -> dict:
    return {key: value for key, value in row.items() if value is not None}
