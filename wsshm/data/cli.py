"""`wsshm data ...`: making, importing, checking and looking at data."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from wsshm import grades
from wsshm.console import columns, set_option
from wsshm.data.check_cli import check
from wsshm.data.cutouts_cli import cutouts
from wsshm.data.pack_command import pack
from wsshm.data.samples_cli import samples
from wsshm.data.stats_cli import stats
from wsshm.errors import UserError, nearest, redacted
from wsshm.files.tables import check_address
from wsshm.options import CacheOption

if TYPE_CHECKING:
    from wsshm.data.manifest import Manifest

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, import, check and look at data.")
make_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Draw a data set.")
app.add_typer(make_app, name="make")
app.command()(pack)
app.command()(check)
app.command()(stats)
app.command()(cutouts)
app.command()(samples)

MANIFEST = (".parquet",)
# Limits far beyond any use, as a configuration has them: a slip of the hand is said, and not computed.
MOST_SIDE, MOST_PICTURES, MOST_SEED, MOST_COARSE = 8192, 10_000_000, 2**32 - 1, 100.0
COARSENESS_HELP = "that of the annotator of earlier releases; 0 is exact, 1 was the default there, more is coarser"
GradeOption = Annotated[
    str | None,
    typer.Option(help=f"grade of the masks: {', '.join(grades.GRADES)}; default: {grades.DEFAULT}", show_default=False),
]
ManifestPath = Annotated[
    str, typer.Argument(metavar="M", help="a manifest (.parquet), or its address such as s3://bucket/photos.parquet")
]


@make_app.callback()
def make() -> None:
    """Draw a data set."""


@make_app.command()
def procedural(
    out: Annotated[Path, typer.Option(help="folder for the pictures and their manifests")],
    size: Annotated[int, typer.Option(help="side of a picture in px", min=32, max=MOST_SIDE)] = 512,
    count: Annotated[
        str | None, typer.Option(help="pictures of each part (natural=100,cutouts=40), or one number for every part")
    ] = None,
    seed: Annotated[int, typer.Option(help="the same seed draws the same pictures", min=0, max=MOST_SEED)] = 0,
    grade: GradeOption = None,
    mask_coarseness: Annotated[
        float | None, typer.Option(help=f"in place of --grade: {COARSENESS_HELP}", min=0, max=MOST_COARSE)
    ] = None,
    workers: Annotated[int | None, typer.Option(help="processes; default: one for each CPU", min=1)] = None,
) -> None:
    """Draw the embedded data set: people with exact mattes, masks of a grade and held-out natural pictures.

    Example: wsshm data make procedural --out data/drawn --size 512 --count natural=100,cutouts=40 --grade fine
    """
    from wsshm.data.procedural import DEFAULT_COUNTS, make

    counts = {**DEFAULT_COUNTS, **parse_counts(count, DEFAULT_COUNTS)} if count else None
    masks = _masks(grade, mask_coarseness, "--mask-coarseness")
    written = make(out, size, counts=counts, seed=seed, masks=masks, workers=workers)
    for part, manifest in written.items():
        typer.echo(f"{part}: {manifest}")


def _masks(grade: str | None, coarseness: float | None, option: str) -> str | float:
    """How masks are drawn; the default grade where nothing is said."""
    if grade is not None and coarseness is not None:
        raise UserError(f"--grade and {option} are two ways to say how masks are drawn; give one of them")
    return grades.named(grade or grades.DEFAULT).name if coarseness is None else coarseness


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
        if len(number) > len(str(MOST_PICTURES)) or int(number) > MOST_PICTURES:
            raise UserError(f"--count {part} asks for more than {MOST_PICTURES:,} pictures, the most that are drawn")
        counts[part] = int(number)
    return counts


class _NamesLayouts(typer.core.TyperCommand):
    """A command whose help names the layouts that are registered by then, the user's own too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from wsshm.data.layouts import AUTO, LAYOUTS

        layout: Any = next(parameter for parameter in self.params if parameter.name == "layout")
        layout.help = (
            f"one of {', '.join(LAYOUTS.names())}, or {AUTO}: the one that ROOT fits; wsshm data layouts says what each"
            " expects"
        )
        super().format_help(ctx, formatter)


