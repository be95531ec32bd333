"""Where benchmarks write in tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.micro import training


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The one folder below which benchmarks may write; its path is short enough for Ray's sockets."""
    with TemporaryDirectory(prefix="m", dir="/tmp") as name:
        monkeypatch.setattr(training, "ROOT", Path(name))
        yield Path(name)
