"""Search: what is drawn, what Optuna is told, and what early stopping does to whom."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from bench.store import Store
from sweeps import planned
from sweeps.objectives import last_errors, learned
from sweeps.place import Place
from sweeps.plan import Plan, configurations, draws, load_plan
from sweeps.search import optuna_search, recorded_draws, scheduler
from tests.sweeps.asking import ROOT, sweep
from tests.wsshm import tiny
from wsshm.config import RunConfig, parse
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.training.workload import epochs_before

SPACE: dict[str, Any] = {
    "method.blend.threshold": {"uniform": [0.1, 0.9]},
    "method.blend.band": {"loguniform": [0.01, 0.1]},
    "method.blend.variant": {"choice": ["hard", "soft", "gated"]},
}


def plan(**search: Any) -> Plan:
    return Plan(name="x", space=SPACE, search=search)  # type: ignore[arg-type]


def test_random_draws_repeat_and_grow() -> None:
    few, many = draws(plan(algorithm="random", num_runs=3)), draws(plan(algorithm="random", num_runs=30))
    assert many[:3] == few
    assert draws(plan(algorithm="random", num_runs=3, seed=1)) != few
    assert all(0.1 <= d["method.blend.threshold"] <= 0.9 and 0.01 <= d["method.blend.band"] <= 0.1 for d in many)
    assert {d["method.blend.variant"] for d in many} == {"hard", "soft", "gated"}
    # Logarithms are uniform: half of them lie below the geometric mean.
    assert 8 <= sum(d["method.blend.band"] < 0.0316 for d in many) <= 22


def test_each_draw_is_run_under_every_combination_of_the_rest() -> None:
    grid = plan(algorithm="random", num_runs=4).model_copy(
        update={
            "seeds": (0, 1),
            "space": {**plan(algorithm="random", num_runs=4).space, "method.name": ["mlb", "joint"]},
        }
    )
    runs = configurations(grid)
    assert len(runs) == 4 * 2 * 2
    assert len({(r.method.blend.threshold, r.method.blend.band) for r in runs}) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": SPACE}, r"space.method.blend.band is a range to search, but a grid runs listed values"),
        ({"search": {"num_runs": 3}}, r"num_runs is for random and optuna"),
        ({"space": SPACE, "search": {"algorithm": "random"}}, r"random needs search.num_runs"),
        ({"search": {"algorithm": "optuna", "num_runs": 3}}, r"optuna needs search.num_runs and a key in space"),
        (
            {"space": SPACE | {"method.name": ["mlb"]}, "search": {"algorithm": "optuna", "num_runs": 3}},
            r"space.method.name is a list, and optuna draws every key",
        ),
        (
            {"space": SPACE, "seeds": [0, 1], "search": {"algorithm": "optuna", "num_runs": 3}},
            r"one seed and one budget",
        ),
        (
            {"search": {"objectives": ["val_sad", "latency_ms"], "scheduler": {"name": "asha"}}},
            r"scheduler stops runs by one error",
        ),
        ({"space": {"method.blend.band": {"uniform": [0.5, 0.1]}}}, r"must rise from low to high"),
        ({"space": {"method.blend.band": {"loguniform": [0, 0.1]}}}, r"must lie above 0"),
        ({"space": {"method.blend.band": {"uniform": [0, 1], "choice": [1]}}}, r"takes a list, or one of"),
        (
            {"space": {"method.blend.band": {"uniformly": [0, 1]}}},
            r"impossible space.method.blend.band: takes a list, or one of",
        ),
        (
            {
                "space": {"method.blend.threshold": {"uniform": [0.5, 1.5]}},
                "search": {"algorithm": "random", "num_runs": 2},
            },
            r"method.blend.threshold = 1.5",
        ),
        ({"search": {"objectives": ["sad"]}}, r"search.objectives.0 = 'sad'; .*'val_sad'"),
    ],
)
def test_impossible_searches_are_one_sentence(tmp_path: Path, change: dict, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", **change}))
    with pytest.raises(UserError, match=words) as caught:
        load_plan(str(tmp_path / "mine.yaml"))
    assert "\n" not in str(caught.value)


def test_a_plan_that_was_written_reads_back_the_same(tmp_path: Path) -> None:
    searched = plan(algorithm="optuna", num_runs=3)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(planned.written(searched) | {"resolved_weights": {}}))
    assert planned.written(load_plan(str(tmp_path / "plan.yaml"))) == planned.written(searched)


def remember(place: Place, run_id: str, values: dict, val_sad: float | None, status: str = "finished") -> None:
    """A run as a trial leaves it: its draw, and where it ended, its rows."""
    (place.draws / f"{run_id}.json").write_text(json.dumps(values))
    if val_sad is not None:
        row = {"stage": "student", "key": "val_sad"}
        place.store.write(
            "epochs",
            [
                {"run_id": run_id, "epoch": 1, "value": 99.0, **row},
                {"run_id": run_id, "epoch": 2, "value": val_sad, **row},
                {"run_id": run_id, "epoch": 9, "value": 77.0, **row, "stage": "teacher"},
            ],
        )
        stages = ["teacher:aa", "student:bb"]
        place.store.write("runs", [{"run_id": run_id, "status": status, "stages": stages, "config": "{}"}])


def values(threshold: float, variant: str = "gated") -> dict[str, Any]:
    return {"method.blend.threshold": threshold, "method.blend.band": 0.02, "method.blend.variant": variant}


def test_optuna_is_told_what_the_store_knows(tmp_path: Path) -> None:
    place, searched = Place(Location.of(tmp_path)), plan(algorithm="optuna", num_runs=9)
    remember(place, "finished", values(0.5), 0.7)
    remember(place, "stopped", values(0.2), 0.9, status="stopped")
    remember(place, "failed", values(0.3), 0.8, status="failed")
    remember(place, "half", values(0.4), None)
    remember(place, "foreign", {"train.lr": 0.1}, 0.1)
    remember(place, "outside", values(0.95), 0.1)
    assert last_errors(place.store)["finished"] == {"val_sad": 0.7}
    found = {draw.run_id: draw for draw in recorded_draws(searched, place, {})}
    assert {run_id: draw.settled for run_id, draw in found.items()} == {
        "finished": True,
        "stopped": True,
        "failed": False,
        "half": False,
    }
    search = optuna_search(searched, list(found.values()))
    told = {t.params["drawn/method.blend.threshold"]: t.value for t in search._ot_study.trials if t.value is not None}
    assert told == {0.5: 0.7, 0.2: 0.9}
    # What is not settled is asked for again, before anything new.
    first, second, third = (search.suggest(name)["drawn"] for name in "abc")
    assert {first["method.blend.threshold"], second["method.blend.threshold"]} == {0.3, 0.4}
    assert set(third) == set(SPACE)
    assert third["method.blend.threshold"] not in (0.2, 0.3, 0.4, 0.5)


def test_several_objectives_are_told_together(tmp_path: Path) -> None:
    searched = Plan(
        name="x",
        space={**SPACE, "model.backbone": {"choice": ["resnet18", "resnet34"]}},
        search={"algorithm": "optuna", "num_runs": 9, "objectives": ["val_sad", "latency_ms"]},  # type: ignore[arg-type]
    )
    place = Place(Location.of(tmp_path))
    remember(place, "known", values(0.5) | {"model.backbone": "resnet34"}, 0.7)
    draws_known = recorded_draws(searched, place, {"resnet18": 5.0, "resnet34": 8.0})
    assert draws_known[0].objectives == (0.7, 8.0)
    assert not recorded_draws(searched, place, {})[0].objectives
    study = optuna_search(searched, draws_known)._ot_study
    assert [t.values for t in study.best_trials] == [[0.7, 8.0]]


def test_what_runs_learned_is_counted_through_all_stages_but_a_teachers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    config = {"method": {"name": "matte_then_seg"}, "train": {"steps": 40, "teacher_steps": 20, "epoch_steps": 10}}
    stages = [stage.name for stage in stages_of(parse(config, RunConfig))]
    assert len(stages) == 2
    for run_id, status in (("whole", "finished"), ("cut", "stopped"), ("broken", "failed"), ("other", "finished")):
        row = {"run_id": run_id, "status": status, "config": json.dumps(config), "stages": [f"{s}:aa" for s in stages]}
        store.write("runs", [row])
        points = [(stage, epoch) for stage in stages for epoch in (1, 2)][: 3 if status == "stopped" else 4]
        rows = [{"stage": s, "epoch": e, "value": float(10 * stages.index(s) + e)} for s, e in reversed(points)]
        store.write("epochs", [{"run_id": run_id, "key": "val_sad", **row} for row in rows])
    found = learned(store, ["whole", "cut", "broken"], "val_sad")
    # Its first stage only prepares, so that the second one's epochs are counted from 1.
    assert found == {"whole": [(1, 11.0), (2, 12.0)], "cut": [(1, 11.0)]}
    mlb = config | {"method": {"name": "joint"}}
    assert epochs_before(stages_of(parse(mlb, RunConfig)), parse(mlb, RunConfig)) == {"student": 0}


@pytest.mark.parametrize(("error", "decided"), [(0.5, "CONTINUE"), (2.5, "STOP")])
def test_early_stopping_remembers_earlier_runs(error: float, decided: str) -> None:
    searched = Plan(name="x", search={"scheduler": {"name": "asha", "grace_epochs": 1, "reduction": 2}})  # type: ignore[arg-type]
    told = {f"run{i}": [(1, float(i)), (2, float(i) / 2)] for i in range(4)}
    trial: Any = SimpleNamespace(trial_id="new")
    decisions = []
    for earlier in (told, {}):
        asha = scheduler(searched, [8], earlier)
        assert asha
        asha.on_trial_add(None, trial)  # type: ignore[arg-type]
        decisions.append(asha.on_trial_result(None, trial, {"epoch": 1, "val_sad": error}))  # type: ignore[arg-type]
    assert decisions == [decided, "CONTINUE"]  # the median of the earlier runs is 1.5; alone nobody is stopped


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("data"))


def written(folder: Path, data: Path, **document: Any) -> str:
    base = tiny.config(data, "mlb", steps=12, teacher_steps=4, workers=1, epoch_steps=2).model_dump(mode="json")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "base": base, **document}))
    return str(path)


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_over_two_objectives_is_raised(data: Path, tmp_path: Path) -> None:
    """Three runs over one teacher and two backbones, latencies first; then one more, nothing done twice."""
    out = tmp_path / "out"
    mine = written(
        tmp_path,
        data,
        space=SPACE | {"model.backbone": {"choice": ["test_efficientnet", "test_resnet"]}},
        search={"algorithm": "optuna", "num_runs": 3, "objectives": ["val_sad", "latency_ms"]},
        speed={"sizes": [64], "processes": 1},
    )
    first = sweep(out, plan=mine)
    assert first.returncode == 0, first.err  # type: ignore[attr-defined]
    assert "3 runs finished, 0 failed" in first.out  # type: ignore[attr-defined]
    store = Store(out / "store")
    runs = store.read("runs")
    assert set(store.read("speed")["backbone"]) == {"test_efficientnet", "test_resnet"}
    for run_id, config in zip(runs["run_id"], runs["config"], strict=True):
        drawn = json.loads((out / "draws" / f"{run_id}.json").read_text())
        assert json.loads(config)["method"]["blend"]["threshold"] == pytest.approx(
            drawn["method.blend.threshold"], rel=1e-3
        )
    more = sweep(out, "--set", "search.num_runs=4", plan=mine)
    assert more.returncode == 0, more.err  # type: ignore[attr-defined]
    assert "4 runs finished" in more.out  # type: ignore[attr-defined]
    assert len(list((out / "store" / "runs").glob("*.parquet"))) == 4
    shown = subprocess.run(
        [sys.executable, "-m", "sweeps", "status", str(out)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "latency" in shown.stdout


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_early_stopping_settles_runs_and_frees_their_places(data: Path, tmp_path: Path) -> None:
    """Of five learning rates the hopeless are stopped; with two places in all, the rest could not run otherwise."""
    out = tmp_path / "out"
    mine = written(
        tmp_path,
        data,
        space={"train.lr": [2e-3, 1e-3, 1e-7, 1e-8, 1e-9]},
        search={"scheduler": {"name": "asha", "grace_epochs": 1, "reduction": 2}},
    )
    process = sweep(out, "--set", "base.method.name=seg_only", plan=mine)
    assert process.returncode == 0, process.err  # type: ignore[attr-defined]
    runs = Store(out / "store").read("runs").set_index("run_id")
    assert len(runs) == 5
    assert set(runs["status"]) == {"finished", "stopped"}
    stopped = runs[runs["status"] == "stopped"]
    assert stopped["error"].str.contains("stopped early after").all()
    curves = Store(out / "store").read("epochs")
    longest = curves.groupby("run_id")["epoch"].max()
    assert set(stopped.index) <= set(longest.index)
    assert (longest[stopped.index] < 6).all()
    assert f"{len(stopped)} stopped early" in process.out  # type: ignore[attr-defined]
    again = sweep(out, "--set", "base.method.name=seg_only", plan=mine)
    assert "5 runs, 5 finished already" in again.err  # type: ignore[attr-defined]
