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
from tests.reports import commands, simulated_runs
from tests.reports.commands import pictured
from tests.reports.example_store import fill
from wsshm.errors import UserError

QUICKSTART = Path(__file__).parents[2] / "reports" / "findings" / "quickstart"


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
    shown = report.figures()
    assert {"methods", "cost", "speed", "qualitative"} <= set(shown)
    assert shown["methods"].startswith("procedural/test")
    assert isinstance(report.figure("methods"), matplotlib.figure.Figure)
    assert isinstance(report.figure_data("methods"), pd.DataFrame)
    with pytest.raises(UserError, match="'methods'"):
        report.figure("method")


def test_differences_are_to_whichever_method_is_asked_for(report: Report) -> None:
    means = report.methods().query("measure == 'sad' and mattes == 40").set_index("label")["mean"]
    against = report.against("joint").query("budget == '40 mattes + 1,000 masks'").set_index("label")
    assert "joint" not in against.index
    assert against.loc["mlb", "percent"] == pytest.approx(100 * (means["mlb"] / means["joint"] - 1))
    assert (against["percent_low"] <= against["percent"]).all()
    assert set(report.against("joint", measures="mse,grad")["measure"]) == {"mse", "grad"}
    with pytest.raises(UserError, match="no finished runs of the method 'joind'"):
        report.against("joind")


def test_it_says_which_network_to_ship(report: Report) -> None:
    (dot,) = set(report.figure_data("speed").query("kind == 'trained'")["network"])
    assert report.shipping(30) == [], f"one network, {dot}, is no choice"
    several = reports.open(QUICKSTART)
    said = several.shipping(30)
    assert [sentence.split(",")[0] for sentence in said] == ["procedural/test", "procedural/test-shifted"]
    assert all("to hold 30 frames per second" in sentence for sentence in said)
    assert all("depends on the rate" in sentence or "the fastest" in sentence for sentence in several.shipping())


def test_labels_are_planned_as_by_the_command(tmp_path: Path) -> None:
    simulated_runs.fill(tmp_path / "store", simulated_runs.simulated("sum", seeds=2))
    plan = reports.open(tmp_path / "store", cost="matte=20EUR,mask=2EUR").plan("2000EUR", have="mattes=10,masks=100")
    assert plan.supported, str(plan)
    asked = ["--budget", "2000EUR", "--cost", "matte=20EUR,mask=2EUR", "--have", "mattes=10,masks=100"]
    assert commands.reports("plan-budget", tmp_path / "store", *asked).out == f"{plan}\n"
    assert plan.table["mattes"].iloc[0] == plan.table["buy_mattes"].iloc[0] + 10
    assert isinstance(plan.figure(), matplotlib.figure.Figure)


def test_a_store_that_carries_no_plan_says_what_would(report: Report) -> None:
    plan = report.plan("500EUR")
    assert not plan.supported
    assert "the data do not support an answer" in str(plan)
    assert "To fill the gap: wsshm sweep run annotation-cost" in str(plan)
    assert list(plan.table["status"]) == ["unsupported"]
    with pytest.raises(UserError, match="there is nothing to draw: the runs have only"):
        plan.figure()
    with pytest.raises(UserError, match="is in h but labels are priced in EUR"):
        report.plan("60h")


def test_mistakes_are_said_when_they_can_be_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mixes units"):
        reports.open(tmp_path, cost="matte=1s,mask=1EUR")
    nowhere = reports.open(tmp_path / "none", CostModel())
    with pytest.raises(UserError, match="does not exist"):
        nowhere.methods()
