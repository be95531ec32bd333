"""CONFIG.md and PLANS.md: every key of a run and of a plan as a page, printed by commands and committed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import Field
from typer.testing import CliRunner

from sweeps.door import app
from sweeps.plan import BudgetGrid, Plan, SchedulerPlan
from tests.wsshm.test_keys import fields
from wsshm.config import RunConfig, Section
from wsshm.errors import UserError
from wsshm.key_page import page
from wsshm.methods import METHODS
from wsshm.models import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"wsshm/CONFIG.md": ["config", "--format", "markdown"], "sweeps/PLANS.md": ["sweep", "keys"]}


def printed(*command: str) -> str:
    """What a command prints."""
    return CliRunner().invoke(app, command, catch_exceptions=False).output


def cells(text: str) -> dict[str, list[str]]:
    """The rows of a page's tables by their first cell, which is code."""
    rows = [re.split(r" ?(?<!\\)\| ?", line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_the_command_prints(name: str) -> None:
    written = (ROOT / name).read_text()
    assert written == printed(*PAGES[name]), f"{name} is not up to date: wsshm {' '.join(PAGES[name])} > {name}"


def test_every_key_of_a_run_has_a_row() -> None:
    rows = cells(printed("config", "--format", "markdown"))
    for key, _ in fields(RunConfig):
        assert key in rows
    assert rows["train.batch"] == ["`16`", "whole number, 1 to 65,536", "Samples of a step, over all workers."]
    assert rows["data.root"][:2] == ["`null`", "text or null"]


def test_every_key_of_a_plan_has_a_row() -> None:
    text = printed("sweep", "keys")
    rows = cells(text)
    for key, _ in fields(Plan):
        assert key.startswith("base.") or key in rows
    assert rows["name"]
    for inner in (BudgetGrid, SchedulerPlan):
        assert set(inner.model_fields) <= set(rows)
    assert text.index("## In budgets") < text.index("`mattes`")


def test_options_say_whose_they_are() -> None:
    text = printed("config", "--format", "markdown")
    for entry in [*METHODS.entries(), *ARCHITECTURES.entries()]:
        for option in entry.options.model_fields if entry.options else ():
            assert f"| `{entry.name}` | `{option}` |" in text


def test_no_text_breaks_a_table() -> None:
    class Odd(Section):
        """Odd."""

        either: str = "a|b"
        """One of `a|b`, a|b, <c> or *d*."""
        needed: int = Field(ge=2)
        """Given."""

    rows = cells(page("# odd", Odd))
    assert rows["either"] == [r"`a\|b`", "text", r"One of `a\|b`, a\|b, &lt;c&gt; or \*d\*."]
    assert rows["needed"] == ["(must be given)", "whole number, 2 or more", "Given."]


def test_an_unknown_format_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="there is no format 'mardown'; the nearest valid choice is 'markdown'"):
        printed("config", "--format", "mardown")
