"""The stores of `bench micro report` are stores, pandas' numbers are ours, and its lines hold what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cost import CostModel
from bench.micro import report, vectorised_report
from bench.micro.simulated import simulate
from bench.store import KEYS, SCHEMAS, Store
from reports import timed
from reports.comparison import compare
from reports.load import load


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated")
    simulate(root, 200, 6, 3, 150)
    return root


def test_a_simulated_store_is_one(store: Path) -> None:
    tables = {name: Store(store).read(name) for name in SCHEMAS}
    assert {name: len(rows) for name, rows in tables.items()} == {
        **{"runs": 200, "scores": 200 * 6 * 3, "speed": 150, "epochs": 200 * 30, "samples": 200 * 18},
    }
    for name, rows in tables.items():
        assert not rows.duplicated(list(KEYS[name])).any()
    assert len(load(store).notes) == 0


def test_pandas_and_numpy_come_to_our_means_and_intervals(store: Path) -> None:
    runs, scores, *_ = vectorised_report.load(store)
    found = np.concatenate(list(vectorised_report.columns(runs, scores)))
    comparisons = compare(load(store), CostModel())
    ours = pd.concat([comparison.cells for comparison in comparisons])["mean"]
    differences = sum(int((comparison.differences["label"] != "mlb").sum()) for comparison in comparisons)
    assert len(found) == len(ours) + differences
    scale = {"sad": 1, "grad": 1, "conn": 1, "iou": 1, "mse": 1e3, "mad": 1e3}
    for comparison in comparisons[:2]:
        for row in comparison.cells[comparison.cells["measure"] == "mse"].itertuples():
            own = found[np.isclose(found.mean(axis=1) * scale["mse"], row.mean)]
            assert len(own)
            ends = vectorised_report.intervals(own[:1]) * scale["mse"]
            assert ends[:, 0] == pytest.approx([row.low, row.high], abs=0.1 * (row.high - row.low))


def test_a_line_holds_both_ways_and_their_ratio() -> None:
    ours = {"seconds": {"load": 2.0, "compare": 3.0}, "peak_mb": {"load": 300.0, "compare": 400.0}}
    plain = {"load_s": 10.0, "compare_s": 4.5, "peak_mb": 1000.0}
    assert report.lines(ours, plain) == [
        ["read the store", "2.0 s", "10.0 s", "5.0 x"],
        ["means and intervals", "3.0 s", "4.5 s", "1.5 x"],
        ["both", "5.0 s", "14.5 s", "2.9 x"],
        ["peak memory of both", "400 MB", "1,000 MB", "2.5 x"],
    ]


def test_a_stage_is_counted_without_those_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(timed.time, "perf_counter", lambda: now[0])
    clock = timed.Clock()

    def work(seconds: float) -> None:
        now[0] += seconds

    inner = clock.timed("inner", work)

    def outer() -> None:
        work(1.0)
        inner(2.0)
        inner(4.0)

    clock.timed("outer", outer)()
    assert clock.seconds == {"inner": 6.0, "outer": 1.0}
    assert clock.peak_mb["outer"] > 1


@pytest.mark.slow
def test_the_command_prints_its_ratios() -> None:
    options = ["--runs", "50", "--images", "12", "--regions", "1", "--timings", "40"]
    result = CliRunner().invoke(app, ["micro", "report", *options])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.strip().startswith("600 ")]
    assert len(lines) == 5
    assert all(re.search(r"\d\.\d x *$", line) for line in lines[1:])
    assert re.search(r"load \d+\.\d s, compare \d+\.\d s, tables \d+\.\d s, write \d+\.\d s", lines[0])


def test_a_faulty_option_is_named() -> None:
    result = CliRunner().invoke(app, ["micro", "report", "--regions", "5"])
    assert "--regions takes numbers from 1 to 4" in str(result.exception)


def test_what_a_process_says_last_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "talks.py").write_text("import json, sys\nprint('hello')\nprint(json.dumps(sys.argv[1:]))")
    (tmp_path / "fails.py").write_text("raise SystemExit('no room for it')")
    assert report._timed("talks", 1, "b") == json.loads('["1", "b"]')
    with pytest.raises(report.UserError, match="fails of this benchmark failed: no room for it"):
        report._timed("fails")
