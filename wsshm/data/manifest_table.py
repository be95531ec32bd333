"""The Parquet table behind a manifest: its schema, and the one reader that checks files against it.

A file may come from anywhere, so nothing in it is believed: its size is looked at before its pages are, and every cell
before a sample is made of it. Texts are read as dictionaries, so that a small file cannot become a large table.
"""

from __future__ import annotations

import io
import os
import re
import reprlib
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from wsshm.errors import UserError, nearest, redacted
from wsshm.files.location import Location

FILE_COLUMNS = ("image", "matte", "mask", "trimap", "foreground")
SPLITS = ("train", "val", "test")
DOMAINS = ("synthetic", "natural")
KINDS = ("photo", "cutout", "background")
CHOICES = {"split": SPLITS, "domain": DOMAINS, "kind": KINDS}
REQUIRED = ("id", "split", "kind")
SIZES = ("width", "height")
ATTRIBUTES = "attributes"
SHARD, EXTENTS = "shard", ("offsets", "sizes")
"""Columns of a pack's manifest alone: the tar file, and where in it lies what each file column names, in their order.

Readers of before leave them out, and then miss the files."""

_text = pa.string()
SCHEMA = pa.schema(
    [
        ("id", _text),
        ("split", _text),
        ("domain", _text),
        ("kind", _text),
        *((name, _text) for name in FILE_COLUMNS),
        *((name, pa.int32()) for name in SIZES),
        ("source", _text),
        ("licence", _text),
        ("sha256", _text),
        (ATTRIBUTES, pa.map_(_text, _text)),
        (SHARD, _text),
        *((name, pa.list_(pa.int64())) for name in EXTENTS),
    ]
)

MAX_ROWS = 1_000_000
MAX_SHARD = 1 << 40
MAX_BYTES = 1 << 30
MAX_ID, MAX_PATH = 1_000, 4_096
UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OUTSIDE = re.compile(r"^[\\/]|^[A-Za-z]:[\\/]|(?:^|[\\/])\.\.(?:[\\/]|$)")
_MAY_LEAVE = (" /", "..", "\\", ":")

Columns = dict[str, list[Any]]


def read_table(place: Path | Location) -> tuple[str, Columns]:
    """A manifest file's root, as it is stored, and all columns of `SCHEMA` as lists of equal length.

    Texts and paths are str or None, widths and heights int or None, attributes dict or None, offsets and sizes tuples or
    None. Raises UserError that names the file and, where one is at fault, the row (counted from 1) and the column.
    """
    path = redacted(place)
    try:
        with _file(place) as file:
            table = _opened(file, path)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        why = "it is not a Parquet file" if "magic bytes" in str(error) else str(error).partition("\n")[0]
        raise UserError(f"{path} is not a readable manifest ({why}); give one that `wsshm data` wrote") from error
    columns: Columns = {name: [None] * len(table) for name in SCHEMA.names}
    for name in table.column_names:
        read = _READERS.get(name, _texts)
        columns[name] = read(table.column(name), partial(_fault, path, columns, name))
    validate(columns, path)
    return _root(table.schema.metadata or {}, path), columns


def _file(place: Path | Location) -> BinaryIO:
    """A manifest's file, opened; one of an object store is read whole. UserError if it is missing."""
    if isinstance(place, Location) and place.local is None:
        try:
            if place.state()[0] > MAX_BYTES:
                raise UserError(
                    f"{redacted(place)} has more than {MAX_BYTES >> 30} GiB, so it is not read; it is no manifest"
                )
            return io.BytesIO(place.read_bytes())
        except FileNotFoundError:
            raise _absent(redacted(place), "") from None
    path = Path(place.path) if isinstance(place, Location) else place
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        raise _absent(path, "") from None
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long, or one that none can have
        raise _absent(path, f" ({str(getattr(error, 'strerror', error)).lower()})") from error
    if not regular:
        raise _absent(path, ", which is not a file")
    return open(path, "rb")


