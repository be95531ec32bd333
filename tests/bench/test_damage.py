"""What a store refuses to read: damaged, foreign and hostile files, each named."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs

from bench import parquet_files
from bench.store import SCHEMAS, Store
from tests.bench.test_store import RUN, SCORE
from wsshm.errors import UserError

OLD_NAME = f"{1:020d}-{'0' * 12}4{'0' * 19}.parquet"  # a UUID of version 4, which seals nothing
TIMING = {
    **{"model": "m", "device": "d", "engine": "eager", "precision": "fp32", "scope": "model", "status": "ok"},
    **{"batch": 1, "height": 64, "width": 64, "n": 3, "p50_ms": 2.0, "fps": 500.0, "samples_ms": [1.0, 2.0, 3.0]},
}
EPOCH = {"run_id": "a", "stage": "s", "epoch": 1, "key": "loss", "value": 0.5}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def table_of(table: str, *rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SCHEMAS[table])


def plant(store: Store, table: str, content: pa.Table, name: str = OLD_NAME) -> Path:
    """A file of somebody else's making under a name of ours."""
    path = Path(store.root, table, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one file a table; the scores' is large enough to be read in parts."""
    root = tmp_path_factory.mktemp("whole")
    made = Store(root)
    made.write("runs", [RUN])
    made.write("scores", [SCORE | {"image": str(number), "sad": (number * 37 % 101) / 7} for number in range(400)])
    made.write("epochs", [EPOCH])
    return root


OWN = {"runs": RUN["run_id"], "scores": SCORE["run_id"], "epochs": EPOCH["run_id"]}


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.sampled_from(list(OWN)), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_is_read_as_data(
    whole: Path, monkeypatch: pytest.MonkeyPatch, table: str, place: float, bit: int
) -> None:
    [path] = (whole / table).iterdir()
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(place * len(flipped))] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        for in_one_piece in (2**18, 1000):  # small files are read whole, of others the footer first
            monkeypatch.setattr(parquet_files, "IN_ONE_PIECE", in_one_piece)
            for runs in (None, [OWN[table]]):
                with pytest.raises(UserError, match=rf"{path.name} was damaged after it was written"):
                    Store(whole).read(table, runs=runs)
            with contextlib.suppress(UserError):
                assert Store(whole).read(table, runs=["another"]).empty
    finally:
        path.write_bytes(content)


