"""What Ray adds to a training: to each step, to each epoch's report, and before the first step."""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ray import tune

from bench.micro.training import (
    Timing,
    bare,
    draw,
    median_and_spread,
    own_cluster,
    quiet_ray,
    table,
    timed,
    workspace,
)
from bench.provenance import device_name
from wsshm.config import RunConfig, override, parse
from wsshm.console import track
from wsshm.files.location import Location
from wsshm.terminal import print_whole
from wsshm.training.planning import resolved
from wsshm.training.run import train
from wsshm.training.run_plan import RunPlan

PLAIN, LOCAL, FIRST, LATER, TRIAL = (
    "a plain loop in a new process",
    "this process, without Ray (workers: 0)",
    "Ray Train, one worker, the cluster's first fit",
    "Ray Train, one worker, a later fit",
    "the same in a trial of Ray Tune",
)
PARTS = 7  # trainings of a round
DRIVER_CPUS = 0.01


def run(base: dict[str, Any], epochs: int, rounds: int) -> None:
    """Train the same stage in every way, in turns, and print a line for each: steps, epochs, start.

    `base` is a configuration without its pictures; its stage is one epoch, and `epochs` where their cost is measured.
    """
    steps = base["train"]["steps"]
    found: dict[str, list[Timing]] = defaultdict(list)
    reported: dict[str, list[float]] = defaultdict(list)
    cluster_s: list[float] = []
    quiet_ray()
    with workspace() as folder:
        data = draw(folder / "data", base["data"]["size"])

        def config(workers: int, epoch_steps: int) -> RunConfig:
            changed = override(base, [f"train.workers={workers}", f"train.epoch_steps={epoch_steps}"])
            return resolved(parse(changed | {"data": data}))

        one_epoch = steps // epochs

        def work() -> Iterator[None]:
            for number in range(rounds):
                place = folder / str(number)
                # These before there is a cluster, whose daemons take time from what runs beside them.
                found[PLAIN].append(plain_loop(config(0, steps)))
                yield
                found[LOCAL].append(timed(config(0, steps), place / "local"))
                yield
                split = timed(config(0, one_epoch), place / "local-epochs")
                reported[LOCAL].append(per_epoch(split, found[LOCAL][-1], epochs))
                yield
                began = time.perf_counter()
                with own_cluster(folder):
                    cluster_s.append(time.perf_counter() - began)
                    found[FIRST].append(timed(config(1, steps), place / "first"))
                    yield
                    found[LATER].append(timed(config(1, steps), place / "later"))
                    yield
                    split = timed(config(1, one_epoch), place / "epochs")
                    reported[LATER].append(per_epoch(split, found[LATER][-1], epochs))
                    yield
                    found[TRIAL].append(timed(config(1, steps), place / "trial", partial(in_a_trial, place / "tune")))
                    yield

        for _ in track(work(), rounds * PARTS, "ray-overhead"):
            pass
    _print(base, epochs, rounds, found, reported, cluster_s)


def plain_loop(config: RunConfig) -> Timing:
    """The plain loop in a process of its own, which imports torch as Ray's workers do."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(bare, config, time.time()).result()[0]


def per_epoch(several: Timing, one: Timing, epochs: int) -> float:
    """Seconds that each further epoch adds to the same number of steps."""
    assert several.seconds is not None
    assert one.seconds is not None
    return (several.seconds - one.seconds) / (epochs - 1)


def in_a_trial(files: Path, run: RunPlan, stages: Path, progress: Path) -> None:
    """Train as a trial of Tune does: a process of its own that only drives the nested Ray Train."""
    # As in a sweep: no files that nobody reads, no table, and Ctrl-C ends the benchmark instead of one trial.
    os.environ |= {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
    }
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    space = {"run": run, "stages": str(stages), "progress": str(progress)}
    results = tune.Tuner(
        tune.with_resources(_trial, {"CPU": DRIVER_CPUS}),
        param_space=space,
        run_config=tune.RunConfig(name="tune", storage_path=str(files), verbose=0),
    ).fit()
    if results.errors:
        raise results.errors[0]


def _trial(space: dict[str, Any]) -> None:
    train(space["run"], Path(space["stages"]), Location.of(space["progress"]))


def _print(
    base: dict[str, Any],
    epochs: int,
    rounds: int,
    found: dict[str, list[Timing]],
    reported: dict[str, list[float]],
    cluster_s: list[float],
) -> None:
    options = base["train"]
    device = device_name("cuda") if options["gpus_per_worker"] else device_name()
    print(
        f"{device}; {base['model']['backbone']} at {base['data']['size']} px, batch {options['batch']},"
        f" {options['cpus_per_worker']} threads; {options['steps']} steps in every way, in turns, medians of {rounds} rounds"
    )
    print("A step: the mean of each second of steady training. The plain loop and `workers: 0` run without a cluster.")
    form = table("a step", "ms", "middle half", "more than plain", "times plain")
    plain = statistics.median(s for t in found[PLAIN] for s in t.step_s)
    for way in (PLAIN, LOCAL, FIRST, LATER, TRIAL):
        steps = [s for timing in found[way] for s in timing.step_s]
        ratio = statistics.median(steps) / plain
        form.add_row(way, *median_and_spread(steps, 1000, 2), f"{ratio - 1:+.1%}", f"{ratio:.1f} x")
    print_whole(form)
    print(
        "A step's CPU time, which other programs of the machine change less: of the process that trains, and beside it of"
        " all others of this program, Ray's daemons and drivers."
    )
    form = table("a step's CPU", "ms", "middle half", "more than plain", "beside it", "times plain")
    plain = statistics.median(t.cpu_s for t in found[PLAIN])
    for way in (PLAIN, LOCAL, FIRST, LATER, TRIAL):
        spent = [timing.cpu_s for timing in found[way]]
        ratio = statistics.median(spent) / plain
        beside = f"{1000 * statistics.median(t.beside_s for t in found[way]):.2f}"
        form.add_row(way, *median_and_spread(spent, 1000, 2), f"{ratio - 1:+.1%}", beside, f"{ratio:.1f} x")
    print_whole(form)
    print(
        f"An epoch's end: what each of {epochs} epochs adds to the same steps in one, validation and checkpoint included."
    )
    form = table("an epoch's end", "ms", "middle half", "times in this process")
    here = statistics.median(reported[LOCAL])
    for way, name in ((LOCAL, LOCAL), (LATER, "Ray Train, one worker")):
        times = f"{statistics.median(reported[way]) / here:.1f} x" if here > 0 else "below the noise"
        form.add_row(name, *median_and_spread(reported[way], 1000, 0), times)
    print_whole(form)
    print("The start: from the call to the end of the first step. A cluster's own start is not in it.")
    form = table("the start", "s", "middle half", "times plain")
    plain = statistics.median(t.start_s for t in found[PLAIN])
    for way in (PLAIN, LOCAL, FIRST, LATER, TRIAL):
        starts = [timing.start_s for timing in found[way]]
        form.add_row(way, *median_and_spread(starts, digits=2), f"{statistics.median(starts) / plain:.1f} x")
    form.add_row(
        "a cluster on this machine",
        *median_and_spread(cluster_s, digits=2),
        f"{statistics.median(cluster_s) / plain:.1f} x",
    )
    print_whole(form)