def validate(columns: Mapping[str, Sequence[Any]], path: object) -> None:
    """Raise UserError that names the row and column unless every cell may stand in a manifest.

    Ids are there, distinct and printable; split, kind and domain are known; paths stay below the root; sizes fit.
    """
    for name in ("id", *FILE_COLUMNS, *CHOICES, *SIZES, SHARD):
        for word in _doubtful(name, columns[name]):
            problem = _problem(name, word)
            if problem:
                raise _fault(path, columns, name, columns[name].index(word), problem)
    ids = columns["id"]
    if len(set(ids)) < len(ids):
        first: dict[str, int] = {}
        for row, name in enumerate(ids):
            if first.setdefault(name, row) != row:
                raise _fault(path, columns, "id", row, f"row {first[name] + 1} has the same id; ids must be unique")
    if any(columns[SHARD]):
        _validate_extents(columns, path)


def _validate_extents(columns: Mapping[str, Sequence[Any]], path: object) -> None:
    """Raise UserError unless each row of a shard says of each of its files where it lies."""
    for row, shard in enumerate(columns[SHARD]):
        files = sum(columns[name][row] is not None for name in FILE_COLUMNS)
        for name in EXTENTS if shard is not None else ():
            values = columns[name][row] or ()
            if len(values) != files or not all(0 <= value <= MAX_SHARD for value in values):
                problem = f"{reprlib.repr(list(values))} is not a number of bytes for each of its {files} files"
                raise _fault(path, columns, name, row, problem)


def _absent(path: object, why: str) -> UserError:
    return UserError(
        f"there is no manifest at {path}{why}; write one with `wsshm data import`, all that the plan photos reads with"
        " `wsshm data prepare`, or drawn people with `wsshm data make procedural`"
    )


def _opened(file: BinaryIO, path: object) -> pa.Table:
    """The known columns as Arrow, texts as dictionaries. UserError for a file that is too large or of another schema."""
    plain = pq.ParquetFile(file)
    _check_extent(plain.metadata, path)
    stored = plain.schema_arrow
    for name in SCHEMA.names:
        if stored.names.count(name) > 1:
            raise UserError(f"{path} has {stored.names.count(name)} columns {name!r}; keep one of them")
    if {"severity", "problem"} <= {*stored.names}:
        raise UserError(f"{path} is a report of `wsshm data check`, not a manifest; name manifests alone")
    for name in REQUIRED:
        if name not in stored.names:
            raise UserError(
                f"{path} is not a manifest of samples: it has no column {name!r}; give one that `wsshm data` wrote"
            )
    known = [name for name in SCHEMA.names if name in stored.names]
    for name in known:
        if not _fits(name, stored.field(name).type):
            raise UserError(
                f"{path}: the column {name!r} holds {stored.field(name).type}, which should be {SCHEMA.field(name).type};"
                " give a manifest that `wsshm data` wrote"
            )
    leaves = [plain.schema.column(k).path for k in range(len(plain.schema.names))]
    texts = [
        leaf for leaf in leaves if leaf.partition(".")[0] in known and leaf.partition(".")[0] not in (*SIZES, *EXTENTS)
    ]
    table = pq.ParquetFile(file, read_dictionary=texts, page_checksum_verification=True).read(columns=known)
    table.validate(full=True)
    return table


def _check_extent(found: pq.FileMetaData, path: object) -> None:
    if found.num_rows > MAX_ROWS:
        raise UserError(
            f"{path} has {found.num_rows:,} rows, more than the {MAX_ROWS:,} that are read; give several manifests"
        )
    # Of the row groups, not of their columns: to ask for a column of a damaged file ends the process (pyarrow 26).
    if sum(max(0, found.row_group(k).total_byte_size) for k in range(found.num_row_groups)) > MAX_BYTES:
        raise UserError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB, so it is not read; leave columns out")


