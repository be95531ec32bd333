"""Manifests from anywhere: read as what they say, or refused by a sentence that names the file, the row and the column."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsshm.data.manifest import Manifest, Sample
from wsshm.errors import UserError

ROWS = {"id": ["a", "b", "c"], "split": ["train"] * 3, "kind": ["photo"] * 3, "image": ["a.jpg", "b.jpg", "c.jpg"]}
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def written(path: Path, root: bytes = b".", **columns: object) -> Path:
    """A manifest of three rows some of whose columns are others; None leaves a column out."""
    arrays = {name: values for name, values in {**ROWS, **columns}.items() if values is not None}
    pq.write_table(pa.table(arrays).replace_schema_metadata({b"root": root}), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        Manifest.read(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("id", ["a", None, "c"], "row 2, column 'id': missing"),
        ("id", ["a", "b", "a"], "row 3, column 'id': row 1 has the same id"),
        ("id", ["a", "", "c"], "row 2, column 'id': 0 characters"),
        ("id", ["a", "b\x1b[2J", "c"], "row 2, column 'id': 'b\\x1b[2J' holds characters that cannot be shown"),
        ("id", ["a", "b" * 1001, "c"], "row 2, column 'id': 1001 characters"),
        ("id", [["a"], ["b"], ["c"]], "the column 'id' holds list<"),
        ("id", [1, 2, 3], "the column 'id' holds int64, which should be string"),
        ("split", ["train", "tran", "val"], "row 2 ('b'), column 'split': 'tran' is not possible; the nearest valid"),
        ("split", [None] * 3, "row 1 ('a'), column 'split': missing"),
        ("kind", ["photo", "photo", None], "row 3 ('c'), column 'kind': missing"),
        ("domain", ["natural", None, "nature"], "row 3 ('c'), column 'domain': 'nature' is not possible"),
        ("image", [b"a", b"b", b"c"], "the column 'image' holds binary"),
        ("image", [1, 2, 3], "the column 'image' holds int64"),
        (
            "image",
            ["a.jpg", "/etc/passwd", "c.jpg"],
            "row 2 ('b'), column 'image': '/etc/passwd' leaves the manifest's",
        ),
        ("mask", [None, "m/../../x", None], "row 2 ('b'), column 'mask': 'm/../../x' leaves the manifest's root"),
        ("matte", ["..", None, None], "row 1 ('a'), column 'matte': '..' leaves"),
        ("trimap", ["C:\\x", None, None], "leaves the manifest's root"),
        ("foreground", [None, None, "x\0y"], "row 3 ('c'), column 'foreground': 'x\\x00y' holds characters"),
        ("foreground", [None, None, "x" * 4097], "row 3 ('c'), column 'foreground': 4097 characters"),
        ("width", [8.0, float("nan"), 8.0], "row 2 ('b'), column 'width': nan is not a whole number"),
        ("height", [8.0, 8.5, 8.0], "row 2 ('b'), column 'height': 8.5 is not a whole number"),
        ("height", [8.0, float("inf"), 8.0], "row 2 ('b'), column 'height': inf is not a whole number"),
        ("width", [8, -1, 8], "row 2 ('b'), column 'width': -1 is not a possible number of pixels"),
        ("width", [1 << 40, 8, 8], "row 1 ('a'), column 'width': 1099511627776 is no"),
        ("width", ["8", "8", "8"], "the column 'width' holds string, which should be int32"),
        ("attributes", ["x", "y", "z"], "the column 'attributes' holds string, which should be map<string, string>"),
        (
            "attributes",
            pa.array([[], [("k", "1"), ("j", "2"), ("k", "3")], []], pa.map_(pa.string(), pa.string())),
            "row 2 ('b'), column 'attributes': the attribute 'k' appears twice",
        ),
    ],
)
def test_a_cell_that_cannot_be_is_named_with_file_row_and_column(tmp_path, column, values, words):
    path = written(tmp_path / "m.parquet", **{column: values})
    assert str(path) in refusal(path)
    assert words in refusal(path)


@pytest.mark.parametrize("root", [b"\xff\xfe", b"", b"a\0b"])
def test_a_root_that_is_no_text_is_refused(tmp_path, root):
    assert "its root" in refusal(written(tmp_path / "m.parquet", root=root))


def test_missing_and_doubled_columns_are_named(tmp_path):
    assert "has no column 'kind'" in refusal(written(tmp_path / "m.parquet", kind=None))
    names = [*ROWS, "image"]
    doubled = pa.Table.from_arrays([pa.array(ROWS[name]) for name in names], names=names)
    pq.write_table(doubled, tmp_path / "d.parquet")
    assert "has 2 columns 'image'; keep one of them" in refusal(tmp_path / "d.parquet")


def test_text_that_is_no_utf8_is_refused(tmp_path):
    values = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    assert "is not a readable manifest" in refusal(written(tmp_path / "m.parquet", licence=values))


def test_what_other_tools_write_is_read(tmp_path):
    """Floats of whole pixels and gaps as pandas leaves them, large and dictionary texts, attributes without a value."""
    path = written(
        tmp_path / "m.parquet",
        id=pa.array(["a", "b", "c"], pa.large_string()),
        split=pa.array(["train", "val", "train"]).dictionary_encode(),
        width=[8.0, None, 9.0],
        licence=pa.nulls(3),
        attributes=pa.array([None, [("k", None), ("j", "2")], []], pa.map_(pa.string(), pa.string())),
        __index_level_0__=[0, 1, 2],
    )
    read = Manifest.read(path).samples
    assert [(s.id, s.split, s.width, s.licence) for s in read] == [
        ("a", "train", 8, ""),
        ("b", "val", 0, ""),
        ("c", "train", 9, ""),
    ]
    assert [s.attributes for s in read] == [{}, {"j": "2"}, {}]


def test_a_small_file_does_not_become_a_large_table(tmp_path):
    """A text of a megabyte in 100,000 rows is one dictionary entry, and is kept once; too many rows are refused."""
    count = 20_000
    names = pa.array([str(k) for k in range(count)])
    same = {
        c: pa.DictionaryArray.from_arrays(pa.array([0] * count), [v]) for c, v in (("split", "val"), ("kind", "photo"))
    }
    long = pa.DictionaryArray.from_arrays(pa.array([0] * count), ["x" * 1_000_000])
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"id": names, **same, "licence": long}), path)
    assert path.stat().st_size < 3_000_000
    assert len({id(s.licence) for s in Manifest.read(path).samples}) == 1
    many = pa.nulls(1_000_001)
    pq.write_table(pa.table({"id": many, "split": many, "kind": many}), path)
    assert "1,000,001 rows, more than the 1,000,000" in refusal(path)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "text").write_text("id,split\n")
    (tmp_path / "empty").touch()
    written(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-40])
    for place in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        assert f"there is no manifest at {place}, which is not a file" in refusal(place)
    for name, why in (("loop", "(too many levels"), ("gone", ";"), ("x" * 300, "(file name too long)"), ("a\0b", "(")):
        assert "there is no manifest" in refusal(tmp_path / name)
        assert why in refusal(tmp_path / name)
    for name in ("text", "empty", "cut"):
        assert "is not a readable manifest" in refusal(tmp_path / name)


def test_a_folder_of_links_that_goes_round_is_no_root(tmp_path):
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert "cannot be followed" in refusal(written(tmp_path / "m.parquet", root=b"round/x"))


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    bad = Sample(id="a", split="val", kind="photo", image="../a.jpg")
    with pytest.raises(UserError, match=r"row 1 \('a'\), column 'image': '\.\./a\.jpg' leaves"):
        Manifest(tmp_path, [bad]).write(tmp_path / "m.parquet")
    assert list(tmp_path.iterdir()) == []


hostile = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(["train", "val", "photo", "natural", "../x", "/x", "a/../b", "a\0", "\x1b[2J", "a/b.png", "..."]),
    st.integers(-(1 << 62), 1 << 62),
    st.floats(),
    st.binary(max_size=4),
    st.lists(st.text(max_size=2), max_size=2),
)


@st.composite
def tables(draw):
    names = ["id", "split", "kind", *draw(st.lists(st.sampled_from([f.name for f in fields(Sample)]), max_size=4))]
    count = draw(st.integers(0, 3))
    columns = {}
    for name in names:
        sound = st.just({"id": "a", "split": "val", "kind": "photo"}.get(name))
        cells = draw(st.lists(st.one_of(sound, sound, hostile), min_size=count, max_size=count))
        try:
            columns[name] = pa.array(cells)
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            columns[name] = pa.array([str(k) for k in range(count)])
    return pa.table(columns).replace_schema_metadata({b"root": draw(st.binary(max_size=5))})


@quick
@given(table=tables(), cut=st.one_of(st.none(), st.tuples(st.integers(0, 1 << 20), st.integers(0, 255))))
def test_any_table_is_read_or_refused_and_no_path_leaves_the_root(tmp_path, table, cut):
    path = tmp_path / "m.parquet"
    pq.write_table(table, path)
    if cut:  # one byte is another
        content = bytearray(path.read_bytes())
        content[cut[0] % len(content)] = cut[1]
        path.write_bytes(content)
    try:
        manifest = Manifest.read(path)
    except UserError:
        return
    assert len({s.id for s in manifest.samples}) == len(manifest) == len(table)
    for sample in manifest.samples:
        assert sample.id.isprintable()
        assert all(type(size) is int and size >= 0 for size in (sample.width, sample.height))
        for relative in sample.files.values():
            whole = os.path.normpath(os.path.join("/r", relative))
            assert whole == "/r" or whole.startswith("/r/")


printing = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=8)
sound_paths = st.lists(
    printing.filter(lambda s: ".." not in s and s[0] not in "/\\" and s[1:2] != ":"), min_size=1
).map("/".join)
samples = st.builds(
    Sample,
    id=printing,
    split=st.sampled_from(["train", "val", "test"]),
    kind=st.sampled_from(["photo", "cutout", "background"]),
    domain=st.sampled_from([None, "natural", "synthetic"]),
    image=st.one_of(st.none(), sound_paths),
    mask=st.one_of(st.none(), sound_paths),
    width=st.integers(0, (1 << 31) - 1),
    source=st.text(st.characters(exclude_categories=["Cs"])),
    attributes=st.dictionaries(printing, printing, max_size=3),
)


@quick
@given(listed=st.lists(samples, max_size=4, unique_by=lambda s: s.id))
def test_what_is_written_is_read_again(tmp_path, listed):
    path = Manifest(tmp_path / "data", listed).write(tmp_path / "m.parquet")
    read = Manifest.read(path)
    assert read.samples == tuple(listed)
    assert read.root == (tmp_path / "data").resolve()


def test_two_hundred_thousand_rows_are_read_within_2_s_of_computing_and_500_mb(tmp_path):
    """With margins for a busy machine; without pandas, whose import alone takes a third of a second."""
    path = tmp_path / "large.parquet"
    table = {
        **{"id": [f"{k:08d}" for k in range(200_000)], "split": ["train"] * 200_000, "kind": ["photo"] * 200_000},
        **{c: [f"{c}/{k:08d}.png" for k in range(200_000)] for c in ("image", "mask")},
        "sha256": [f"{k:064x}" for k in range(200_000)],
        "attributes": pa.array([[("n", str(k))] for k in range(200_000)], pa.map_(pa.string(), pa.string())),
    }
    pq.write_table(pa.table(table), path)
    code = (
        "import re, sys, time; from pathlib import Path; from wsshm.data.manifest import Manifest; begun = time.process_time();"
        "assert len(Manifest.read(sys.argv[1])) == 200_000; used = time.process_time() - begun;"
        "status = Path('/proc/self/status'); said = status.read_text() if status.exists() else 'VmHWM: 0 kB';"
        "peak = int(re.search(r'VmHWM:\\s*(\\d+)', said)[1]) / 1e3;"  # getrusage's is the parent's, where that was larger
        "assert used < 4, used; assert peak < 500, peak; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
