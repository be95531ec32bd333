"""A folder's own CSV: used whatever program wrote it, or refused or named; never passed over in silence."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsshm.data.importing import import_layout
from wsshm.data.pictures import write_png
from wsshm.errors import UserError


@pytest.fixture
def root(tmp_path):
    for name in "ab":
        write_png(tmp_path / "set" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    return tmp_path / "set"


def splits(root):
    return [s.split for s in import_layout("backgrounds", root).samples]


@pytest.mark.parametrize(
    "content",
    [
        b"id;split\na;val\nb;test\n",
        b"id\tsplit\na\tval\nb\ttest\n",
        "id,split\r\na.png,val\r\nb.PNG,test\r\n".encode("utf-16"),
        b'\xef\xbb\xbf"id","split","note"\n"a","val","x, y"\n"b","test",""\n',
        b"split , id\nval,a\ntest,b\n\n,,\n",
    ],
)
def test_separators_marks_and_endings_of_every_kind_are_read(root, content):
    (root / "set.csv").write_bytes(content)
    assert splits(root) == ["val", "test"]


def test_the_only_table_is_used_and_said_and_others_are_named(root, caplog):
    caplog.set_level("INFO")
    (root / "labels.csv").write_text("id,split\na,val\n")
    assert splits(root) == ["val", "train"]
    assert "are those of" in caplog.text
    (root / "other.csv").write_text("name,split\nb,test\n")
    assert splits(root) == ["val", "train"]
    assert f"not used: {root / 'other.csv'}" in caplog.text
    (root / "more.tsv").write_text("id\tsplit\nb\ttest\n")
    caplog.clear()
    assert splits(root) == ["train", "train"]
    assert all(name in caplog.text for name in ("labels.csv", "other.csv", "more.tsv"))
    (root.parent / "set.csv").write_text("id,split\nb,test\n")
    assert splits(root) == ["train", "test"]


def test_what_is_no_file_of_the_tables_name_is_named(root, caplog):
    os.mkfifo(root.parent / "set.csv")
    assert splits(root) == ["train", "train"]
    assert f"not used: {root.parent / 'set.csv'}, not a plain file" in caplog.text
    (root / "set.csv").write_text("id,split\na,val\n")
    assert splits(root) == ["val", "train"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,split,split\na,val,test\n", "the column 'split' twice"),
        (b"id,split\na,val,x\n", "line 2 has 3 cells for 2 columns"),
        (b"id,split\n,val\n", "line 2 has no id"),
        (b"id,split\na,val\na.png,test\n", "id 'a' twice"),
        (b"id,note\na,caf\xe9\n", "line 2 is not UTF-8"),
        (b"id,note\na,x\0y\n", "line 2 holds a null character"),
        (b"id,note\na," + b"x" * 200_000, r"line 2 cannot be read \(field larger than field limit"),
        (b"", "no column 'id'.* holds nothing"),
        (b"id,split\na,tran\n", "set.csv: sample 'a' has split 'tran'"),
    ],
)
def test_what_cannot_be_meant_is_refused(root, content, message):
    (root / "set.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        splits(root)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=40), st.text(max_size=40).map(lambda t: ("id,split\na," + t).encode("utf-8", "ignore"))
    )
)
def test_any_bytes_are_read_or_refused(root, content):
    (root / "set.csv").write_bytes(content)
    try:
        assert [s.id for s in import_layout("backgrounds", root).samples] == ["a", "b"]
    except UserError as refused:
        assert "set.csv" in str(refused)  # noqa: PT017
