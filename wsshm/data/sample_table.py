"""A folder's own table: a CSV that says of its pictures what the tree cannot, such as splits and licences."""

from __future__ import annotations

import csv
import io
import logging
import os
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsshm.data.manifest import Sample
from wsshm.data.pictures import SUFFIXES
from wsshm.errors import UserError

log = logging.getLogger(__name__)

ENDINGS = (".csv", ".tsv")
SEPARATORS = ",;\t|"
SAMPLE_COLUMNS = ("split", "domain", "source", "licence")
MEASURED_COLUMNS = ("id", "width", "height", "sha256")
MOST_BYTES = 256 << 20
LONGEST_CELL = 1 << 17


def with_table(root: Path, samples: list[Sample], *, named: bool = False) -> list[Sample]:
    """The samples, completed by the rows of the folder's table where there is one.

    It is ROOT/NAME.csv or one of that name beside ROOT, where NAME is ROOT's; else, unless it must be `named` so, the
    only table in ROOT that has a column `id`. Tables that are not used are logged; of those in ROOT, a layout that wants
    a `named` one may read some itself. Ids may carry the ending of a picture. Columns that no sample has become
    attributes.
    """
    table = _find(root, named)
    if table is None:
        return samples
    rows = _by_id(_read(table), {s.id for s in samples}, table)
    unused = sorted(set(rows) - {s.id for s in samples})
    if unused:
        count = f"{len(unused)} row{'' if len(unused) == 1 else 's'}"
        log.warning("unused in %s: %s without a picture, the first is %r", table, count, unused[0])
    return [_completed(sample, rows[sample.id], table) if sample.id in rows else sample for sample in samples]


def _find(root: Path, named: bool) -> Path | None:
    inside = sorted(p for p in root.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
    beside = [p for ending in ENDINGS if os.path.lexists(p := root.parent / f"{root.name}{ending}")]
    if odd := [p for p in [*inside, *beside] if not p.is_file()]:
        log.warning("not used: %s, not a plain file; a table is a text file", ", ".join(map(str, odd[:5])))
    inside, beside = ([p for p in paths if p not in odd] for paths in (inside, beside))
    chosen = next((p for p in [*inside, *beside] if p.stem == root.name), None)
    if chosen is None and not named:
        useful = [p for p in inside if "id" in _header(p)]
        if len(useful) == 1:
            chosen = useful[0]
            log.info("splits and other columns are those of %s", chosen)
    unused = [p for p in [*([] if named else [*inside, *beside]), *_misnamed(root)] if p != chosen]
    if unused:
        log.warning(
            "not used: %s; a table that is meant is named %s.csv and has a column id",
            ", ".join(str(p) for p in unused[:5]) + (", ..." if len(unused) > 5 else ""),
            root.name,
        )
    return chosen


def _misnamed(root: Path) -> list[Path]:
    """Tables beside `root` that are named after nothing that lies there."""
    try:
        around = sorted(root.parent.iterdir())
    except OSError:  # its folder may be closed to us
        return []
    names = {p.stem for p in around if p.suffix.lower() not in ENDINGS} | {p.name for p in around if p.is_dir()}
    tables = [p for p in around if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file()]
    return [p for p in tables if p.stem not in names and "id" in _header(p)]


def _header(path: Path) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text := _text(path)), delimiter=_separator(text)), [])
    except (UserError, csv.Error):
        return []


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES >> 20} MiB, so it is not read; leave columns out")
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line} is not UTF-8; save it as CSV in UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}, line {line} holds a null character, so it is not CSV; save it as CSV in UTF-8")
    return text


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    return max(SEPARATORS, key=first.count)


def _read(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of every row, empty cells left out."""
    text = _text(table)
    reader = csv.reader(io.StringIO(text), delimiter=_separator(text), strict=True)
    rows = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if "id" not in header:
            found = ", ".join(map(repr, header[:8])) or "nothing"
            raise UserError(
                f"{table} has no column 'id'; its first line must name the columns, id among them, and holds {found}"
            )
        doubled = sorted({name for name in header if name and header.count(name) > 1})
        if doubled:
            raise UserError(f"{table} has the column {doubled[0]!r} twice; keep one of them")
        for cells in reader:
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise UserError(
                    f"{table}, line {reader.line_num} has {len(cells)} cells for {len(header)} columns; put cells that "
                    "hold a separator into quotes"
                )
            if any(cells):
                row = zip(header, cells, strict=False)
                rows.append((reader.line_num, {name: cell for name, cell in row if name and cell}))
    except csv.Error as error:
        raise UserError(f"{table}, line {reader.line_num} cannot be read ({error}); save it as CSV in UTF-8") from error
    return rows


def _by_id(rows: list[tuple[int, dict[str, str]]], known: set[str], table: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line, row in rows:
        if "id" not in row:
            raise UserError(f"{table}, line {line} has no id; give each row the name of its picture")
        name = unicodedata.normalize("NFC", row["id"])
        stem, dot, ending = name.rpartition(".")
        if name not in known and f"{dot}{ending}".lower() in SUFFIXES:
            name = stem
        if name in found:
            raise UserError(f"{table} lists the id {name!r} twice; keep one row for each picture")
        found[name] = row
    return found


def _completed(sample: Sample, row: dict[str, str], table: Path) -> Sample:
    known: dict[str, Any] = {k: row[k] for k in SAMPLE_COLUMNS if k in row}
    more = {k: v for k, v in row.items() if k not in MEASURED_COLUMNS + SAMPLE_COLUMNS}
    try:
        return replace(sample, attributes=sample.attributes | more, **known)
    except UserError as error:
        raise UserError(f"{table}: {error}") from None