@app.command("import", cls=_NamesLayouts)
def import_(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT")],
    root: Annotated[
        str,
        typer.Argument(
            metavar="ROOT", help="the folder that holds the data set, or its address, such as s3://bucket/set"
        ),
    ],
    out: Annotated[str, typer.Option(help="the manifest to write (.parquet), or its address")],
    split: Annotated[
        str | None,
        typer.Option(
            help="train, val or test, for all that ROOT's CSV gives no split; default: as published, else train"
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(help="natural or synthetic, for all that ROOT's CSV gives no domain; default: LAYOUT's"),
    ] = None,
    truth: Annotated[
        str | None, typer.Option(help="exact or estimated: what mattes are, kept with every score; default: exact")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--class", help="class indices that are the person, if masks hold classes: 15 (VOC), or several: 13,14"
        ),
    ] = None,
    grade: Annotated[
        str | None,
        typer.Option(
            help=f"grade of the masks ({', '.join(grades.GRADES)}), of all that ROOT's CSV gives no {grades.ATTRIBUTE}; masks"
            f" of unstated grade count as {grades.DEFAULT}"
        ),
    ] = None,
    masks_as: Annotated[
        str | None, typer.Option(help="what masks/ holds: mask, or matte (P3M and AIM publish mattes in mask/)")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="an option of LAYOUT's own; may be repeated")
    ] = None,
    cache: CacheOption = None,
) -> None:
    """List a data set in a manifest; the pictures stay where they are.

    Folders may have folders in them. A table NAME.csv inside the folder NAME or next to it (columns id, split, ...) is
    read too. The masks of a data set that has annotations, or with --class those of the person, are written to the folder
    OUT-masks; of a data set on an object store, OUT must be in the same bucket then.

    Example: wsshm data import pairs photos --out photos.parquet --domain natural
    """
    from wsshm.data.class_masks import parse_classes
    from wsshm.data.importing import import_layout
    from wsshm.documents import yaml_value
    from wsshm.files.location import Location

    check_address(out, endings=MANIFEST)
    place = Location.of(out)
    manifest = import_layout(
        layout,
        root,
        truth,
        classes=None if classes is None else parse_classes(classes),
        masks_as=masks_as,
        converted=place.parent / f"{place.name.rpartition('.')[0]}-masks",
        split=split,
        domain=domain,
        options={key: yaml_value(text, f"--option {key}") for key, text in _pairs(option, "--option")},
        grade=grade,
    )
    manifest.write(out)
    typer.echo(f"{redacted(out)}: {_split_counts(manifest)}")
    if unstated := sum(s.mask is not None and grades.ATTRIBUTE not in s.attributes for s in manifest.samples):
        typer.echo(
            f"{unstated:,} {'mask' if unstated == 1 else 'masks'} of unstated grade, which counts as {grades.DEFAULT}; --grade"
            " says another, and `wsshm data stats` what they are like where there are mattes"
        )


@app.command()
def layouts() -> None:
    """List the layouts that `wsshm data import` reads: what each expects in the folder ROOT, its options, its terms.

    Files named in WSSHM_PLUGINS add layouts of your own: see wsshm.data.layouts.

    Example: wsshm data layouts
    """
    from wsshm.data.layouts import LAYOUTS
    from wsshm.keys import told

    width = columns(of_a_pipe=80)
    for layout in LAYOUTS.entries():
        typer.echo(_wrapped(f"{layout.name}: {layout.gives}", width))
        lines = layout.expects.splitlines()
        lines += [f"--option {line}" for line in (told(layout.options) if layout.options else [])]
        lines += [f"terms: {line}" for line in layout.terms.splitlines()]
        lines += [f"from: {line}" for line in layout.obtained.splitlines()]
        for line in lines:
            typer.echo(_wrapped(line, width, "    ", "      "))


def _wrapped(line: str, width: int, first: str = "", later: str = "    ") -> str:
    return textwrap.fill(
        line, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False, break_long_words=False
    )


def _split_counts(manifest: Manifest) -> str:
    kinds = ", ".join(f"{sum(s.split == name for s in manifest.samples)} {name}" for name in ("train", "val", "test"))
    return f"{len(manifest)} {_samples(manifest.samples)} ({kinds})"


def _samples(samples: Sized) -> str:
    return "sample" if len(samples) == 1 else "samples"


