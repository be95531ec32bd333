"""`wsshm data check`: what is wrong with manifests, as a table and as a report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsshm.errors import UserError, printable, redacted
from wsshm.files.tables import check_file
from wsshm.options import CacheOption

if TYPE_CHECKING:
    from wsshm.data.findings import Finding
    from wsshm.data.manifest import Manifest

REPORT = ".check.parquet"
SHOWN = 20
LONGEST_CELL = 48
log = logging.getLogger(__name__)


def check(
    manifests: Annotated[
        list[str],
        typer.Argument(metavar="M...", help="manifests (.parquet), or their addresses; several are also compared"),
    ],
    report: Annotated[
        Path | None,
        typer.Option(
            help=f"the report to write (.parquet); default: beside the first M, as M{REPORT}; of an address, in this folder"
        ),
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Open and check every file of manifests; exit status 1 if an error is found, 0 if there are warnings alone.

    Errors stop training (data.allow_faults: true starts it all the same): files that are missing, unreadable or changed
    since import, labels of another size or without a person, one picture in two splits. Warnings ask for a look: nearly
    the same picture twice, mattes that are binary, masks that do not fit their matte. The report lists everything.

    Example: wsshm data check train.parquet test.parquet
    """
    from wsshm.data.check import check as find
    from wsshm.data.findings import errors
    from wsshm.data.manifest import Manifest

    if report is not None:
        check_file(report, "--report", endings=(".parquet",), beside=manifests)
    read = {redacted(address): Manifest.read(address) for address in manifests}
    found = find(*read.values(), names=list(read))
    total = sum(map(len, read.values()))
    said = f"{', '.join(read)}: {total:,} {'sample' if total == 1 else 'samples'}"
    place = _written(report or _beside(manifests[0]), report is not None, found, read)
    if not found:
        typer.echo(f"{said}, no fault")
        return
    faults = len(errors(found))
    _print_rows(sorted(found, key=lambda each: each.severity), several=len(read) > 1)
    _print_counts(found)
    listed = f"; all are in {place}" if place else ""
    typer.echo(f"{said}, {_count(faults, 'error')}, {_count(len(found) - faults, 'warning')}{listed}")
    if faults:
        raise typer.Exit(1)


def _beside(manifest: str) -> Path:
    from wsshm.files.location import Location

    place = Location.of(manifest)
    local = Path(manifest) if "://" not in manifest else place.local or Path(place.name)
    return local.with_name(local.stem + REPORT)


def _written(path: Path, asked: bool, found: Sequence[Finding], manifests: dict[str, Manifest]) -> Path | None:
    """Where the report is; None where it cannot be written and nobody named the place."""
    from wsshm.data.check_records import write_report

    try:
        return write_report(path, found, manifests)
    except OSError as error:
        why = error.strerror or str(error)
        if asked:
            raise UserError(f"--report {path} cannot be written ({why}); give another path") from error
        log.warning("no report is written, since %s cannot be (%s); --report names another place", path, why)
        return None


def _print_rows(found: Sequence[Finding], several: bool) -> None:
    names = ["manifest"] * several + ["severity", "id", "column", "file", "problem"]
    rows = [names]
    for each in found[:SHOWN]:
        cells = [each.manifest] * several + [each.severity, each.id, each.column, each.path]
        rows.append([*(_short(printable(cell)) for cell in cells), printable(each.problem)])
    _print_table(rows)
    if len(found) > SHOWN:
        typer.echo(f"... and {len(found) - SHOWN:,} more")


def _print_counts(found: Sequence[Finding]) -> None:
    from wsshm.data.findings import KINDS, counted

    typer.echo()
    rows = [["samples", "severity", "kind", "meaning"]]
    rows += [[f"{number:,}", KINDS[kind].severity, kind, KINDS[kind].about] for kind, number in counted(found)]
    _print_table(rows)
    typer.echo()


def _print_table(rows: list[list[str]]) -> None:
    """Columns of equal width but for the last, which may be long."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    for row in rows:
        typer.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"…{text[1 - LONGEST_CELL :]}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
