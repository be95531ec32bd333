"""Trainings to be timed: on a few drawn pictures, by the suite's own `train`, and the same in plain PyTorch."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import ray
import rich.box
import rich.table
import torch
from torch import nn

from wsshm import ray_cluster
from wsshm.config import RunConfig
from wsshm.cores import usable_cores
from wsshm.data.procedural import SHIFTED, make
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.losses import sample_losses
from wsshm.methods import stages_of
from wsshm.models.network import build_model
from wsshm.targets import target_of
from wsshm.training.batches import StepDataset, loader
from wsshm.training.distributed import freeze_batchnorm
from wsshm.training.planning import plan_run
from wsshm.training.run import train
from wsshm.training.run_plan import RunPlan
from wsshm.training.steps import DTYPES, lr_at
from wsshm.training.worker import set_up_torch

PICTURES = {"cutouts": 6, "backgrounds": 6, "natural": 12, "val": 4, "test": 4, SHIFTED: 1}
ROOT = Path("/tmp")  # Ray's sockets lie below, and a socket's path may have about a hundred characters
SEGMENT_S = 1.0
TRAINER = "RayTrainWorker"  # as Ray calls the process
LOOK_EVERY_S = 0.1  # the file is dated by its writer


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A folder for all that a benchmark writes, Ray's files too; gone afterwards."""
    root = ROOT if ROOT.is_dir() else None
    with TemporaryDirectory(prefix="wsshm-", dir=root, ignore_cleanup_errors=True) as name:
        yield Path(name)


def draw(folder: Path, size: int) -> dict[str, Any]:
    """Draw `PICTURES` into `folder`; returns the section `data` of a configuration."""
    make(folder, size, counts=PICTURES, workers=1)
    parts = {"mattes": "synthetic.parquet", "masks": "natural.parquet", "val": "val.parquet", "test": ["test.parquet"]}
    return {"root": str(folder), "size": size, **parts}


def quiet_ray() -> None:
    """Leave Ray's own messages out of what a benchmark prints."""
    logging.getLogger("ray").setLevel(logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)


@contextlib.contextmanager
def own_cluster(folder: Path, cpus: int | None = None) -> Iterator[None]:
    """A Ray cluster on this machine, started and stopped as a sweep does, with its files below `folder`."""
    ray_cluster.start(
        folder / "ray",
        num_cpus=cpus or usable_cores() + 1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    quiet_ray()
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Timing:
    """A training's time: `start_s` from the call to the end of its first step; `step_s` the mean time of a step in each
    second or so after the first; `seconds` as the suite itself records of the stage, None where it did not train it.

    `cpu_s` is the CPU time of these steps, each, in the process that trains, `beside_s` that of all other processes of
    this program: with Ray its daemons and drivers.
    """

    start_s: float
    step_s: list[float]
    seconds: float | None = None
    cpu_s: float = math.nan
    beside_s: float = 0.0


def timed(config: RunConfig, folder: Path, call: Callable[[RunPlan, Path, Path], Any] | None = None) -> Timing:
    """Train a run of one stage without a teacher into `folder`, which must not be there, and time it from outside.

    The first worker replaces the run's progress file after its first step and then once a second; the times at which
    it did so give the rate inside the worker. `call` trains (run, stages, progress file), by default
    `wsshm.training.run.train`. Raises UserError where the training is over too soon to be timed.
    """
    run, stages, progress = plan_run(config), folder / "stages", folder / "progress.json"
    folder.mkdir(parents=True)
    with _Watch(progress) as watch:
        called = time.time()
        (call or _train)(run, stages, progress)
    [result] = stages.glob("*/final/stage.json")
    timing = _timing(called, watch.points, json.loads(result.read_text())["seconds"])
    cpu_s, beside_s = watch.cpu_of_a_step()
    return replace(timing, cpu_s=cpu_s, beside_s=beside_s)


def _train(run: RunPlan, stages: Path, progress: Path) -> None:
    train(run, stages, Location.of(progress))


def _timing(called: float, points: list[tuple[float, float]], seconds: float | None = None) -> Timing:
    """From (time, steps done by then), the first after step 1; what lies before the second is warm-up."""
    segments = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in pairwise(points[1:])]
    if not segments:
        raise UserError("the training was over before its steps could be timed; raise --steps")
    return Timing(points[0][0] - called, segments, seconds)


