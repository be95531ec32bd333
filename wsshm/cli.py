"""The `wsshm` command: one model, from data to prediction. Heavy imports wait until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsshm.data.cli import app as data_app

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Weakly semi-supervised human matting: data, training, prediction.",
)
app.add_typer(data_app, name="data")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file: one run's configuration, as the base of a plan")],
    out: Annotated[
        str, typer.Option(help="folder or s3:// URI for OUT/model and OUT/stages; asked again, training goes on")
    ],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key, e.g. train.steps=800")
    ] = None,
) -> None:
    """Train one model by Ray Train: all stages of its method, from its last checkpoint where there is one.

    With train.workers: 0 it trains in this process, without a Ray cluster.

    Example: wsshm train run.yaml --out runs/one --set method.name=mlb --set budget.mattes=40
    """
    from wsshm.config import RunConfig, load_document, override, parse

    checked = parse(override(load_document(config), assignments or []), RunConfig, str(config))
    from wsshm.single import train_single  # only now: a mistake in the file need not wait for torch
    from wsshm.storage import Location

    typer.echo(str(train_single(checked, Location.of(out))))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="folder of a trained model (model.safetensors, model.json)")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="pictures, or folders of pictures")],
    out: Annotated[Path, typer.Option(help="folder for STEM_alpha.png and STEM_cutout.png")],
    protocol: Annotated[
        str | None,
        typer.Option(help="native, or shortN: shorter side resized to N px; default: the size it was trained at"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0")] = "auto",
) -> None:
    """Matte pictures: an 8-bit alpha and an RGBA cut-out of each.

    The cut-out has the photo's own colours, not decontaminated: partly transparent pixels still show what was behind.
    A picture that cannot be read is named and the others are finished; exit status 1 then.

    Example: wsshm predict runs/quickstart/models/0123456789abcdef photo.jpg --out mattes
    """
    from wsshm.checkpoint import load_model
    from wsshm.predict import Protocol, find_inputs, parse_protocol, pick_device, plan_outputs, predict_files

    rule = parse_protocol(protocol) if protocol else None
    pictures = find_inputs(inputs)
    plan_outputs(pictures, out)
    place = pick_device(device)
    network, card = load_model(model)
    network = network.to(place)
    failures = predict_files(network, pictures, out, protocol=rule or Protocol(card.size), device=place)
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    typer.echo(f"{out}: {len(pictures) - len(failures)} of {len(pictures)} pictures matted")
    if failures:
        raise typer.Exit(1)


@app.command()
def blend(
    model: Annotated[Path, typer.Argument(help="folder of a trained teacher (model.safetensors, model.json)")],
    data: Annotated[Path, typer.Option(help="a manifest (.parquet) whose photos have masks")],
    out: Annotated[
        Path, typer.Option(help="folder for label/, share/, weight/ and manifest.parquet; asked again, goes on")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="variant, threshold, band, feather or veto, e.g. threshold=0.3"
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=32, help="shorter side in px that the teacher sees; default: 1.2 times its training size"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto (GPUs where the cluster has some), cpu or cuda")] = "auto",
) -> None:
    """Blend a teacher's mattes with photos' masks into labels, by Ray Data over the cluster (RAY_ADDRESS's, or here).

    Writes 8-bit grey PNGs at each photo's own size, and a manifest whose mattes are the labels. Labels that are there
    already are kept. A picture that cannot be read is named and the others are finished; exit status 1 then.

    Example: wsshm blend runs/one/model --data photos.parquet --out labels --set threshold=0.3
    """
    from wsshm.config import BlendConfig, override, parse
    from wsshm.errors import UserError

    document = override({}, assignments or [])
    for key in ("when", "refresh"):
        if key in document:
            raise UserError(f"--set {key} is for training; set variant, threshold, band, feather or veto")
    checked = parse(document, BlendConfig, "--set")
    from wsshm.ahead.files import blend_manifest  # only now: a mistake need not wait for torch

    manifest, failures = blend_manifest(model, data, out, checked, size, device)
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    typer.echo(manifest)
    if failures:
        raise typer.Exit(1)


@app.command()
def licences(
    out: Annotated[Path, typer.Option(help="CSV to write, e.g. reports/licences.csv, which reports read")],
) -> None:
    """List the licences of backbones' pretrained weights, as the installed timm states them.

    Reports read the file that comes with them, so that they need no timm; write it again after an update of timm.

    Example: wsshm licences --out reports/licences.csv
    """
    from wsshm.models.licences import write

    if not out.absolute().parent.is_dir():
        from wsshm.errors import UserError

        raise UserError(f"--out {out} is in a folder that does not exist; make {out.parent} first")
    typer.echo(f"{out}: {write(out)} weights")