def test_a_damaged_file_is_named_with_the_remedy(store: Store) -> None:
    path = Path(store.write("runs", [RUN]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{path.name} was damaged .*restore it from a copy, or delete it and rerun"):
        store.read("runs")


def test_pages_of_older_files_are_held_against_their_checksums(store: Store) -> None:
    path = plant(store, "scores", table_of("scores", *(SCORE | {"image": str(i), "sad": i / 7} for i in range(300))))
    assert len(store.read("scores")) == 300  # without checksums, as earlier releases wrote
    pq.write_table(pq.read_table(path), path, write_page_checksum=True, use_dictionary=False, compression="none")
    content = path.read_bytes()
    at = content.index(b"\x00\x00\x00\x00\x00\x00\xf0?")  # 7 / 7 among the values of `sad`
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    with pytest.raises(UserError, match=rf"{path.name} was damaged .*CRC"):
        store.read("scores")


def test_a_newer_major_schema_is_refused_and_other_versions_are_read(store: Store) -> None:
    table = table_of("runs", RUN)

    def versioned(version: str | bytes, content: pa.Table = table) -> Path:
        return plant(store, "runs", content.replace_schema_metadata({"schema_version": version}))

    for version, named in {
        "2.0": r"schema version 2\.0, newer than",
        "x": "schema version 'x', which is not a version",
        "-1.0": "which is not a version",
        "9" * 5000: "which is not a version",
        b"\xff\xfe": "which is not a version",
        "": "not written by this suite",
    }.items():
        versioned(version)
        with pytest.raises(UserError, match=named):
            store.read("runs")
    versioned("1.9", table.append_column("later", pa.nulls(1)).drop(["plan"]))
    row = store.read("runs").to_dict("records")[0]
    assert pd.isna(row.pop("plan"))
    assert "later" not in row
    assert row["method"] == "mlb"


def without(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop([name])


def retyped(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        ("scores", without("run_id"), "has no column 'run_id'"),
        ("scores", lambda t: t.append_column("sad", pa.array([1.0])), "has 2 columns 'sad'"),
        ("scores", retyped("sad", pa.array(["1.0"])), "holds string in the column 'sad' instead of double"),
        ("scores", retyped("image", pa.array([7])), "holds int64 in the column 'image' instead of string"),
        ("scores", retyped("image", pa.array([b"\xff"])), "holds binary in the column 'image'"),
        ("scores", retyped("image", pa.array([["i"]])), "in the column 'image' instead of string"),
        ("runs", retyped("stages", pa.array(["a"])), "holds string in the column 'stages' instead of list"),
        ("runs", retyped("started", pa.array([1.5])), "holds double in the column 'started' instead of timestamp"),
        ("runs", lambda t: t.replace_schema_metadata(None), "not written by this suite"),
    ],
)
def test_foreign_tables_under_our_names_are_refused(store: Store, table: str, change: Any, named: str) -> None:
    content = change(table_of(table, {"runs": RUN, "scores": SCORE}[table]))
    path = plant(store, table, content)
    with pytest.raises(UserError, match=rf"{path.name} .*{named}.*; move it out of the store"):
        store.read(table)


NO_VALUES = [
    ("scores", "sad", float("inf"), "it is inf, and must lie between 0 and 1e"),
    ("scores", "sad", -1.0, "it is -1"),
    ("scores", "mse", 1e300, r"it is 1e\+300"),
    ("scores", "iou", 1.5, "must lie between 0 and 1$"),
    ("speed", "p50_ms", 0.0, "it is 0, and must lie between 1e-06"),
    ("speed", "fps", 0.0, "it is 0"),
    ("speed", "batch", 0, "must lie between 1"),
    ("speed", "samples_ms", [1.0, 0.0], "it is 0"),
    ("speed", "height", 2**62, "it is 4.6"),
    ("runs", "mattes", -1, "it is -1"),
    ("runs", "config", "[" * 100_000, "levels deep"),
    ("runs", "config", '{"a":' * 40 + "1" + "}" * 40, "more than 32 levels deep"),
    ("runs", "config", "[1]", "no mapping"),
    ("runs", "config", "{", "no JSON"),
    ("runs", "versions", '"x"', "no mapping"),
    ("runs", "config", '{"a": ' + "9" * 5000 + "}", "no JSON"),
    ("runs", "stages", ["a:b", None], "is empty"),
    ("runs", "started", pd.Timestamp("9000-01-01", tz="UTC"), "no time from 1970 to 2200"),
]
ROWS = {"scores": SCORE, "speed": TIMING, "runs": RUN}


@pytest.mark.parametrize(("table", "column", "value", "why"), NO_VALUES)
def test_values_that_no_row_holds_are_named_by_file_row_and_column(
    store: Store, table: str, column: str, value: Any, why: str
) -> None:
    good, bad = ROWS[table], ROWS[table] | {column: value}
    store.write(table, [good])
    path = plant(store, table, table_of(table, good, bad))
    with pytest.raises(
        UserError, match=rf"{path.name}, row 2, column {column}: .*{why.rstrip('$')}.*; move the file out"
    ):
        store.read(table)
    with pytest.raises(UserError, match=f"{table}.{column} "):  # nor does the suite write them
        store.write(table, [good, bad])


def test_an_empty_part_of_a_key_is_named_with_and_without_categories(store: Store) -> None:
    loose = pa.schema([field.with_nullable(True) for field in SCHEMAS["scores"]], SCHEMAS["scores"].metadata)
    path = plant(store, "scores", pa.Table.from_pylist([SCORE, SCORE | {"image": None}], loose))
    for categories in (False, True):
        with pytest.raises(UserError, match=rf"{path.name}, row 2, column image: it is empty"):
            store.read("scores", categories=categories)


def test_a_loss_that_diverged_is_a_gap(store: Store) -> None:
    store.write("epochs", [EPOCH | {"epoch": 1 + i, "value": v} for i, v in enumerate([0.5, float("inf"), 1e300])])
    plant(store, "epochs", table_of("epochs", EPOCH | {"epoch": 9, "value": float("-inf")}))
    assert store.read("epochs")["value"].isna().tolist() == [True, False, True, True]


def test_what_is_no_file_or_no_folder_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a file; give the folder"):
        Store(plant(store, "runs", table_of("runs", RUN))).read("runs")
    os.mkfifo(Path(store.root, "runs", OLD_NAME.replace("1", "2", 1)))
    with pytest.raises(UserError, match="is not a file; move it out"):
        store.read("runs")
    Path(store.root, "scores").write_text("x")
    with pytest.raises(UserError, match="scores is a file, where a folder of the store should be; move it away"):
        store.read("runs")


class Vanishing(fs.FSSpecHandler):
    """Files go between the moment they are listed and the one they are opened."""

    def open_input_file(self, path: str) -> Any:
        self.fs.rm(path)
        return super().open_input_file(path)


def test_a_file_that_goes_while_the_store_is_read() -> None:
    store = Store(uuid.uuid4().hex, fs.PyFileSystem(Vanishing(MemoryFileSystem())))
    path = store.write("runs", [RUN])
    with pytest.raises(UserError, match=f"{path} was removed while the store was read; rerun the command"):
        store.read("runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_not_called_damaged(store: Store) -> None:
    path = Path(store.write("runs", [RUN]))
    path.chmod(0)
    with pytest.raises(UserError, match=f"{path.name} cannot be used: no permission"):
        store.read("runs")


def test_more_rows_than_any_file_of_ours_are_not_unpacked(store: Store) -> None:
    many = pa.table({"run_id": pa.nulls(130_000_000, pa.bool_())}, metadata={"schema_version": "1.0"})
    path = plant(store, "epochs", many)
    assert path.stat().st_size < 10**6
    with pytest.raises(UserError, match="says that it holds 130,000,000 rows"):
        store.read("epochs")


def test_long_texts_that_are_meant_many_times_are_not_unpacked(store: Store) -> None:
    """A megabyte stands for 20 GB."""
    few = table_of("epochs", EPOCH | {"stage": "x" * 10**6})
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), few["stage"].chunk(0))
    column = {name: pa.repeat(few[name][0], 20_000) for name in ("run_id", "key", "value")}
    many = pa.table({**column, "stage": long, "epoch": np.arange(20_000)}, metadata=few.schema.metadata)
    path = plant(store, "epochs", many)
    assert path.stat().st_size < 10**6
    with pytest.raises(UserError, match=r"holds 20 GB in the column 'stage'"):
        store.read("epochs")


def test_rows_of_some_runs_in_files_of_earlier_releases(store: Store) -> None:
    plant(store, "scores", table_of("scores", SCORE, SCORE | {"run_id": "b"}))
    assert store.read("scores", ["run_id"], runs=["b", "c"])["run_id"].tolist() == ["b"]
    assert store.read("scores", runs=["c"]).empty


def test_secrets_of_addresses_are_not_stored(store: Store) -> None:
    config = json.dumps({"data": {"root": "s3://KEY:SECRET@bucket/data?token=abc"}})
    store.write("runs", [RUN | {"config": config, "error": "s3://K:SECRET@b is gone", "stages": ["s3://K:SECRET@b"]}])
    assert b"SECRET" not in next(Path(store.root).rglob("*.parquet")).read_bytes()
    row = store.read("runs").iloc[0]
    assert json.loads(row["config"])["data"]["root"] == "s3://***@bucket/data?token=***"
    assert row["error"] == "s3://***@b is gone"


NUMBERS = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1e300, -1e300, float("inf"), float("nan")]))


