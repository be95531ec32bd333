"""Frame rates and errors stand together only where both are of one input; what is apart is said with what to type."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports import printed, timings
from reports.comparison import compare
from reports.document import Picture
from reports.figures import speed
from reports.leaderboard import boards, table
from reports.load import load
from reports.sections import backbones
from reports.shipping import advice
from tests.reports.example_store import BACKBONE, TIMED_ONLY, fill, run_row, score_rows, speed_rows
from tests.reports.test_summary import said


@pytest.fixture(scope="module")
def scored_elsewhere(tmp_path_factory) -> str:
    """Errors of `short128`, but every rate at 640x512."""
    root = tmp_path_factory.mktemp("apart")
    store = fill(root / "with", images=4, seeds=(0,), methods=("mlb", "joint"), budgets=((40, 1000),), failed=False)
    apart = Store(root / "store")
    for name in ("runs", "scores"):
        apart.write(name, store.read(name).astype(object).where(lambda f: f.notna(), None).to_dict("records"))
    apart.write("speed", [row | {"height": 512, "width": 640} for row in speed_rows(np.random.default_rng(0))])
    return str(apart.root)


@pytest.mark.parametrize(
    ("protocol", "height", "width", "same"),
    [
        ("short128", 128, 128, True),
        ("short128", 128, 512, True),
        ("short128", 512, 128, True),
        ("short128", 512, 512, False),
        ("native", 512, 512, False),
        ("external", 128, 128, False),
        ("short512", 1080, 1920, False),
    ],
)
def test_a_rate_matches_a_protocol_by_its_shorter_side(protocol, height, width, same):
    assert timings.matches(pd.DataFrame({"height": [height], "width": [width]}), protocol) == [same]


def test_rates_of_another_size_get_no_error(scored_elsewhere):
    frames = load(scored_elsewhere)
    frame = speed.data(compare(frames, CostModel()), frames.speed)
    assert set(frame["kind"]) == {"apart", "timed"}
    assert set(frame.loc[frame["kind"] == "apart", "backbone"]) == {BACKBONE}
    assert set(frame.loc[frame["kind"] == "timed", "backbone"]) == {TIMED_ONLY}
    assert frame[["mean", "low", "high"]].isna().all(axis=None)
    drawn = speed.draw(frame)
    assert not any("SAD" in axes.get_ylabel() for axes in drawn.axes)
    section = backbones.section(frames, compare(frames, CostModel()), 30)
    assert "Which network to ship at 30 frames per second cannot be said" in section.text[-1]


def test_an_error_is_of_the_engine_that_was_timed_where_all_pictures_were_scored_in_it(tmp_path):
    store = fill(tmp_path, images=4, seeds=(0,), methods=("mlb", "joint"), budgets=((40, 1000),), failed=False)
    timed = [row for row in speed_rows(np.random.default_rng(0)) if row["status"] == "ok" and row["batch"] == 1]
    store.write("speed", [row | {"engine": "openvino", "precision": "int8"} for row in timed])
    usual = store.read("scores").astype(object).where(lambda f: f.notna(), None).to_dict("records")

    def errors() -> tuple[pd.Series, str]:
        frames = load(tmp_path)
        comparisons = compare(frames, CostModel())
        frame = speed.data(comparisons, frames.speed, frames.executed)
        section = backbones.section(frames, comparisons)
        captions = [block.caption for block in section.blocks if isinstance(block, Picture)]
        frame = frame[(frame["kind"] == "trained") & (frame["engine"] == "openvino")]
        return frame.iloc[0], captions[0]

    eager, caption = errors()
    assert eager["error_of"] == "eager, fp32"
    assert "Errors are of eager PyTorch in fp32;" in caption
    executed = [
        row | {"engine": "openvino", "precision": "int8", "sad": row["sad"] and row["sad"] * 2} for row in usual
    ]
    store.write("scores", [row for row in executed if row["image"] != "test-0000"])
    part, _ = errors()
    assert (part["error_of"], part["mean"]) == ("eager, fp32", eager["mean"])  # not over the same pictures
    store.write("scores", executed)
    own, caption = errors()
    assert own["error_of"] == "openvino, int8"
    assert own["mean"] == pytest.approx(2 * eager["mean"])
    assert "but for 2 dots whose network was scored as it was timed" in caption


def test_a_ranking_has_rates_of_what_its_errors_are_of(two_networks, tmp_path):
    frames = load(executed(two_networks, tmp_path, ENGINES, SPEED_UP))
    [board] = {board.condition for board in boards(frames, CostModel())}
    assert "eager, fp32" in board


def test_the_summary_names_the_fastest_way_of_execution(two_networks, tmp_path):
    ways = {name: ENGINES[name] for name in ("eager", "openvino")}
    [line] = [line for line in said(executed(two_networks, tmp_path, ways, SPEED_UP)) if "is the fastest of 2" in line]
    assert line.count("openvino, fp32, nchw") == 2  # scopes
    assert "eager" not in line


def test_the_printed_setting_is_one_that_was_timed(two_networks, tmp_path):
    """Not the layout of two engines with the name of a third."""
    frames = load(executed(two_networks, tmp_path, ENGINES, SPEED_UP))
    [command] = printed.timing(frames, [{"architecture": "unet", "backbone": BACKBONE}], 128)
    assert command == f"wsshm bench speed --models {BACKBONE} --sizes 128 --threads 2 --store {frames.root}"
    speed_of = frames.speed.assign(layout="nchw", engine="openvino", precision="int8")
    [command] = printed.timing(replace(frames, speed=speed_of), [{"architecture": "unet", "backbone": BACKBONE}], 128)
    assert "--precisions int8 --engines openvino --layout nchw" in command


def test_what_is_apart_is_said_with_the_command_that_times_it(scored_elsewhere):
    frames = load(scored_elsewhere)
    section = backbones.section(frames, compare(frames, CostModel()))
    *_, text = section.text
    assert "Rates at 640×512 are not on one axis with errors" in text
    assert "protocol short128" in text
    [command] = re.findall("`([^`]*)`", text)
    assert command == f"wsshm bench speed --models {BACKBONE} --sizes 128 --threads 2 --store {scored_elsewhere}"
    [picture] = [block for block in section.blocks if isinstance(block, Picture)]
    assert "rates alone" in picture.caption
    told = [line for line in said(scored_elsewhere) if "Rates at" in line]
    assert told == [
        "Rates at 640×512 do not belong to the errors above, which were measured at protocol short128: see Backbones."
    ]


def test_a_ranking_has_rates_of_the_scored_input_alone(scored_elsewhere, tmp_path):
    [board] = boards(load(scored_elsewhere), CostModel())
    assert board.frame["fps"].isna().all()
    assert (board.frame["params"] == 4_200_000).all()
    caption = table(board, None, CostModel()).caption
    assert "No FPS: timed at 640×512, not at the input that was scored (protocol short128)." in caption
    both = Store(scored_elsewhere)
    own = Store(tmp_path)
    for name in ("runs", "scores"):
        own.write(name, both.read(name).astype(object).where(lambda f: f.notna(), None).to_dict("records"))
    rows = speed_rows(np.random.default_rng(0))
    faster = [row | {"height": 64, "width": 64, "p50_ms": 1.0, "fps": 1000.0} for row in rows if row["fps"]]
    own.write("speed", [*rows, *faster])
    [board] = boards(load(tmp_path), CostModel())
    [rate] = [
        row["fps"]
        for row in rows
        if (row["backbone"], row["batch"], row["scope"]) == (BACKBONE, 1, "model") and row["fps"]
    ]
    assert board.frame["fps"].to_numpy() == pytest.approx(rate)
    frames = load(tmp_path)
    frame = speed.data(compare(frames, CostModel()), frames.speed)
    assert set(frame.loc[frame["kind"] == "trained", "panel"].str[-7:]) == {"128×128"}
    assert frame["panel"].iloc[0].endswith("128×128")  # what was scored comes first


@pytest.fixture(scope="module")
def two_networks(tmp_path_factory) -> Store:
    """One method, by two networks."""
    store = Store(tmp_path_factory.mktemp("networks"))
    for backbone, level in ((BACKBONE, 1.0), (TIMED_ONLY, 1.5)):
        row = run_row("mlb", 40, 1000, 0)
        row |= {"run_id": backbone, "backbone": backbone}
        store.write("runs", [row])
        store.write("scores", score_rows(backbone, level, np.linspace(0.5, 1.5, 40), np.random.default_rng(0)))
    return store


def executed(store, root, changes: dict[str, dict], scale: dict[str, float]) -> str:
    """A store whose networks were timed by further engines, each `scale` times as fast."""
    own = Store(root)
    for name in ("runs", "scores"):
        own.write(name, store.read(name).astype(object).where(lambda f: f.notna(), None).to_dict("records"))
    rows = [row for row in speed_rows(np.random.default_rng(0)) if row["status"] == "ok" and row["batch"] == 1]
    times = ("p50_ms", "median_low_ms", "median_high_ms")
    for name, change in changes.items():
        faster = [row | {key: row[key] / scale[name] for key in times} | change for row in rows]
        own.write("speed", [row | {"fps": 1000 / row["p50_ms"]} for row in faster])
    return str(own.root)


ENGINES = {
    "eager": {},
    "openvino": {"engine": "openvino", "layout": "nchw"},
    "int8": {"engine": "openvino", "layout": "nchw", "precision": "int8"},
}
SPEED_UP = {"eager": 1.0, "openvino": 3.0, "int8": 5.0}


def test_ways_of_execution_stand_in_one_panel_with_one_front(two_networks, tmp_path):
    ways = {name: ENGINES[name] for name in ("eager", "openvino")}
    frames = load(executed(two_networks, tmp_path, ways, SPEED_UP))
    frame = speed.data(compare(frames, CostModel()), frames.speed)
    assert frame["panel"].nunique() == 2  # scopes alone
    for _, part in frame.groupby("panel"):
        assert len(part) == 4
        assert set(part["name"]) == {f"{name} ({way})" for name in (BACKBONE, TIMED_ONLY) for way in ways}
        assert set(part.loc[part["fastest"], "engine"]) == {"openvino"}
        assert set(part.loc[part["on_front"].astype(bool), "engine"]) == {"openvino"}
    section = backbones.section(frames, compare(frames, CostModel()))
    [picture] = [block for block in section.blocks if isinstance(block, Picture)]
    assert "Rings: slower ways of execution" in picture.caption


def test_precisions_stand_for_themselves(two_networks, tmp_path):
    frames = load(executed(two_networks, tmp_path, ENGINES, SPEED_UP))
    frame = speed.data(compare(frames, CostModel()), frames.speed)
    fastest = frame[frame["fastest"] & (frame["scope"] == "end to end")]
    names = {f"{name} (openvino, {precision})" for name in (BACKBONE, TIMED_ONLY) for precision in ("fp32", "int8")}
    assert set(fastest["name"]) == names


def row(network: str, fps: float, mean: float, **more: object) -> dict:
    known = {
        "kind": "trained",
        "network": network,
        "name": f"{network} (openvino)",
        "scope": "end to end",
        "panel": "CPU",
    }
    known |= {"fps": fps, "fps_low": fps - 1, "fps_high": fps + 1, "mean": mean, "engine": "openvino"}
    known |= {"low": mean - 0.1, "high": mean + 0.1, "precision": "fp32", "error_of": "openvino, fp32"}
    return known | more


def test_what_to_ship_is_said_for_a_rate_and_without_one():
    frame = pd.DataFrame(
        [
            row("slow", 12.6, 1.0),
            row("middling", 40.0, 2.0),
            row("near", 50.0, 2.15),
            row("fast", 99.0, 3.0),
            row("beaten", 20.0, 4.0),
            row("slow", 900.0, 1.0, scope="model only", panel="the network alone"),
        ]
    )
    assert advice(frame) == [
        "which of 5 networks to ship depends on the rate to be held (CPU): up to 11 frames per second slow (openvino) "
        "(SAD 1.00), up to 39 frames per second middling (openvino) (SAD 2.00), up to 49 frames per second near (openvino) "
        "(SAD 2.15) and up to 98 frames per second fast (openvino) (SAD 3.00)."
    ]
    assert advice(frame, 30) == [
        "to hold 30 frames per second (CPU), ship middling (openvino): it has the lowest SAD of the 3 networks that do so "
        "(2.00 thousand pixels, 1.90 to 2.10), at 40.0 frames per second; the interval of near (openvino) (SAD 2.15, 50.0 "
        "frames per second) overlaps with its own; slow (openvino) (SAD 1.00, 12.6 frames per second) has a lower SAD but is "
        "too slow."
    ]
    assert advice(frame, 98.5) == [
        "no trained network holds 98.5 frames per second (CPU): the fastest is fast (openvino) (SAD 3.00, 99.0 frames per "
        "second)."
    ]
    assert advice(frame, 60) == [
        "to hold 60 frames per second (CPU), ship fast (openvino): it is the only one of 5 networks that does so (SAD 3.00 "
        "thousand pixels, 2.90 to 3.10), at 99.0 frames per second; slow (openvino) (SAD 1.00, 12.6 frames per second) has a "
        "lower SAD but is too slow."
    ]
    assert advice(frame[frame["network"] == "slow"]) == []


def test_equals_and_errors_that_are_not_known_are_no_stumbling_block():
    equal = pd.DataFrame([row("a", 40.0, 2.0), row("b", 40.0, 2.0), row("c", 90.0, float("nan"))])
    assert advice(equal) == ["of 2 networks, a (openvino) is the fastest and has the lowest SAD (CPU)."]
    assert advice(equal, 30)[0].startswith(
        "to hold 30 frames per second (CPU), ship a (openvino): it has the lowest SAD of"
    )
    assert advice(equal.assign(mean=np.nan)) == advice(equal.assign(mean=np.nan), 30) == []


def test_what_to_ship_goes_by_the_rate_that_is_held():
    wide = pd.DataFrame([row("exact", 40.0, 1.0), row("wide", 60.0, 2.0, fps_low=20.0), row("fast", 90.0, 3.0)])
    [said] = advice(wide)
    assert "up to 39 frames per second exact (openvino) (SAD 1.00) and up to 89 frames per second fast" in said
    # Of two engines the one with the narrower interval holds the rate, though the other is faster.
    other = row("exact", 45.0, 1.0, name="exact (compile)", engine="compile", fps_low=25.0)
    assert "ship exact (openvino)" in advice(pd.DataFrame([*wide.to_dict("records"), other]), 30)[0]


def test_an_error_of_another_precision_than_was_timed_is_called_so():
    quick = {"precision": "int8", "error_of": "eager, fp32", "name": "a (int8)"}
    frame = pd.DataFrame([row("a", 20.0, 1.0), row("a", 60.0, 1.0, **quick), row("b", 30.0, 2.0)])
    assert advice(frame, 50)[0].endswith("at 60.0 frames per second; SAD was measured in fp32, not in int8.")
    assert advice(frame) == [
        "of 2 networks, a (int8) is the fastest and has the lowest SAD (CPU); SAD was measured in fp32, not in int8."
    ]
    frame.loc[1, ["error_of", "mean"]] = "openvino, int8", 1.5
    assert advice(frame) == [
        "of 2 networks, a is the best at any rate (CPU): up to 19 frames per second a (openvino) (SAD 1.00) and up to 59 "
        "frames per second a (int8) (SAD 1.50)."
    ]


def test_what_holds_the_rate_is_marked(two_networks, tmp_path):
    frames = load(executed(two_networks, tmp_path, {name: ENGINES[name] for name in ("eager", "openvino")}, SPEED_UP))
    section = backbones.section(frames, compare(frames, CostModel()), 40)
    table = next(block for block in section.blocks if block.name == "backbones")
    place = [column.title for column in table.columns].index("holds 40 FPS")
    assert {row[0].text: row[place].text for row in table.rows} == {BACKBONE: "by openvino", TIMED_ONLY: "by openvino"}
    assert any("o hold 40 frames per second" in line for line in section.text)
    [picture] = [block for block in section.blocks if isinstance(block, Picture)]
    assert "Dashed: 40 FPS" in picture.caption
    slow = backbones.section(frames, compare(frames, CostModel()), 4000)
    table = next(block for block in slow.blocks if block.name == "backbones")
    assert {row[place].text for row in table.rows} == {"no"}
