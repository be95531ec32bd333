"""One file of the store: its name contains a hash of its content, so that the reader detects any damage.

The name is `TIME-UUID.parquet`. A UUID of version 8 (what the suite writes) holds the first digits of the SHA-256 of the
file's footer and of everything before it. One of version 4 (what earlier releases wrote) holds no hash, and only the
checksums of its pages, if present, are verified.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.schema import SCHEMA_VERSION
from bench.tables import conformed, may_hold
from wsshm.errors import first_line

FILE_NAME = re.compile(r"\d{20}-[0-9a-f]{32}\.parquet")
IN_ONE_PIECE = 2**18  # bytes: a single request to an object store, and less work on a disk too
LARGEST = 2**31  # bytes of a file that is read at all
MOST_ROWS = 2**26  # the same for rows: a few bytes can encode billions of equal ones
_SEALED = re.compile(r"\d{20}-[0-9a-f]{12}8([0-9a-f]{3})8([0-9a-f]{15})\.parquet")
_FOOTER_DIGITS, _BODY_DIGITS = 8, 10
_MAGIC = b"PAR1"


class DamagedFile(Exception):
    """The content is not what was written; the message says what is wrong."""


class ForeignFile(Exception):
    """The file was not written by this suite, or this release cannot read it; the message completes a sentence about it."""


def written(table: pa.Table) -> tuple[str, pa.Buffer]:
    """The name and the content of a new file that holds `table`."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="snappy", write_page_checksum=True
    )  # of many small files, the fastest to read
    content = sink.getvalue()
    body, footer = _parts(content)
    seal = _hash(footer, _FOOTER_DIGITS) + _hash(body, _BODY_DIGITS)
    return f"{time.time_ns():020d}-{secrets.token_hex(6)}8{seal[:3]}8{seal[3:]}.parquet", content


def read(
    source: pa.NativeFile, name: str, part: pa.Schema, runs: Collection[str] | None, seen: set[str]
) -> pa.Table | None:
    """The columns `part` of an open file; None if its statistics rule out any of `runs`. `seen` gets all its columns.

    Raises DamagedFile if the content is not what was written, ForeignFile if this suite did not write it, and whatever
    the filesystem raises.
    """
    size = source.size()
    if size > LARGEST:
        raise ForeignFile(f"is larger than any file of this suite ({size / 1e9:.1f} GB); move it out of the store")
    # Statistics are read only if the footer is known to be intact: those of a damaged one can crash the process.
    sealed = bool(_seal(name))
    in_parts = runs is not None and sealed and size > IN_ONE_PIECE
    end = _end(source, size) if in_parts else source.read_buffer()
    with _decoding():
        metadata = _metadata(end, name)
        names = _checked(metadata, part)
        seen.update(names)
        if runs is not None and sealed and not may_hold(metadata, runs):
            return None
    if in_parts:
        source.seek(0)
    whole = source.read_buffer() if in_parts else end
    with _decoding():
        return _decoded(whole, name, part, runs, metadata, names)


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn errors while decoding bytes that are already in memory into DamagedFile."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedFile(first_line(error)) from error


def _end(source: pa.NativeFile, size: int) -> pa.Buffer:
    """The end of a file, with the whole of its footer."""
    source.seek(size - IN_ONE_PIECE)
    end = source.read_buffer()
    length = _footer_length(end)
    if length > len(end):
        source.seek(max(0, size - length))
        end = source.read_buffer()
    return end


def _footer_length(end: pa.Buffer) -> int:
    """Bytes of the footer, its own length and the magic word included."""
    tail = end[-8:].to_pybytes()
    if len(tail) < 8 or tail[4:] != _MAGIC:
        raise DamagedFile("its end is missing")
    return int.from_bytes(tail[:4], "little") + 8


def _parts(end: pa.Buffer) -> tuple[pa.Buffer, pa.Buffer]:
    length = _footer_length(end)
    if length > len(end):
        raise DamagedFile("its footer is cut off")
    return end[: len(end) - length], end[len(end) - length :]


def _metadata(end: pa.Buffer, name: str) -> pq.FileMetaData:
    _, footer = _parts(end)
    if (seal := _seal(name)) and _hash(footer, _FOOTER_DIGITS) != seal[:_FOOTER_DIGITS]:
        raise DamagedFile("its footer is not what was written")
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer.to_pybytes()))


def _decoded(
    whole: pa.Buffer,
    name: str,
    part: pa.Schema,
    runs: Collection[str] | None,
    metadata: pq.FileMetaData,
    names: Collection[str],
) -> pa.Table | None:
    seal = _seal(name)
    body, _ = _parts(whole)
    if seal and _hash(body, _BODY_DIGITS) != seal[_FOOTER_DIGITS:]:
        raise DamagedFile("its content is not what was written")
    texts = [field.name for field in part if pa.types.is_dictionary(field.type) and field.name in names]
    file = _opened(whole, metadata, texts)
    if runs is not None and not seal and not set(file.read(["run_id"]).column(0).unique().to_pylist()) & set(runs):
        return None
    _check_size(whole, metadata, part)
    # Files are small and read side by side: threads within one only cost time.
    table = file.read([column for column in part.names if column in names], use_threads=False)
    if not seal:
        table.validate(full=True)
    return conformed(table, part)


