"""A section of the page, and a box of its first screen, from outside the package: one file, no list touched."""

from __future__ import annotations

from pathlib import Path

from bench.store import Store
from reports import answers
from reports.page import build
from tests.extending.conftest import Add, example
from tests.reports.example_store import fill
from tests.reports.pages import Page

HOURS = '''
from reports.document import Section, Table, numbers, texts
from reports.sections import Given, PageSection, register

def section(given: Given) -> Section:
    """Hours of training by method."""
    hours = given.frames.runs.groupby("method")["train_s"].sum() / 3600
    result = Section("hours", "Hours of training", text=[f"All runs took {hours.sum():.2f} hours."])
    frame = hours.rename("hours").reset_index()
    result.blocks = [Table("hours", "Hours by method.", [texts("method"), numbers("hours", places=2)], frame)]
    return result

register(PageSection("hours", 125, section))
'''


def test_it_stands_at_its_place_with_its_table(add: Add, tmp_path: Path) -> None:
    add("hours", HOURS)
    fill(tmp_path / "store", seeds=(0,), images=4, budgets=((40, 1000),), methods=("seg_only", "mlb"))
    out = tmp_path / "report"
    page = Page(build(tmp_path / "store", out).read_text())
    order = [name for name in page.ids if name in ("failures", "hours", "published")]
    assert order == ["failures", "hours", "published"]
    hours = float(str(page.text).partition("All runs took ")[2].partition(" hours")[0])
    runs = Store(tmp_path / "store").read("runs")
    assert hours == round(runs["train_s"].sum() / 3600, 2)
    assert (out / "tables" / "hours.csv").is_file()


def test_a_further_question_has_a_box_beside_ours(add: Add, tmp_path: Path) -> None:
    add("hours", example(answers))
    fill(tmp_path / "store", seeds=(0,), images=4, budgets=((40, 1000),), methods=("seg_only", "mlb"))
    page = Page(build(tmp_path / "store", tmp_path / "report").read_text())
    boxes = [attributes["id"] for tag, attributes in page.tags if tag == "article"]
    assert boxes == ["answer-labels", "answer-blend", "answer-backbone", "answer-hours"]
    hours = Store(tmp_path / "store").read("runs")["train_s"].sum() / 3600
    assert f"How long did it take?\nAll runs took {hours:.1f} hours." in page.text
    assert "## In short" in (report := (tmp_path / "report" / "report.md").read_text())
    assert "### How long did it take?" in report