@settings(max_examples=40)
@given(
    st.fixed_dictionaries(
        {
            "sad": NUMBERS,
            "iou": NUMBERS,
            "run_id": st.none() | st.text(st.characters(codec="utf-8")),
            "image": st.none() | st.text(st.characters(codec="utf-8")),
        }
    )
)
def test_a_hostile_row_is_read_whole_or_refused(tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]) -> None:
    root = tmp_path_factory.getbasetemp() / uuid.uuid4().hex
    store = Store(root)
    loose = pa.schema([field.with_nullable(True) for field in SCHEMAS["scores"]], SCHEMAS["scores"].metadata)
    plant(store, "scores", pa.Table.from_pylist([SCORE | row], loose))
    fine = all(row[name] is not None for name in ("run_id", "image")) and all(
        row[name] is None or row[name] != row[name] or -1e-9 <= row[name] <= most + 1e-9
        for name, most in {"sad": 1e12, "iou": 1.0}.items()
    )
    if fine:
        found = store.read("scores").iloc[0]
        assert (found["run_id"], found["image"]) == (row["run_id"], row["image"])
        for name in ("sad", "iou"):
            assert pd.isna(found[name]) if row[name] is None or row[name] != row[name] else found[name] == row[name]
    else:
        with pytest.raises(UserError, match="row 1, column"):
            store.read("scores")
    shutil.rmtree(root)