def _fits(name: str, kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_null(kind):
        return True
    if name == ATTRIBUTES:
        return (
            types.is_map(kind)
            and _is_text(kind.key_type)
            and (_is_text(kind.item_type) or types.is_null(kind.item_type))
        )
    if name in SIZES:
        return types.is_integer(kind) or types.is_floating(kind)
    if name in EXTENTS:
        return (types.is_list(kind) or types.is_large_list(kind)) and types.is_integer(kind.value_type)
    return _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


Fault = Callable[[int, str], UserError]


def _texts(column: pa.ChunkedArray, _: Fault) -> list[Any]:
    return [word for chunk in column.chunks for word in _words(chunk)]


def _words(array: pa.Array) -> list[Any]:
    """The texts of an array, equal ones of a dictionary the same object."""
    if not pa.types.is_dictionary(array.type):
        return array.to_pylist()
    words: dict[int | None, Any] = dict(enumerate(array.dictionary.to_pylist()))
    words[None] = None  # of a null (Array.fill_null would import pandas)
    return list(map(words.__getitem__, array.indices.to_pylist()))


def _sizes(column: pa.ChunkedArray, fault: Fault) -> list[int | None]:
    values = column.to_pylist()
    for row, value in enumerate(values):
        if isinstance(value, float):  # what pandas makes of whole numbers with gaps
            if not value.is_integer():
                raise fault(row, f"{value} is not a whole number of pixels")
            values[row] = int(value)
    return values


def _extents(column: pa.ChunkedArray, fault: Fault) -> list[tuple[int, ...] | None]:
    rows = column.to_pylist()
    for row, values in enumerate(rows):
        if values is not None and None in values:
            raise fault(row, "a number is missing")
    return [None if values is None else tuple(values) for values in rows]


def _attributes(column: pa.ChunkedArray, fault: Fault) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for chunk in column.chunks:
        if pa.types.is_null(chunk.type):
            rows += [{} for _ in range(len(chunk))]
            continue
        keys, values = _words(chunk.keys), _words(chunk.items)
        gaps = None in values
        ends = chunk.offsets.to_pylist()
        cells = zip(keys[ends[0] :], values[ends[0] :], strict=True)
        for start, end, there in zip(ends, ends[1:], chunk.is_valid().to_pylist(), strict=False):
            pairs = dict(islice(cells, end - start))
            if not there:
                pairs = {}
            elif len(pairs) < end - start:
                doubled = next(key for key in pairs if keys[start:end].count(key) > 1)
                raise fault(len(rows), f"the attribute {doubled!r} appears twice; keep one of them")
            rows.append({a: b for a, b in pairs.items() if b is not None} if gaps else pairs)
    return rows


_READERS: dict[str, Callable[[pa.ChunkedArray, Fault], list[Any]]] = {
    ATTRIBUTES: _attributes,
    **dict.fromkeys(SIZES, _sizes),
    **dict.fromkeys(EXTENTS, _extents),
}


def _doubtful(name: str, values: Sequence[Any]) -> Iterable[Any]:
    """The values that need a look each: hundreds of thousands of ids and paths are first looked at as one text."""
    distinct = set(values)
    if name == "id" or name in (*FILE_COLUMNS, SHARD):
        gaps = distinct & {None}
        words = distinct - gaps if gaps else distinct
        text = " " + " ".join(words)
        short = not words or 0 < min(map(len, words)) <= max(map(len, words)) <= MAX_ID
        if short and text.isprintable() and (name == "id" or not any(sign in text for sign in _MAY_LEAVE)):
            return gaps
    return distinct


def _problem(name: str, value: Any) -> str:
    """What is wrong with a cell of the column `name`, "" if nothing is."""
    if value is None:
        return "missing; every row needs one" if name in REQUIRED else ""
    if name in CHOICES:
        return "" if value in CHOICES[name] else f"{value!r} is not possible; {nearest(value[:100], CHOICES[name])}"
    if name in SIZES:
        return "" if 0 <= value < 1 << 31 else f"{value} is not a possible number of pixels"
    longest = MAX_ID if name == "id" else MAX_PATH
    if not value or len(value) > longest:
        return f"{len(value)} characters; at least 1 and at most {longest:,} are possible"
    if UNPRINTABLE.search(value):
        return f"{value!r} holds characters that cannot be shown; rename it"
    if name != "id" and _OUTSIDE.search(value):
        return f"{value!r} leaves the manifest's root; paths are relative to it and stay below it"
    return ""


def _fault(path: object, columns: Mapping[str, Sequence[Any]], name: str, row: int, problem: str) -> UserError:
    known = columns["id"][row] if name != "id" and "id" in columns else None
    who = f" ({known[:60]!r})" if isinstance(known, str) else ""
    return UserError(f"{path}, row {row + 1}{who}, column {name!r}: {problem}")


def _root(metadata: Mapping[bytes, bytes], path: object) -> str:
    stored = metadata.get(b"root", b".")
    try:
        root = stored.decode()
    except UnicodeDecodeError:
        root = ""
    if not root or UNPRINTABLE.search(root):
        raise UserError(
            f"{path}: its root {stored[:60]!r} is not a folder's path; give a manifest that `wsshm data` wrote"
        )
    return root