class _Watch:
    """Every state of a progress file: (time at which it was written, steps done), and who had used how much CPU then."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.points: list[tuple[float, float]] = []
        self.cpu: list[dict[tuple[int, bool], float]] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.stop.wait(LOOK_EVERY_S):
            with contextlib.suppress(OSError, ValueError), open(self.file) as file:
                written = os.fstat(file.fileno()).st_mtime_ns / 1e9
                if self.points and written == self.points[-1][0]:
                    continue
                done = json.load(file)["done"]
                if done > (self.points[-1][1] if self.points else 0):
                    self.points.append((written, done))
                    self.cpu.append(_cpu_by_process())

    def cpu_of_a_step(self) -> tuple[float, float]:
        """`cpu_s` and `beside_s` of the steps after the second state."""
        steps = self.points[-1][1] - self.points[1][1]
        spent = {False: 0.0, True: 0.0}
        for (pid, trains), seconds in self.cpu[-1].items():
            spent[trains] += seconds - self.cpu[1].get((pid, trains), 0.0)
        return spent[True] / steps, spent[False] / steps


def _cpu_by_process() -> dict[tuple[int, bool], float]:
    """CPU seconds of this process and its descendants, by number and by whether they train: Ray's worker, or this one."""
    own = psutil.Process()
    spent: dict[tuple[int, bool], float] = {}
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            trains = process is not own and TRAINER in " ".join(process.cmdline()[:1])
            spent[process.pid, trains] = times.user + times.system
    if not any(trains for _, trains in spent):
        spent[own.pid, True] = spent.pop((own.pid, False))
    return spent


def bare(
    config: RunConfig, called: float | None = None, ready: Callable[[], Any] | None = None
) -> tuple[Timing, list[float]]:
    """A run's first stage as a plain PyTorch loop: the same model, batches, loss, optimiser and threads.

    Without Ray, checkpoints, validation, progress files and loss scaling (fp16). `called` is the time from which its
    start counts, by default now; `ready` is called when the first step is about to begin. Returns also the loss of each
    step.
    """
    called = called or time.time()
    options, stage = config.train, stages_of(config)[0]
    device = torch.device("cuda" if options.gpus_per_worker else "cpu")
    set_up_torch(config, device)
    torch.manual_seed(options.seed)
    model = build_model(config.model).to(device).to(memory_format=torch.channels_last).train()
    if options.batchnorm == "frozen":
        freeze_batchnorm(model)
    optimiser = torch.optim.AdamW(model.parameters(), options.lr, weight_decay=options.weight_decay)
    batches = loader(StepDataset(open_sources(config.data), stage, config), config, 0, 1, 0)
    if ready:
        ready()
    losses: list[float] = []
    points: list[tuple[float, float]] = []
    cpu: list[float] = []
    for step, [cut] in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = lr_at(step, stage.steps, options)
        optimiser.zero_grad(set_to_none=True)
        batch = cut.render(device)
        with torch.autocast(device.type, DTYPES.get(options.precision), enabled=options.precision != "fp32"):
            output = model(batch.images)
        loss = sample_losses(output, target_of(batch, stage, None), options.loss).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options.clip_grad)
        optimiser.step()
        losses.append(float(loss.detach()))
        now = time.time()
        if not points or now - points[-1][0] >= SEGMENT_S:
            points.append((now, step + 1))
            cpu.append(time.process_time())
    timing = _timing(called, points)
    return replace(timing, cpu_s=(cpu[-1] - cpu[1]) / (points[-1][1] - points[1][1])), losses


def median_and_spread(values: list[float], scale: float = 1.0, digits: int = 1) -> list[str]:
    """Two cells: the median, and the range of the middle half."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return [f"{scale * middle:.{digits}f}", f"{scale * low:.{digits}f} to {scale * high:.{digits}f}"]


def table(*headings: str, left: int = 1) -> rich.table.Table:
    """An empty table whose first `left` columns are text."""
    result = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        result.add_column(heading, justify="left" if number < left else "right", no_wrap=True)
    return result
