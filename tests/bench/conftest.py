from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.__main__ import main
from tests.bench.prediction_folders import Said


@pytest.fixture
def evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs the command on tmp_path's folders `predictions` and `labels`, or others that are given."""

    def run(*options: object, predictions: str = "predictions", labels: str = "labels") -> Said:
        folders = ["--predictions", tmp_path / predictions, "--labels", tmp_path / labels]
        monkeypatch.setattr(sys, "argv", ["bench", "evaluate", *map(str, [*folders, *options])])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return run
