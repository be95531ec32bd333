"""The results store: a folder of immutable Parquet files, one sub-folder per table, on any filesystem pyarrow opens.

`ROOT/TABLE/TIME-UUID.parquet`: every `Store.write` makes one file that is either whole or not there, so any number of
processes may write at once and a killed one leaves nothing half there. Rows are never changed: a row that is written
again under the same key (`KEYS`) replaces the older one when the table is read. Values are unscaled; units and
descriptions stand in each field's metadata (`unit`, `about`). This module imports neither torch nor ray.
"""

from __future__ import annotations

import math
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from bench.tables import as_dictionary, conformed, last_of_each, may_hold, opened, read_ahead, stacked, stacked_by_code
from wsshm.errors import UserError, nearest

SCHEMA_VERSION = "1.0"  # a new column raises the minor number, anything that breaks a reader the major one
FINISHED = "finished"
TEACHER = "teacher-"  # and a stage's address: the run_id of rows that hold a teacher against the masks of photos
SETTLED = (FINISHED, "stopped")  # not to be run again; failed and oom are tried when asked again
READERS = 16  # files read at once: what hides an object store's latency
LOCAL_READERS = 2  # more wait for each other: much of it is Python
SINGLE_PUT = ("s3", "gcs", "abfs")  # filesystems where an object appears whole, and a rename would be a copy
FILE_NAME = re.compile(r"\d{20}-[0-9a-f]{32}\.parquet")

_text, _int, _float, _bool = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_time = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, about: str, unit: str = "", key: bool = False) -> pa.Field:
    """A column; `key` marks one that must never be null."""
    return pa.field(name, kind, nullable=not key, metadata={"unit": unit, "about": about})


def _schema(*columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"schema_version": SCHEMA_VERSION})


