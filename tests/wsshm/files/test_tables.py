"""Tables as files: the ending says what is written, CSV runs nothing, a terminal is not controlled."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.document import Table, numbers, texts
from reports.terminal import show
from wsshm.errors import UserError
from wsshm.files.tables import check_file, csv_text, write_table

FRAME = pd.DataFrame({"image": ["=1+1", "a|b", None], "sad": [-1.5, 0.1 + 0.2, None], "n": [1, 2, 3]})


def test_the_ending_says_what_is_written(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", pa.Table.from_pandas(FRAME).replace_schema_metadata({"unit": "px"}))
    assert pq.read_table(tmp_path / "t.parquet").to_pandas().to_dict("list")["sad"][:2] == [-1.5, 0.1 + 0.2]
    assert pq.read_schema(tmp_path / "t.parquet").metadata == {b"unit": b"px"}
    write_table(tmp_path / "t.CSV", FRAME)
    assert (tmp_path / "t.CSV").read_text() == "image,sad,n\n'=1+1,-1.5,1\na|b,0.30000000000000004,2\n,,3\n"
    write_table(tmp_path / "t.md", pa.Table.from_pandas(FRAME, preserve_index=False))
    assert (tmp_path / "t.md").read_text().splitlines()[:4] == [
        "| image | sad | n |",
        "|---|---|---|",
        "| =1+1 | -1.5 | 1 |",
        "| a\\|b | 0.30000000000000004 | 2 |",
    ]
    for bad, said in {"t.xlsx": r"end it in \.parquet, \.csv or \.md", ".": "is a folder; give a file in it"}.items():
        with pytest.raises(UserError, match=said):
            write_table(tmp_path / bad, FRAME)
    with pytest.raises(UserError, match=r"m\.csv does not say what to write; end it in \.parquet$"):
        check_file(tmp_path / "m.csv", endings=(".parquet",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.CSV", "t.md", "t.parquet"]


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "=", "+", "-", "@", "\t", "\r"]), st.text(st.characters(codec="utf-8"))),
        min_size=1,
    ),
    st.booleans(),
)
def test_no_cell_begins_like_a_formula_and_no_text_is_lost(parts: list[tuple[str, str]], categories: bool) -> None:
    texts = ["".join(part) for part in parts]
    frame = pd.DataFrame({"=name": pd.Series(texts, dtype=object), "value": -1.0})
    frame = frame.astype({"=name": "category"}) if categories else frame
    header, *rows = csv.reader(io.StringIO(csv_text(frame).replace("\0", "?"), newline=""))
    assert header == ["'=name", "value"]
    for text, (cell, value) in zip(texts, rows, strict=True):
        assert value == "-1.0"
        newlines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "?")
        assert cell in (newlines, f"'{newlines}")
        if cell[:1] in tuple("=+-@\t\r"):
            float(cell)  # a number that stands in a text


def test_a_table_of_a_report_writes_csv_that_runs_nothing_and_does_not_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "=cmd\x1b[2J"
    columns = [texts("image"), numbers("SAD", "sad", 1)]
    table = Table("t", f"About {name}: what \x1b[31m it is", columns, pd.DataFrame({"image": [name], "sad": [1.0]}))
    show([table])
    assert "\x1b" not in (said := capsys.readouterr().out)
    assert r"=cmd\x1b[2J" in said
    show([table], out=tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("'=cmd")
