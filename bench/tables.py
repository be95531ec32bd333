"""From many small Arrow tables to one frame: texts as categories, and each key's last row.

For tables of millions of rows: nothing here goes row by row, and no row is held twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

JOINED = 64  # tables that are put together as they come: small arrays leave the memory in pieces
WIDEST_KEY = 2**62
TICKED = 8  # times as many possible keys as rows are ticked off in a list, which is faster than sorting


def as_dictionary(field: pa.Field) -> pa.Field:
    """The field of a text column as it is read to become a categorical; others as they are."""
    return field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.type == pa.string() else field


def may_hold(file: pq.FileMetaData, runs: Collection[str]) -> bool:
    """Whether a file may hold rows of `runs`: most are of one run, as their statistics say."""
    place = file.schema.names.index("run_id")
    known = [file.row_group(group).column(place).statistics for group in range(file.num_row_groups)]
    return any(one is None or not one.has_min_max or one.min != one.max or one.min in runs for one in known)


def conformed(table: pa.Table, part: pa.Schema) -> pa.Table:
    """Columns in the order and types of `part`; those an older writer did not know become null.

    Any column may hold nulls, whatever its file or `part` says: whether it does is for the reader of all to see.
    """
    if table.schema.types == part.types and table.column_names == part.names:
        arrays = table.columns  # as is nearly always so: casts of many small columns take their time
    else:
        arrays = [
            table.column(field.name).cast(field.type)
            if field.name in table.column_names
            else pa.nulls(len(table), field.type)
            for field in part
        ]
    return pa.Table.from_arrays(arrays, schema=loose(part))


def loose(schema: pa.Schema) -> pa.Schema:
    """The schema with columns that may all hold nulls."""
    return pa.schema([field.with_nullable(True).remove_metadata() for field in schema])


def read_ahead(read: Callable[[str], pa.Table], paths: Sequence[str], readers: int) -> Iterator[pa.Table]:
    """What `read` makes of each path, in their order; a few more are read meanwhile, so that memory stays bounded."""
    with ThreadPoolExecutor(readers) as pool:
        waiting: deque[Future[pa.Table]] = deque()
        for path in paths:
            waiting.append(pool.submit(read, path))
            if len(waiting) > 2 * readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def stacked(tables: Iterable[pa.Table], schema: pa.Schema) -> pd.DataFrame:
    """The rows of all `tables` (each of `schema`) below each other."""
    joined = [loose(schema).empty_table()]
    for number, table in enumerate(tables, 1):
        joined.append(table)
        if number % JOINED == 0:
            joined[-JOINED:] = [pa.concat_tables(joined[-JOINED:]).combine_chunks()]
    return pa.concat_tables(joined).to_pandas()


def stacked_by_code(tables: Iterable[pa.Table], schema: pa.Schema) -> pd.DataFrame:
    """The same with dictionary-encoded columns as categoricals in alphabetical order; others must be numbers.

    Tables are joined some at a time, and given up once their columns are copied.
    """
    texts = {field.name: _Texts() for field in schema if pa.types.is_dictionary(field.type)}
    pieces: dict[str, list[NDArray[Any]]] = {
        field.name: [np.empty(0, np.int32 if field.name in texts else field.type.to_pandas_dtype())] for field in schema
    }
    for batch in _batches(tables, JOINED):
        joint = pa.concat_tables(batch).unify_dictionaries().combine_chunks()
        for name, column in zip(schema.names, joint.columns, strict=True):
            pieces[name].append(texts[name].codes(column) if name in texts else column.to_numpy())
    columns: dict[str, Any] = {}
    for name in schema.names:
        joined = np.concatenate(pieces.pop(name))
        columns[name] = texts[name].categorical(joined) if name in texts else joined
    return pd.DataFrame(columns, copy=False)


def _batches(tables: Iterable[pa.Table], size: int) -> Iterator[list[pa.Table]]:
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


class _Texts:
    """Numbers the texts of a column by first occurrence."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def codes(self, column: pa.ChunkedArray) -> NDArray[np.int32]:
        """The numbers of a dictionary-encoded column's texts; -1 for null."""
        found = []
        for chunk in column.chunks:
            indices = chunk.indices.fill_null(-1) if chunk.null_count else chunk.indices
            found.append(self._ranks(chunk.dictionary)[indices.to_numpy()])
        return np.concatenate(found) if found else np.empty(0, np.int32)

    def _ranks(self, dictionary: pa.Array) -> NDArray[np.int32]:
        """The numbers of a dictionary's texts, followed by -1: the entry that index -1 (null) selects."""
        own = [self.places.setdefault(text, len(self.places)) for text in dictionary.to_pylist()]
        return np.array([*own, -1], dtype=np.int32)

    def categorical(self, codes: NDArray[np.int32]) -> pd.Categorical:
        texts = np.array(list(self.places), dtype=object)
        order = np.argsort(texts)
        rank = np.empty(len(texts) + 1, dtype=np.min_scalar_type(-len(texts) - 1))
        rank[order], rank[-1] = np.arange(len(texts)), -1
        return pd.Categorical.from_codes(rank[codes], pd.Index(texts[order], dtype="str"), validate=False)


def last_of_each(frame: pd.DataFrame, key: Sequence[str], preferred: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Which rows stay, one for each value of the columns `key`: the last of the preferred, else the last.

    None stands for all of them.
    """
    numbers, width = np.zeros(len(frame), dtype=np.int64), 1  # a number per key: its columns' codes as digits
    for name in key:
        codes, count = _codes(frame[name])
        if len(codes) and (codes == codes[0]).all():
            continue
        if width * count > WIDEST_KEY:
            numbers, seen = pd.factorize(numbers)
            width = len(seen)
        numbers *= count
        numbers += codes
        width *= count
    if _all_differ(numbers, width):
        return None
    order = np.argsort(preferred, kind="stable")
    last = np.empty(len(frame), dtype=bool)
    last[order] = ~pd.Series(numbers[order]).duplicated(keep="last").to_numpy()
    return last


def _all_differ(numbers: NDArray[np.int64], width: int) -> bool:
    """Whether no number, all of them below `width`, is there twice."""
    if width <= TICKED * len(numbers):
        seen = np.zeros(width, dtype=bool)
        seen[numbers] = True
        return int(np.count_nonzero(seen)) == len(numbers)
    ordered = np.sort(numbers)
    return bool((ordered[1:] != ordered[:-1]).all())


def _codes(column: pd.Series) -> tuple[NDArray[np.int64], int]:
    """A number for each distinct value, an absent one too, and how many numbers there are."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, count = column.cat.codes.to_numpy(), len(column.cat.categories)
        return (np.where(codes < 0, count, codes), count + 1) if (codes < 0).any() else (codes, count)
    codes, values = pd.factorize(column, use_na_sentinel=False)
    return codes, max(1, len(values))
