"""What a test adds from outside is gone when it ends."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from bench.engines import ENGINES
from reports.answers import QUESTIONS
from reports.sections import SECTIONS
from wsshm import methods, models, plugins
from wsshm.data.layouts import LAYOUTS
from wsshm.methods.stage import LABELS
from wsshm.models import trial

Add = Callable[[str, str], Path]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Writes a file NAME.py with a text, as a user would, and names it in WSSHM_PLUGINS beside those before it."""
    for registry in (methods.METHODS, LABELS, models.ARCHITECTURES, LAYOUTS, ENGINES, QUESTIONS, SECTIONS):
        registry.entries()  # ours are imported once, and stay
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for tried in (trial._checked, trial._on_meta):  # by name, which another test may have given another network
        tried.cache_clear()
    monkeypatch.setattr(plugins, "_imported", set())
    monkeypatch.delenv(plugins.VARIABLE, raising=False)

    def write(name: str, text: str) -> Path:
        file = tmp_path / "mine" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        monkeypatch.setenv(plugins.VARIABLE, ",".join([*plugins.named(), str(file)]))
        return file

    return write


def example(module: ModuleType) -> str:
    """The code that a module's docstring gives, without the command that follows it."""
    assert module.__doc__
    lines = [line for line in module.__doc__.splitlines() if line.startswith("    ") or not line]
    return textwrap.dedent("\n".join(line for line in lines if "WSSHM_PLUGINS=" not in line))
