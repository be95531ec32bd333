"""Tables as files for people's own programs: what a file's name ends in says what it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.errors import UserError, redacted
from wsshm.files.whole import write_whole

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ENDINGS = (".parquet", ".csv", ".md")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib leaves one slash
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check_file(
    out: Path, option: str = "--out", endings: Sequence[str] = ENDINGS, *, beside: Sequence[str | Path] = ()
) -> None:
    """Raise UserError unless `out` is the name of a file with one of these endings, in a folder or in none yet.

    It must not be one of those `beside` which it is made.
    """
    if _ADDRESS.match(str(out)):
        raise UserError(f"{option} is written to this machine alone; give a file's path in place of an address")
    if any(out.resolve() == Path(each).resolve() for each in beside):
        raise UserError(f"{option} {out} is what is read; give another file")
    if out.is_dir():
        raise UserError(f"{option} {out} is a folder; give a file in it, such as {out / f'name{endings[0]}'}")
    if out.suffix.lower() not in endings:
        *others, last = endings
        choice = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{option} {out} does not say what to write; end it in {choice}")


def check_address(out: str, option: str = "--out", endings: Sequence[str] = ENDINGS) -> None:
    """`check_file` for a path or an address such as s3://bucket/photos.parquet."""
    from wsshm.files.location import Location  # only now: helps need no Arrow

    place = Location.of(out)
    if place.local is not None:
        check_file(Path(out) if "://" not in out else place.local, option, endings)
    elif Path(place.name).suffix.lower() not in endings:
        raise UserError(f"{option} {redacted(out)} does not say what to write; end it in {' or '.join(endings)}")


def write_table(out: Path, table: pd.DataFrame | pa.Table) -> None:
    """Write a table as Parquet, CSV or Markdown, as the name ends; whole or not at all. UserError for other endings."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_file(out)
    kind = out.suffix.lower()
    if kind == ".parquet":
        packed = pa.Table.from_pandas(table, preserve_index=False) if isinstance(table, pd.DataFrame) else table
        sink = pa.BufferOutputStream()
        pq.write_table(packed, sink, compression="zstd", write_page_checksum=True)
        write_whole(out, sink.getvalue().to_pybytes())
        return
    frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
    write_whole(out, csv_text(frame) if kind == ".csv" else markdown_text(frame))


def csv_text(frame: pd.DataFrame) -> str:
    """The one place where CSV is made: texts that a spreadsheet would run as a formula get an apostrophe before them."""
    safe = frame.rename(columns=plain_cell)
    for place, kind in enumerate(safe.dtypes):
        if kind.kind == "O" or kind.name in ("str", "string", "category"):
            safe.isetitem(place, safe.iloc[:, place].astype(object).map(plain_cell))
    return safe.to_csv(index=False, lineterminator="\n")


def plain_cell(value: Any) -> Any:
    """A cell that no spreadsheet runs: a text that begins like a formula, and is no number, begins with an apostrophe.

    Line breaks are newlines, which CSV can hold: writers do not quote a lone carriage return.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if value.startswith(STARTS_A_FORMULA) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown_text(frame: pd.DataFrame) -> str:
    """A plain table in Markdown, with no digit lost."""
    rows = [list(frame.columns), *frame.astype(object).where(frame.notna(), "").to_numpy().tolist()]
    lines = ["| " + " | ".join(markdown_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(frame.columns), *lines[1:]]) + "\n"


def markdown_cell(text: object) -> str:
    """Text that Markdown shows as it is: no table breaks, no HTML, no emphasis."""
    escaped = str(text).replace("\\", "\\\\")
    for character in "|*_`[]#":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped.replace("<", "&lt;").replace(">", "&gt;").replace("\r", " ").replace("\n", " ")
