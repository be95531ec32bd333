"""The code that documents and docstrings give for files of one's own does what they say."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

import bench.engines
import reports.sections
import wsshm.data.layouts
import wsshm.measures
from bench.engines import ENGINES
from bench.store import Store
from reports.page import build
from tests.extending.conftest import Add
from tests.reports.example_store import fill
from wsshm.data.check import check
from wsshm.data.importing import import_layout
from wsshm.data.pictures import write_png
from wsshm.measures import MEASURES

ROOT = Path(__file__).parents[2]


def block(text: str, word: str) -> str:
    """The fenced or indented code of a text that has a word."""
    fenced = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    indented = [textwrap.dedent(part) for part in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)]
    [found] = [code for code in fenced or indented if word in code]
    return found


MEASURE = {"README": (ROOT / "bench/README.md").read_text(), "docstring": str(wsshm.measures.__doc__)}
LAYOUT = {"README": (ROOT / "wsshm/data/README.md").read_text(), "docstring": str(wsshm.data.layouts.__doc__)}
SECTION = {"README": (ROOT / "reports/README.md").read_text(), "docstring": str(reports.sections.__doc__)}


@pytest.mark.parametrize("text", MEASURE.values(), ids=MEASURE)
def test_the_measure_of_a_document(add: Add, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(MEASURES):
        monkeypatch.setitem(MEASURES, name, MEASURES[name])  # what the code adds goes when the test ends
    file = add("bias", block(text, "bias"))
    exec(compile(file.read_text(), str(file), "exec"), {})
    measure = MEASURES.pop("bias")
    assert measure.value is not None
    everywhere, nowhere = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    assert measure.value(np.full((2, 2), 0.5), np.full((2, 2), 0.25), everywhere) == pytest.approx(0.0625)
    assert measure.value(np.zeros((2, 2)), np.zeros((2, 2)), nowhere) is None


@pytest.mark.slow
@pytest.mark.parametrize("text", SECTION.values(), ids=SECTION)
def test_the_section_of_a_document(add: Add, text: str, tmp_path: Path) -> None:
    fill(tmp_path / "store", seeds=(0,), images=4, budgets=((40, 1000),), methods=("seg_only", "mlb"))
    hours = Store(tmp_path / "store").read("runs")["train_s"].sum() / 3600
    add("hours", block(text, "hours"))
    assert f"All runs took {hours:.1f} hours." in build(tmp_path / "store", tmp_path / "report").read_text()


def test_the_engine_of_the_docstring(add: Add) -> None:
    add("traced", block(str(bench.engines.__doc__), "traced"))
    assert ENGINES.get("traced").compiles


@pytest.mark.parametrize("text", LAYOUT.values(), ids=LAYOUT)
def test_the_layout_of_a_document(add: Add, text: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), np.full((40, 30, 3), 90 if name == "a" else 200, np.uint8))
        write_png(
            tmp_path / f"{name}_alpha.png", cv2.circle(np.zeros((40, 30), np.uint8), (15, 20), 9, 255, -1, cv2.LINE_AA)
        )
    add("beside", block(text, "beside"))
    manifest = import_layout("beside", tmp_path, domain="natural")
    assert [sample.files for sample in manifest.samples] == [
        {"image": f"{name}.jpg", "matte": f"{name}_alpha.png"} for name in ("a", "b")
    ]
    assert check(manifest) == []
