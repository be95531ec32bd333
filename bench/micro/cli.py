"""The commands of `python -m bench micro`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bench.options import listed, whole
from wsshm.errors import UserError, nearest

app = typer.Typer(no_args_is_help=True, help="Time our own code against the straightforward way, side by side.")
BackboneOption = Annotated[str, typer.Option(help="timm backbone; its weights are drawn")]
SizeOption = Annotated[int, typer.Option(help="training size in pixels, a multiple of 64")]
BatchOption = Annotated[int, typer.Option(help="samples a step")]
CpusOption = Annotated[int, typer.Option(help="CPU threads of each worker")]
GpusOption = Annotated[int, typer.Option(help="1 on GPUs, 0 on CPUs")]


@app.callback()
def _commands() -> None:
    """Time our own code against the straightforward way, side by side in one run."""


@app.command()
def metrics(
    sizes: Annotated[str, typer.Option(help="sides of square mattes in pixels, comma-separated")] = "512,1500,3000",
    kinds: Annotated[str, typer.Option(help="hair, blob, noise, static, comma-separated")] = "hair,blob,noise,static",
    rounds: Annotated[int, typer.Option(help="times that each case is repeated; medians are printed")] = 7,
    threads: Annotated[int | None, typer.Option(help="threads on one image; by default all cores")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="also time P3M's own way, once: a minute or more for each noise")
    ] = False,
    device: Annotated[str | None, typer.Option(help="also time tensors on this device, such as cuda")] = None,
) -> None:
    """Time SAD, MSE, MAD, Grad and Conn together against the way of public evaluation scripts, and check they agree.

    Needs scikit-image: pip install '.[micro]'. Exit status 1 where a value differs by more than 1e-6.

    Example: python -m bench micro metrics --sizes 512,1500 --kinds hair
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
def sharing(
    students: Annotated[int, typer.Option(help="students over one teacher")] = 16,
    few: Annotated[int, typer.Option(help="runs of each sweep that tells what a teacher of one's own adds")] = 4,
    ratios: Annotated[str, typer.Option(help="a teacher's training by a student's, comma-separated")] = "0.5,1,2",
    steps: Annotated[int, typer.Option(help="optimiser steps of a student")] = 100,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 64,
    batch: BatchOption = 8,
) -> None:
    """Measure what sharing a teacher saves: sweeps of many students over one, and of as many over one each.

    Starts `python -m sweeps run` with plans of its own, one run at a time on all CPUs, in a temporary folder. A sweep
    whose teacher is there tells what a student costs (S), a few runs with their own teachers what a teacher does (T);
    that of 16 students over one teacher is held against T + 16 S and 16 (T + S). The defaults take more than an
    hour on two cores.

    Example: python -m bench micro sharing --students 4 --ratios 1
    """
    _at_least(1, steps=steps, batch=batch)
    _at_least(2, students=students, few=few)
    if few > students:
        raise UserError(f"--few must be at most --students, not {few} of {students}")
    from bench.micro import sharing as benchmark

    base = _base(backbone, size, batch, steps) | {"method": {"name": "mlb"}}
    benchmark.run(base, students, few, steps, _above_zero(ratios, "--ratios"))


@app.command("ray-overhead")
def ray_overhead(
    steps: Annotated[int, typer.Option(help="optimiser steps of each training")] = 300,
    epochs: Annotated[int, typer.Option(help="epochs into which they are split to see what an epoch costs")] = 10,
    rounds: Annotated[int, typer.Option(help="times that each way is repeated; medians are printed")] = 5,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 64,
    batch: BatchOption = 8,
    cpus_per_worker: CpusOption = 1,
    gpus_per_worker: GpusOption = 0,
) -> None:
    """Measure what Ray adds to a training: to a step, to an epoch's end, to the start.

    The same steps as a plain PyTorch loop, by Ray Train in this process, by Ray Train's one worker, and in a trial of
    Ray Tune, in turns. The defaults take about ten minutes on two cores.

    Example: python -m bench micro ray-overhead --steps 300 --rounds 3
    """
    _at_least(1, rounds=rounds, batch=batch, cpus_per_worker=cpus_per_worker)
    _at_least(2, epochs=epochs)
    if steps % epochs:
        raise UserError(f"--steps {steps} must be a multiple of --epochs {epochs}, so that all epochs are as long")
    from bench.micro import ray_overhead as benchmark

    base = _base(backbone, size, batch, steps, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker)
    benchmark.run(base, epochs, rounds)


@app.command()
def scaling(
    workers: Annotated[str, typer.Option(help="numbers of workers, comma-separated; 1 is always among them")] = "1,2",
    steps: Annotated[int, typer.Option(help="optimiser steps of each training")] = 200,
    rounds: Annotated[int, typer.Option(help="times that each case is repeated; medians are printed")] = 3,
    backbone: BackboneOption = "test_efficientnet",
    size: SizeOption = 128,
    batch: Annotated[int, typer.Option(help="samples a step: in all, and then for each worker")] = 16,
    cpus_per_worker: CpusOption = 1,
    gpus_per_worker: GpusOption = 0,
    loader_workers: Annotated[int, typer.Option(help="processes that load samples, for each worker")] = 0,
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16")] = "fp32",
    batchnorm: Annotated[str, typer.Option(help="sync: over all workers; frozen")] = "sync",
) -> None:
    """Measure images per second of one training on 1, 2, N workers of this machine, at the same batch in all and each.

    Steady steps inside the workers are timed, not their start. On CPUs also: plain loops that need not agree, as many
    at once, which is what the machine itself gives.

    Example: python -m bench micro scaling --workers 1,2,4 --batch 32 --gpus-per-worker 1 --loader-workers 4
    """
    _at_least(1, steps=steps, rounds=rounds, batch=batch, cpus_per_worker=cpus_per_worker)
    from bench.micro import scaling as benchmark

    options = {"cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker, "loader_workers": loader_workers}
    base = _base(backbone, size, batch, steps, **options, precision=precision, batchnorm=batchnorm)
    benchmark.run(base, whole(workers, "--workers"), rounds)


@app.command()
def report(
    runs: Annotated[int, typer.Option(help="runs, over 40 backbones, 5 methods, 5 budgets and 2 seeds")] = 2000,
    images: Annotated[int, typer.Option(help="images that each run was scored on")] = 500,
    regions: Annotated[str, typer.Option(help="regions of each image, comma-separated: a store for each")] = "1,4",
    timings: Annotated[int, typer.Option(help="timings, of as many models and conditions")] = 5000,
) -> None:
    """Time the report of a large store, its figures apart, and hold its numbers against the straightforward pandas way.

    Simulates the stores in a temporary folder and starts each way in a process of its own. The defaults take several
    minutes, about 1 GB of disk, and as much memory as pandas takes.

    Example: python -m bench micro report --runs 200 --images 100 --regions 1
    """
    _at_least(1, runs=runs, images=images, timings=timings)
    from bench.micro import report as benchmark

    counts = whole(regions, "--regions")
    for count in counts:
        if count > 4:
            raise UserError(f"--regions takes numbers from 1 to 4, not {count}")
    benchmark.run(runs, images, counts, timings)


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
