"""The store through its public door: round trip, precedence, concurrency, accidents, other filesystems."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from bench.store import KEYS, SCHEMA_VERSION, SCHEMAS, Store
from tests.bench import store_writers
from wsshm.errors import UserError

NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
RUN = {
    "run_id": "0123456789abcdef",
    "plan": "smoke",
    "method": "mlb",
    "architecture": "unet",
    "backbone": "resnet18",
    "weights": "none",
    "seed": 3,
    "mattes": 40,
    "masks": 1000,
    **{"masks_clicks": 0, "masks_polygon": 900, "masks_fine": 100, "masks_expert": 0},
    "cost_s": 106800.5,
    "config": json.dumps({"a": 1}),
    "data_fingerprint": "ff",
    "recipe_version": "1",
    "status": "finished",
    "error": None,
    "stages": ["aa", "bb"],
    "steps": 400,
    "train_s": 12.25,
    "teacher_s": 3.5,
    "device": "CPU",
    "gpus": 0,
    "workers": 2,
    "versions": "{}",
    "git_commit": "c0ffee",
    "git_dirty": False,
    "started": NOW,
    "finished": NOW + timedelta(seconds=9),
}
SCORE = {
    "run_id": "a",
    "dataset": "d",
    "image": "i",
    "protocol": "native",
    "convention": "p3m",
    "region": "whole",
    "metric_version": "p3m-1",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_round_trip_keeps_every_value_and_type(store: Store) -> None:
    assert not store.exists()
    path = store.write("runs", [RUN, RUN | {"run_id": "other", "started": None, "stages": []}])
    assert Path(path).is_file()
    assert store.exists()
    read = store.read("runs")
    assert list(read) == SCHEMAS["runs"].names
    first, second = read.to_dict("records")
    assert first.pop("stages").tolist() == ["aa", "bb"]
    assert pd.isna(first.pop("error"))
    assert first == {key: value for key, value in RUN.items() if key not in ("stages", "error")}
    assert second["run_id"] == "other"
    assert pd.isna(second["started"])
    assert len(second["stages"]) == 0
    store.write("samples", [{"run_id": "r", "dataset": "d", "image": "i", "kind": "photo", "png": b"\x89PNG\0"}])
    assert store.read("samples", ["png", "kind"]).to_dict("records") == [{"png": b"\x89PNG\0", "kind": "photo"}]
    assert store.read("runs", ["seed"]).to_dict("list") == {"seed": [3, 3]}


def test_schema_says_unit_and_meaning_of_every_column_and_keys_exist() -> None:
    for table, schema in SCHEMAS.items():
        assert schema.metadata[b"schema_version"] == SCHEMA_VERSION.encode()
        assert set(KEYS[table]) <= set(schema.names)
        for field in schema:
            assert field.metadata[b"about"]
            assert b"unit" in field.metadata
    assert SCHEMAS["scores"].field("sad").metadata[b"unit"] == b"thousands of pixels"


def test_numpy_and_pandas_values_are_taken_and_nan_becomes_absent(store: Store) -> None:
    row = SCORE | {"sad": np.float32(0.5), "unknown_px": 7.0, "mse": np.nan, "truth": pd.NA, "iou": np.int64(1)}
    store.write("scores", [row])
    table = pq.read_table(next(Path(store.root).rglob("*.parquet"))).to_pylist()[0]
    assert (table["sad"], table["unknown_px"], table["iou"]) == (0.5, 7, 1.0)
    assert table["mse"] is None
    assert table["truth"] is None
    once = store.read("scores")
    store.write("scores", once.to_dict("records"))  # what was read can be written
    pd.testing.assert_frame_equal(store.read("scores"), once)


@pytest.mark.parametrize(
    ("table", "row", "named"),
    [
        ("scores", SCORE | {"sadd": 1.0}, "'sadd'.*'sad'"),
        ("scores", SCORE | {"sad": "1.0"}, r"scores\.sad takes a number"),
        ("scores", SCORE | {"sad": True}, r"scores\.sad takes a number"),
        ("scores", SCORE | {"unknown_px": 1.5}, r"scores\.unknown_px takes a whole number"),
        ("scores", SCORE | {"dataset": None}, r"scores\.dataset must not be empty"),
        ("scores", {"run_id": "a"}, r"scores\.dataset must not be empty"),
        ("runs", RUN | {"stages": "abc"}, r"runs\.stages takes a list of texts"),
        ("runs", RUN | {"config": {"a": 1}}, r"runs\.config takes text"),
        ("runs", RUN | {"started": NOW.replace(tzinfo=None)}, r"runs\.started takes a datetime with a time zone"),
        ("runs", RUN | {"seed": 2**70}, r"runs\.seed cannot hold"),
        ("runs", RUN | {"git_dirty": 1}, r"runs\.git_dirty takes true or false"),
        ("rums", RUN, "no table 'rums'.*'runs'"),
    ],
)
def test_faulty_rows_are_named_and_nothing_is_written(
    store: Store, table: str, row: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        store.write(table, [row])
    assert not store.exists()


def test_no_rows_make_no_file(store: Store) -> None:
    assert store.write("runs", []) == ""
    assert not store.exists()
    assert store.finished() == set()


def test_empty_table_has_the_schema_columns(store: Store) -> None:
    store.write("runs", [RUN])
    read = store.read("speed")
    assert read.empty
    assert list(read) == SCHEMAS["speed"].names


def test_finished_beats_all_then_the_latest_counts(store: Store) -> None:
    def write(run_id: str, status: str, plan: str) -> None:
        store.write("runs", [RUN | {"run_id": run_id, "status": status, "plan": plan}])

    for plan, status in enumerate(["failed", "finished", "oom"]):
        write("a", status, str(plan))
    for plan, status in enumerate(["oom", "failed", "stopped"]):
        write("b", status, str(plan))
    for plan, status in enumerate(["finished", "finished"]):
        write("c", status, str(plan))
    plans = store.read("runs", ["run_id", "plan"]).set_index("run_id")["plan"]
    assert plans.to_dict() == {"a": "1", "b": "2", "c": "1"}
    assert store.finished() == {"a", "c"}
    assert list(store.read("runs")) == SCHEMAS["runs"].names


def test_writing_again_changes_nothing(store: Store) -> None:
    rows = [SCORE | {"image": str(image), "sad": image / 3} for image in range(5)]
    store.write("scores", rows)
    once = store.read("scores")
    store.write("scores", rows)
    store.write("scores", rows[:2])
    pd.testing.assert_frame_equal(store.read("scores").sort_values("image", ignore_index=True), once)


ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "runs": st.fixed_dictionaries(
        {"run_id": st.sampled_from("abc"), "status": st.sampled_from(["finished", "stopped", "failed", "oom"])}
    ),
    "epochs": st.fixed_dictionaries(
        {
            "run_id": st.sampled_from("ab"),
            "stage": st.sampled_from("st"),
            "epoch": st.integers(0, 1),
            "key": st.just("k"),
        }
    ),
    "speed": st.fixed_dictionaries(
        {
            "run_id": st.sampled_from([None, "a"]),
            "backbone": st.sampled_from([None, "r"]),
            "batch": st.integers(1, 2),
            "status": st.sampled_from(["ok", "oom"]),
            **{name: st.just("x") for name in ("model", "device", "engine", "precision", "scope")},
            **{name: st.just(32) for name in ("height", "width")},
        }
    ),
}
MARK = {"runs": "steps", "epochs": "value", "speed": "n"}  # a number column that tells the rows apart


@pytest.mark.parametrize("table", list(ROWS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_duplicates_follow_the_contract(table: str, data: st.DataObject) -> None:
    batches = data.draw(st.lists(st.lists(ROWS[table], min_size=1, max_size=6), min_size=1, max_size=4))
    store = Store(uuid.uuid4().hex, fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem())))
    expected: dict[tuple[object, ...], dict[str, Any]] = {}
    number = 0
    for batch in batches:
        for row in batch:
            row[MARK[table]] = number = number + 1
            key = tuple(row.get(column) for column in KEYS[table])
            held = expected.get(key)
            if table != "runs" or held is None or held["status"] != "finished" or row["status"] == "finished":
                expected[key] = row
        store.write(table, batch)
    kept = store.read(table)[MARK[table]].tolist()
    assert kept == sorted(row[MARK[table]] for row in expected.values())


def test_32_processes_write_at_once(store: Store) -> None:
    writers, batches, count = 32, 4, 3
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.store"])
    start = context.Barrier(writers)
    processes = [
        context.Process(target=store_writers.write_batches, args=(store, writer, batches, count, start))
        for writer in range(writers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * writers
    written = pa.concat_tables(pq.read_table(path) for path in Path(store.root).rglob("*.parquet")).to_pandas()
    expected = pd.DataFrame(
        [row for w in range(writers) for b in range(batches) for row in store_writers.rows_of(w, b, count)]
    )
    order = ["run_id", "epoch", "key"]
    for found in (
        written,
        store.read("epochs"),
    ):  # exactly once in the files, not only after the reader's deduplication
        pd.testing.assert_frame_equal(
            found.sort_values(order, ignore_index=True),
            expected.sort_values(order, ignore_index=True),
            check_dtype=False,
        )
    assert len(files(Path(store.root))) == writers * batches


def test_a_killed_writer_leaves_nothing_half_there(store: Store) -> None:
    context = multiprocessing.get_context("forkserver")
    count = 2000
    for attempt in range(5):
        begun = context.Event()
        writer = context.Process(target=store_writers.write_until_killed, args=(store, count, begun))
        writer.start()
        assert begun.wait(60)
        time.sleep(0.02 + 0.007 * attempt)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert (store.read("epochs").groupby("epoch").size() == count).all()
    store.write("epochs", store_writers.rows_of(1, 0, 1))
    assert "run-1" in set(store.read("epochs", ["run_id"])["run_id"])


def test_a_write_that_the_disk_refuses_leaves_no_file(store: Store) -> None:
    store.write("epochs", store_writers.rows_of(0, 0, 1))
    kept = files(Path(store.root))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # the kernel refuses to let a file grow beyond 300 bytes
    try:
        with pytest.raises(OSError) as refused:  # noqa: PT011
            store.write("epochs", store_writers.rows_of(1, 0, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.errno == errno.EFBIG
    assert files(Path(store.root)) == kept
    assert len(store.read("epochs")) == 1


def test_temporary_and_foreign_files_are_passed_over(store: Store) -> None:
    path = Path(store.write("runs", [RUN]))
    (path.parent / f".{path.name}.tmp").write_bytes(b"half")
    (path.parent / "notes.txt").write_text("hello")
    (path.parent / "summary.parquet").write_bytes(b"not ours")
    (path.parent / "_SUCCESS").touch()
    assert len(store.read("runs")) == 1


def test_folders_that_are_no_store_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        store.read("runs")
    store.write("runs", [RUN])
    with pytest.raises(UserError, match=rf"holds one: give {store.root}"):
        Store(tmp_path).read("runs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a store"):
        Store(tmp_path / "empty").read("runs")
    with pytest.raises(UserError, match=r"foo://bar.*cannot be opened"):
        Store("foo://bar")
    with pytest.raises(UserError, match=r"no column 'metod'.*'method'"):
        store.read("runs", ["metod"])


@pytest.mark.parametrize("kind", ["uri", "subtree", "memory"])
def test_other_filesystems(kind: str, tmp_path: Path) -> None:
    store = {
        "uri": lambda: Store(f"file://{tmp_path}/store/"),
        "subtree": lambda: Store("some/store", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())),
        "memory": lambda: Store(f"{tmp_path.name}/store", fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem()))),
    }[kind]()
    assert not store.exists()
    store.write("runs", [RUN | {"status": "failed"}])
    store.write("runs", [RUN])
    store.write("scores", [SCORE])
    assert store.finished() == {RUN["run_id"]}
    assert len(store.read("scores")) == 1


def test_importing_the_store_imports_neither_torch_nor_ray() -> None:
    code = "import sys, bench.store; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_categories_hold_what_the_plain_table_holds(data: st.DataObject) -> None:
    """Duplicates, absent texts and numbers, files that share some texts, and files without a column included."""
    texts = st.sampled_from("cab")
    row = st.fixed_dictionaries(
        dict.fromkeys(("run_id", "image", "region"), texts)
        | {"truth": st.none() | texts, "sad": st.none() | st.floats(0, 9), "unknown_px": st.none() | st.integers(0, 3)}
    )
    store = Store(uuid.uuid4().hex, fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem())))
    for batch in data.draw(st.lists(st.lists(row, min_size=1, max_size=5), min_size=1, max_size=4)):
        store.write("scores", [SCORE | own for own in batch])
    columns = ["run_id", "image", "truth", "sad", "unknown_px"]
    plain, coded = store.read("scores", columns), store.read("scores", columns, categories=True)
    for name in ("run_id", "image", "truth"):
        assert list(coded[name].cat.categories) == sorted(coded[name].cat.categories)
        assert coded[name].astype(object).fillna("absent").tolist() == plain[name].fillna("absent").tolist()
    for name in ("sad", "unknown_px"):
        assert coded[name].to_numpy(float) == pytest.approx(plain[name].to_numpy(float), nan_ok=True)


def test_an_empty_table_has_empty_categories(store: Store) -> None:
    store.write("runs", [RUN])
    coded = store.read("scores", categories=True)
    assert coded.empty
    assert list(coded) == SCHEMAS["scores"].names
    assert list(coded["run_id"].cat.categories) == []


def test_many_files_are_joined_in_their_order(store: Store) -> None:
    for number in range(150):
        store.write("scores", [SCORE | {"image": f"{number:03d}", "sad": float(number)}])
    for categories in (False, True):
        read = store.read("scores", ["image", "sad"], categories=categories)
        assert read["sad"].tolist() == list(range(150))
        assert read["image"].astype(object).tolist() == [f"{number:03d}" for number in range(150)]


def test_rows_of_some_runs_alone(store: Store) -> None:
    store.write("scores", [SCORE])
    store.write("scores", [SCORE | {"run_id": "b"}, SCORE | {"run_id": "c"}])
    assert store.read("scores", ["run_id"], runs={"a", "c"})["run_id"].tolist() == ["a", "c"]
    assert store.read("scores", ["image"], runs={"b"})["image"].tolist() == ["i"]
    assert store.read("scores", runs=()).empty
    assert store.read("speed", runs={"a"}).empty
