"""The report as people get it: built through its public doors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports.__main__ import main
from reports.page import build
from tests.reports.commands import mistake
from tests.reports.example_store import fill, run_row, speed_rows
from tests.reports.pages import Page
from wsshm.errors import UserError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("example")
    fill(root / "store")
    return root / "store", build(root / "store", root / "report").parent


def test_all_parts_of_the_report_are_there(example):
    files = contents(example[1])
    assert {"index.html", "report.md", "contents.json"} <= set(files)
    for name in ("methods", "cost", "speed", "curves-40-mattes-1000-masks", "qualitative"):
        assert {f"figures/{name}.{kind}" for kind in ("png", "svg", "pdf", "parquet")} <= set(files)
    for name in ("methods-40-mattes-1000-masks", "differences-10-mattes-1000-masks", "speed", "failures", "provenance"):
        assert {f"tables/{name}.{kind}" for kind in ("parquet", "csv", "md")} <= set(files)
    for match in re.findall(r"\]\(([^)]+)\)", files["report.md"].decode()):
        assert match in files


def test_the_page_is_well_formed_and_needs_nothing_from_outside(example):
    text = (example[1] / "index.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert not any(tag in ("link", "iframe", "object", "embed") for tag, _ in page.tags)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]  # our own few lines, inline
    assert "http" not in page.script
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            link = attributes.get(name)
            assert link is None or link.startswith(("data:", "#")), (tag, link)
    assert "@import" not in text
    anchors = {str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"}
    assert anchors <= set(page.ids)


def test_the_page_says_what_the_tables_hold(example):
    text = Page((example[1] / "index.html").read_text()).text
    frame = pd.read_parquet(example[1] / "tables/methods-40-mattes-1000-masks.parquet")
    mlb = frame[(frame["label"] == "mlb") & (frame["measure"] == "sad")].iloc[0]
    assert f"{mlb['mean']:.3f}" in text
    assert f"{mlb['low']:.3f} to {mlb['high']:.3f}" in text
    assert "mlb has the lowest SAD of 5 methods" in text
    assert "worse than oracle (control)" in text
    assert "PointSup" in text
    assert "uncommitted changes" in text
    csv = pd.read_csv(example[1] / "tables/methods-40-mattes-1000-masks.csv")
    assert csv["mean"].to_numpy() == pytest.approx(frame["mean"].to_numpy())


def test_what_comes_from_the_store_is_escaped(example):
    page = (example[1] / "index.html").read_text()
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert "<b>" not in (example[1] / "report.md").read_text()


def test_building_again_changes_no_byte(example):
    first = contents(example[1])
    build(str(example[0]), example[1])
    assert contents(example[1]) == first


def test_a_new_report_takes_the_old_ones_files_away_and_no_others(tmp_path):
    out = tmp_path / "report"
    Store(tmp_path / "timed").write("speed", speed_rows(np.random.default_rng(0)))
    build(tmp_path / "timed", out)
    assert (out / "figures/speed.png").exists()
    (out / "figures/mine.png").write_bytes(b"mine")
    Store(tmp_path / "failed").write("runs", [run_row("mlb", 1, 1, 0, status="failed", error="x | y")])
    build(tmp_path / "failed", out, CostModel.parse("matte=2EUR,mask=1EUR"))
    left = contents(out)
    assert [name for name in left if name.startswith("figures/")] == ["figures/mine.png"]
    assert not [name for name in left if name.startswith("tables/speed")]
    report = left["report.md"].decode()
    assert "x \\| y" in report
    assert "2 EUR per matte, 1 EUR per mask" in report
    assert "no run finished, see Failures; rerun the command that made them." in report
    assert "`wsshm bench speed" in report


def test_one_seed_and_one_image_are_said_to_be_so(tmp_path):
    fill(tmp_path / "store", seeds=(0,), images=1, budgets=((40, 1000),), failed=False, methods=("seg_only", "mlb"))
    text = Page(build(tmp_path / "store", tmp_path / "report").read_text()).text
    assert "one seed only" in text
    assert "from one image, so without an interval" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "one image: no verdict" in text
    assert "Every run in the store finished." in text


def test_timings_alone_make_a_report(tmp_path):
    Store(tmp_path / "store").write("speed", speed_rows(np.random.default_rng(0)))
    page = Page(build(tmp_path / "store", tmp_path / "report").read_text())
    assert "frames per second" in page.text
    assert "No finished run was scored. To fill this section: wsshm sweep run quickstart" in page.text
    assert "left-out" in page.ids
    assert "methods" not in page.ids


def test_no_store_and_an_empty_one_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        build(tmp_path / "nowhere", tmp_path / "report")
    (tmp_path / "empty/runs").mkdir(parents=True)
    with pytest.raises(UserError, match="is empty"):
        build(tmp_path / "empty", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_report_goes_nowhere_into_the_store(tmp_path):
    Store(tmp_path / "store").write("runs", [run_row("mlb", 1, 1, 0)])
    (tmp_path / "link").symlink_to(tmp_path / "store")
    before = sorted((tmp_path / "store").rglob("*"))
    for out, said in (("store", "is the store"), ("link", "is the store"), ("store/report", "is in the store")):
        told = mistake("build", tmp_path / "store", "--out", tmp_path / out)
        assert f"--out {tmp_path / out} {said}; give a folder outside of it" in told
        told = mistake("plan-budget", tmp_path / "store", "--budget", "30h", "--out", tmp_path / out)
        assert said in told
    assert sorted((tmp_path / "store").rglob("*")) == before


def test_files_of_others_in_a_store_are_named(tmp_path):
    (tmp_path / "store/runs").mkdir(parents=True)
    (tmp_path / "store/runs/old.csv").write_text("a,b\n")
    (tmp_path / "store/runs/.hidden.tmp").write_text("half")
    told = mistake("build", tmp_path / "store", "--out", tmp_path / "report")
    assert "is empty (1 file not written by this suite: runs/old.csv); fill it first" in told
    fill(tmp_path / "store", seeds=(0,), images=2, budgets=((40, 1000),), failed=False, methods=("seg_only", "mlb"))
    text = Page(build(tmp_path / "store", tmp_path / "report").read_text()).text
    assert "Left out: 1 file not written by this suite: runs/old.csv." in text


def test_a_file_in_the_way_is_named(tmp_path):
    Store(tmp_path / "store").write("runs", [run_row("mlb", 1, 1, 0, status="failed")])
    (tmp_path / "report").write_text("mine")
    with pytest.raises(UserError, match="there is a file of that name"):
        build(tmp_path / "store", tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"


def test_building_imports_neither_torch_nor_ray(tmp_path):
    Store(tmp_path / "store").write("runs", [run_row("mlb", 1, 1, 0)])
    code = (
        "import sys; from pathlib import Path; from reports import cli, terminal; from reports.page import build; "
        "build(sys.argv[1], Path(sys.argv[2])); "
        "print([name for name in ('torch', 'ray', 'timm') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "report")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_command_says_where_the_page_is_and_nothing_else(tmp_path):
    """Libraries that tell at length what they do (the fonts of a PDF) are kept quiet."""
    Store(tmp_path / "store").write("speed", speed_rows(np.random.default_rng(0)))
    command = [sys.executable, "-m", "reports", "build", str(tmp_path / "store"), "--out", str(tmp_path / "report")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "report/index.html")]
    assert list((tmp_path / "report/figures").glob("*.pdf"))
    assert done.stderr == ""


def command(monkeypatch, *arguments: object) -> int:
    """Exit status of `python -m reports ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["reports", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_table_is_printed(example, monkeypatch, capsys):
    assert command(monkeypatch, "table", example[0]) == 0
    printed = capsys.readouterr().out
    assert "40 mattes + 1,000 masks" in printed
    frame = pd.read_parquet(example[1] / "tables/methods-10-mattes-1000-masks.parquet")
    for row in frame[frame["measure"] == "sad"].itertuples():
        assert re.search(rf"{row.label}.*{row.mean:.3f}", printed)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("build", "nowhere", "--out", "out"), "does not exist"),
        (("build", "nowhere", "--out", "out", "--cost", "matte=1s,mask=1EUR"), "mixes units"),
        (("table", "nowhere"), "does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, *arguments) == 2
    said = capsys.readouterr()
    assert named in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_a_built_report_is_named_on_stdout(tmp_path, monkeypatch, capsys):
    Store(tmp_path / "store").write("runs", [run_row("mlb", 1, 1, 0, status="failed")])
    assert command(monkeypatch, "build", tmp_path / "store", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out/index.html")