def _opened(whole: pa.Buffer, metadata: pq.FileMetaData, texts: list[str]) -> pq.ParquetFile:
    source = pa.BufferReader(whole)
    return pq.ParquetFile(source, metadata=metadata, read_dictionary=texts, page_checksum_verification=True)


def _check_size(whole: pa.Buffer, metadata: pq.FileMetaData, part: pa.Schema) -> None:
    """Raise ForeignFile if dictionary-encoded texts would take more than `LARGEST` bytes once decoded."""
    groups = range(metadata.num_row_groups)
    if metadata.num_rows * sum(metadata.row_group(group).total_byte_size for group in groups) <= LARGEST:
        return  # as is nearly always so: no text is longer than all of them
    plain = [field.name for field in part if field.type in (pa.string(), pa.binary())]
    stored = set(metadata.schema.to_arrow_schema().names)
    for name in plain:
        if name in stored:
            column = _opened(whole, metadata, [name]).read([name]).column(0)
            size = sum(_bytes(chunk) for chunk in column.chunks)
            if size > LARGEST:
                raise ForeignFile(
                    f"holds {size / 1e9:.0f} GB in the column {name!r}, more than any of this suite; move it out of the store"
                )


def _bytes(chunk: pa.Array) -> int:
    """Bytes of a column's texts once decoded, each counted as often as it occurs."""
    if not pa.types.is_dictionary(chunk.type):
        return chunk.nbytes
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
    counts = pc.value_counts(chunk.indices.drop_null())
    return pc.sum(pc.multiply(lengths.take(counts.field("values")), counts.field("counts"))).as_py() or 0


def _seal(name: str) -> str:
    found = _SEALED.fullmatch(name)
    return found[1] + found[2] if found else ""


def _hash(content: pa.Buffer, digits: int) -> str:
    return hashlib.sha256(content).hexdigest()[:digits]


def _checked(metadata: pq.FileMetaData, part: pa.Schema) -> list[str]:
    """The names of a file's columns. ForeignFile unless it is one of ours, of a known schema, with those of `part`."""
    schema = metadata.schema.to_arrow_schema()
    version = (schema.metadata or {}).get(b"schema_version", b"").decode(errors="replace")
    if not version:
        raise ForeignFile("was not written by this suite (it has no schema_version); move it out of the store")
    major = version.split(".")[0]
    if not (major.isascii() and major.isdecimal() and len(major) < 9):
        raise ForeignFile(f"has the schema version {version!r:.40}, which is not a version; move it out of the store")
    if int(major) > int(SCHEMA_VERSION.split(".")[0]):
        raise ForeignFile(
            f"has schema version {version}, newer than {SCHEMA_VERSION} that this wsshm-bench reads; "
            f"install a newer wsshm-bench"
        )
    if metadata.num_rows > MOST_ROWS:
        raise ForeignFile(
            f"says that it holds {metadata.num_rows:,} rows, more than any of this suite; move it out of the store"
        )
    names = schema.names
    for field in part:
        count = names.count(field.name)
        if count > 1:
            raise ForeignFile(f"has {count} columns {field.name!r}; move it out of the store")
        if not count:
            if not field.nullable:
                raise ForeignFile(
                    f"has no column {field.name!r}, without which its rows mean nothing; move it out of the store"
                )
        elif not _alike(found := schema.field(field.name).type, field.type):
            raise ForeignFile(
                f"holds {found} in the column {field.name!r} instead of {_plain(field.type)}; move it out of the store"
            )
    return names


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of a type are those of the wanted one: text, whole numbers, numbers, times, lists of them.

    A column without a single value may be of the null type.
    """
    found, wanted = _plain(found), _plain(wanted)
    if pa.types.is_list(wanted):
        return _is_list(found) and _alike(found.value_type, wanted.value_type)
    kinds = (
        (pa.types.is_string, (pa.types.is_string, pa.types.is_large_string)),
        (pa.types.is_integer, (pa.types.is_integer,)),
        (pa.types.is_floating, (pa.types.is_floating, pa.types.is_integer)),
        (pa.types.is_boolean, (pa.types.is_boolean,)),
        (pa.types.is_timestamp, (pa.types.is_timestamp,)),
        (pa.types.is_binary, (pa.types.is_binary, pa.types.is_large_binary)),
    )
    accepted = next(tests for is_wanted, tests in kinds if is_wanted(wanted))
    return pa.types.is_null(found) or any(test(found) for test in accepted)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)
