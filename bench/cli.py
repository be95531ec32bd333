"""The commands of `wsshm bench`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import rich.box
import rich.table
import typer

from bench.engines import ENGINES
from bench.micro.cli import app as micro
from bench.options import listed, whole
from bench.peers import given
from bench.peers.speed import expand_peers
from bench.settings import PRECISIONS, expand, named, parse_size
from bench.speed import PROCESSES, speed_table
from bench.store import Store
from wsshm.errors import UserError, nearest, redacted
from wsshm.files.tables import check_file, write_table
from wsshm.measures import MEASURES
from wsshm.options import CacheOption, PeerOption
from wsshm.terminal import plain, print_whole

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(micro, name="micro")
CALLS_FOR_P99 = 1000  # ten calls above it; with fewer it is the luck of single calls
TRUTHS = ("exact", "estimated", "mask")
QUANTISED = ("none", "rounded", "floored")
DEFAULT_BACKBONES = "tf_efficientnet_lite0,resnet18"


@app.callback()
def _rooms() -> None:
    """Measure: the speed of backbones, the accuracy of models."""


@app.command()
def speed(
    models: Annotated[
        str | None,
        typer.Option(
            help="comma-separated: timm backbones, ARCHITECTURE/BACKBONE (fast/resnet18), folders of trained models;"
            f" without --peer by default {DEFAULT_BACKBONES}"
        ),
    ] = None,
    peer: PeerOption = [],  # noqa: B006
    sizes: Annotated[str, typer.Option(help="512, 1080p or 1920x1080 (width x height), comma-separated")] = "512",
    batches: Annotated[str, typer.Option(help="images per call, comma-separated")] = "1",
    precisions: Annotated[str, typer.Option(help=f"comma-separated: {', '.join(PRECISIONS)}")] = "fp32",
    engines: Annotated[str, typer.Option(help=f"comma-separated: {', '.join(sorted(ENGINES.own))}")] = "eager",
    scopes: Annotated[str, typer.Option(help="model: network alone; end_to_end: picture in, matte out")] = (
        "model,end_to_end"
    ),
    architecture: Annotated[
        str, typer.Option(help="decoder and heads; with options of its own '{name: unet, width: 1.5}'")
    ] = "unet",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    layout: Annotated[str, typer.Option(help="channels_last, as models are trained, or nchw")] = "channels_last",
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default torch's own choice")] = None,
    processes: Annotated[
        int,
        typer.Option(help="fresh processes of each setting; the 95 % interval is over them (of one: over its calls)"),
    ] = PROCESSES,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="manifest whose validation photos int8 is calibrated on; by default photos of the embedded set"
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(help="also write the rows to this results store")] = None,
) -> None:
    """Time models, each setting in several fresh processes, all settings in turn, and print a table.

    What an engine or this machine lacks is a row `unavailable` with the reason. Every engine's mattes are compared with
    PyTorch's before it is timed; one that is `wrong` is not. Networks without a folder have random weights.

    Peers run on the CPU, one picture at a time and in their own precision: ONNX files in those of --engines that take
    them (onnxruntime, openvino), else as is usual for their format. The network alone is timed at the size that it makes
    of a picture, a recurrent one as in a video.

    Example: wsshm bench speed --models resnet18,mobilenetv3_large_100 --sizes 512,1080p --store runs/speed/store
    """
    others = given(peer)
    if models is None and not others:
        models = DEFAULT_BACKBONES
    asked = listed(precisions, "--precisions")
    if calibration is not None and "int8" not in asked:
        raise UserError("--calibration is for int8; add it to --precisions")
    specs = expand(
        [named(text, architecture) for text in listed(models, "--models")] if models is not None else [],
        listed(sizes, "--sizes"),
        whole(batches, "--batches"),
        asked,
        listed(engines, "--engines"),
        listed(scopes, "--scopes"),
        device=device,
        layout=layout,
    )
    timed_peers = expand_peers(
        others, map(parse_size, listed(sizes, "--sizes")), listed(scopes, "--scopes"), listed(engines, "--engines")
    )
    rows = speed_table(
        [*specs, *timed_peers],
        threads,
        store=Store(store) if store else None,
        processes=processes,
        calibration=calibration,
    )
    _print_speed(rows)


@app.command()
def accuracy(
    data: Annotated[
        list[str], typer.Option(help="manifest, or its address, whose test samples are scored; may be repeated")
    ],
    model: Annotated[
        Path | None,
        typer.Argument(help="a trained model's folder, or a sweep's OUT: its best on validation", show_default=False),
    ] = None,
    peer: PeerOption = [],  # noqa: B006
    truth: Annotated[str, typer.Option(help="matte, or mask: IoU and boundary F against the samples' masks")] = "matte",
    protocol: Annotated[
        str | None,
        typer.Option(
            help="native, shortN (shorter side at N px), p3m-resize, p3m-hybrid or modnet; default: the training size"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0; peers run on the CPU")] = "auto",
    engine: Annotated[
        str, typer.Option(help=f"what executes MODEL, as wsshm bench speed times it: {', '.join(sorted(ENGINES.own))}")
    ] = "eager",
    precision: Annotated[str, typer.Option(help=f"MODEL's: {', '.join(PRECISIONS)}")] = "fp32",
    calibration: Annotated[
        str | None,
        typer.Option(
            help="manifest whose validation photos int8 is calibrated on; by default photos of the embedded set"
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(help="also write the rows to this results store")] = None,
    cache: CacheOption = None,
) -> None:
    """Score models on test sets by SAD, MSE, MAD, Grad, Conn, IoU and measures of yours, and print their means.

    With --engine or --precision MODEL is executed as wsshm bench speed times it, and its rows say so: a report then sets
    that frame rate beside that error.

    MODEL's rows in a store stand under the run id that is the model folder's name, those against masks apart from those
    against mattes; a peer's under an id of its own, with its licence, and reports show them beside our runs, not among
    them. An attribute `truth` (estimated) of a manifest's samples is kept with their rows.

    Example: wsshm bench accuracy runs/quickstart/models/0123456789abcdef --data photos.parquet --protocol short512
    """
    from bench import accuracy as accuracies
    from bench import provenance
    from bench.executed import Executed
    from bench.peers import rows as peer_rows
    from bench.peers.matting import PeerModel
    from wsshm.data.manifest import Manifest
    from wsshm.files.location import Location
    from wsshm.models.folder import model_folder
    from wsshm.prediction.protocols import parse_protocol

    _one_of(truth, ("matte", "mask"), "--truth")
    others = given(peer)
    if model is None and not others:
        raise UserError("nothing is given to be scored; name a model's folder, or --peer PEER=FILE")
    if protocol and model is None:
        raise UserError("--protocol is a MODEL's; a peer's input rule is the one that its description gives")
    _one_of(precision, PRECISIONS, "--precision")
    as_usual = (engine, precision) == ("eager", "fp32")
    if not as_usual and model is None:
        raise UserError("--engine and --precision are a MODEL's; a peer runs as its description says")
    if calibration is not None and precision != "int8":
        raise UserError("--calibration is for --precision int8")
    names = [PurePosixPath(Location.of(place).path).stem for place in data]
    if len({*names}) < len(data):
        raise UserError("two manifests of --data have the same name, under which their scores would stand; rename one")
    masks = truth == "mask"
    tests = {
        f"{name} (masks)" if masks else name: Manifest.read(place).where(
            lambda s: s.split == "test" and getattr(s, truth) is not None
        )
        for name, place in zip(names, data, strict=True)
    }
    for place, manifest in zip(data, tests.values(), strict=True):
        if not len(manifest):
            raise UserError(
                f"the manifest {redacted(place)} has no test sample with a {truth}; import its pictures with --split test"
            )
    rule = parse_protocol(protocol) if protocol else None
    results = Store(store) if store else None
    scored: dict[str, list[dict[str, Any]]] = {}
    opened = [PeerModel(other) for other in others]  # before anything is scored: a wrong file is told at once
    if model is not None:
        model = model_folder(Location.of(model)).local or model
        saved_id = model.resolve().name
        with TemporaryDirectory(prefix="wsshm-engine-") as scratch:
            saved: accuracies.Matting = (
                accuracies.SavedModel(model, rule, device)
                if as_usual
                else Executed(model, rule, device, engine, precision, Path(scratch), calibration)
            )
            measured = accuracies.measure(saved, tests, saved_id, masks=masks)
        if results:
            results.write("scores", measured.scores)
            if as_usual:  # the pictures that are looked at are PyTorch's
                results.write("samples", measured.samples)
            if saved_id not in results.settled():
                typer.echo(
                    f"note: {store} holds no run {saved_id!r}, so its reports leave this model's scores out; give the store"
                    " of the sweep that trained it",
                    err=True,
                )
        scored[saved_id] = measured.scores
    for other in opened:
        started = provenance.now()
        measured = accuracies.measure(other, tests, peer_rows.run_id(other), masks=masks)
        if results:
            results.write("scores", measured.scores)
            results.write("samples", measured.samples)
            results.write("runs", [peer_rows.run_row(other, started)])
        scored[other.name] = measured.scores
    _print_accuracy(scored)


@app.command()
def peers(
    name: Annotated[
        str | None,
        typer.Argument(help="one of them, or the path of a .yaml of yours; all by default", show_default=False),
    ] = None,
) -> None:
    """List other people's models that can be scored and timed beside ours, or tell all about one and where it is had.

    Example: wsshm bench peers rvm
    """
    from bench.peers import listing

    if name is None:
        listing.print_all()
    else:
        listing.print_one(name)


@app.command()
def label_error(
    teacher: Annotated[Path, typer.Argument(help="folder of a trained teacher (model.safetensors, model.json)")],
    data: Annotated[str, typer.Option(help="manifest, or its address, of photos that have masks and true mattes")],
    split: Annotated[str, typer.Option(help="train or val; a blend is never chosen on test")] = "val",
    variants: Annotated[str, typer.Option(help="hard, soft, gated, comma-separated")] = "gated,hard",
    thresholds: Annotated[str, typer.Option(help="of the teacher's boundary, comma-separated")] = "0.1,0.3,0.5,0.7",
    bands: Annotated[str, typer.Option(help="shares of the shorter side, comma-separated")] = "0.015,0.025,0.04",
    feathers: Annotated[str, typer.Option(help="shares of the shorter side, comma-separated")] = "0",
    vetoes: Annotated[str, typer.Option(help="none, mask, comma-separated")] = "none,mask",
    size: Annotated[int | None, typer.Option(min=32, help="shorter side in px; default: the training size")] = None,
    best: Annotated[int, typer.Option(min=1, help="blends to print, the lowest SAD first")] = 12,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="write one row per photo and label to this .parquet, .csv or .md file")
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Try blends without training a student: how far masks, a teacher's mattes and blended labels are from the truth.

    Changes against the mask are means over photos with 95 % intervals that hold for all labels together.

    Example: wsshm bench label-error runs/quickstart/stages/ADDRESS/final --data drawn/val.parquet
    """
    from bench import label_error as errors
    from wsshm.data.manifest import Manifest

    _one_of(split, ("train", "val"), "--split")
    blends = errors.blends(
        variant=listed(variants, "--variants"),
        threshold=listed(thresholds, "--thresholds"),
        band=listed(bands, "--bands"),
        feather=listed(feathers, "--feathers"),
        veto=listed(vetoes, "--vetoes"),
    )
    if out:
        check_file(out)
    photos = Manifest.read(data).where(lambda s: s.split == split and s.matte is not None and s.mask is not None)
    rows = errors.label_errors(teacher, photos, blends, size, device)
    if out:
        write_table(out, rows)
    print(
        f"{redacted(data)} ({split}): {len(photos)} photos; SAD in thousands a photo, A is the teacher's share of the label"
    )
    labels = errors.judged(rows)
    print_whole(errors.table(labels, best))
    print(errors.summary(labels))


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Option(help="folder of predicted mattes: pictures or .npy")],
    labels: Annotated[Path, typer.Option(help="folder of true mattes of the same names")],
    trimaps: Annotated[
        Path | None, typer.Option(help="folder of trimaps (0, 128, 255); by default derived from the labels")
    ] = None,
    convention: Annotated[
        str | None, typer.Option(help="p3m (the default), dim, rvm (high resolution) or rvm-lr (low resolution)")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write one row per image to this .parquet, .csv or .md file")] = None,
    store: Annotated[str | None, typer.Option(help="also write the rows to this results store")] = None,
    name: Annotated[str | None, typer.Option(help="display name; by default the predictions folder's")] = None,
    dataset: Annotated[str | None, typer.Option(help="data set; by default the labels folder's name")] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="what the labels are: exact (the default), estimated, or mask: IoU and boundary F"),
    ] = None,
    quantised: Annotated[
        str | None, typer.Option(help="how the predictions were brought to 8 bits: none, rounded or floored")
    ] = None,
    strict_size: Annotated[
        bool, typer.Option("--strict-size", help="refuse predictions of another size instead of resizing them")
    ] = False,
    suffix: Annotated[
        str | None,
        typer.Option(
            help="what predictions' names end in beside the label's name, e.g. _alpha (which is found without asking)"
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--class", help="with --truth mask: the person's class indices in the labels, e.g. 15 or 1,2"),
    ] = None,
    sequences: Annotated[
        bool,
        typer.Option("--sequences", help="folders of video frames, one per clip: adds dtSSD (not with --truth mask)"),
    ] = False,
    workers: Annotated[int | None, typer.Option(help="images scored at once; by default all cores")] = None,
) -> None:
    """Score anybody's predictions by the field's measures: pairs by name, means, intervals, the worst images.

    Exit status 1 where a file is missing, left over or broken: it is named, and the rest is scored. WSSHM_PLUGINS names
    files of yours that add measures.

    Example: wsshm bench evaluate --predictions out/modnet --labels P3M-500-NP/mask --trimaps P3M-500-NP/trimap
    """
    from bench import external, external_rows, provenance
    from bench.evaluate_report import print_evaluation
    from wsshm.cores import usable_cores
    from wsshm.data.class_masks import parse_classes
    from wsshm.metrics.conventions import convention_named

    masks = truth == "mask"
    convention_named(convention or "p3m")
    _one_of(truth or "exact", TRUTHS, "--truth")
    _one_of(quantised or "none", QUANTISED, "--quantised")
    if masks and (trimaps or convention):
        raise UserError("--truth mask takes neither --trimaps nor --convention; masks have no unknown region")
    if classes is not None and not masks:
        raise UserError("--class chooses from masks; give --truth mask with it")
    if workers is not None and workers < 1:
        raise UserError(f"--workers must be at least 1, not {workers}")
    external_rows.check_targets(out, store)
    results = Store(store) if store else None
    chosen = None if classes is None else parse_classes(classes)
    request = external.suffixed(
        external.Request(
            predictions,
            labels,
            trimaps,
            convention or "p3m",
            masks,
            sequences,
            workers or usable_cores(),
            suffix or "",
            chosen,
        )
    )
    started = provenance.now()
    pairs = external.pair_up(request)
    if strict_size:
        external.refuse_resizing(pairs)
    evaluation = external_rows.Evaluation(
        request,
        external.score_pairs(pairs, request),
        dataset or labels.resolve().name,
        name or predictions.resolve().name,
        truth or "exact",
        quantised,
        started,
    )
    if out:
        external_rows.write_images(evaluation, out)
    if results and evaluation.good:
        external_rows.write_store(evaluation, results)
    print_evaluation(evaluation, truth is not None, str(out) if out else None)
    if evaluation.bad:
        raise typer.Exit(1)


