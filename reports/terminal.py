"""Tables of the report in a terminal, in Markdown and as CSV: to stdout or into a file."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import rich.console
import rich.measure
import rich.table
from rich.text import Text

from bench.cost import CostModel
from reports import tables
from reports.comparison import scored
from reports.document import Table
from reports.load import load
from reports.measures import RegionalMeasure
from wsshm.errors import UserError, nearest, printable
from wsshm.files.tables import csv_text
from wsshm.files.whole import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = {"best": "bold", "better": "green", "worse": "red", "muted": "dim"}
FORMATS = ("terminal", "markdown", "csv")
PICTURES = (".png", ".svg", ".pdf")
SUFFIXES = {".md": "markdown", ".csv": "csv", ".txt": "terminal", ".parquet": "parquet"}
HIDDEN = "Intervals are left out for lack of space: use --format markdown, or select fewer measures."
OF_STYLE = re.compile(r"Bold:[^.]*\.")  # a sentence about what plain text cannot show
FEW = 4  # measures whose intervals fit beside one another
NARROWEST = 16  # characters that a column of words keeps on a narrow terminal


def show(made: list[Table], format: str | None = None, out: Path | None = None, notes: bool = False) -> None:
    """Print tables, or write them to `out`, whose ending says the format where none is given.

    With `notes`, and where it is wide enough, a terminal shows the second line of each cell (intervals) too; Markdown
    always does, CSV and Parquet hold the unrounded values. Raises UserError for an unknown format, and if
    `out` cannot be written.
    """
    kind = format_of(format, out)
    console = rich.console.Console()
    if out is None and kind == "terminal" and console.is_terminal:
        notes = notes or all(_needs(console, rendered(table, True)).maximum <= console.width for table in made)
        for table, about in zip(made, _abouts(made, notes), strict=True):
            _print(console, table, console.width, notes, about)
    elif out is None:
        print(_content(made, kind, notes).decode(), end="")
    else:
        _write(out, _content(made, kind, notes))


def methods(store_root: str, measures: list[RegionalMeasure], cost: CostModel) -> list[Table]:
    """Every budget's table of methods, with these measures. Raises UserError where no finished run was scored."""
    names = {measure.name for measure in measures}
    made = []
    for comparison in scored(load(store_root), cost):
        kept = comparison.cells[comparison.cells["measure"].isin(names)]
        if len(kept):
            chosen = replace(comparison, cells=kept)
            for budget in chosen.budgets:
                table = tables.methods(chosen, budget, cost)
                made.append(replace(table, about=table.about + tables.variants(comparison, [budget])))
    if not made:
        raise UserError(f"no finished run in {store_root} has a value of {', '.join(sorted(names))}")
    return made


def picture(draw: Callable[[], Figure], out: Path) -> None:
    """Draw a figure into `out`. Raises UserError where its ending is not a picture's, or it cannot be written."""
    if out.suffix.lower() not in PICTURES:
        raise UserError(f"--figure {out} does not say what to draw; end it in {', '.join(PICTURES)}")
    from reports.figures.style import png_svg_pdf, theme

    with theme():
        drawn = draw()
    _write(out, png_svg_pdf(drawn)[out.suffix.lower()], "--figure")


def width(table: Table) -> int:
    """How many characters wide a terminal must be for a table with its second lines."""
    return _needs(rich.console.Console(), rendered(table, True)).maximum


def rendered(table: Table, notes: bool = False) -> rich.table.Table:
    """A table of the report as rich shows it; without `notes` intervals stay out, for want of room."""
    result = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    shown = [
        ["\n".join(printable(text) for text in (cell.text, cell.note if notes else "") if text) for cell in row]
        for row in table.rows
    ]
    for place, column in enumerate(table.columns):
        parts = (column.group.partition(" ")[0], column.header, column.unit) if table.groups() else (column.title,)
        header = printable("\n".join(parts), keep="\n")
        longest = max(len(line) for text in (header, *(row[place] for row in shown)) for line in text.split("\n"))
        result.add_column(
            Text(header),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            overflow="fold",
            min_width=longest if column.numeric else min(longest, NARROWEST),
        )
    for texts, row in zip(shown, table.rows, strict=True):
        result.add_row(*(Text(text, style=STYLES.get(cell.tone, "")) for text, cell in zip(texts, row, strict=True)))
    return result


def _abouts(made: list[Table], notes: bool) -> list[str]:
    """What stands below each table; what holds for the next one as well is said there."""
    said = []
    for table in made:
        hides = not notes and any(cell.note for row in table.rows for cell in row)
        said.append(HIDDEN if hides else table.about if table.title else "")
    return ["" if text == following else text for text, following in zip(said, [*said[1:], None], strict=True)]


def _print(console: rich.console.Console, table: Table, width: int | None, notes: bool, about: str) -> None:
    """With a `width` words are wrapped to it, but no number is cut off: the terminal's own wrapping is the lesser evil."""
    drawn = rendered(table, notes)
    needs = _needs(console, drawn)
    console.print(Text(printable(table.title or table.about), style="italic"), soft_wrap=True)
    console.width = needs.maximum if width is None else max(width, needs.minimum)
    console.print(drawn)
    if about:
        console.width = width or console.width
        console.print(Text(printable(about[0].upper() + about[1:]), style="dim"), soft_wrap=width is None)
        console.print()


def _needs(console: rich.console.Console, drawn: rich.table.Table) -> rich.measure.Measurement:
    return rich.measure.Measurement.get(console, console.options.update(max_width=10_000), drawn)


def format_of(format: str | None, out: Path | None = None) -> str:
    """The format that is asked for, by name or by a file's ending. Raises UserError for an unknown one."""
    if format is not None and format not in FORMATS:
        raise UserError(f"there is no format {format!r}; {nearest(format, FORMATS)}")
    if out is None:
        return format or "terminal"
    if format is None and out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out} does not say what to write; end it in {', '.join(SUFFIXES)}, or give --format")
    kind = SUFFIXES.get(out.suffix.lower())
    if format is not None and kind not in (None, format):
        raise UserError(f"--out {out} says {kind}, --format {format}; leave out --format, or end the file otherwise")
    return format or str(kind)


def _content(made: list[Table], kind: str, notes: bool) -> bytes:
    if kind == "markdown":
        from reports.write import markdown_table  # brings matplotlib

        parts = [f"{markdown_table(table)}\n\n{html.escape(table.caption, quote=False)}\n" for table in made]
        return "\n".join(parts).encode()
    if kind in ("csv", "parquet"):
        named = len(made) > 1
        frames = [table.frame.assign(table=table.name) if named else table.frame for table in made]
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        if kind == "parquet":
            return frame.to_parquet(index=False)
        return csv_text(frame).encode()
    text = io.StringIO()
    for table, about in zip(made, _abouts(made, notes), strict=True):
        _print(rich.console.Console(file=text), table, None, notes, OF_STYLE.sub("", about).strip())
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()).encode()


def _write(out: Path, content: bytes, option: str = "--out") -> None:
    """Whole or not at all."""
    if out.is_dir():
        raise UserError(f"{option} {out} is a folder; give a file in it")
    try:
        write_whole(out, content)
    except (PermissionError, FileExistsError, NotADirectoryError):
        raise UserError(f"{option} {out} cannot be written; give another path") from None
