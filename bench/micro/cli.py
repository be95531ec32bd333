"""The commands of `wsshm bench micro`."""

from __future__ import annotations

import fnmatch
import re
from typing import Annotated, Any

import typer

from bench.options import listed, whole
from wsshm.errors import UserError, nearest

app = typer.Typer(no_args_is_help=True, help="Benchmarks of our code against straightforward implementations.")
BackboneOption = Annotated[str, typer.Option(help="timm backbone; its weights are drawn")]
SizeOption = Annotated[int, typer.Option(help="training size in pixels, a multiple of 64")]
BatchOption = Annotated[int, typer.Option(help="samples per step")]
CpusOption = Annotated[int, typer.Option(help="CPU threads of each worker")]
GpusOption = Annotated[int, typer.Option(help="1 on GPUs, 0 on CPUs")]


@app.callback()
def _commands() -> None:
    """Benchmark our own code against straightforward implementations, side by side in one run."""


@app.command()
def metrics(
    sizes: Annotated[str, typer.Option(help="sides of square mattes in pixels, comma-separated")] = "512,1500,3000",
    kinds: Annotated[str, typer.Option(help="hair, blob, noise, static, comma-separated")] = "hair,blob,noise,static",
    rounds: Annotated[int, typer.Option(help="repetitions of each case; medians are printed")] = 7,
    threads: Annotated[int | None, typer.Option(help="threads on one image; by default all cores")] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="also time P3M's published code, once; a minute or more for each noise kind"),
    ] = False,
    device: Annotated[str | None, typer.Option(help="also time tensors on this device, such as cuda")] = None,
) -> None:
    """Time SAD, MSE, MAD, Grad and Conn together against public evaluation scripts, and check that the values agree.

    Needs scikit-image: pip install '.\\[micro]'. Exit status 1 if a value differs by more than 1e-6.

    Example: wsshm bench micro metrics --sizes 512,1500 --kinds hair
    """
    from bench.micro import metrics as benchmark

    asked = listed(kinds, "--kinds")
    for kind in asked:
        if kind not in benchmark.MATTES:
            raise UserError(f"--kinds does not know {kind!r}; {nearest(kind, benchmark.MATTES)}")
    _at_least(1, rounds=rounds, threads=1 if threads is None else threads)
    if device:
        benchmark.check_device(device)
    if not benchmark.run(whole(sizes, "--sizes"), asked, rounds, threads, device, published):
        raise typer.Exit(1)


@app.command()
def calibration() -> None:
    """Compare each convention of the measures with what the published code computes, on 20 generated pairs.

    Prints the largest relative difference for each convention and measure. Exit status 1 if one is above 1e-6.

    Example: wsshm bench micro calibration
    """
    from bench.micro import calibration as benchmark

    if not benchmark.run():
        raise typer.Exit(1)


@app.command()
def blending(
    sizes: Annotated[str, typer.Option(help="sides of square pictures in pixels, comma-separated")] = "512,768",
    bands: Annotated[
        str, typer.Option(help="widths of the band as shares of the picture's side, comma-separated")
    ] = "0.015,0.04",
    backbone: BackboneOption = "tf_efficientnet_lite0",
    rounds: Annotated[int, typer.Option(help="repetitions of each case; medians are printed")] = 5,
    device: Annotated[str, typer.Option(help="torch device of all but OpenCV's work, such as cuda")] = "cpu",
) -> None:
    """Time the blend of a teacher's matte with a mask against OpenCV, windows summed one by one, and a training step.

    Exit status 1 if a pixel of the three labels differs.

    Example: wsshm bench micro blending --sizes 512 --bands 0.04
    """
    _at_least(1, rounds=rounds)
    from bench.micro import blending as benchmark
    from bench.micro.metrics import check_device

    check_device(device)
    shares = _above_zero(bands, "--bands")
    if max(shares) > 1:
        raise UserError(f"--bands takes shares of the picture's side, at most 1, not {max(shares):g}")
    if not benchmark.run(whole(sizes, "--sizes"), shares, backbone, rounds, device):
        raise typer.Exit(1)


