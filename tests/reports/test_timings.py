"""Frame rates and errors stand together only where both are of one input; what is apart is said with what to type."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports import timings
from reports.comparison import compare
from reports.document import Picture
from reports.figures import speed
from reports.leaderboard import boards, table
from reports.load import load
from reports.sections import backbones
from tests.reports.example_store import BACKBONE, TIMED_ONLY, fill, speed_rows
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
