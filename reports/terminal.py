"""Tables of the report in a terminal, in Markdown and as CSV: to stdout or into a file."""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
import uuid
from dataclasses import replace
from pathlib import Path

import pandas as pd
import rich.console
import rich.measure
import rich.table
from rich.text import Text

from bench.cost import CostModel
from reports import against as held_against
from reports import slices as by_attribute
from reports import tables
from reports.comparison import Comparison, Measure, compare
from reports.document import Table
from reports.load import Frames, load
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError, nearest

STYLES = {"best": "bold", "better": "green", "worse": "red", "muted": "dim"}
FORMATS = ("terminal", "markdown", "csv")
PICTURES = (".png", ".svg", ".pdf")
SUFFIXES = {".md": "markdown", ".csv": "csv", ".txt": "terminal", ".parquet": "parquet"}
HIDDEN = "Intervals are left out for want of room: --format markdown has them, and a table of few measures."
OF_STYLE = re.compile(r"Bold:[^.]*\.")  # a sentence about what plain text cannot show
FEW = 4  # measures whose intervals fit beside one another
NARROWEST = 16  # characters that a column of words keeps on a narrow terminal


def show(made: list[Table], format: str | None = None, out: Path | None = None, notes: bool = False) -> None:
    """Print tables, or write them to `out`, whose ending says the format where none is given.

    With `notes`, and where it is wide enough, a terminal shows the second line of each cell (intervals) too; Markdown
    always does, CSV and Parquet hold the unrounded values. Raises UserError for a format that there is not, and where
    `out` cannot be written.
    """
    kind = _kind(format, out)
    console = rich.console.Console()
    if out is None and kind == "terminal" and console.is_terminal:
        notes = notes or all(_needs(console, rendered(table, True)).maximum <= console.width for table in made)
        for table, about in zip(made, _abouts(made, notes), strict=True):
            _print(console, table, console.width, notes, about)
    elif out is None:
        print(_content(made, kind, notes).decode(), end="")
    else:
        _write(out, _content(made, kind, notes))


def methods(store_root: str, measures: list[Measure], cost: CostModel) -> list[Table]:
    """Every budget's table of methods, with these measures. Raises UserError where no finished run was scored."""
    names = {measure.name for measure in measures}
    made = []
    for comparison in _comparisons(load(store_root), cost):
        kept = comparison.cells[comparison.cells["measure"].isin(names)]
        if len(kept):
            chosen = replace(comparison, cells=kept)
            made += [tables.methods(chosen, budget, cost) for budget in chosen.budgets]
    if not made:
        raise UserError(f"no finished run in {store_root} has a value of {', '.join(sorted(names))}")
    return made


def slices(store_root: str, manifest_path: Path, by: str, measures: list[Measure], cost: CostModel) -> list[Table]:
    """Tables of these measures by attributes (comma-separated) of a manifest. Raises UserError naming what is unknown."""
    manifest = Manifest.read(manifest_path)
    names = by_attribute.checked(manifest, manifest_path, by)
    return by_attribute.tables(_comparisons(load(store_root), cost), manifest, names, measures)


def against(
    store_root: str, method: str, measures: list[Measure], cost: CostModel, variants: bool = False
) -> list[Table]:
    """Every method (or variant of one) minus `method`, in percent of its error. Raises UserError where there is no such
    method."""
    frames = load(store_root)
    return held_against.tables(frames, _comparisons(frames, cost), method, measures, variants)


def picture(made: list[Table], out: Path) -> None:
    """Draw tables of `against` into `out`. Raises UserError where its ending is no picture's, or it cannot be written."""
    if out.suffix not in PICTURES:
        raise UserError(f"--figure {out} does not say what to draw; end it in {', '.join(PICTURES)}")
    from reports.figures.against import draw
    from reports.figures.style import png_svg_pdf, theme

    with theme():
        drawn = draw(pd.concat([table.frame.assign(table=table.name) for table in made], ignore_index=True))
    raster, drawing, page = png_svg_pdf(drawn)
    _write(out, {".png": raster, ".svg": drawing.encode(), ".pdf": page}[out.suffix], "--figure")


def _comparisons(frames: Frames, cost: CostModel) -> list[Comparison]:
    if frames.scores.empty:
        raise UserError(f"no finished run in {frames.root} was scored; run: python -m sweeps run quickstart")
    return compare(frames, cost)


def rendered(table: Table, notes: bool = False) -> rich.table.Table:
    """A table of the report as rich shows it; without `notes` intervals stay out, for want of room."""
    result = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    shown = [[f"{cell.text}\n{cell.note}" if notes and cell.note else cell.text for cell in row] for row in table.rows]
    for place, column in enumerate(table.columns):
        header = (
            "\n".join((column.group.partition(" ")[0], column.header, column.unit)) if table.groups() else column.title
        )
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
        said.append(HIDDEN if hides else table.caption.partition(":")[2].strip())
    return ["" if text == following else text for text, following in zip(said, [*said[1:], None], strict=True)]


def _print(console: rich.console.Console, table: Table, width: int | None, notes: bool, about: str) -> None:
    """With a `width` words are wrapped to it, but no number is cut off: the terminal's own wrapping is the lesser evil."""
    drawn = rendered(table, notes)
    needs = _needs(console, drawn)
    console.print(Text(table.caption.partition(":")[0], style="italic"), soft_wrap=True)
    console.width = needs.maximum if width is None else max(width, needs.minimum)
    console.print(drawn)
    if about:
        console.width = width or console.width
        console.print(Text(about[0].upper() + about[1:], style="dim"), soft_wrap=width is None)
        console.print()


def _needs(console: rich.console.Console, drawn: rich.table.Table) -> rich.measure.Measurement:
    return rich.measure.Measurement.get(console, console.options.update(max_width=10_000), drawn)


def _kind(format: str | None, out: Path | None) -> str:
    if format is not None and format not in FORMATS:
        raise UserError(f"there is no format {format!r}; {nearest(format, FORMATS)}")
    if out is None:
        return format or "terminal"
    if format is None and out.suffix not in SUFFIXES:
        raise UserError(f"--out {out} does not say what to write; end it in {', '.join(SUFFIXES)}, or give --format")
    kind = SUFFIXES.get(out.suffix)
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
        return frame.to_csv(index=False, lineterminator="\n").encode()
    text = io.StringIO()
    for table, about in zip(made, _abouts(made, notes), strict=True):
        _print(rich.console.Console(file=text), table, None, notes, OF_STYLE.sub("", about).strip())
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()).encode()


def _write(out: Path, content: bytes, option: str = "--out") -> None:
    """Whole or not at all."""
    if out.is_dir():
        raise UserError(f"{option} {out} is a folder; give a file in it")
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, out)
    except (PermissionError, FileExistsError, NotADirectoryError):
        raise UserError(f"{option} {out} cannot be written; give another path") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