SCHEMAS: dict[str, pa.Schema] = {
    "runs": _schema(
        _field("run_id", _text, "first 16 hex digits of the hash over all that changes the numbers", key=True),
        _field("plan", _text, "name of the plan that asked for the run"),
        _field("method", _text, "training recipe"),
        _field("architecture", _text, "decoder and heads"),
        _field("backbone", _text, "timm encoder"),
        _field("weights", _text, "origin of the encoder's first weights"),
        _field("seed", _int, "draws the subset, the initialisation and the order"),
        _field("mattes", _int, "distinct mattes in the label budget", "labels"),
        _field("masks", _int, "masks in the label budget", "labels"),
        _field("cost_s", _float, "annotation time of every label any stage used, at the default prices", "s"),
        _field("config", _text, "resolved configuration of the run, JSON"),
        _field(
            "data_fingerprint", _text, "hash over ids, splits and contents of files; of the embedded set, its recipe"
        ),
        _field("recipe_version", _text, "version of the training recipes' code"),
        _field("status", _text, "finished | stopped | failed | oom"),
        _field("error", _text, "why the run did not finish"),
        _field(
            "stages",
            pa.list_(_text),
            "name:address of each stage, in order; equal addresses mean the same training",
        ),
        _field("steps", _int, "optimiser steps of all stages", "steps"),
        _field("train_s", _float, "wall time of training, a shared teacher excluded", "s"),
        _field("teacher_s", _float, "wall time of the teacher's training and forward passes", "s"),
        _field("device", _text, "what the run was trained on"),
        _field("gpus", _float, "GPUs in use", "GPUs"),
        _field("workers", _int, "data-parallel workers", "workers"),
        _field("versions", _text, "versions of what can change the numbers, JSON"),
        _field("git_commit", _text, "commit of this suite"),
        _field("git_dirty", _bool, "whether the checkout held uncommitted changes"),
        _field("started", _time, "start of the run", "UTC"),
        _field("finished", _time, "end of the run", "UTC"),
    ),
    "scores": _schema(
        _field(
            "run_id",
            _text,
            "the run, `external-` and a hash of the predictions, or `teacher-` and the address of a stage that is held"
            " against masks",
            key=True,
        ),
        _field("dataset", _text, "data set", key=True),
        _field("image", _text, "id of the picture in its manifest", key=True),
        _field("protocol", _text, "test-time input rule", key=True),
        _field("convention", _text, "p3m | dim | rvm", key=True),
        _field("region", _text, "whole | unknown | boundary | foreground | background", key=True),
        _field("truth", _text, "exact | estimated | mask"),
        _field("unknown_px", _int, "dilation radius of the unknown region where no trimap was given", "pixels"),
        _field("quantised", _text, "how the prediction was brought to 8 bits: none | rounded | floored"),
        _field("metric_version", _text, "version of the measures' code", key=True),
        _field("sad", _float, "sum of absolute differences", "thousands of pixels"),
        _field("mse", _float, "mean squared error", "1"),
        _field("mad", _float, "mean absolute difference", "1"),
        _field("grad", _float, "gradient error, scaled as its convention says"),
        _field("conn", _float, "connectivity error", "thousands of pixels"),
        _field("iou", _float, "intersection over union at alpha 0.5", "1"),
        _field("boundary_f", _float, "F measure of the boundary", "1"),
        _field("dtssd", _float, "temporal error of a video", "1"),
    ),
    "speed": _schema(
        _field("run_id", _text, "the trained run whose weights were timed, or null"),
        _field("model", _text, "name of what was timed", key=True),
        _field("architecture", _text, "decoder and heads"),
        _field("backbone", _text, "timm encoder"),
        _field("params", _int, "parameters of the model as timed", "parameters"),
        _field("gmacs", _float, "multiply-adds of one image: flop counter / 2", "1e9 multiply-adds"),
        _field("device", _text, "GPU name, or CPU model and threads", key=True),
        _field("engine", _text, "what ran the model", key=True),
        _field("precision", _text, "fp32 | bf16 | fp16", key=True),
        _field("layout", _text, "nchw | channels_last"),
        _field("batch", _int, "images per call", "images", key=True),
        _field("height", _int, "input height", "pixels", key=True),
        _field("width", _int, "input width", "pixels", key=True),
        _field("scope", _text, "model | end_to_end", key=True),
        _field("status", _text, "ok | unavailable | oom | unstable"),
        _field("reason", _text, "why the status is not ok"),
        _field("n", _int, "timed calls", "calls"),
        _field("p50_ms", _float, "median time of a call", "ms"),
        _field("p90_ms", _float, "90th percentile", "ms"),
        _field("p95_ms", _float, "95th percentile", "ms"),
        _field("p99_ms", _float, "99th percentile", "ms"),
        _field("median_low_ms", _float, "lower end of the median's 95 % interval, by order statistics", "ms"),
        _field("median_high_ms", _float, "upper end of the median's 95 % interval, by order statistics", "ms"),
        _field("fps", _float, "1000 / p50_ms at batch 1, else null", "1/s"),
        _field("images_per_s", _float, "images over the wall time of the whole timed block", "1/s"),
        _field("compile_s", _float, "time to compile, apart from warm-up", "s"),
        _field("peak_mb", _float, "peak memory: the GPU's, or the process's resident set", "1e6 bytes"),
        _field("energy_j", _float, "energy per image", "J"),
        _field("samples_ms", pa.list_(_float), "time of every timed call, in order", "ms"),
        _field("versions", _text, "versions of what can change the numbers, JSON"),
        _field("started", _time, "start of the measurement", "UTC"),
    ),
    "epochs": _schema(
        _field("run_id", _text, "the run", key=True),
        _field("stage", _text, "stage of the method", key=True),
        _field("epoch", _int, "epoch of the stage, from 1", key=True),
        _field("key", _text, "what was measured", key=True),
        _field("value", _float, "its value"),
    ),
    "samples": _schema(
        _field("run_id", _text, "the run", key=True),
        _field("dataset", _text, "data set", key=True),
        _field("image", _text, "id of the picture in its manifest", key=True),
        _field("kind", _text, "photo | mask | teacher | label | matte | truth | error", key=True),
        _field("png", pa.binary(), "the picture, PNG"),
    ),
}