def _one_of(value: str, choices: Iterable[str], option: str) -> None:
    if value not in choices:
        raise UserError(f"{option} does not know {value!r}; {nearest(value, choices)}")


def _print_accuracy(scored: dict[str, list[dict[str, Any]]]) -> None:
    """Means over images, a line for each set, region and model."""
    rows = [{"model": name, **row} for name, own in scored.items() for row in own]
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    columns = [name for name in MEASURES if any(row.get(name) is not None for row in rows)]
    named = {"dataset": "data set", "region": "region", "model": "model", "protocol": "protocol"}
    if len(scored) == 1:
        named = {"dataset": "data set", "protocol": "protocol", "region": "region"}
    for heading in named.values():
        table.add_column(heading)
    for heading in ("images", *(f"{MEASURES[name].header} {MEASURES[name].arrow}" for name in columns)):
        table.add_column(heading, justify="right")
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    places = list(dict.fromkeys((row["dataset"], row["region"]) for row in rows))
    order = {place: index for index, place in enumerate(places)}
    for row in sorted(rows, key=lambda row: order[row["dataset"], row["region"]]):  # models side by side within each
        groups.setdefault(tuple(row[key] for key in named), []).append(row)
    for key, members in groups.items():
        means = []
        for column in columns:
            values = [row[column] for row in members if row.get(column) is not None]
            means.append(f"{sum(values) / len(values):.4g}" if values else "")
        table.add_row(*map(plain, key), str(len(members)), *means)
    print_whole(table)


