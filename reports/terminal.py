"""The comparison of methods in a terminal."""

from __future__ import annotations

import rich.console
import rich.table
from rich.text import Text

from bench.cost import CostModel
from reports import tables
from reports.comparison import compare
from reports.document import Table
from reports.load import load
from wsshm.errors import UserError

STYLES = {"best": "bold", "better": "green", "worse": "red", "muted": "dim"}
WIDTH_OF_A_PIPE = 200  # columns where no terminal says how wide it is


def print_methods(store_root: str, cost: CostModel) -> None:
    """Print every budget's table of methods to stdout. Raises UserError where no finished run was scored."""
    frames = load(store_root)
    if frames.scores.empty:
        raise UserError(f"no finished run in {store_root} was scored; run: python -m sweeps run quickstart")
    console = rich.console.Console()
    if not console.is_terminal:
        console = rich.console.Console(width=WIDTH_OF_A_PIPE)
    for comparison in compare(frames, cost):
        for budget in comparison.budgets:
            console.print(rendered(tables.methods(comparison, budget, cost)))


def rendered(table: Table) -> rich.table.Table:
    """A table of the report as rich shows it; intervals stay out, for want of room."""
    result = rich.table.Table(
        title=Text(table.caption.partition(":")[0]), title_justify="left", box=rich.box.SIMPLE_HEAD
    )
    for column in table.columns:
        header = (
            "\n".join((column.group.partition(" ")[0], column.header, column.unit)) if table.groups() else column.title
        )
        result.add_column(Text(header), justify="right" if column.numeric else "left", no_wrap=not column.numeric)
    for row in table.rows:
        result.add_row(*(Text(cell.text, style=STYLES.get(cell.tone, "")) for cell in row))
    return result