KEYS: dict[str, tuple[str, ...]] = {
    "runs": ("run_id",),
    "scores": ("run_id", "dataset", "image", "protocol", "convention", "region", "metric_version"),
    "speed": (
        *("run_id", "model", "backbone", "device", "engine", "precision"),
        *("layout", "batch", "height", "width", "scope"),
    ),
    "epochs": ("run_id", "stage", "epoch", "key"),
    "samples": ("run_id", "dataset", "image", "kind"),
}


def _is_whole(value: object) -> bool:
    # 3.0 passes: pandas turns whole-number columns with absent values into floats
    return (isinstance(value, Integral) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )


def _is_list_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple | np.ndarray) and all(map(accepts, value))


_ACCEPTS: dict[pa.DataType, tuple[str, Callable[[Any], bool]]] = {
    _text: ("text", lambda value: isinstance(value, str)),
    _int: ("a whole number", _is_whole),
    _float: ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    _bool: ("true or false", lambda value: isinstance(value, bool | np.bool_)),
    _time: ("a datetime with a time zone", lambda value: isinstance(value, datetime) and value.tzinfo is not None),
    pa.binary(): ("bytes", lambda value: isinstance(value, bytes)),
    pa.list_(_text): ("a list of texts", _is_list_of(lambda value: isinstance(value, str))),
    pa.list_(_float): ("a list of numbers", _is_list_of(lambda value: isinstance(value, Real))),
}


class Store:
    """The store under `root`: a local path or a URI such as `s3://bucket/folder`.

    With `filesystem`, `root` is a path inside that pyarrow filesystem. Nothing is made until the first row is written.
    """

    def __init__(self, root: str | os.PathLike[str], filesystem: fs.FileSystem | None = None) -> None:
        self.filesystem: fs.FileSystem
        if filesystem is not None:
            self.filesystem, self.root = filesystem, str(root).rstrip("/")
        elif isinstance(root, str) and "://" in root:
            try:
                self.filesystem, self.root = fs.FileSystem.from_uri(root.rstrip("/"))
            except (pa.ArrowException, ValueError, ImportError) as error:
                raise UserError(f"the store address {root!r} cannot be opened: {_first_line(error)}") from error
        else:
            self.filesystem, self.root = fs.LocalFileSystem(), os.path.abspath(root)

    def exists(self) -> bool:
        """Whether anything was ever written here."""
        folders = self.filesystem.get_file_info([self._folder(table) for table in SCHEMAS])
        return any(folder.type == fs.FileType.Directory for folder in folders)

    def write(self, table: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Write `rows` as one new file and return its path; no rows, no file, and "" comes back.

        Missing columns, None and NaN become null. Raises UserError naming the column for an unknown column, a value of
        another type or a null in a key; then, and when the disk is full (OSError), nothing is left under a final name.
        """
        rows = list(rows)
        content = pa.BufferOutputStream()  # whole in memory first, so that a faulty row never touches the filesystem
        packed = _pack(table, rows)
        if not rows:
            return ""
        pq.write_table(packed, content, compression="snappy")  # of many small files, the fastest to read
        folder = self._folder(table)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}.parquet"
        final = f"{folder}/{name}"
        if self._puts_whole():
            self._put(final, content.getvalue())
            return final
        self.filesystem.create_dir(folder, recursive=True)
        temporary = f"{folder}/.{name}.tmp"
        try:
            self._put(temporary, content.getvalue())
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
        over. As usual in pandas, whole numbers with absent values come as floats. Raises UserError where `root` is no
        store, a file is damaged, or the store was written by a newer major version of the schema.
        """
        schema = _schema_of(table)
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
        tables = read_ahead(lambda path: self._read_file(path, part, runs), self._files(table), readers)
        frame = stacked_by_code(tables, part) if categories else stacked(tables, part)
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
        listed = self.filesystem.get_file_info(fs.FileSelector(self._folder(table), allow_not_found=True))
        return sorted(info.path for info in listed if FILE_NAME.fullmatch(info.base_name))

    def _puts_whole(self) -> bool:
        inner = self.filesystem
        while isinstance(inner, fs.SubTreeFileSystem):
            inner = inner.base_fs
        return inner.type_name in SINGLE_PUT

    def _put(self, path: str, content: pa.Buffer) -> None:
        with self.filesystem.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    def _read_file(self, path: str, part: pa.Schema, runs: Collection[str] | None) -> pa.Table:
        try:
            texts = [field.name for field in part if pa.types.is_dictionary(field.type)]
            with self.filesystem.open_input_file(path) as source, opened(source, texts) as file:
                written = file.schema_arrow
                _check_version(path, written)
                if runs is not None and not may_hold(file.metadata, runs):
                    return part.empty_table()
                # Files are small and read side by side: threads within one only cost time.
                table = file.read([name for name in part.names if name in written.names], use_threads=False)
            table = conformed(table, part)
            return table if runs is None else table.filter(pc.is_in(table["run_id"], pa.array(list(runs), _text)))
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"{path} cannot be read ({_first_line(error)}); it was damaged after it was written: restore it, or "
                f"delete it and ask again for what it held"
            ) from error

    def _no_store(self) -> str:
        inner = Store(f"{self.root}/store", self.filesystem)
        if inner.exists():
            return f"{self.root} is no store, but holds one: give {inner.root}"
        kind = self.filesystem.get_file_info(self.root).type
        found = "does not exist" if kind == fs.FileType.NotFound else "is no store (it has no table " + _listed() + ")"
        return f"{self.root} {found}; give the folder `store` in the output folder of a sweep"


