"""The commands of `python -m bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import rich.box
import rich.console
import rich.table
import typer

from bench.speed import expand, speed_table
from bench.store import Store
from wsshm.errors import UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
CALLS_FOR_P99 = 1000  # ten calls above it; with fewer it is the luck of single calls
DEFAULT_BACKBONES = "tf_efficientnet_lite0,resnet18"


@app.callback()
def _rooms() -> None:
    """Measure: the speed of backbones, the accuracy of models."""


@app.command()
def speed(
    models: Annotated[str, typer.Option(help="timm backbones, comma-separated")] = DEFAULT_BACKBONES,
    sizes: Annotated[str, typer.Option(help="512, 1080p or 1920x1080 (width x height), comma-separated")] = "512",
    batches: Annotated[str, typer.Option(help="images per call, comma-separated")] = "1",
    precisions: Annotated[str, typer.Option(help="fp32, bf16, fp16, comma-separated")] = "fp32",
    engines: Annotated[str, typer.Option(help="eager")] = "eager",
    scopes: Annotated[str, typer.Option(help="model: network alone; end_to_end: picture in, matte out")] = (
        "model,end_to_end"
    ),
    architecture: Annotated[str, typer.Option(help="decoder and heads over the backbone")] = "unet",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    layout: Annotated[str, typer.Option(help="nchw or channels_last")] = "nchw",
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default torch's own choice")] = None,
    store: Annotated[str | None, typer.Option(help="also write the rows to this results store")] = None,
) -> None:
    """Time models, each setting in a fresh process, and print a table.

    Example: python -m bench speed --models resnet18,mobilenetv3_large_100 --sizes 512,1080p --store runs/speed/store
    """
    specs = expand(
        _listed(models, "--models"),
        _listed(sizes, "--sizes"),
        _whole(batches, "--batches"),
        _listed(precisions, "--precisions"),
        _listed(engines, "--engines"),
        _listed(scopes, "--scopes"),
        architecture=architecture,
        device=device,
        layout=layout,
    )
    rows = speed_table(specs, threads, store=Store(store) if store else None)
    _print_speed(rows)


@app.command()
def accuracy(
    model: Annotated[Path, typer.Argument(help="folder of a trained model (model.safetensors, model.json)")],
    data: Annotated[
        list[Path], typer.Option(help="manifest whose test samples with a matte are scored; may be repeated")
    ],
    protocol: Annotated[
        str | None, typer.Option(help="native, or shortN: shorter side at N px; default: the model's training size")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0")] = "auto",
    store: Annotated[str | None, typer.Option(help="also write the rows to this results store")] = None,
) -> None:
    """Score a trained model on test sets by SAD, MSE, MAD, Grad, Conn and IoU, and print their means over images.

    Rows in a store stand under the run id that is the model folder's name.

    Example: python -m bench accuracy runs/quickstart/models/0123456789abcdef --data photos.parquet --protocol short512
    """
    from bench import accuracy as accuracies
    from wsshm.data.manifest import Manifest
    from wsshm.predict import parse_protocol

    tests = {path.stem: Manifest.read(path).where(lambda s: s.split == "test" and s.matte is not None) for path in data}
    for name, manifest in tests.items():
        if not len(manifest):
            raise UserError(
                f"the manifest {name} has no test sample with a matte; import its pictures with --split test"
            )
    rule = parse_protocol(protocol) if protocol else None
    measured = accuracies.measure(model, tests, model.resolve().name, protocol=rule, device=device)
    if store:
        Store(store).write("scores", measured.scores)
        Store(store).write("samples", measured.samples)
    _print_accuracy(measured.scores)


def _print_accuracy(rows: list[dict[str, Any]]) -> None:
    """Means over images, a line for each set and region."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    columns = ("sad", "mse", "mad", "grad", "conn", "iou")
    for heading in ("data set", "protocol", "region"):
        table.add_column(heading)
    for heading in ("images", *columns):
        table.add_column(heading, justify="right")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["protocol"], row["region"]), []).append(row)
    for key, members in groups.items():
        means = []
        for column in columns:
            values = [row[column] for row in members if row[column] is not None]
            means.append(f"{sum(values) / len(values):.4g}" if values else "")
        table.add_row(*key, str(len(members)), *means)
    _print_whole(table)


def _listed(text: str, option: str) -> list[str]:
    """The parts of a comma-separated option, each once."""
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise UserError(f"{option} is empty; give at least one value")
    return parts


def _whole(text: str, option: str) -> list[int]:
    parts = _listed(text, option)
    for part in parts:
        if not part.isdecimal():
            raise UserError(f"{option} takes whole numbers, not {part!r}")
    return [int(part) for part in parts]


def _print_speed(rows: list[dict[str, Any]]) -> None:
    shared = ("device", "precision", "layout", "batch")
    same = [name for name in shared if len({row[name] for row in rows}) == 1]
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        title=", ".join(f"batch {rows[0][name]}" if name == "batch" else str(rows[0][name]) for name in same),
        title_justify="left",
        pad_edge=False,
    )
    differ = [name for name in shared if name not in same]
    for name in ("model", "scope", "size", *differ):
        table.add_column(name)
    for name in ("median ms", "95 % interval", "p99", "FPS", "images/s", "M params", "GMACs", "peak MB"):
        table.add_column(name, justify="right")
    for row in rows:
        size = f"{row['width']}x{row['height']}"
        table.add_row(row["model"], row["scope"], size, *(str(row[name]) for name in differ), *_measured(row))
    _print_whole(table)


def _print_whole(table: rich.table.Table) -> None:
    """A narrow terminal, a pipe or a log wraps lines; no number is cut."""
    console = rich.console.Console()
    console.width = max(console.width, rich.console.Console(width=1000).measure(table).maximum)
    console.print(table)


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    if row.get("p50_ms") is None:
        return (row["status"],)
    low, high = row["median_low_ms"], row["median_high_ms"]
    return (
        _number(row["p50_ms"]),
        row["status"] if low is None else f"{_number(low)} .. {_number(high)}",
        _number(row["p99_ms"]) if row["n"] >= CALLS_FOR_P99 else "",
        _number(row["fps"]),
        _number(row["images_per_s"]),
        _number(row["params"] / 1e6),
        _number(row["gmacs"]),
        f"{row['peak_mb']:.0f}",
    )


def _number(value: float | None) -> str:
    """Three significant digits and no exponent."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
