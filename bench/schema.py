"""The store's tables: what each column is called, holds and may be, and the check of a row before it is written.

Units and descriptions stand in each field's metadata (`unit`, `about`), and so do the bounds of its values (`least`,
`most`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.graded import column_of
from wsshm.errors import UserError, first_line, nearest, redacted
from wsshm.grades import DEFAULT, GRADES
from wsshm.measures import MEASURES, ROUNDED

SCHEMA_VERSION = "1.3"  # a new column raises the minor number, anything that breaks a reader the major one
MOST = 1e12  # no measured number is larger, in any column's unit
SHORTEST_MS, SLOWEST = 1e-6, 1e-6  # no call takes less time, nothing that was timed is slower
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # what times may lie between
DOCUMENTS = ("config", "versions")  # columns that hold a JSON mapping
DEEPEST = 32  # levels of such a mapping
DIVERGING = ("epochs", "value")  # a loss that is not a finite number is a gap in its curve, and no fault
_text, _int, _float, _bool = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_time = pa.timestamp("us", tz="UTC")


def _field(
    name: str,
    kind: pa.DataType,
    about: str,
    unit: str = "",
    key: bool = False,
    least: float | None = None,
    most: float | None = None,
) -> pa.Field:
    """A column; `key` marks one that must never be null, `least` and `most` bound its numbers."""
    bounds = {name: f"{value:g}" for name, value in {"least": least, "most": most}.items() if value is not None}
    return pa.field(name, kind, nullable=not key, metadata={"unit": unit, "about": about, **bounds})


def table_schema(*columns: pa.Field) -> pa.Schema:
    """A table's columns. UserError for a measure named like one of the others."""
    names = [column.name for column in columns]
    if taken := sorted(set(MEASURES) & {name for name in names if names.count(name) > 1}):
        raise UserError(f"the measure {taken[0]!r} has the name of another column of its table; give it another name")
    return pa.schema(columns, metadata={"schema_version": SCHEMA_VERSION})


