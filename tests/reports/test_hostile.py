"""Stores of somebody else's making: a report of them, or a sentence; never a traceback, an escape sequence or a bomb."""

from __future__ import annotations

import io
import json
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from typer.testing import CliRunner

from bench.store import SCHEMAS, Store
from reports.cli import app
from reports.figures import qualitative
from tests.reports.example_store import fill, run_row
from wsshm.errors import UserError

TEXT = st.one_of(
    st.sampled_from(["", "\x1b[2J\x1b]0;x\x07", "$x$", "[/bold]", "=1+1", "a,b:c", "\n", "模型", "\u202e", "x" * 500]),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**20), 10**20) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["data", "method", "train", "budget", "blend", "name", "masks"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
HOSTILE: dict[str, st.SearchStrategy[Any]] = {
    "method": TEXT,
    "backbone": TEXT | st.none(),
    "plan": TEXT | st.none(),
    "status": st.sampled_from(["finished", "failed", "unheard of", None]),
    "mattes": st.sampled_from([None, 0, 1, 10**12]),
    "masks": st.sampled_from([None, 0, 10**12]),
    "seed": st.sampled_from([None, -1, 2**62]),
    "stages": st.none() | st.lists(TEXT, max_size=2),
    "config": st.dictionaries(st.sampled_from(["data", "method", "budget", "evaluate"]), DOCUMENT, max_size=3).map(
        json.dumps
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "store"
    fill(root, seeds=(0,), images=4, budgets=((40, 1000),), methods=("mlb", "joint"))
    return root


@settings(max_examples=6)
@given(row=st.fixed_dictionaries({}, optional=HOSTILE), command=st.sampled_from(["leaderboard", "table"]))
def test_a_hostile_run_is_shown_harmlessly_or_refused(base: Path, row: dict[str, Any], command: str) -> None:
    path = base / "runs" / f"{10**19:020d}-{uuid.uuid4().hex}.parquet"  # newer than what the suite wrote
    hostile = run_row("mlb", 40, 1000, 0) | row  # in the place of the best run, whose scores are there
    pq.write_table(pa.Table.from_pylist([hostile], SCHEMAS["runs"]), path)
    try:
        done = CliRunner().invoke(app, [command, str(base)])
        assert done.exit_code == 0 or isinstance(done.exception, UserError), repr(done.exception)
        assert "\x1b" not in done.stdout
        assert "\u202e" not in done.stdout
    finally:
        path.unlink()


def png(width: int, height: int, rows: int) -> bytes:
    """A grey PNG whose header says one size and which holds some black rows."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(bytes((width + 1) * rows)),
        b"IEND": b"",
    }
    parts = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_picture_that_is_larger_than_any_of_ours_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb, fine, long = png(60_000, 60_000, 1), png(40, 20, 20), png(5000, 1, 1)
    rows = [
        {"image": "i", "column": c, "label": None, "run_id": "r", "png": p, "sad": 0.0}
        for c, p in {"photo": bomb, "mask": fine, "truth": long}.items()
    ]
    decoded: list[int] = []
    read = qualitative.matplotlib.image.imread
    monkeypatch.setattr(
        qualitative.matplotlib.image,
        "imread",
        lambda file, format: decoded.append(len(file.getvalue())) or read(file, format),
    )
    figure: Figure = qualitative.draw(pd.DataFrame(rows))
    assert decoded == [len(fine), len(long)]
    shown = {axes.get_title(loc="center"): axes for axes in figure.axes}
    assert [text.get_text() for text in shown["photo"].texts] == ["damaged\nor too large"]
    assert shown["mask"].images[0].get_array().shape[:2] == (20, 40)
    assert shown["truth"].images[0].get_array().shape[:2] == (1, 1000)  # every fifth pixel
    figure.savefig(io.BytesIO())


def test_timings_of_nothing_and_of_no_time_are_refused_by_name(base: Path) -> None:
    rows = Store(base).read("speed").head(1).to_dict("records")
    with pytest.raises(UserError, match=r"speed\.p50_ms cannot be written: it is 0"):
        Store(base).write("speed", [rows[0] | {"samples_ms": None, "p50_ms": 0.0}])
