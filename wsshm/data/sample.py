"""A sample: one picture and its labels, as a row of a manifest lists them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsshm.data.manifest_table import CHOICES, FILE_COLUMNS
from wsshm.errors import UserError, nearest
from wsshm.grades import ATTRIBUTE, DEFAULT, GRADES


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its labels. File columns are paths relative to the manifest's root, or None.

    `kind` is `photo` (an image with labels), `cutout` (`foreground` colours plus `matte`, to be composited) or
    `background` (an image without people). `sha256` covers the bytes of all its files, see
    `content_hash`; where a run reads the embedded set, its recipe, see `procedural.embedded`. Of a pack, the files lie in
    the tar `shard`, at `offsets` and with `sizes` in bytes, in the order of `files`.
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
    shard: str | None = None
    offsets: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

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

    @property
    def extents(self) -> list[tuple[int, int]]:
        """(offset, size) in the shard of each of `files`, in their order."""
        return list(zip(self.offsets, self.sizes, strict=True))


def grade_of(sample: Sample) -> str:
    """The grade of a sample's mask; the default one where none is stated. UserError for a grade that there is not."""
    grade = sample.attributes.get(ATTRIBUTE, DEFAULT)
    if grade not in GRADES:
        raise UserError(f"sample {sample.id!r} has {ATTRIBUTE} {grade!r}; {nearest(grade, GRADES)}")
    return grade


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