SCHEMAS: dict[str, pa.Schema] = {
    "runs": table_schema(
        _field("run_id", _text, "first 16 hex digits of the hash over all that changes the numbers", key=True),
        _field("plan", _text, "name of the plan that asked for the run"),
        _field("method", _text, "training recipe"),
        _field("architecture", _text, "decoder and heads"),
        _field("backbone", _text, "timm encoder"),
        _field("weights", _text, "origin of the encoder's first weights"),
        _field("seed", _int, "draws the subset, the initialisation and the order", least=-(2.0**63), most=2.0**63),
        _field("mattes", _int, "distinct mattes in the label budget", "labels", least=0),
        _field("masks", _int, "masks in the label budget, of whatever grade", "labels", least=0),
        *(
            _field(
                column_of(grade),
                _int,
                f"those of the grade {grade}; null in earlier rows: all {DEFAULT}",
                "labels",
                least=0,
            )
            for grade in GRADES
        ),
        _field("cost_s", _float, "annotation time of every label any stage used, at the default prices", "s", least=0),
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
        _field("steps", _int, "optimiser steps of all stages", "steps", least=0),
        _field("train_s", _float, "wall time of training, a shared teacher excluded", "s", least=0),
        _field("teacher_s", _float, "wall time of the teacher's training and forward passes", "s", least=0),
        _field("device", _text, "what the run was trained on"),
        _field("gpus", _float, "GPUs in use", "GPUs", least=0),
        _field("workers", _int, "data-parallel workers", "workers", least=0),
        _field("versions", _text, "versions of what can change the numbers, JSON"),
        _field("git_commit", _text, "commit of this suite"),
        _field("git_dirty", _bool, "whether the checkout held uncommitted changes"),
        _field("started", _time, "start of the run", "UTC"),
        _field("finished", _time, "end of the run", "UTC"),
    ),
    "scores": table_schema(
        _field(
            "run_id",
            _text,
            "the run, `external-` and a hash of predictions, `peer-` and a hash of somebody else's model file, or `teacher-`"
            " and the address of a stage that is compared with masks",
            key=True,
        ),
        _field("dataset", _text, "data set", key=True),
        _field("image", _text, "id of the picture in its manifest", key=True),
        _field("protocol", _text, "test-time input rule", key=True),
        _field("convention", _text, "p3m | dim | rvm", key=True),
        _field("region", _text, "whole | unknown | boundary | foreground | background", key=True),
        _field("truth", _text, "exact | estimated | mask"),
        _field(
            "unknown_px", _int, "dilation radius of the unknown region where no trimap was given", "pixels", least=0
        ),
        _field("quantised", _text, "how the prediction was brought to 8 bits: none | rounded | floored"),
        _field("metric_version", _text, "version of the measures' code", key=True),
        _field("engine", _text, "what executed the network; null is PyTorch, operator by operator"),
        _field("precision", _text, "its precision; null is fp32"),
        *(_field(m.name, _float, m.about, m.unit, least=0, most=m.most) for m in MEASURES.values()),
    ),
    "speed": table_schema(
        _field(
            "run_id", _text, "the trained run whose weights were timed, `peer-` and a hash of a model file, or null"
        ),
        _field("model", _text, "name of what was timed", key=True),
        _field("architecture", _text, "decoder and heads"),
        _field("backbone", _text, "timm encoder"),
        _field("params", _int, "parameters of the model as timed", "parameters", least=0),
        _field("gmacs", _float, "multiply-adds of one image: flop counter / 2", "1e9 multiply-adds", least=0),
        _field("device", _text, "GPU name, or CPU model and threads", key=True),
        _field("engine", _text, "what ran the model", key=True),
        _field("precision", _text, "fp32 | bf16 | fp16 | int8", key=True),
        _field("layout", _text, "nchw | channels_last"),
        _field("batch", _int, "images per call", "images", key=True, least=1),
        _field("height", _int, "input height", "pixels", key=True, least=1),
        _field("width", _int, "input width", "pixels", key=True, least=1),
        _field("scope", _text, "model | end_to_end", key=True),
        _field("status", _text, "ok | unavailable | oom | unstable | wrong"),
        _field("reason", _text, "why the status is not ok"),
        _field("n", _int, "timed calls of all processes", "calls", least=0),
        _field("processes", _int, "fresh processes that were timed; null is one", "processes", least=1),
        _field("p50_ms", _float, "median time of a call; the processes' geometric mean", "ms", least=SHORTEST_MS),
        _field("p90_ms", _float, "90th percentile", "ms", least=SHORTEST_MS),
        _field("p95_ms", _float, "95th percentile", "ms", least=SHORTEST_MS),
        _field("p99_ms", _float, "99th percentile", "ms", least=SHORTEST_MS),
        _field(
            "median_low_ms",
            _float,
            "lower end of the median's 95 % interval, over processes (t); of one process over its calls (order statistics)",
            "ms",
            least=SHORTEST_MS,
        ),
        _field("median_high_ms", _float, "upper end of the same interval", "ms", least=SHORTEST_MS),
        _field("fps", _float, "1000 / p50_ms at batch 1, else null", "1/s", least=SLOWEST),
        _field("images_per_s", _float, "images over the wall time of the whole timed block", "1/s", least=SLOWEST),
        _field("compile_s", _float, "time to export, compile and first call, with nothing cached", "s", least=0),
        _field(
            "compile_cached_s",
            _float,
            "the same with what an earlier process left: a graph, a compiler's cache",
            "s",
            least=0,
        ),
        _field("max_difference", _float, "largest difference of a matte from that of PyTorch's eager fp32", least=0),
        _field("clock_mhz", _float, "lowest clock at the end of a process's block", "MHz", least=0),
        _field("throttled", _bool, "whether the device was held back for heat or power"),
        _field("peak_mb", _float, "peak memory: the GPU's, or the process's resident set", "1e6 bytes", least=0),
        _field(
            "energy_j",
            _float,
            "energy per image by the device's counter (all processor packages by RAPL, or the GPU by NVML), if it has one",
            "J",
            least=0,
        ),
        _field("samples_ms", pa.list_(_float), "time of every timed call, process by process", "ms", least=SHORTEST_MS),
        _field(
            "process_calls", pa.list_(_int), "timed calls of each process, as samples_ms has them", "calls", least=0
        ),
        _field("versions", _text, "versions of what can change the numbers, JSON"),
        _field("started", _time, "start of the measurement", "UTC"),
    ),
    "epochs": table_schema(
        _field("run_id", _text, "the run", key=True),
        _field("stage", _text, "stage of the method", key=True),
        _field("epoch", _int, "epoch of the stage, from 1", key=True, least=0),
        _field("key", _text, "what was measured", key=True),
        _field("value", _float, "its value; null where it was no finite number"),
    ),
    "samples": table_schema(
        _field("run_id", _text, "the run", key=True),
        _field("dataset", _text, "data set", key=True),
        _field("image", _text, "id of the picture in its manifest", key=True),
        _field("kind", _text, "photo | mask | teacher | label | matte | truth | error", key=True),
        _field("png", pa.binary(), "the picture, PNG"),
        _field("worst", _bool, "whether it is kept for its error, as one of the run's largest; null is false"),
    ),
}

