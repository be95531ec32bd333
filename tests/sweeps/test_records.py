"""What a sweep writes down of itself: read or refused in a sentence, whatever became of it, and without secrets."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeps import inventory
from sweeps.execute import _recorded
from sweeps.place import Place
from sweeps.plan import configurations
from sweeps.planned import (
    free_keys,
    read_plan,
    read_planned,
    write_plan,
    write_planned,
    written,
)
from sweeps.repeat import open_plan
from sweeps.search import recorded_draws
from sweeps.status import headline, open_sweep, read_status, rendered
from tests.sweeps import made_up
from tests.sweeps.test_status import OPTUNA, alive, progress
from wsshm.errors import UserError, without_hidden
from wsshm.files.location import Location
from wsshm.keys import first_difference

SECRET = "s3://KEY:SECRET@bucket/stages?token=abc&region=eu-west-1"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return made_up.record(tmp_path / "out", made_up.plan_of())


@pytest.mark.parametrize(
    "content", [b"", b"name: [", b"null", b"- 1", b"\xff\xfe\x00", b"name: x\nresolved_weights: 3"]
)
def test_a_broken_plan_file_is_one_sentence_at_every_door(out: Path, content: bytes) -> None:
    (out / "plan.yaml").write_bytes(content)
    place = Place(Location.of(out))
    doors = (
        lambda: read_status(place.out),
        lambda: inventory.list_stages(place.out),
        lambda: _recorded(made_up.plan_of(), place),
    )
    for door in doors:
        with pytest.raises(UserError, match=r"plan\.yaml .*cut off or altered: remove it, then rerun"):
            door()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"run0": {"label": "x"', b'{"run0": 3}', b'{"run0": {"label": 1, "config": {}, "stages": {}}}'],
)
def test_a_broken_list_of_runs_is_one_sentence(out: Path, content: bytes) -> None:
    (out / "runs.json").write_bytes(content)
    for door in (read_status, inventory.list_stages):
        with pytest.raises(
            UserError, match=r"runs\.json is not a list of runs: it is empty, cut off or altered; rerun"
        ):
            door(Location.of(out))


def test_runs_that_lack_a_stage_are_said(out: Path) -> None:
    runs = json.loads((out / "runs.json").read_text())
    runs["run0"]["stages"] = {}
    (out / "runs.json").write_text(json.dumps(runs))
    with pytest.raises(UserError, match=r"runs\.json knows no stage 'teacher' of 'label of run0'"):
        inventory.list_stages(Location.of(out))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.binary(max_size=20)
    | st.dictionaries(
        st.sampled_from(["stage", "done", "total", "over", "found", "label", "started"]),
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_progress_file_is_shown_or_passed_over(out: Path, told: bytes) -> None:
    (out / "progress").mkdir(exist_ok=True)
    (out / "progress" / "run0.json").write_bytes(told)
    status = read_status(Location.of(out))
    assert len(status.running) <= 1
    assert all(0 <= run.share <= 1 for run in status.running)
    rendered(status, Location.of(out))


def test_a_draw_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    plan = made_up.plan_of(**OPTUNA)
    place = Place(Location.of(made_up.record(tmp_path / "out", plan, {})))
    (place.draws / "good.json").write_text('{"method.blend.band": 0.05}')
    for name, content in (
        ("empty", ""),
        ("list", "[]"),
        ("cut", '{"method.bl'),
        ("deep", '{"method.blend.band": [1]}'),
    ):
        (place.draws / f"{name}.json").write_text(content)
    assert [draw.run_id for draw in recorded_draws(plan, place, {})] == ["good"]


def test_secrets_of_an_address_are_written_nowhere_and_the_sweep_goes_on(tmp_path: Path) -> None:
    place = Place(Location.of(tmp_path / "out"))
    plan = made_up.plan_of(stages=SECRET)
    write_plan(place, plan, {"test_efficientnet": "none"})
    write_planned(place, {"run0": {"label": "x", "config": {"data": {"masks": SECRET}}, "stages": {}}})
    for file in (place.plan, place.planned):
        assert "SECRET" not in file.read_text()
        assert "abc" not in file.read_text()
    assert _recorded(plan, place)[1] == {"test_efficientnet": "none"}  # the same plan
    known = read_plan(place)
    assert known
    assert first_difference(known[0], written(plan), free_keys(plan)) is None
    assert without_hidden(known[0]["stages"]) == "s3://bucket/stages?region=eu-west-1"
    planned = read_planned(place)
    assert planned
    assert planned["run0"].config == {"data": {"masks": "s3://***@bucket/stages?token=***&region=eu-west-1"}}


def test_what_is_timed_may_change_unless_a_search_goes_by_it(tmp_path: Path) -> None:
    other = {"models": ["test_efficientnet"], "sizes": [64, 96], "batches": [2]}
    place = Place(Location.of(made_up.record(tmp_path / "out", made_up.plan_of())))
    _recorded(made_up.plan_of(speed=other), place)  # goes on
    with pytest.raises(UserError, match="its seeds is"):
        _recorded(made_up.plan_of(speed=other, seeds=[7]), place)
    searched = OPTUNA | {"search": OPTUNA["search"] | {"objectives": ["val_sad", "latency_ms"]}}
    place = Place(Location.of(made_up.record(tmp_path / "searched", made_up.plan_of(**searched))))
    with pytest.raises(UserError, match=r"its speed\.batches is"):
        _recorded(made_up.plan_of(**searched, speed=other), place)
    _recorded(made_up.plan_of(**searched, speed={"processes": 1, "target_fps": 30}), place)  # goes on


def test_a_sweep_of_an_earlier_release_goes_on_with_what_it_was(tmp_path: Path) -> None:
    """Its plan.yaml names none. One that begins now is on both sets, and says so."""
    plan, both = made_up.plan_of(), ["procedural/test", "procedural/test-shifted"]
    early = Place(Location.of(made_up.record(tmp_path / "early", plan)))
    going_on, _ = _recorded(plan, early)
    assert {config.data.test for config in configurations(going_on)} == {("procedural/test",)}
    assert {config.data.procedural.masks for config in configurations(going_on)} == {1.0}
    blends = [config.method.blend for config in configurations(going_on) if config.method.name == "mlb"]
    assert {(blend.threshold, blend.band) for blend in blends} == {(0.5, 0.04)}
    opened = open_plan(str(tmp_path / "early" / "plan.yaml"))[0]
    assert configurations(opened) == configurations(going_on) == configurations(open_sweep(early.out)[0])
    new = Place(Location.of(tmp_path / "new"))
    write_plan(new, plan, {})
    assert {config.data.test for config in configurations(_recorded(plan, new)[0])} == {tuple(both)}
    assert {config.data.procedural.masks for config in configurations(_recorded(plan, new)[0])} == {"polygon"}
    assert configurations(open_plan(str(tmp_path / "new" / "plan.yaml"))[0]) == configurations(plan)
    named = made_up.plan_of(base=plan.base | {"data": {"size": 64, "test": both}})
    assert _recorded(named, new)[0] == named
    with pytest.raises(UserError, match=r"its base.data.test is \[.procedural/test.\], this plan.s is"):
        _recorded(named, early)


def test_status_says_why_a_sweep_ended_and_what_the_cluster_has(out: Path) -> None:
    progress(out, "run0", 0.5, began_s_ago=100)
    place = Place(Location.of(out))
    place.tell_end("the head no longer answers; start it again")
    status = read_status(place.out)
    assert "; it ended: the head no longer answers; start it again" in str(headline(status, place.out))
    elsewhere = Location("s3://", "KEY:SECRET@bucket/out")
    assert "SECRET" not in str(headline(status, elsewhere))
    alive(out)
    place.slots.write_text(json.dumps({"nodes": 2, "total": 4, "used": 3, "free": 1, "asked": 6}))
    status = read_status(place.out)
    assert status.slots == "slots for workers: 3 in use, 1 free, 6 asked for by this sweep; 2 nodes"
    assert not status.ended  # it goes on again
    assert not read_status(place.out, time.time() + 1000).slots  # old news
    place.slots.write_text('{"nodes": "x"')
    assert not read_status(place.out).slots


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    place, plan = Place(Location.of(tmp_path / "out")), made_up.plan_of()
    write_plan(place, plan, {"a": "none"})
    assert read_plan(place) == (written(plan), {"a": "none"})
    assert yaml.safe_load(place.plan.read_text())["resolved_weights"] == {"a": "none"}
    assert read_planned(place) is None