def _print_speed(rows: list[dict[str, Any]]) -> None:
    shared = ("device", "engine", "precision", "layout", "batch")
    same = [name for name in shared if len({row[name] for row in rows}) == 1]
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        title=", ".join(
            f"batch {rows[0][name]}" if name == "batch" else str(rows[0][name]) for name in same if name != "engine"
        ),
        title_justify="left",
        pad_edge=False,
    )
    differ = [name for name in shared if name not in same]
    for name in ("model", "scope", "size", *differ):
        table.add_column(name)
    for name in ("median ms", "95 % interval", "p99", "FPS", "images/s", "M params", "GMACs", "peak MB", "differs by"):
        table.add_column(name, justify="right")
    for row in rows:
        size = f"{row['width']}x{row['height']}"
        table.add_row(plain(row["model"]), row["scope"], size, *(plain(row[name]) for name in differ), *_measured(row))
    print_whole(table)


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    if row.get("p50_ms") is None:
        return (row["status"],)
    low, high = row["median_low_ms"], row["median_high_ms"]
    return (
        _number(row["p50_ms"]),
        f"{'unstable, ' if row['status'] != 'ok' else ''}{_number(low)} .. {_number(high)}" if low else row["status"],
        _number(row["p99_ms"]) if row["n"] >= CALLS_FOR_P99 else "",
        _number(row["fps"]),
        _number(row["images_per_s"]),
        _number(row["params"] and row["params"] / 1e6),
        _number(row["gmacs"]),
        f"{row['peak_mb']:.0f}",
        "" if row.get("max_difference") is None else f"{row['max_difference']:.1g}",
    )


def _number(value: float | None) -> str:
    """Three significant digits and no exponent."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
