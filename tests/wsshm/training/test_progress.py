"""What is told of a run while it trains: shares, notes, and files that are none of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsshm.files.location import Location
from wsshm.training.progress import ProgressFile, Told, Watched, Watcher


def test_a_note_reaches_who_watches_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By way of the file: what a worker's process logs, nobody may see."""
    place = Location.of(tmp_path / "run.json")
    file = ProgressFile(place, total=8.0, label="mlb")
    watched = Watched("mlb", place, 8.0)
    with Watcher({"run": watched}, "training"):
        file.tell("teacher", 2.0)
        file.say("a checkpoint was altered")
    assert caplog.text.count("a checkpoint was altered") == 1
    assert (watched.share, watched.stage) == (0.25, "teacher")
    with Watcher({"run": watched}, "training"):
        file.end("finished")
    assert caplog.text.count("a checkpoint was altered") == 1
    assert watched.share == 1.0


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "[" * 100_000, '{"stage": "x"}', '{"stage": "x", "done": 1, "total": 0, "over": false}'],
    ids=lambda content: content[:12],
)
def test_a_progress_file_that_is_none_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    place = Location.of(tmp_path / "run.json")
    assert Told.read(place) is None
    with Watcher({"run": (watched := Watched("mlb", place, 8.0))}, "training"):
        pass
    assert watched.share == 0.0
