import subprocess
import sys

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from wsshm.__main__ import main
from wsshm.data.cli import parse_counts
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import write_png
from wsshm.errors import UserError

RNG = np.random.default_rng(4)


@pytest.fixture
def wsshm(monkeypatch, capsys):
    """Runs the console script; returns (exit status, stdout, stderr)."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["wsshm", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        write_png(tmp_path / "set" / f"{name}.png", RNG.integers(0, 256, (8, 10, 4), dtype=np.uint8))
    return tmp_path / "set"


def test_import_check_and_preview(wsshm, root, tmp_path):
    listed = tmp_path / "m.parquet"
    code, out, _ = wsshm("data", "import", "rgba", root, "--out", listed, "--split", "val", "--domain", "natural")
    assert (code, out) == (0, f"{listed}: 2 samples (0 train, 2 val, 0 test)\n")
    assert {(s.split, s.domain) for s in Manifest.read(listed).samples} == {("val", "natural")}
    assert wsshm("data", "check", listed)[:2] == (0, f"{listed}: 2 samples, no fault\n")
    assert wsshm("data", "preview", listed, "--out", tmp_path / "sheet.png", "--count", 1)[0] == 0
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_check_prints_aligned_tables_and_leaves_with_1_for_errors(wsshm, root, tmp_path):
    listed = tmp_path / "m.parquet"
    wsshm("data", "import", "rgba", root, "--out", listed)
    (root / "b.png").unlink()
    code, out, _ = wsshm("data", "check", listed)
    header, fault, _, kinds, counted, _, total = out.splitlines()
    assert code == 1
    assert header.index("problem") == fault.index("missing")
    assert kinds.index("meaning") == counted.index("a file is not there")
    assert total == f"{listed}: 2 samples, 1 error, 0 warnings; all are in {tmp_path / 'm.check.parquet'}"


def test_check_shows_the_first_and_all_are_in_the_report(wsshm, monkeypatch, root, tmp_path):
    monkeypatch.setattr("wsshm.data.check_cli.SHOWN", 1)
    listed, report = tmp_path / "m.parquet", tmp_path / "r.parquet"
    for name in ("a", "b"):
        write_png(
            root / f"{name}.png",
            np.dstack([RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8), np.eye(8, 10, dtype=np.uint8) * 255]),
        )
    wsshm("data", "import", "rgba", root, "--out", listed)
    code, out, _ = wsshm("data", "check", listed, "--report", report)
    assert code == 0  # warnings alone
    assert "\n... and 1 more\n" in out
    assert out.endswith(f"0 errors, 2 warnings; all are in {report}\n")
    assert len(pq.read_table(report)) == 2


def test_where_no_report_can_be_written_the_table_is_printed(wsshm, monkeypatch, root, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    listed = tmp_path / "m.parquet"
    wsshm("data", "import", "rgba", root, "--out", listed)
    (root / "b.png").unlink()
    monkeypatch.setattr("wsshm.data.check_records.write_report", full)
    code, out, _ = wsshm("data", "check", listed)
    assert (code, out.splitlines()[-1]) == (1, f"{listed}: 2 samples, 1 error, 0 warnings")
    code, _, err = wsshm("data", "check", listed, "--report", tmp_path / "r.parquet")
    assert code == 2
    assert f"--report {tmp_path / 'r.parquet'} cannot be written (No space left on device)" in err


def test_what_is_read_is_never_written_over(wsshm, monkeypatch, root, tmp_path):
    listed = tmp_path / "m.parquet"
    wsshm("data", "import", "rgba", root, "--out", listed)
    content = listed.read_bytes()
    monkeypatch.chdir(tmp_path)
    for words in (("check", listed, "--report", "m.parquet"), ("stats", "m.parquet", "--out", listed)):
        code, _, err = wsshm("data", *words)
        assert code == 2
        assert "m.parquet is what is read; give another file" in err
    assert listed.read_bytes() == content
    code, _, err = wsshm("data", "check", listed, "--report", "s3://bucket/r.parquet")
    assert (code, err.partition(";")[0]) == (2, "error: --report is written to this machine alone")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--of", "split=val"), "no sample meets the conditions, so none would go to test; ask for others"),
        (("--every", "3"), "fewer than 3 samples meet the conditions, so none would go to test; ask for fewer"),
    ],
)
def test_a_split_that_would_move_nothing_is_refused(wsshm, root, tmp_path, words, message):
    wsshm("data", "import", "rgba", root, "--out", tmp_path / "m.parquet")
    code, _, err = wsshm("data", "split", tmp_path / "m.parquet", "--out", tmp_path / "held.parquet", *words)
    assert (code, err) == (2, f"error: {message}\n")
    assert not (tmp_path / "held.parquet").exists()


def test_a_report_is_no_manifest(wsshm, root, tmp_path):
    wsshm("data", "import", "rgba", root, "--out", tmp_path / "m.parquet")
    wsshm("data", "check", tmp_path / "m.parquet")
    code, _, err = wsshm("data", "check", *sorted(tmp_path.glob("*.parquet")))
    assert (code, err) == (
        2,
        f"error: {tmp_path}/m.check.parquet is a report of `wsshm data check`, not a manifest; name manifests alone\n",
    )


def test_several_manifests_are_compared(wsshm, tmp_path):
    for split in ("train", "test"):
        write_png(tmp_path / split / "a.png", cv2.resize(np.eye(5, dtype=np.uint8) * 200, (60, 50)))
        wsshm(
            "data", "import", "backgrounds", tmp_path / split, "--split", split, "--out", tmp_path / f"{split}.parquet"
        )
    code, out, _ = wsshm("data", "check", tmp_path / "train.parquet", tmp_path / "test.parquet")
    assert code == 1
    assert f"the same picture as a (train of {tmp_path / 'train.parquet'})" in out
    assert (tmp_path / "train.check.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import", "pears", ".", "--out", "m.parquet"), "the nearest valid choice is 'pairs'"),
        (("import", "rgba", "gone", "--out", "m.parquet"), "there is no folder"),
        (("import", "rgba", ".", "--out", "."), "is a folder; give a file in it"),
        (("import", "rgba", ".", "--out", "m.csv"), "does not say what to write; end it in .parquet"),
        (("split", "gone.parquet", "--out", "m.csv"), "end it in .parquet"),
        (("check", "gone.parquet"), "there is no manifest at gone.parquet"),
        (
            ("check", "gone.parquet", "--report", "r.csv"),
            "--report r.csv does not say what to write; end it in .parquet",
        ),
        (("preview", "gone.parquet", "--out", "s.png"), "there is no manifest at gone.parquet"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(wsshm, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = wsshm("data", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_counts():
    parts = {"natural": 1000, "cutouts": 100}
    assert parse_counts("50", parts) == {"natural": 50, "cutouts": 50}
    assert parse_counts("natural=7, cutouts=3", parts) == {"natural": 7, "cutouts": 3}
    assert parse_counts("cutouts=0", parts) == {"cutouts": 0}
    for text, message in [("cutout=3", "'cutouts'"), ("natural=many", "not 'many'"), ("-4", "whole number")]:
        with pytest.raises(UserError, match=message):
            parse_counts(text, parts)


@pytest.mark.parametrize("words", [[], ["data"], ["data", "make", "procedural"], ["data", "import"], ["predict"]])
def test_help_is_fast_because_nothing_heavy_is_imported(words):
    code = (
        f"import sys, wsshm.__main__ as m; sys.argv = ['wsshm', *{words!r}, '--help']\n"
        "try: m.main()\n"
        "finally: print('HEAVY', sorted({'torch', 'ray', 'timm', 'cv2', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: wsshm" in done.stdout
    assert "HEAVY []" in done.stdout


def test_a_mistyped_command_line_is_status_2_without_a_traceback(wsshm):
    for words in (["data", "preview", "m.parquet", "--out", "s.png", "--count", "0"], ["predict"], ["predicct"]):
        code, _, err = wsshm(*words)
        assert code == 2
        assert "Traceback" not in err


def test_make_passes_on_what_was_asked(wsshm, monkeypatch, tmp_path):
    asked = []

    def make(*arguments, **options):
        asked.append((arguments, options))
        return {"natural": tmp_path / "natural.parquet"}

    monkeypatch.setattr("wsshm.data.procedural.make", make, raising=False)
    monkeypatch.setattr("wsshm.data.procedural.DEFAULT_COUNTS", {"natural": 9, "val": 5}, raising=False)
    command = ("data", "make", "procedural", "--out", tmp_path, "--size", 64)
    code, out, _ = wsshm(*command, "--count", "val=2", "--seed", 3, "--mask-coarseness", 0.5, "--workers", 1)
    assert (code, out) == (0, f"natural: {tmp_path / 'natural.parquet'}\n")
    wsshm(*command)
    wsshm(*command, "--grade", "fine")
    assert asked == [
        (
            (tmp_path, 64),
            {"counts": {"natural": 9, "val": 2}, "seed": 3, "masks": 0.5, "workers": 1},
        ),
        ((tmp_path, 64), {"counts": None, "seed": 0, "masks": "polygon", "workers": None}),
        ((tmp_path, 64), {"counts": None, "seed": 0, "masks": "fine", "workers": None}),
    ]
    code, _, said = wsshm(*command, "--grade", "fien")
    assert (code, "no grade 'fien'; the nearest valid choice is 'fine'" in said) == (2, True)
    code, _, said = wsshm(*command, "--grade", "fine", "--mask-coarseness", 1)
    assert (code, "give one of them" in said) == (2, True)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (("make", "procedural"), "--size", 65_536),
        (("make", "procedural"), "--seed", 10**30),
        (("make", "procedural"), "--mask-coarseness", 1e300),
        (("make", "procedural"), "--count", "natural=" + "9" * 5000),
        (("compose", "c.parquet", "--backgrounds", "b.parquet"), "--each", 10**12),
        (("compose", "c.parquet", "--backgrounds", "b.parquet"), "--size", 10**8),
        (("coarsen", "m.parquet"), "--coarseness", 1e300),
    ],
)
def test_numbers_beyond_any_use_are_refused_before_anything_is_made(wsshm, tmp_path, command, option, value):
    out = tmp_path / "out"
    code, _, said = wsshm("data", *command, "--out", out, option, value)
    assert (code, option in said, "Traceback" in said, out.exists()) == (2, True, False, False)
    assert len(said) < 500
