"""What may stand on one axis or enter one mean: input rules, and versions of the measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.comparable import SUPERSEDED, merge_versions, same_input
from bench.store import SCHEMAS
from wsshm.metrics import CONVENTIONS


@pytest.mark.parametrize(
    ("protocol", "height", "width", "same"),
    [
        *[("short128", 128, 128, True), ("short128", 192, 128, True), ("short1080", 1080, 1920, True)],
        *[("short128", 512, 512, False), ("short512", 512, 256, False), ("short12", 128, 128, False)],
        *[("native", 128, 128, False), ("external", 128, 128, False), ("P3M RESIZE", 128, 128, False)],
    ],
)
def test_a_timing_is_of_a_protocol_where_its_shorter_side_is(
    protocol: str, height: int, width: int, same: bool
) -> None:
    assert same_input(protocol, height, width) is same


def scores(*rows: tuple[str, str, str, float, float], categories: bool = False) -> pd.DataFrame:
    """Rows of (run_id, dataset, metric_version, sad, conn), each of one image."""
    frame = pd.DataFrame(rows, columns=["run_id", "dataset", "metric_version", "sad", "conn"])
    frame = frame.assign(image="1", protocol="short128", convention="p3m", region="whole")
    texts = ["run_id", "dataset", "metric_version"]
    return frame.astype(dict.fromkeys(texts, "category")) if categories else frame


def listed(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    frame = frame.astype(object).where(frame.notna(), None)
    return list(frame[["run_id", "dataset", "metric_version", "sad", "conn"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("categories", [False, True])
def test_old_rows_are_compared_with_new_ones_in_all_but_what_changed(categories: bool) -> None:
    frame = scores(("a", "x", "p3m-1", 1.0, 5.0), ("b", "x", "p3m-2", 2.0, 6.0), categories=categories)
    [merged], notes = merge_versions(frame)
    assert listed(merged) == [("a", "x", "p3m-2", 1.0, None), ("b", "x", "p3m-2", 2.0, 6.0)]
    assert len(notes) == 1
    assert "Conn of 1 scores of metric version p3m-1" in notes[0]
    assert listed(frame)[0] == ("a", "x", "p3m-1", 1.0, 5.0)  # what was given stays as it was


@pytest.mark.parametrize("version", ["p3m-1", "p3m-2", "dim-1"])
def test_rows_of_one_version_stay_as_they_are(version: str) -> None:
    frame = scores(("a", "x", version, 1.0, 5.0), ("b", "x", version, 2.0, 6.0))
    assert merge_versions(frame) == ([frame], [])


def test_each_data_set_is_judged_by_itself() -> None:
    frame = scores(("a", "x", "p3m-1", 1.0, 5.0), ("a", "y", "p3m-1", 2.0, 6.0), ("b", "y", "p3m-2", 3.0, 7.0))
    [merged], _ = merge_versions(frame)
    assert listed(merged)[:2] == [("a", "x", "p3m-1", 1.0, 5.0), ("a", "y", "p3m-2", 2.0, None)]


def test_a_run_scored_by_both_versions_counts_once_by_the_newer() -> None:
    frame = scores(("a", "x", "p3m-2", 1.5, 6.0), ("a", "x", "p3m-1", 1.0, 5.0))
    [merged], _ = merge_versions(frame)
    assert listed(merged) == [("a", "x", "p3m-2", 1.5, 6.0)]


def test_two_stores_meet_in_the_newer_version() -> None:
    old, new = scores(("a", "x", "p3m-1", 1.0, 5.0)), scores(("b", "x", "p3m-2", 2.0, 6.0))
    [first, second], _ = merge_versions(old, new)
    assert listed(first) == [("a", "x", "p3m-2", 1.0, None)]
    assert listed(second) == listed(new)


def test_what_is_superseded_is_known_and_what_is_current_is_not_superseded() -> None:
    current = {convention.version for convention in CONVENTIONS.values()}
    assert not current & set(SUPERSEDED)
    for newer, changed in SUPERSEDED.values():
        assert newer in current
        assert set(changed) <= set(SCHEMAS["scores"].names)
        assert np.all([SCHEMAS["scores"].field(name).nullable for name in changed])