@app.command("prepare")
def prepare_(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="folder with photos/, cutouts/ and backgrounds/")],
    out: Annotated[Path, typer.Option(help="folder for the manifests and composites/; made whole or not at all")],
    truth: Annotated[str, typer.Option(help="what photos' mattes are: exact or estimated")] = "estimated",
    grade: Annotated[
        str | None,
        typer.Option(
            help=f"grade of the photos' masks: {', '.join(grades.GRADES)}; unstated counts as {grades.DEFAULT}"
        ),
    ] = None,
) -> None:
    """Make all that the plan `photos` needs of your own photos, cut-outs and backgrounds; pictures stay where they are.

    DATA/photos has images/, masks/ and mattes/ (of those to validate and test on); a photos.csv (columns id and split)
    may name these otherwise. DATA/cutouts holds RGBA pictures, DATA/backgrounds pictures without people. Of the photos
    with mattes one in five is for validation, the others are for tests, and none is trained on. Every fifth cut-out and
    background is held back, and composites with exact mattes are made for tests. Rerun with the same data, it changes
    nothing.

    Example: wsshm data prepare mine --out prepared
    """
    from wsshm.data.manifest import Manifest
    from wsshm.data.prepare import MANIFESTS, prepare

    if not prepare(data, out, truth, grade):
        typer.echo(f"{out} is prepared already, from the same data")
    for name in MANIFESTS:
        typer.echo(f"{out / name}: {_split_counts(Manifest.read(out / name))}")
    photos = shlex.quote(str(out / MANIFESTS[0]))
    if truth == "estimated":
        typer.echo("the photos' mattes count as estimated, which every score then says; exact ones: --truth exact")
    typer.echo(f"does each mask fit its photo: wsshm data check {photos}")
    typer.echo(f"how far do its masks err, which says how wide to blend: wsshm data stats {photos}")
    typer.echo(f"next: wsshm sweep run photos {set_option('base.data.root', str(out))}")


@app.command()
def split(
    manifest: ManifestPath,
    out: Annotated[str, typer.Option(help="the manifest to write (.parquet), or its address; may be M itself")],
    to: Annotated[str, typer.Option(help="the split that samples go to: train, val or test")] = "test",
    every: Annotated[int, typer.Option(help="move every N-th sample, sorted by id", min=1)] = 5,
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

    check_address(out, endings=MANIFEST)
    held, moved = hold_back(Manifest.read(manifest), to, every, of=_pairs(of, "--of"), keep=_pairs(keep, "--keep"))
    held.write(out)
    typer.echo(f"{redacted(out)}: {len(held)} samples, of which {moved} went to {to}")


@app.command()
def compose(
    cutouts: Annotated[
        str, typer.Argument(metavar="CUTOUTS", help="a manifest (.parquet) of cut-outs, or its address")
    ],
    backgrounds: Annotated[str, typer.Option(help="a manifest of backgrounds, or its address")],
    out: Annotated[Path, typer.Option(help="folder for images/, mattes/ and the manifest OUT/NAME.parquet")],
    each: Annotated[int, typer.Option(help="composites of every cut-out", min=1, max=MOST_PICTURES)] = 4,
    size: Annotated[int, typer.Option(help="side of a composite in px", min=32, max=MOST_SIDE)] = 512,
    split: Annotated[str, typer.Option(help="the split that cut-outs and backgrounds are taken from")] = "test",
    seed: Annotated[int, typer.Option(help="the same seed makes the same pictures", min=0, max=MOST_SEED)] = 0,
    cache: CacheOption = None,
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
    grade: GradeOption = None,
    coarseness: Annotated[
        float | None, typer.Option(help=f"in place of --grade: {COARSENESS_HELP}", min=0, max=MOST_COARSE)
    ] = None,
    seed: Annotated[int, typer.Option(help="another seed is another annotator", min=0, max=MOST_SEED)] = 0,
) -> None:
    """Redraw every mask as masks of a grade are, to see what masks that cost less would have done.

    The annotator is simulated (that of the embedded data set) and redraws the masks that there are, which should be better
    than the grade's; pictures, mattes and splits stay as they are.

    Example: wsshm data coarsen photos.parquet --out photos-polygon --grade polygon
    """
    from wsshm.data.coarsen import write_coarser
    from wsshm.data.manifest import Manifest

    listed = Manifest.read(manifest)
    written = write_coarser(listed, out, masks=_masks(grade, coarseness, "--coarseness"), seed=seed)
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
    count: Annotated[int, typer.Option(help="samples to show", min=1, max=MOST_PICTURES)] = 24,
    seed: Annotated[int, typer.Option(help="another seed shows other samples", min=0, max=MOST_SEED)] = 0,
    cell: Annotated[int, typer.Option(help="longer side of a panel in px", min=32, max=MOST_SIDE)] = 192,
    cache: CacheOption = None,
) -> None:
    """Write a contact sheet: images, labels and cut-outs over a checkerboard.

    Example: wsshm data preview photos.parquet --out sheet.png --count 12
    """
    from wsshm.data.manifest import Manifest
    from wsshm.data.preview import preview as draw

    typer.echo(draw(Manifest.read(manifest), out, count=count, seed=seed, cell=cell))
