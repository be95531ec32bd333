"""`wsshm data ...`: making, importing, checking and looking at data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsshm.errors import UserError, nearest

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, import, check and look at data.")
make_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Draw a data set.")
app.add_typer(make_app, name="make")

ManifestPath = Annotated[Path, typer.Argument(metavar="M", help="a manifest (.parquet)")]


@make_app.callback()
def make() -> None:
    """Draw a data set."""


@make_app.command()
def procedural(
    out: Annotated[Path, typer.Option(help="folder for the pictures and their manifests")],
    size: Annotated[int, typer.Option(help="side of a picture in px", min=32)] = 512,
    count: Annotated[
        str | None, typer.Option(help="pictures of each part (natural=100,cutouts=40), or one number for every part")
    ] = None,
    seed: Annotated[int, typer.Option(help="the same seed draws the same pictures", min=0)] = 0,
    mask_coarseness: Annotated[float, typer.Option(help="0 exact masks, 1 an annotator's, above coarser", min=0)] = 1.0,
    workers: Annotated[int | None, typer.Option(help="processes; default: one for each CPU", min=1)] = None,
) -> None:
    """Draw the embedded data set: people with exact mattes, coarse masks and held-out natural pictures.

    Example: wsshm data make procedural --out data/drawn --size 512 --count natural=100,cutouts=40
    """
    from wsshm.data.procedural import DEFAULT_COUNTS, make

    counts = {**DEFAULT_COUNTS, **parse_counts(count, DEFAULT_COUNTS)} if count else None
    written = make(out, size, counts=counts, seed=seed, mask_coarseness=mask_coarseness, workers=workers)
    for part, manifest in written.items():
        typer.echo(f"{part}: {manifest}")


def parse_counts(text: str, parts: dict[str, int]) -> dict[str, int]:
    """`50` as that many of every part, or `natural=100,cutouts=40`; UserError for an unknown part or a bad number."""
    counts: dict[str, int] = {}
    pieces = [f"{part}={text}" for part in parts] if "=" not in text else text.split(",")
    for piece in pieces:
        part, _, number = (word.strip() for word in piece.partition("="))
        if part not in parts:
            raise UserError(f"--count names no part {part!r}; {nearest(part, parts)}")
        if not number.isdecimal():
            raise UserError(f"--count {part} needs a whole number, not {number!r}; write for example {part}=100")
        counts[part] = int(number)
    return counts


@app.command("import")
def import_(
    layout: Annotated[str, typer.Argument(help="pairs, rgba or backgrounds")],
    root: Annotated[Path, typer.Argument(help="the folder that holds the data set")],
    out: Annotated[Path, typer.Option(help="the manifest to write (.parquet)")],
    split: Annotated[str, typer.Option(help="train, val or test, where ROOT's CSV has no split")] = "train",
    domain: Annotated[str | None, typer.Option(help="natural or synthetic, where ROOT's CSV has no domain")] = None,
    truth: Annotated[
        str | None, typer.Option(help="exact or estimated: what mattes are, kept with every score; default: exact")
    ] = None,
) -> None:
    """List a data set in a manifest; the pictures stay where they are.

    pairs: images/ with masks/, mattes/ or trimaps/ of the same names. rgba: cut-outs as RGBA PNG. backgrounds: pictures
    without people. A table NAME.csv inside the folder NAME or next to it (columns id, split, ...) is read too.

    Example: wsshm data import pairs photos --out photos.parquet --domain natural
    """
    from wsshm.data.layouts import import_layout

    if out.is_dir():
        raise UserError(f"{out} is a folder; --out must name a file such as {out / 'data.parquet'}")
    manifest = import_layout(layout, root, truth, split=split, domain=domain)
    manifest.write(out)
    kinds = ", ".join(f"{sum(s.split == name for s in manifest.samples)} {name}" for name in ("train", "val", "test"))
    typer.echo(f"{out}: {len(manifest)} samples ({kinds})")


@app.command()
def check(manifest: ManifestPath) -> None:
    """Open every file of a manifest and judge it; exit status 1 where a fault is found.

    Example: wsshm data check photos.parquet
    """
    from wsshm.data.check import check as find_faults
    from wsshm.data.manifest import Manifest

    samples = Manifest.read(manifest)
    faults = find_faults(samples)
    if not faults:
        typer.echo(f"{manifest}: {len(samples)} samples, no fault")
        return
    rows = [("id", "column", "file", "problem"), *((f.id, f.column, f.path, f.problem) for f in faults)]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        typer.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    typer.echo(f"{manifest}: {count} in {len({fault.id for fault in faults})} of {len(samples)} samples")
    raise typer.Exit(1)


@app.command()
def split(
    manifest: ManifestPath,
    out: Annotated[Path, typer.Option(help="the manifest to write (.parquet); may be M itself")],
    to: Annotated[str, typer.Option(help="the split that samples go to: train, val or test")] = "test",
    every: Annotated[int, typer.Option(help="every how manieth sample goes there, in order of id", min=1)] = 5,
    of: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="count and move only such samples; may be repeated")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="leave out all other samples; may be repeated")
    ] = None,
) -> None:
    """Hold samples back for validation or test. KEY is a column (split, domain, kind, source) or an attribute.

    Example: wsshm data split cutouts.parquet --out held.parquet --every 5 --of split=train --to test
    """
    from wsshm.data.manifest import Manifest
    from wsshm.data.split import hold_back

    held, moved = hold_back(Manifest.read(manifest), to, every, of=_pairs(of, "--of"), keep=_pairs(keep, "--keep"))
    held.write(out)
    typer.echo(f"{out}: {len(held)} samples, of which {moved} went to {to}")


@app.command()
def compose(
    cutouts: Annotated[Path, typer.Argument(metavar="CUTOUTS", help="a manifest (.parquet) of cut-outs")],
    backgrounds: Annotated[Path, typer.Option(help="a manifest of backgrounds")],
    out: Annotated[Path, typer.Option(help="folder for images/, mattes/ and the manifest OUT/NAME.parquet")],
    each: Annotated[int, typer.Option(help="composites of every cut-out", min=1)] = 4,
    size: Annotated[int, typer.Option(help="side of a composite in px", min=32)] = 512,
    split: Annotated[str, typer.Option(help="the split that cut-outs and backgrounds are taken from")] = "test",
    seed: Annotated[int, typer.Option(help="the same seed makes the same pictures", min=0)] = 0,
) -> None:
    """Write a set of composites with exact mattes: the cut-outs of a split over the backgrounds of the same split.

    Example: wsshm data compose cutouts.parquet --backgrounds backgrounds.parquet --out composites --each 4
    """
    from wsshm.data.composites import write_composites
    from wsshm.data.manifest import Manifest

    written = write_composites(
        Manifest.read(cutouts), Manifest.read(backgrounds), out, each=each, size=size, seed=seed, split=split
    )
    typer.echo(f"{written}: {len(Manifest.read(written))} composites")


@app.command()
def coarsen(
    manifest: ManifestPath,
    out: Annotated[Path, typer.Option(help="folder for masks/ and the manifest OUT/NAME.parquet")],
    coarseness: Annotated[float, typer.Option(help="1 an annotator who clicks a polygon, above coarser", min=0)] = 1.0,
    seed: Annotated[int, typer.Option(help="another seed is another annotator", min=0)] = 0,
) -> None:
    """Redraw every mask with fewer clicks, to see what masks that cost less would have done.

    The annotator is simulated (that of the embedded data set); pictures, mattes and splits stay as they are.

    Example: wsshm data coarsen photos.parquet --out photos-coarse2 --coarseness 2
    """
    from wsshm.data.coarsen import write_coarser
    from wsshm.data.manifest import Manifest

    listed = Manifest.read(manifest)
    written = write_coarser(listed, out, coarseness=coarseness, seed=seed)
    typer.echo(f"{written}: {sum(sample.mask is not None for sample in listed.samples)} masks redrawn")


def _pairs(texts: list[str] | None, option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{option} takes KEY=VALUE, not {text!r}")
        pairs.append((key, value))
    return pairs


@app.command()
def preview(
    manifest: ManifestPath,
    out: Annotated[Path, typer.Option(help="the contact sheet to write (.png)")],
    count: Annotated[int, typer.Option(help="samples to show", min=1)] = 24,
    seed: Annotated[int, typer.Option(help="another seed shows other samples", min=0)] = 0,
    cell: Annotated[int, typer.Option(help="longer side of a panel in px", min=32)] = 192,
) -> None:
    """Write a contact sheet: images, labels and cut-outs over a checkerboard.

    Example: wsshm data preview photos.parquet --out sheet.png --count 12
    """
    from wsshm.data.manifest import Manifest
    from wsshm.data.preview import preview as draw

    typer.echo(draw(Manifest.read(manifest), out, count=count, seed=seed, cell=cell))
