"""The command `wsshm predict`. Heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[
        str,
        typer.Argument(help="a model's folder or URI, OUT of wsshm train, or a sweep's OUT: its best on validation"),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="photos, videos, folders, or patterns in quotes: 'shots/**/*.jpg'"),
    ],
    out: Annotated[Path, typer.Option(help="folder for STEM_alpha.png, STEM_cutout.png, STEM_cutout.mov and so on")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="native, shortN (shorter side at N px), p3m-resize, p3m-hybrid or modnet; default: the trained size"
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="enter the folders of folders; OUT keeps them")
    ] = False,
    write: Annotated[
        str | None,
        typer.Option(
            help="alpha, cutout, composite, comma-separated; default: alpha,cutout for photos, cutout for videos, and"
            " composite with --background"
        ),
    ] = None,
    alpha: Annotated[int, typer.Option(metavar="8|16", help="bits of the alpha's PNG")] = 8,
    foreground: Annotated[
        str,
        typer.Option(help="colours of cut-outs: multilevel (estimated), or none (the photo's own, quick)"),
    ] = "multilevel",
    background: Annotated[str | None, typer.Option(help="colour (green, '#00b140') or picture to composite on")] = None,
    video: Annotated[
        str,
        typer.Option(help="how videos are written: prores (4444 .mov), webm (VP9), both with alpha; frames (PNG)"),
    ] = "prores",
    batch: Annotated[int, typer.Option(min=1, help="pictures of equal input size that go through together")] = 1,
    tile: Annotated[
        int | None,
        typer.Option(min=64, help="largest side in px of an input, larger ones go in tiles; default: by free memory"),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16")] = "fp32",
    engine: Annotated[str, typer.Option(help="eager, or compile (torch.compile; pays for many of one size)")] = "eager",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="make again what an earlier run made")] = False,
) -> None:
    """Matte photos and videos: an alpha and an RGBA cut-out of each, and a composite on another background.

    A video keeps its time stamps and its sound; its frames are matted in order, and a recurrent network remembers the
    earlier ones. What cannot be read is named and the others are finished; exit status 1 then. Interrupted, it goes on
    when you rerun the command. Pictures that differ in their ending alone keep it: same.jpg_alpha.png.

    Example: wsshm predict runs/quickstart/models/0123456789abcdef photo.jpg clip.mp4 --out mattes --background green
    """
    from wsshm.errors import printable, redacted
    from wsshm.models.folder import found_elsewhere, model_folder
    from wsshm.prediction.foreground import parse_background
    from wsshm.prediction.inputs import find_inputs
    from wsshm.prediction.layers import Options
    from wsshm.prediction.protocols import parse_protocol

    rule = parse_protocol(protocol) if protocol else None
    options = Options(
        write=tuple(name.strip() for name in write.split(",")) if write else (),
        alpha_bits=alpha,
        foreground=foreground,
        background=parse_background(background) if background else None,
        video=video,
    )
    found = find_inputs(inputs, recursive, out)
    from wsshm.prediction.matter import load  # only now: a mistake need not wait for torch
    from wsshm.prediction.run import predict_inputs, targets_of

    targets_of(found.found, out, options)
    if found.left_out:
        typer.echo(found.left_out_line(), err=True)
    folder = model_folder(model)
    if found_elsewhere(model, folder):
        typer.echo(f"model: {redacted(folder)}", err=True)
    matter = load(model, device=device, protocol=rule, precision=precision, engine=engine, tile=tile, batch=batch)
    photos = [one.path for one in found.found if one.kind == "photo"]
    if rule and (warning := matter.card.warning_at(rule.shorter_sides(photos))):
        typer.echo(f"warning: {warning}", err=True)
    summary = predict_inputs(
        matter, found.found, out, options, overwrite=overwrite, say=lambda line: typer.echo(printable(line), err=True)
    )
    for one in found.found:
        if one.path in summary.failures:
            typer.echo(printable(f"error: {summary.failures[one.path]}"), err=True)
    typer.echo(f"{printable(str(out))}: {summary.line()}")
    if summary.failures:
        raise typer.Exit(1)