KEYS: dict[str, tuple[str, ...]] = {
    "runs": ("run_id",),
    "scores": (
        *("run_id", "dataset", "image", "protocol", "convention", "region", "metric_version"),
        *("engine", "precision"),
    ),
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
    pa.list_(_int): ("a list of whole numbers", _is_list_of(_is_whole)),
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a value, and where it stands: `row` counts from 0."""

    row: int
    column: str
    why: str


def fault(frame: pd.DataFrame, schema: pa.Schema) -> Fault | None:
    """The first value, column by column, that no row of a table may hold; None where all is well.

    `frame` has some of the columns of `schema`, with texts as they are or as categoricals. Whole columns are looked at,
    so that millions of rows take little time.
    """
    for name in frame.columns:
        field, column = schema.field(name), frame[name]
        if not field.nullable and (absent := _absent(column)).any():
            return Fault(int(np.argmax(absent)), name, "it is empty, and part of the key of a row")
        if found := _CHECKS.get(field.type, _fits)(column, field):
            return Fault(found[0], name, found[1])
    return None


def document(text: object) -> dict[str, Any]:
    """A JSON mapping of no more than `DEEPEST` levels; an absent one is empty. ValueError says what is wrong with it."""
    if not isinstance(text, str):
        return {}
    try:
        read = json.loads(text)
    except RecursionError:
        raise ValueError(f"its JSON is more than {DEEPEST} levels deep") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON ({first_line(error)})") from None
    if not isinstance(read, dict):
        raise ValueError("its JSON is no mapping")
    level: list[Any] = [read]
    for _ in range(DEEPEST):
        level = [part for value in level for part in (value.values() if isinstance(value, dict) else value)]
        level = [part for part in level if isinstance(part, dict | list)]
        if not level:
            return read
    raise ValueError(f"its JSON is more than {DEEPEST} levels deep")


def _absent(column: pd.Series) -> np.ndarray:
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    return column.cat.codes.to_numpy() < 0 if categorical else column.isna().to_numpy()


def _fits(column: pd.Series, field: pa.Field) -> tuple[int, str] | None:
    """Any text is valid, except in a document column, where it must be a JSON mapping."""
    if field.name in DOCUMENTS:
        for text in column.dropna().unique():
            try:
                document(text)
            except ValueError as error:
                return int(np.argmax(column.to_numpy() == text)), str(error)
    return None


def _number(column: pd.Series, field: pa.Field) -> tuple[int, str] | None:
    values = column.to_numpy(np.float64, na_value=np.nan)
    if not len(values) or np.isnan(values).all():
        return None
    least, most = (float(field.metadata.get(name, limit)) for name, limit in ((b"least", -MOST), (b"most", MOST)))
    least, most = least - ROUNDED, most + ROUNDED
    if np.nanmin(values) >= least and np.nanmax(values) <= most:
        return None
    row = int(np.argmax((values < least) | (values > most)))
    return row, f"it is {values[row]:g}, and must lie between {least + ROUNDED:g} and {most - ROUNDED:g}"


def _instant(column: pd.Series, field: pa.Field) -> tuple[int, str] | None:
    outside = ((column < FIRST) | (column > LAST)).to_numpy()
    return (int(np.argmax(outside)), f"no time from {FIRST:%Y} to {LAST:%Y}") if outside.any() else None


def _texts(column: pd.Series, field: pa.Field) -> tuple[int, str] | None:
    for row, texts in enumerate(column):
        if texts is not None and not all(isinstance(text, str) for text in texts):
            return row, "a text in its list is empty"
    return None


def _numbers(column: pd.Series, field: pa.Field) -> tuple[int, str] | None:
    for row, values in enumerate(column):
        if values is not None and (found := _number(pd.Series(values, dtype=np.float64), field)):
            return row, found[1]
    return None


_CHECKS: dict[pa.DataType, Callable[[pd.Series, pa.Field], tuple[int, str] | None]] = {
    _int: _number,
    _float: _number,
    _time: _instant,
    pa.list_(_text): _texts,
    pa.list_(_float): _numbers,
    pa.list_(_int): _numbers,
}


def schema_of(table: str) -> pa.Schema:
    if table not in SCHEMAS:
        raise UserError(f"the store has no table {table!r}; {nearest(table, SCHEMAS)}")
    return SCHEMAS[table]


def _is_null(value: object) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def packed(table: str, rows: list[Mapping[str, Any]]) -> pa.Table:
    """`rows` as an Arrow table of the table's schema, every value checked, addresses without their secrets."""
    schema = schema_of(table)
    for column in dict.fromkeys(name for row in rows for name in row):
        if column not in schema.names:
            raise UserError(f"the store's table {table} has no column {column!r}; {nearest(column, schema.names)}")
    made = pa.table([_pack_column(table, field, [row.get(field.name) for row in rows]) for field in schema], schema)
    if found := fault(made.to_pandas(), schema):
        raise UserError(f"{table}.{found.column} cannot be written: {found.why}")
    return made


def _pack_column(table: str, field: pa.Field, values: list[Any]) -> pa.Array:
    expected, accepts = _ACCEPTS[field.type]
    for position, value in enumerate(values):
        if _is_null(value):
            if not field.nullable:
                raise UserError(f"{table}.{field.name} must not be empty: it is part of the key of a row")
            values[position] = None
        elif not accepts(value):
            raise UserError(f"{table}.{field.name} takes {expected}, not {value!r:.80}")
        elif (table, field.name) == DIVERGING and not abs(value) <= MOST:
            values[position] = None
        elif field.type == _text:
            values[position] = redacted(value)
        elif isinstance(value, list | tuple | np.ndarray) and field.type == pa.list_(_text):
            values[position] = [redacted(part) for part in value]
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise UserError(f"{table}.{field.name} cannot hold a value given: {first_line(error)}") from error
