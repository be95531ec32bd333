"""Tables in a terminal, in Markdown and as CSV; and what the commands are asked in."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import rich.console

from bench.cost import CostModel
from reports import amounts, terminal
from reports.comparison import Budget
from reports.document import Cell, Column, Table
from tests.reports.commands import mistake
from wsshm.errors import UserError

MONEY, TIME = CostModel.parse("matte=23EUR,mask=2EUR"), CostModel()


def table(name: str = "t") -> Table:
    columns = [
        Column("what it is called", lambda row: row[0]),
        Column("SAD", lambda row: row[1], True, "10³ px"),
        Column("seen", lambda row: row[2]),
    ]
    rows = [
        ("a name of several words <i>", Cell("1,234.567", "1,200 to 1,300"), Cell("better", tone="better")),
        ("b", "−0.5", ""),
    ]
    frame = pd.DataFrame({"name": ["a", "b"], "sad": [1234.567, -0.5]})
    return Table(name, "about <b>it</b>.", columns, frame, rows, title="Title")


def printed(width: int | None, notes: bool = False) -> str:
    text = io.StringIO()
    console = rich.console.Console(file=text, force_terminal=True, color_system=None)
    terminal._print(console, table(), width, notes, *terminal._abouts([table()], notes))
    return text.getvalue()


def test_columns_are_aligned_and_numbers_whole_however_narrow_the_terminal_is() -> None:
    wide = [line for line in printed(None).splitlines() if line.strip()]
    assert wide[0] == "Title"
    ends = {line.index(text) + len(text) for line, text in ((wide[3], "1,234.567"), (wide[4], "−0.5"))}
    assert len(ends) == 1
    assert "Intervals are left out" in wide[-1]
    assert printed(None, notes=True).rstrip().endswith("About <b>it</b>.")
    for width in (60, 30, 10):
        narrow = printed(width)
        assert "1,234.567" in narrow
        assert "better" in narrow  # the last column is there, too
        assert "…" not in narrow
        assert "a name of" in narrow
    assert "1,200 to 1,300" in printed(100, notes=True)
    assert "1,200 to 1,300" not in printed(100)


def test_formats(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    terminal.show([table()], "markdown")
    text = capsys.readouterr().out
    assert "| what it is called | SAD (10³ px) | seen |" in text
    assert "(1,200 to 1,300)" in text
    assert "about &lt;b&gt;it" in text
    terminal.show([table()], "csv")
    assert capsys.readouterr().out == "name,sad\na,1234.567\nb,-0.5\n"
    terminal.show([table(), table("u")], "csv")
    assert capsys.readouterr().out.splitlines()[-1] == "b,-0.5,u"
    terminal.show([table(), table("u")])
    assert capsys.readouterr().out.count("Intervals are left out") == 1  # and not below each
    terminal.show([table()], out=tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table().frame)
    terminal.show([table()], out=tmp_path / "t.txt")
    terminal.show([table()])
    assert (tmp_path / "t.txt").read_text() == capsys.readouterr().out
    with pytest.raises(UserError, match=r"t.csv says csv, --format markdown"):
        terminal.show([table()], "markdown", tmp_path / "t.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet", "t.txt"]


@pytest.mark.parametrize(
    ("text", "cost", "amount"),
    [
        ("5000", MONEY, 5000),
        ("5,000", TIME, 5000),
        ("5000EUR", MONEY, 5000),
        ("1_000.5 EUR", MONEY, 1000.5),
        ("30h", TIME, 108_000),
        ("90min", TIME, 5400),
        ("1e4s", TIME, 10_000),
    ],
)
def test_a_budget_is_in_the_unit_of_the_prices(text: str, cost: CostModel, amount: float) -> None:
    assert amounts.budget(text, cost) == amount


@pytest.mark.parametrize(
    ("text", "cost", "named"),
    [
        ("5000EUR", TIME, "priced in time; --cost"),
        ("30h", MONEY, "give it in EUR"),
        ("5000USD", MONEY, "give it in EUR"),
        ("-5", MONEY, "no positive amount"),
        ("0", MONEY, "no positive amount"),
        ("much", MONEY, "no positive amount"),
    ],
)
def test_another_budget_is_refused(text: str, cost: CostModel, named: str) -> None:
    with pytest.raises(UserError, match=named):
        amounts.budget(text, cost)


def test_ratios_and_labels_that_are_there() -> None:
    assert amounts.ratios("5, 10,20.5") == [5, 10, 20.5]
    assert amounts.owned("mattes=40,masks=1000") == Budget(40, 1000)
    assert amounts.owned("masks=7") == amounts.owned("masks.polygon=7") == Budget(0, 7)
    assert amounts.owned("masks.fine=100, mattes=4, masks=10") == Budget(4, 110, "polygon=10,fine=100")
    assert amounts.most_masks("2000") == amounts.most_masks("polygon=2000") == {"polygon": 2000}
    assert amounts.most_masks("polygon=0,fine=300") == {"polygon": 0, "fine": 300}
    for text in ("5,x", "0", "inf"):
        with pytest.raises(UserError, match="no positive number"):
            amounts.ratios(text)
    for text, named in (("mates=4", "'mattes'"), ("masks=-4", "no whole number"), ("masks", "no whole number")):
        with pytest.raises(UserError, match=named):
            amounts.owned(text)


def test_mistakes_of_plan_budget_exit_with_2(tmp_path) -> None:
    assert "priced in time" in mistake("plan-budget", tmp_path, "--budget", "5000EUR")
    assert "does not exist" in mistake("plan-budget", tmp_path / "none", "--budget", "30h")