@app.command()
def loading(
    sizes: Annotated[str, typer.Option(help="training sizes in pixels, multiples of 64, comma-separated")] = "192,512",
    megapixels: Annotated[
        str, typer.Option(help="sizes of the photos, cut-outs and backgrounds in megapixels, comma-separated")
    ] = "0.5,1.5,6",
    samples: Annotated[int, typer.Option(help="samples of each kind that are timed in each case")] = 16,
    device: Annotated[str, typer.Option(help="torch device that does the samples' arithmetic, such as cuda")] = "cpu",
) -> None:
    """Measure what a training sample costs a loader process, by step, and how many cores feed a device.

    Makes photos (JPEG, masks PNG), cut-outs (RGBA PNG) and backgrounds (JPEG) in a temporary folder, and compares with
    samples made in the straightforward order: whole pictures to float, then crop, resize, recolour. Prints CPU time by
    step, how many samples arrive from 1, 2 and 4 loader processes, and how many cores feed a device that trains 500, 1,000
    and 2,000 a second. The defaults take minutes.

    Example: wsshm bench micro loading --sizes 512 --megapixels 1.5
    """
    from bench.micro import loading as benchmark
    from bench.micro.metrics import check_device

    _at_least(1, samples=samples)
    asked = whole(sizes, "--sizes")
    for size in asked:
        if size % 64 or size > 4096:
            raise UserError(f"--sizes takes multiples of 64 up to 4096, as data.size is, not {size}")
    pictures = _above_zero(megapixels, "--megapixels")
    if not 0.01 <= min(pictures) <= max(pictures) <= 100:
        raise UserError("--megapixels takes numbers from 0.01 to 100")
    check_device(device)
    benchmark.run(asked, pictures, samples, device)


@app.command()
def sharing(
    students: Annotated[int, typer.Option(help="students that share one teacher")] = 16,
    few: Annotated[
        int, typer.Option(help="runs in each sweep that measures the cost of a separate teacher per student")
    ] = 4,
    ratios: Annotated[
        str, typer.Option(help="training cost of a teacher divided by a student's, comma-separated")
    ] = "0.5,1,2",
    steps: Annotated[int, typer.Option(help="optimiser steps of a student")] = 100,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 64,
    batch: BatchOption = 8,
) -> None:
    """Measure what sharing a teacher saves: sweeps whose students share one teacher, and sweeps with a teacher for each.

    Starts `wsshm sweep run` with its own plans, one run at a time on all CPUs, in a temporary folder. A sweep whose
    teacher is already trained gives the cost of a student (S), a few runs with a teacher each give that of a teacher (T);
    the sweep of 16 students that share a teacher is compared with T + 16 S and 16 (T + S). The defaults take more than
    an hour on two cores.

    Example: wsshm bench micro sharing --students 4 --ratios 1
    """
    _at_least(1, steps=steps, batch=batch)
    _at_least(2, students=students, few=few)
    if few > students:
        raise UserError(f"--few must be at most --students, not {few} of {students}")
    from bench.micro import sharing as benchmark

    base = _base(backbone, size, batch, steps) | {"method": {"name": "mlb"}}
    benchmark.run(base, students, few, steps, _above_zero(ratios, "--ratios"))


@app.command()
def scheduling(
    slots: Annotated[
        int, typer.Option(help="CPUs that Ray counts, whatever the machine has: a run's worker takes one")
    ] = 4,
    steps: Annotated[int, typer.Option(help="optimiser steps of a run, its teacher's included")] = 1200,
    teacher_steps: Annotated[int, typer.Option(help="how many of them the teacher takes")] = 600,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 64,
    batch: BatchOption = 8,
) -> None:
    """Measure what a sweep reserves without using it: 8 students that share a teacher, and 4 runs that need none.

    Once in the order of their plan, where the worker of a student waits inside while another trains the teacher, and once
    by `wsshm sweep run`, which waits before it reserves. Reserved slots are Ray's own count, busy ones are those whose
    process computes. The defaults take about half an hour on two cores.

    Example: wsshm bench micro scheduling --steps 600 --teacher-steps 300
    """
    _at_least(1, steps=steps, teacher_steps=teacher_steps, batch=batch)
    _at_least(2, slots=slots)
    if teacher_steps >= steps:
        raise UserError(f"--teacher-steps {teacher_steps} must be smaller than --steps {steps}")
    from bench.micro import scheduling as benchmark

    benchmark.run(_base(backbone, size, batch, steps), slots, teacher_steps)


