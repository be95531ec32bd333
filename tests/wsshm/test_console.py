"""What commands print while they work."""

from __future__ import annotations

import itertools

import pytest

from wsshm import console


def test_the_time_left_is_told_once_it_is_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clock = itertools.chain([0.0], itertools.count(20.0, 2.0))  # 20 s of start-up, then 2 s an item
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    assert list(console.track(range(9), 9, "drawing")) == list(range(9))
    assert capsys.readouterr().err.splitlines() == [
        "drawing: 1/9",
        "drawing: 4/9, about 10 s left",
        "drawing: 7/9, about 4 s left",
    ]
