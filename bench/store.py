"""The results store: a folder of immutable Parquet files, one sub-folder per table, on any filesystem pyarrow opens.

`ROOT/TABLE/TIME-UUID.parquet`: every `Store.write` makes one file that is either whole or not there, so any number of
processes may write at once and a killed one leaves nothing half there. Rows are never changed: a row that is written
again under the same key (`KEYS`) replaces the older one when the table is read. Values are unscaled; units and
descriptions stand in each field's metadata (`unit`, `about`). This module imports neither torch nor ray.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from bench import parquet_files
from bench.parquet_files import FILE_NAME, DamagedFile, ForeignFile
from bench.schema import DIVERGING, KEYS, MOST, SCHEMA_VERSION, SCHEMAS, document, fault, packed, schema_of
from bench.tables import as_dictionary, last_of_each, loose, read_ahead, stacked, stacked_by_code
from wsshm.errors import UserError, nearest, redacted
from wsshm.files.filesystems import open_address, reaching

__all__ = [
    "EXTERNAL",
    "FINISHED",
    "KEYS",
    "PEER",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "SETTLED",
    "TEACHER",
    "Store",
    "document",
]

FINISHED = "finished"
TEACHER = "teacher-"  # + a stage's address: run_id of rows that compare a teacher with the masks of photos
EXTERNAL = "external-"  # + a hash of predictions that were made elsewhere: their run_id
PEER = "peer-"  # + a hash of somebody else's model file and how it is fed: its run_id, in `speed` too
SETTLED = (FINISHED, "stopped")  # not run again; failed and oom runs are retried when the command is rerun
READERS = 16  # files read at once: what hides an object store's latency
LOCAL_READERS = 2  # more wait for each other: much of it is Python
SINGLE_PUT = ("s3", "gcs", "abfs")  # filesystems where an object appears whole, and a rename would be a copy


class Store:
    """The store under `root`: a local path or a URI such as `s3://bucket/folder`.

    With `filesystem`, `root` is a path inside that pyarrow filesystem. Nothing is made until the first row is written.
    `foreign` holds files beside ours (`TABLE/NAME`) that `read` has passed over, `unknown` columns (`TABLE.NAME`) that no
    schema here has: those of measures whose file is not loaded.
    """

    def __init__(self, root: str | os.PathLike[str], filesystem: fs.FileSystem | None = None) -> None:
        self.filesystem: fs.FileSystem
        self._scheme = self._query = ""
        self.foreign: set[str] = set()
        self.unknown: set[str] = set()
        if filesystem is not None:
            self.filesystem, self.root = filesystem, str(root).rstrip("/")
        elif isinstance(root, str) and "://" in root:
            self.filesystem, self.root = open_address(root.rstrip("/"))
            self._scheme, self._query = root.partition("://")[0], root.partition("?")[2]
        else:
            self.filesystem, self.root = fs.LocalFileSystem(), os.path.abspath(root)

    def exists(self) -> bool:
        """Whether anything was ever written here."""
        with self._reaching(self.root):
            folders = self.filesystem.get_file_info([self._folder(table) for table in SCHEMAS])
        for folder in folders:
            if folder.type not in (fs.FileType.Directory, fs.FileType.NotFound):
                raise UserError(
                    f"{self._shown(folder.path)} is a file, where a folder of the store should be; move it away"
                )
        return any(folder.type == fs.FileType.Directory for folder in folders)

    def write(self, table: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Write `rows` as one new file and return its path; no rows, no file, and "" comes back.

        Missing columns, None and NaN become null. Raises UserError naming the column for an unknown column, a value of
        another type or a null in a key; then, and when the disk is full (OSError), nothing is left under a final name.
        """
        made = packed(table, list(rows))  # whole in memory first: a faulty row never touches the filesystem
        if not made.num_rows:
            return ""
        name, content = parquet_files.written(made)
        folder = self._folder(table)
        final = f"{folder}/{name}"
        with self._reaching(folder):
            if self._puts_whole():
                self._put(final, content)
                return final
            self.filesystem.create_dir(folder, recursive=True)
            temporary = f"{folder}/.{name}.tmp"
            try:
                self._put(temporary, content)
                self.filesystem.move(temporary, final)
            except BaseException:
                if self.filesystem.get_file_info(temporary).type == fs.FileType.File:
                    self.filesystem.delete_file(temporary)
                raise
        return final

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        categories: bool = False,
        runs: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """The rows of `table`, one per key, in the order in which they were written; all columns, or `columns`.

        With `categories`, texts come as pandas categoricals (in the order of the alphabet): a few bytes a row, for
        millions of rows (of tables that hold texts and numbers alone). With `runs`, only rows of these run_ids come, and
        files without them are not read.

        Of rows with one key the one written last counts (file names carry the writer's clock in nanoseconds; within a
        file the later row), but in `runs` a finished run beats one that is not. Temporary and foreign files are passed
        over. As usual in pandas, whole numbers with absent values come as floats. Raises UserError if `root` is no
        store or does not answer, and naming the file (and the row and column) if one is damaged, was written by a newer
        major version of the schema, or holds what no row may hold.
        """
        schema = schema_of(table)
        wanted = schema.names if columns is None else list(columns)
        for column in wanted:
            if column not in schema.names:
                raise UserError(f"the store's table {table} has no column {column!r}; {nearest(column, schema.names)}")
        if not self.exists():
            raise UserError(self._no_store())
        needed = {*wanted, *KEYS[table], *(["status"] if table == "runs" else [])}
        part = pa.schema([field for field in schema if field.name in needed])
        if categories:
            part = pa.schema([as_dictionary(field) for field in part])
        readers = LOCAL_READERS if isinstance(self.filesystem, fs.LocalFileSystem) else READERS
        paths, seen = self._files(table), set[str]()
        tables = read_ahead(lambda path: self._read_file(path, part, runs, seen), paths, readers)
        frame = stacked_by_code(tables, part) if categories else stacked(tables, part)
        self.unknown |= {f"{table}.{name}" for name in seen.difference(schema.names)}
        if table == DIVERGING[0] and DIVERGING[1] in frame:
            frame[DIVERGING[1]] = frame[DIVERGING[1]].where(frame[DIVERGING[1]].abs() <= MOST)
        if fault(frame, part):
            raise UserError(self._faulty(paths, part))
        finished = (frame["status"] == FINISHED).to_numpy() if table == "runs" else np.zeros(len(frame), dtype=bool)
        kept = last_of_each(frame, KEYS[table], preferred=finished)
        if kept is not None:
            frame = frame[kept]
        return frame[wanted].reset_index(drop=True)

    def finished(self) -> set[str]:
        """The ids of finished runs; none where nothing was written yet."""
        return self._with_status((FINISHED,))

    def settled(self) -> set[str]:
        """The ids of runs that are not to be run again: finished, or stopped early."""
        return self._with_status(SETTLED)

    def _with_status(self, statuses: tuple[str, ...]) -> set[str]:
        if not self.exists():
            return set()
        runs = self.read("runs", ["run_id", "status"])
        return set(runs.loc[runs["status"].isin(statuses), "run_id"])

    def _folder(self, table: str) -> str:
        return f"{self.root}/{table}"

    def _files(self, table: str) -> list[str]:
        """Paths of the table's whole files, in the order in which they were written."""
        with self._reaching(self._folder(table)):
            listed = self.filesystem.get_file_info(fs.FileSelector(self._folder(table), allow_not_found=True))
        own = sorted((info for info in listed if FILE_NAME.fullmatch(info.base_name)), key=lambda info: info.path)
        names = {info.base_name for info in listed} - {info.base_name for info in own}
        self.foreign |= {f"{table}/{name}" for name in names if name and not name.startswith(".")}
        for info in own:
            if info.type not in (fs.FileType.File, fs.FileType.NotFound):  # a pipe would never end
                raise UserError(f"{self._shown(info.path)} is not a file; move it out of the store")
        return [info.path for info in own]

    def _puts_whole(self) -> bool:
        inner = self.filesystem
        while isinstance(inner, fs.SubTreeFileSystem):
            inner = inner.base_fs
        return inner.type_name in SINGLE_PUT

    def _put(self, path: str, content: pa.Buffer) -> None:
        with self.filesystem.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    def _read_file(self, path: str, part: pa.Schema, runs: Collection[str] | None, seen: set[str]) -> pa.Table:
        shown = self._shown(path)
        try:
            with self._reaching(path), self.filesystem.open_input_file(path) as source:
                table = parquet_files.read(source, path.rpartition("/")[2], part, runs, seen)
        except FileNotFoundError as error:
            raise UserError(f"{shown} was removed while the store was read; rerun the command") from error
        except ForeignFile as error:
            raise UserError(f"{shown} {error}") from error
        except DamagedFile as error:
            raise UserError(
                f"{shown} was damaged after it was written ({error}); restore it from a copy, or delete it and rerun the "
                f"command that wrote it"
            ) from error
        if table is None:
            return loose(part).empty_table()
        return table if runs is None else table.filter(pc.is_in(table["run_id"], pa.array(list(runs), pa.string())))

    def _faulty(self, paths: list[str], part: pa.Schema) -> str:
        """Which value of which file no row may hold."""
        for path in paths:
            if found := fault(stacked([self._read_file(path, part, None, set())], part), part):
                where = f"row {found.row + 1}, column {found.column}"
                return f"{self._shown(path)}, {where}: {found.why}; move the file out of the store"
        return f"the store {self._shown(self.root)} was changed while it was read; rerun the command"

    def _reaching(self, path: str) -> AbstractContextManager[None]:
        return reaching(self.filesystem, self._shown(path))

    def _shown(self, path: str) -> str:
        """A path as it can be given to a command, without secrets."""
        if not self._scheme:
            return path
        return redacted(f"{self._scheme}://{path}" + (f"?{self._query}" if self._query else ""))

    def _no_store(self) -> str:
        shown, inner = self._shown(self.root), f"{self.root}/store"
        with self._reaching(self.root):
            kind = self.filesystem.get_file_info(self.root).type
            below = self.filesystem.get_file_info([f"{inner}/{table}" for table in SCHEMAS])
        if any(folder.type == fs.FileType.Directory for folder in below):
            return f"{shown} is not a store, but holds one: give {self._shown(inner)}"
        *others, last = SCHEMAS
        found = {
            fs.FileType.NotFound: "does not exist",
            fs.FileType.Directory: f"is not a store (it has no table {', '.join(others)} or {last})",
        }.get(kind, "is a file")
        return f"{shown} {found}; give the folder `store` in the output folder of a sweep"


def stage_column(addresses: Mapping[str, str]) -> list[str]:
    """Stages' addresses by name, in order, as `runs.stages` holds them: NAME:ADDRESS."""
    return [f"{name}:{address}" for name, address in addresses.items()]


def stages_in(column: Iterable[str]) -> dict[str, str]:
    """The addresses by name that `runs.stages` of one run holds."""
    return {name: address for name, _, address in (entry.partition(":") for entry in column)}
