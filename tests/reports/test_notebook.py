"""A store in a notebook: the frames that the page shows, figures by name, and a quick import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib.figure
import pandas as pd
import pytest

import reports
from bench.cost import CostModel
from bench.store import Store
from reports.notebook import Report
from tests.reports.commands import pictured
from tests.reports.example_store import fill
from wsshm.errors import UserError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(tmp_path_factory.mktemp("notebook") / "store", images=12)


@pytest.fixture(scope="module")
def report(store: Store) -> Report:
    return reports.open(store.root, cost="matte=20EUR,mask=2EUR")


def test_importing_is_quick_and_light() -> None:
    code = (
        "import sys, reports; print([name for name in ('pandas', 'pyarrow', 'matplotlib', 'numpy') if name in sys.modules]);"
        "reports.open('nowhere'); print([name for name in ('torch', 'ray', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_frames_hold_the_stores_own_means(report: Report, store: Store) -> None:
    scores = store.read("scores").query("region == 'whole'").merge(store.read("runs"), on="run_id")
    true = scores[scores["status"] == "finished"].groupby(["method", "mattes", "masks"])["sad"].mean()
    methods = report.methods().query("measure == 'sad'").set_index(["method", "mattes", "masks"])
    assert methods["mean"].to_dict() == pytest.approx(true.to_dict())
    assert set(methods["dataset"]) == {"procedural/test"}
    cost = report.cost()
    assert list(cost["cost"]) == sorted(cost["cost"])
    assert (cost["cost"] == 20 * cost["mattes"] + 2 * cost["masks"]).all()
    assert set(cost["cost_unit"]) == {"EUR"}
    assert list(report.leaderboard()["sad"]) == pytest.approx(sorted(true))
    assert set(report.differences()["verdict"]) <= {"better", "worse", "no significant difference"}
    assert len(report.runs) == len(store.read("runs"))
    assert len(report.speed_table()) == len(report.speed) == 7


def test_frames_are_the_callers_own(report: Report) -> None:
    runs = report.runs
    runs["method"] = "mine"
    assert "mine" not in set(report.runs["method"])


def test_slices_are_those_of_the_command(report: Report, tmp_path: Path) -> None:
    manifest = pictured(tmp_path / "m.parquet", [{"hair": "long" if i < 5 else "short"} for i in range(12)])
    frame = report.slices("hair", manifest)
    sizes = frame.drop_duplicates("value").set_index("value")["images"].to_dict()
    assert sizes == {"long": 5, "short": 7}
    both = frame.assign(part=frame["mean"] * frame["images"]).groupby(["budget", "cell"])["part"].sum() / 12
    whole = report.methods().query("measure == 'sad'").set_index("cell")["mean"]
    for (_, cell), mean in both.items():
        assert mean == pytest.approx(whole[cell])


def test_figures_are_those_of_the_page_by_name(report: Report) -> None:
    assert {"methods", "cost", "speed", "qualitative"} <= set(report.figures())
    assert isinstance(report.figure("methods"), matplotlib.figure.Figure)
    assert isinstance(report.figure_data("methods"), pd.DataFrame)
    with pytest.raises(UserError, match="'methods'"):
        report.figure("method")


def test_mistakes_are_said_when_they_can_be_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mixes units"):
        reports.open(tmp_path, cost="matte=1s,mask=1EUR")
    nowhere = reports.open(tmp_path / "none", CostModel())
    with pytest.raises(UserError, match="does not exist"):
        nowhere.methods()
