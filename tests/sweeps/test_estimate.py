"""Estimates: rates from earlier rows, scaled; shared stages once; waiting as in a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store import Store
from sweeps.estimate import Kind, Rates, Task, runs_here, total, wall
from sweeps.plan import configurations
from tests.sweeps import made_up
from wsshm.config import RunConfig, TrainConfig, parse
from wsshm.methods import stages_of


def changed(config: RunConfig, **sections: dict) -> RunConfig:
    document = config.model_dump(mode="json")
    for section, values in sections.items():
        document[section] |= values
    return parse(document)


def test_a_row_predicts_itself_and_scales_with_pixels_batch_and_workers(tmp_path: Path) -> None:
    plan = made_up.plan_of()
    made_up.finish(tmp_path, plan, 4)
    mlb = configurations(plan)[0]
    rates = Rates.read(Store(tmp_path / "store"))
    teacher, student = stages_of(mlb)
    assert rates.stage_s(teacher, mlb) == pytest.approx(20 * 0.5)
    assert rates.stage_s(student, mlb) == pytest.approx(20 * 0.5 * 4 / 3)
    assert rates.beside_s == pytest.approx(30)
    larger = changed(mlb, data={"size": 128}, train={"batch": 32, "workers": 2})
    assert rates.stage_s(teacher, larger) == pytest.approx(20 * 0.5 * 4 * 4 / 2)
    elastic = changed(mlb, train={"batch": 32, "workers": [1, 2]})
    assert rates.stage_s(teacher, elastic) == pytest.approx(20 * 0.5 * 4 / 2)


def test_only_runs_of_the_same_kind_count_and_the_median_of_them(tmp_path: Path) -> None:
    plan = made_up.plan_of()
    config = configurations(plan)[2]
    store = Store(tmp_path)
    for index, rate in enumerate((0.5, 0.7, 9.0)):
        store.write("runs", [made_up.run_row(f"r{index}", config, rate)])
    elastic = changed(config, train={"workers": [1, 2], "batch": 32})  # no telling how many there were when
    store.write("runs", [made_up.run_row("elastic", elastic, 100.0)])
    store.write("runs", [made_up.run_row("failed", config, 100.0, status="failed")])
    store.write("runs", [made_up.run_row("external", config, 100.0) | {"config": None}])
    store.write("runs", [made_up.run_row("other-release", config, 100.0) | {"config": '{"method": {"name": "new"}}'}])
    rates = Rates.read(store)
    (stage,) = stages_of(config)
    assert rates.stage_s(stage, config) == pytest.approx(40 * 0.7)
    assert rates.known[Kind.of(config)].rows == 3
    for other in (
        changed(config, model={"backbone": "resnet18"}),
        changed(config, train={"precision": "bf16"}),
        changed(config, train={"gpus_per_worker": 1}),
        changed(config, train={"cpus_per_worker": 2}),
    ):
        assert rates.stage_s(stage, other) is None
    assert Rates.read(Store(tmp_path / "nothing")).known == {}


def test_a_found_stage_tells_nothing_of_what_a_run_takes_beside_training(tmp_path: Path) -> None:
    config = configurations(made_up.plan_of())[0]
    store = Store(tmp_path)
    own = made_up.run_row("own", config, beside_s=20)
    found = made_up.run_row("found", config, beside_s=-9, started=own["finished"], stages=own["stages"])
    found["finished"] = found["started"] + (own["finished"] - own["started"]) / 2
    store.write("runs", [own, found])
    assert Rates.read(store).beside_s == pytest.approx(20)


def test_sixteen_students_over_one_teacher() -> None:
    tasks = [Task((("teacher", 100.0), (f"student{i}", 50.0)), beside_s=2.0) for i in range(16)]
    assert total(tasks) == 100 + 16 * 52
    assert wall(tasks, 1) == 100 + 16 * 52
    # The second place waits for the teacher, then both are busy.
    assert wall(tasks, 2) == 100 + 8 * 52
    assert wall(tasks, 16) == 152


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.just(3.0)), max_size=3), min_size=1, max_size=8),
    st.integers(1, 4),
)
def test_wall_time_lies_between_its_bounds(runs: list, at_once: int) -> None:
    tasks = [Task(tuple(stages), 1.0) for stages in runs]
    # A waiting run keeps its place, so that less than all places may be busy; but never none.
    assert total(tasks) / at_once - 1e-9 <= wall(tasks, at_once) <= total(tasks) + 1e-9


def test_runs_that_fit_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert runs_here(TrainConfig()) == 8
    assert runs_here(TrainConfig(workers=2, loader_workers=1)) == 2
    assert runs_here(TrainConfig(cpus_per_worker=9)) == 0