@app.command("ray-overhead")
def ray_overhead(
    steps: Annotated[int, typer.Option(help="optimiser steps of each training")] = 300,
    epochs: Annotated[
        int, typer.Option(help="epochs that the steps are split into, to measure the cost of an epoch")
    ] = 10,
    rounds: Annotated[int, typer.Option(help="repetitions of each way; medians are printed")] = 5,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 64,
    batch: BatchOption = 8,
    cpus_per_worker: CpusOption = 1,
    gpus_per_worker: GpusOption = 0,
) -> None:
    """Measure the overhead of Ray: per training step, at the end of an epoch, and at the start.

    Runs the same steps in a plain PyTorch loop, in this process without Ray, with one Ray Train worker and in a trial
    of Ray Tune, in turns. The defaults take about ten minutes on two cores.

    Example: wsshm bench micro ray-overhead --steps 300 --rounds 3
    """
    _at_least(1, rounds=rounds, batch=batch, cpus_per_worker=cpus_per_worker)
    _at_least(2, epochs=epochs)
    if steps % epochs:
        raise UserError(f"--steps {steps} must be a multiple of --epochs {epochs}, so that all epochs are as long")
    from bench.micro import ray_overhead as benchmark

    base = _base(backbone, size, batch, steps, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker)
    benchmark.run(base, epochs, rounds)


