"""The command `wsshm data cutouts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsshm.options import CacheOption


def cutouts(
    manifest: Annotated[str, typer.Argument(metavar="M", help="a manifest (.parquet) of photos, or its address")],
    out: Annotated[
        Path, typer.Option(help="folder for images/ and the manifest OUT/NAME.parquet; rerun the command to resume")
    ],
    cache: CacheOption = None,
) -> None:
    """Cut people out of photos by their mattes, as RGBA PNGs to make composites from.

    At soft edges a photo's colours hold some of what was behind; the person's own are estimated (pymatting's multi-level
    method). Each is cropped to the person. Splits stay; cut-outs that are there already are kept.

    Example: wsshm data cutouts photos.parquet --out cutouts
    """
    from wsshm.data.cutouts import write_cutouts
    from wsshm.data.manifest import Manifest

    written = write_cutouts(Manifest.read(manifest), out)
    typer.echo(f"{written}: {len(Manifest.read(written))} cut-outs")