def _listed() -> str:
    *others, last = SCHEMAS
    return ", ".join(others) + " or " + last


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def _schema_of(table: str) -> pa.Schema:
    if table not in SCHEMAS:
        raise UserError(f"the store has no table {table!r}; {nearest(table, SCHEMAS)}")
    return SCHEMAS[table]


def _is_null(value: object) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _pack(table: str, rows: list[Mapping[str, Any]]) -> pa.Table:
    """`rows` as an Arrow table of the table's schema, every value checked."""
    schema = _schema_of(table)
    for column in dict.fromkeys(name for row in rows for name in row):
        if column not in schema.names:
            raise UserError(f"the store's table {table} has no column {column!r}; {nearest(column, schema.names)}")
    return pa.table([_pack_column(table, field, [row.get(field.name) for row in rows]) for field in schema], schema)


def _pack_column(table: str, field: pa.Field, values: list[Any]) -> pa.Array:
    expected, accepts = _ACCEPTS[field.type]
    for position, value in enumerate(values):
        if _is_null(value):
            if not field.nullable:
                raise UserError(f"{table}.{field.name} must not be empty: it is part of the key of a row")
            values[position] = None
        elif not accepts(value):
            raise UserError(f"{table}.{field.name} takes {expected}, not {value!r:.80}")
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError) as error:
        raise UserError(f"{table}.{field.name} cannot hold a value given: {_first_line(error)}") from error


def _check_version(path: str, written: pa.Schema) -> None:
    version = (written.metadata or {}).get(b"schema_version", b"").decode()
    if not version:
        raise UserError(f"{path} was not written by this suite (it has no schema_version); move it out of the store")
    if int(version.split(".")[0]) > int(SCHEMA_VERSION.split(".")[0]):
        raise UserError(
            f"{path} has schema version {version}, newer than {SCHEMA_VERSION} that this wsshm-bench reads; "
            f"install a newer wsshm-bench"
        )