@app.command()
def training(
    backbone: BackboneOption = "test_efficientnet",
    architecture: Annotated[str, typer.Option(help="decoder and heads, such as unet")] = "unet",
    size: SizeOption = 128,
    batch: BatchOption = 8,
    device: Annotated[str, typer.Option(help="torch device, cpu or cuda")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default all cores")] = None,
    loader_workers: Annotated[int, typer.Option(help="loader processes; 0 loads in between the steps")] = 0,
    engines: Annotated[str, typer.Option(help="eager, compiled, comma-separated")] = "eager,compiled",
    layouts: Annotated[str, typer.Option(help="nchw, channels_last, comma-separated")] = "nchw,channels_last",
    precisions: Annotated[str, typer.Option(help="fp32, bf16, fp16, comma-separated")] = "fp32,bf16",
    rounds: Annotated[int, typer.Option(help="how often each way has its turn; medians are printed")] = 5,
    steps: Annotated[int, typer.Option(help="timed steps of a turn")] = 4,
) -> None:
    """Time a training step by part (data, render, forward, loss, backward, optimiser), eager and compiled.

    Each combination of engine, memory layout and precision is a training of its own; they have turns in one process. The
    last column says how many times faster each is than the first. Compiling takes a minute or more for each of the four
    compiled ways, once: torch keeps what it has compiled.

    Example: wsshm bench micro training --backbone mobilenetv3_small_050 --engines eager
    """
    _at_least(1, rounds=rounds, steps=steps, batch=batch, threads=1 if threads is None else threads)
    _at_least(0, loader_workers=loader_workers)
    from bench.micro import training_step as benchmark
    from bench.micro.metrics import check_device
    from wsshm.cores import usable_cores

    asked = []
    for option, text, known in (
        ("--engines", engines, benchmark.ENGINES),
        ("--layouts", layouts, benchmark.LAYOUTS),
        ("--precisions", precisions, benchmark.PRECISIONS),
    ):
        asked.append(listed(text, option))
        for name in asked[-1]:
            if name not in known:
                raise UserError(f"{option} does not know {name!r}; {nearest(name, known)}")
    check_device(device)
    if size % 64:
        raise UserError(f"--size must be a multiple of 64, as data.size is, not {size}")
    base = _base(backbone, size, batch, 1, cpus_per_worker=threads or usable_cores(), loader_workers=loader_workers)
    base["model"]["architecture"] = architecture
    benchmark.run(base, benchmark.ways_of(*asked), device, rounds, steps)


@app.command()
def scaling(
    workers: Annotated[str, typer.Option(help="numbers of workers, comma-separated; 1 is always included")] = "1,2",
    steps: Annotated[int, typer.Option(help="optimiser steps of each training")] = 200,
    rounds: Annotated[int, typer.Option(help="repetitions of each case; medians are printed")] = 3,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 128,
    batch: Annotated[int, typer.Option(help="samples per step: first in total, then per worker")] = 16,
    cpus_per_worker: CpusOption = 1,
    gpus_per_worker: GpusOption = 0,
    loader_workers: Annotated[int, typer.Option(help="loader processes per worker")] = 0,
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16")] = "fp32",
    batchnorm: Annotated[str, typer.Option(help="sync: over all workers; frozen")] = "sync",
) -> None:
    """Measure training throughput (images/s) on 1, 2, ... N workers of this machine, at a fixed total and per-worker batch.

    Times steady steps inside the workers, not their start. On CPUs it also runs as many independent plain loops at once,
    which is the most that the machine itself can give.

    Example: wsshm bench micro scaling --workers 1,2,4 --batch 32 --gpus-per-worker 1 --loader-workers 4
    """
    _at_least(1, steps=steps, rounds=rounds, batch=batch, cpus_per_worker=cpus_per_worker)
    from bench.micro import scaling as benchmark

    options = {"cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker, "loader_workers": loader_workers}
    base = _base(backbone, size, batch, steps, **options, precision=precision, batchnorm=batchnorm)
    benchmark.run(base, whole(workers, "--workers"), rounds)


@app.command()
def report(
    runs: Annotated[int, typer.Option(help="runs, over 40 backbones, 5 methods, 5 budgets and 2 seeds")] = 2000,
    images: Annotated[int, typer.Option(help="images that each run is scored on")] = 500,
    regions: Annotated[
        str, typer.Option(help="numbers of regions per image, comma-separated; one store for each")
    ] = "1,4",
    timings: Annotated[int, typer.Option(help="number of timings, each of another model and condition")] = 5000,
) -> None:
    """Time the report of a large store, without its figures, and compare it with pandas and a NumPy bootstrap.

    Simulates the stores in a temporary folder and runs each implementation in a separate process. The defaults take
    minutes, about 1 GB of disk, and the memory that pandas needs.

    Example: wsshm bench micro report --runs 200 --images 100 --regions 1
    """
    _at_least(1, runs=runs, images=images, timings=timings)
    from bench.micro import report as benchmark

    counts = whole(regions, "--regions")
    for count in counts:
        if count > 4:
            raise UserError(f"--regions takes numbers from 1 to 4, not {count}")
    benchmark.run(runs, images, counts, timings)


@app.command()
def backbones(
    pattern: Annotated[
        str, typer.Option("--filter", metavar="PATTERN", help="only members that fit: swin*, or have in them: vit")
    ] = "*",
    sizes: Annotated[
        str, typer.Option(help="pictures to predict, width x height in px, comma-separated")
    ] = "512x512,160x96,131x77",
    train_size: Annotated[int, typer.Option(help="side in px of the training step's pictures", min=64)] = 128,
) -> None:
    """Try a small member of each of timm's families: check it as before training, train a step, and predict pictures.

    Prints a line for each and the share that works. Exit status 1 if one that the check passed fails afterwards. All of
    them take about ten minutes; --filter tries some.

    Example: wsshm bench micro backbones --filter 'swin*'
    """
    from bench.micro import backbones as benchmark

    wanted = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    members = [name for name in benchmark.MEMBERS if fnmatch.fnmatchcase(name, wanted)]
    if not members:
        raise UserError(f"--filter {pattern!r} fits no member; {nearest(pattern.strip('*'), benchmark.MEMBERS)}")
    if train_size % 64:
        raise UserError(f"--train-size must be a multiple of 64, as data.size is, not {train_size}")
    outcomes = benchmark.run(members, [_height_width(text) for text in listed(sizes, "--sizes")], train_size)
    if any(outcome.status == benchmark.FAILS for outcome in outcomes):
        raise typer.Exit(1)


def _height_width(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise UserError(f"--sizes takes width x height such as 160x96, not {text!r}")
    return int(match[2]), int(match[1])


def _base(backbone: str, size: int, batch: int, steps: int, **train: Any) -> dict[str, Any]:
    """A run's configuration, as a document: one stage on both kinds of labels, and one epoch."""
    options = {"steps": steps, "epoch_steps": steps, "batch": batch, "precision": "fp32", "lr": 1e-3, "max_failures": 0}
    return {
        "data": {"size": size},
        "model": {"backbone": backbone, "weights": "none"},
        "method": {"name": "joint"},
        "train": options | train,
    }


def _at_least(least: int, **options: int) -> None:
    for name, value in options.items():
        if value < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")


def _above_zero(text: str, option: str) -> list[float]:
    numbers = []
    for part in listed(text, option):
        try:
            numbers.append(float(part))
        except ValueError:
            numbers.append(0.0)
        if not 0 < numbers[-1] < float("inf"):
            raise UserError(f"{option} takes numbers above 0, not {part!r}")
    return list(dict.fromkeys(numbers))
