"""What commands print while they work."""

from __future__ import annotations

import itertools

import pytest

from wsshm import console
from wsshm.__main__ import main


def test_the_time_left_is_told_once_it_is_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clock = itertools.chain([0.0], itertools.count(20.0, 2.0))  # 20 s of start-up, then 2 s an item
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    assert list(console.track(range(9), 9, "drawing")) == list(range(9))
    assert capsys.readouterr().err.splitlines() == [
        "drawing: 1/9",
        "drawing: 4/9, about 10 s left",
        "drawing: 7/9, about 4 s left",
    ]


def test_a_unit_is_counted_by_the_second_and_a_total_may_be_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def said(total: int | None) -> list[str]:
        clock = itertools.chain([0.0], itertools.count(20.0, 2.0))
        monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
        list(console.track(range(7), total, "matting", unit="frames"))
        return capsys.readouterr().err.splitlines()

    assert said(7) == [
        "matting: 1/7 frames",
        "matting: 4/7 frames, 0.5 frames/s, about 6 s left",
        "matting: 7/7 frames, 0.5 frames/s, about 0 s left",
    ]
    assert said(None)[1:] == ["matting: 4 frames, 0.5 frames/s", "matting: 7 frames, 0.5 frames/s"]
    assert said(5)[1:] == ["matting: 4/5 frames, 0.5 frames/s, about 2 s left", "matting: 7/5 frames, 0.5 frames/s"]


@pytest.mark.parametrize("words", [["data", "check"], ["sweep", "run"]])
def test_paragraphs_of_a_help_fill_80_columns(monkeypatch, capsys, words):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["wsshm", *words, "--help"])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().out.partition("Example:")[0].splitlines()
    for line, following in itertools.pairwise(lines):
        word, filled = following.split(), line.rstrip()
        assert not filled or not word or len(filled) + len(word[0]) + 1 > 78, line
