"""`wsshm data stats`: what a manifest's pictures and labels are like, as a table, a file and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsshm.errors import printable, redacted
from wsshm.files.tables import check_file
from wsshm.options import CacheOption

if TYPE_CHECKING:
    import rich.table

    from wsshm.data.stats import Measured, Spread

QUANTITIES = {  # header, scale, digits
    "megapixels": ("megapixels", 1, 2),
    "person": ("person %", 100, 1),
    "soft": ("soft %", 100, 1),
    "mask_iou": ("mask IoU", 1, 3),
    "mask_boundary_f": ("mask boundary F", 1, 3),
    "mask_boundary_error": ("mask boundary error, thousandths", 1, 1),
}


def stats(
    manifest: Annotated[str, typer.Argument(metavar="M", help="a manifest (.parquet), or its address")],
    out: Annotated[Path | None, typer.Option(help="a table with a row for each sample (.parquet, .csv or .md)")] = None,
    figure: Annotated[Path | None, typer.Option(help="histograms of all that is measured (.png)")] = None,
    cache: CacheOption = None,
) -> None:
    """Say what pictures and labels are like, by split: as median (5 % to 95 % of the samples).

    Sizes; people's share of the picture; how soft mattes are: the share of a person's pixels with an alpha between 0.05
    and 0.95; and where there is a matte beside a mask, how good the mask is, both cut at 0.5: IoU, boundary F, the mean
    distance between the outlines in thousandths of the shorter side, and which grade of masks that is most like.

    Example: wsshm data stats photos.parquet --out stats.parquet --figure stats.png
    """
    from wsshm.data.manifest import Manifest
    from wsshm.data.stats import as_table, grade_sentences, measure
    from wsshm.files.tables import write_table

    if out is not None:
        check_file(out, beside=[manifest])
    if figure is not None:
        check_file(figure, "--figure", endings=(".png",))
    read = Manifest.read(manifest)
    measured = measure(read)
    _print(measured)
    for sentence in grade_sentences(measured):
        typer.echo(sentence)
    if unread := [each for each in measured if each.unread]:
        first = printable(unread[0].unread)
        typer.echo(f"{len(unread):,} of {len(measured):,} samples could not be read, the first: {first}")
        typer.echo(f"`wsshm data check {redacted(manifest)}` lists them")
    if out is not None:
        write_table(out, as_table(measured, read))
        typer.echo(out)
    if figure is not None:
        from wsshm.data.stats_figure import draw

        typer.echo(draw(measured, figure))


def _print(samples: list[Measured]) -> None:
    from wsshm.terminal import print_whole

    print_whole(*(_table(samples, narrow) for narrow in (False, True)))


def _table(samples: list[Measured], narrow: bool) -> rich.table.Table:
    """Rows of splits, a column for each quantity that there is; `narrow` shows medians alone."""
    import rich.box
    import rich.table

    from wsshm.data.stats import Spread, by_split, middle_size
    from wsshm.terminal import plain

    groups = by_split(samples)
    table = rich.table.Table(box=rich.box.SIMPLE)
    columns: list[tuple[str, list[str]]] = [
        ("split", list(groups)),
        ("samples", [f"{len(group):,}" for group in groups.values()]),
        ("median size", [_by(middle_size(group)) for group in groups.values()]),
    ]
    for name, (header, scale, digits) in QUANTITIES.items():
        spreads = [Spread.of([getattr(each, name) for each in group]) for group in groups.values()]
        if any(spreads):
            told = [_told(*each, scale, digits, narrow) for each in zip(spreads, groups.values(), strict=True)]
            columns.append((header, told))
    for header, _ in columns:
        table.add_column(header, justify="left" if header == "split" else "right")
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*map(plain, row))
    return table


def _told(spread: Spread | None, group: list[Measured], scale: float, digits: int, narrow: bool) -> str:
    """A distribution in a cell; with its number of values where that is not all samples."""
    if spread is None:
        return ""
    low, median, high = (f"{value * scale:.{digits}f}" for value in (spread.low, spread.median, spread.high))
    if narrow:
        return median
    return f"{median} ({low} to {high})" + (f", of {spread.count:,}" if spread.count < len(group) else "")


def _by(size: tuple[int, int] | None) -> str:
    return f"{size[0]} x {size[1]}" if size else ""
