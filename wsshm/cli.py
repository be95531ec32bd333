"""The `wsshm` command: one model, from data to prediction. Heavy imports wait until a command runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from wsshm.data.cli import app as data_app
from wsshm.exporting import FORMATS
from wsshm.models.cli import app as models_app
from wsshm.options import CacheOption
from wsshm.prediction.cli import predict

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Weakly semi-supervised human matting: data, training, prediction.",
)
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file: one run's configuration, as the base of a plan")],
    out: Annotated[
        str, typer.Option(help="folder or s3:// URI for OUT/model and OUT/stages; rerun the command to resume")
    ],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key, e.g. train.steps=800")
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Train one model with Ray Train: all stages of its method, from the last checkpoint if there is one.

    A model of another configuration in OUT/model is replaced, with a warning. With train.workers: 0 it trains in this
    process, without a Ray cluster. WSSHM_PLUGINS=my_method.py,my_decoder.py names files of yours that add methods and
    architectures.

    Example: wsshm train run.yaml --out runs/one --set method.name=mlb --set budget.mattes=40
    """
    from wsshm.config import RunConfig, override, parse
    from wsshm.documents import load_document
    from wsshm.errors import redacted

    checked = parse(override(load_document(config), assignments or []), RunConfig, str(config))
    from wsshm.files.location import Location
    from wsshm.training.one_model import train_single  # only now: a mistake in the file need not wait for torch

    trained = train_single(checked, Location.of(out))
    typer.echo(redacted(trained))
    typer.echo(f"next: wsshm predict {shlex.quote(redacted(trained))} photo.jpg --out mattes", err=True)


@app.command()
def config(
    format: Annotated[str, typer.Option(help="yaml, a file to start from, or markdown, a page to read")] = "yaml",
) -> None:
    """Print every key of a run's configuration with its default, type and meaning, as YAML to start from.

    The same keys are those of a plan's `base`; `wsshm sweep show PLAN --full` prints a plan so. Options of methods and
    architectures stand there too, with those of files that WSSHM_PLUGINS names.

    Example: wsshm config > run.yaml
    """
    from wsshm.config import RunConfig
    from wsshm.console import columns
    from wsshm.errors import UserError, nearest
    from wsshm.key_page import configuration_page
    from wsshm.keys import explained

    formats = ("yaml", "markdown")
    if format not in formats:
        raise UserError(f"there is no format {format!r}; {nearest(format, formats)}")
    if format == "markdown":
        typer.echo(configuration_page(), nl=False)
        return
    typer.echo("# All keys with their defaults; keep only those that you change: wsshm train run.yaml --out runs/one")
    typer.echo(explained(RunConfig, {}, columns()), nl=False)


app.command()(predict)


@app.command()
def blend(
    model: Annotated[Path, typer.Argument(help="folder of a trained teacher (model.safetensors, model.json)")],
    data: Annotated[str, typer.Option(help="a manifest (.parquet), or its address, whose photos have masks")],
    out: Annotated[
        str,
        typer.Option(
            help="folder for label/, share/, weight/ and manifest.parquet, or an address in the bucket of the photos; rerun"
            " the command to resume"
        ),
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
    device: Annotated[str, typer.Option(help="auto (GPUs if the cluster has some), cpu or cuda")] = "auto",
    cache: CacheOption = None,
) -> None:
    """Blend a teacher's mattes with photos' masks into labels, by Ray Data over the cluster (RAY_ADDRESS's, or here).

    Writes 8-bit grey PNGs at each photo's own size, and a manifest whose mattes are the labels. Labels that are there
    already are kept. A picture that cannot be read is named and the others are finished; exit status 1 then.

    Example: wsshm blend runs/one/model --data photos.parquet --out labels --set threshold=0.3
    """
    from wsshm.config import BlendConfig, override, parse
    from wsshm.errors import UserError, printable, redacted

    document = override({}, assignments or [])
    for key in ("when", "refresh"):
        if key in document:
            raise UserError(f"--set {key} is for training; set variant, threshold, band, feather or veto")
    checked = parse(document, BlendConfig, "--set")
    from wsshm.blended_labels.files import blend_manifest  # only now: a mistake need not wait for torch

    manifest, failures = blend_manifest(model, data, out, checked, size, device)
    for failure in failures:
        typer.echo(printable(f"error: {failure}"), err=True)
    typer.echo(manifest.local or redacted(manifest))
    if failures:
        raise typer.Exit(1)


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(help="a model's folder or URI, OUT of wsshm train, or a sweep's OUT: its best on validation"),
    ],
    out: Annotated[
        Path, typer.Option(help="folder for the exported files and all else that makes it a model's folder")
    ],
    to: Annotated[str, typer.Option(help=f"comma-separated: {', '.join(FORMATS.names())}")] = "onnx",
    size: Annotated[
        str | None,
        typer.Option(help="512, or width x height as 1920x1080: pictures of one size; default: any size and batch"),
    ] = None,
    uint8: Annotated[bool, typer.Option("--uint8", help="take images of 0 to 255 instead of 0 to 1")] = False,
    check: Annotated[
        list[Path] | None, typer.Option(help="a picture to compare on, beside random and drawn ones; may be repeated")
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="push the folder to the Hugging Face hub, too")
    ] = None,
) -> None:
    """Write a trained model for other runtimes: normalisation inside, checked against PyTorch before it is kept.

    An image of RGB, N x 3 x height x width, goes in; matte and boundary, N x 1 x height x width, come out. OUT becomes a
    model's folder as well (model.safetensors, config.json, README.md), which every command here takes. An export whose
    largest difference is above 0.001 is refused. Needs the extra `engines`: pip install '.\\[engines]'.

    Example: wsshm export runs/one/model --to onnx,openvino --out exported
    """
    from wsshm.errors import UserError, printable, redacted
    from wsshm.exporting import export as exporting
    from wsshm.models import hub
    from wsshm.models.checkpoint import load_model
    from wsshm.models.folder import found_elsewhere, model_folder

    formats = exporting.check_formats([name.strip() for name in to.split(",")])
    sides = exporting.parse_size(size) if size else None
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out must name a folder")
    if push_to_hub:
        hub.check(f"--push-to-hub {push_to_hub}")
    folder = model_folder(model)
    if found_elsewhere(model, folder):
        typer.echo(f"model: {redacted(folder)}", err=True)
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        local = folder.fetched(Path(scratch))
        network, card = load_model(local)
        traced, written = exporting.export(network, card, formats, out, size=sides, uint8=uint8, pictures=check or [])
        exporting.write_folder(local, card, out, traced, written)
    typer.echo(f"takes {traced.takes}")
    for made in written:
        typer.echo(
            printable(f"{made.file}: {made.size / 1e6:.1f} MB, largest difference from PyTorch")
            + f" {made.random:.1e} on random images, {made.pictures:.1e} on pictures"
        )
    if push_to_hub:
        typer.echo(hub.push(out, push_to_hub))


@app.command()
def licences(
    out: Annotated[Path, typer.Option(help="CSV to write, e.g. reports/licences.csv, which reports read")],
) -> None:
    """Write a table of the licences of backbones' pretrained weights, as the installed timm states them.

    Reports read the file that comes with them, so that they need no timm; write it again after an update of timm.

    Example: wsshm licences --out reports/licences.csv
    """
    from wsshm.files.tables import check_file
    from wsshm.models.licences import write

    check_file(out, endings=(".csv",))
    typer.echo(f"{out}: {write(out)} weights")
