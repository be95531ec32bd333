"""Images per second of one training on 1, 2, N workers, and what the machine gives workers that need not agree."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any

from bench.micro.training import bare, draw, median_and_spread, own_cluster, table, timed, workspace
from bench.provenance import device_name
from wsshm.config import RunConfig, override, parse
from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.errors import UserError
from wsshm.terminal import print_whole
from wsshm.training.planning import resolved


@dataclass(frozen=True)
class Case:
    """A number of workers and a global batch, at which `kinds` of scaling look."""

    workers: int
    batch: int
    kinds: tuple[str, ...]


@dataclass
class Measured:
    """A case's step times, and its single workers' where each trains for itself."""

    step_s: list[float] = field(default_factory=list)
    alone_s: list[float] = field(default_factory=list)


def run(base: dict[str, Any], workers: list[int], rounds: int) -> None:
    """Print a line for each number of workers, once at `base`'s batch in all and once at it for each worker.

    `base` is a configuration without its pictures. Raises UserError, before anything is trained, for what this machine
    cannot hold.
    """
    cases = cases_of(sorted({1, *workers}), base["train"]["batch"])
    size = base["data"]["size"]
    configs = {case: configured(base, case) for case in cases}
    gpus = base["train"]["gpus_per_worker"]
    _check_room(configs[cases[-1]], max(workers))
    measured = {case: Measured() for case in cases}
    with workspace() as folder:
        data = draw(folder / "data", size)
        ready = {case: resolved(_with_data(config, data)) for case, config in configs.items()}

        def work() -> Iterator[None]:
            for number in range(rounds):
                # Each round in a cluster of its own, and the loops without any while none is there.
                for case in cases if not gpus else ():
                    measured[case].alone_s += side_by_side(ready[case], case.workers)
                    yield
                with own_cluster(folder):
                    for case in cases:
                        place = folder / f"{number}-{case.workers}-{case.batch}"
                        measured[case].step_s += timed(ready[case], place).step_s
                        yield

        for _ in track(work(), rounds * len(cases) * (1 if gpus else 2), "scaling"):
            pass
    _print(base, cases, measured, rounds)


def cases_of(workers: list[int], batch: int) -> list[Case]:
    """What is to be trained: one worker serves both kinds of scaling."""
    cases = [Case(1, batch, ("same batch in all", "same batch each"))]
    for count in workers:
        if count > 1:
            cases += [Case(count, batch, ("same batch in all",)), Case(count, batch * count, ("same batch each",))]
    return cases


def configured(base: dict[str, Any], case: Case) -> RunConfig:
    """A case's configuration; UserError where it is impossible, such as a batch that its workers cannot share."""
    if case.batch % case.workers:
        raise UserError(
            f"--batch {case.batch} must be a multiple of {case.workers} workers, so that all have as much to do"
        )
    config: RunConfig = parse(
        override(base, [f"train.workers={case.workers}", f"train.batch={case.batch}"]),
        where=f"--batch {base['train']['batch']} on {case.workers} workers",
    )
    return config


def side_by_side(config: RunConfig, workers: int) -> list[float]:
    """Step times of plain loops without Ray in as many processes at once, each on one worker's share of the batch.

    What the machine gives: cores share caches, memory and power between all processes.
    """
    train = config.train.model_copy(update={"batch": config.train.batch // workers, "workers": 1})
    share = config.model_copy(update={"train": train})
    context = get_context("spawn")
    barrier = context.Barrier(workers)
    with ProcessPoolExecutor(workers, context, initializer=_meet_at, initargs=(barrier,)) as pool:
        futures = [pool.submit(_alone, share) for _ in range(workers)]
        return [step for future in futures for step in future.result()]


_barrier: Barrier | None = None


def _meet_at(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _alone(config: RunConfig) -> list[float]:
    assert _barrier is not None
    return bare(config, ready=_barrier.wait)[0].step_s


def _check_room(config: RunConfig, workers: int) -> None:
    options = config.train
    each, have = options.cpus_per_worker + options.loader_workers, usable_cores()
    if workers * each > have:
        raise UserError(
            f"{workers} workers on {each} CPUs each need {workers * each} and this machine has {have}; lower --workers,"
            " --cpus-per-worker or --loader-workers"
        )
    if options.gpus_per_worker:
        import torch

        found = torch.cuda.device_count()
        if workers * options.gpus_per_worker > found:
            raise UserError(f"{workers} workers need as many GPUs and this machine has {found}; lower --workers")


def _with_data(config: RunConfig, data: dict[str, Any]) -> RunConfig:
    result: RunConfig = parse(config.model_dump(mode="json") | {"data": data})
    return result


def _print(base: dict[str, Any], cases: list[Case], measured: dict[Case, Measured], rounds: int) -> None:
    options = base["train"]
    gpus = options["gpus_per_worker"]
    device = device_name("cuda") if gpus else device_name()
    print(
        f"{device}; {base['model']['backbone']} at {base['data']['size']} px, {options['precision']}, batch norm"
        f" {options['batchnorm']}, {options['cpus_per_worker']} threads a worker, {'NCCL' if gpus else 'gloo'};"
        f" steady steps of {options['steps']}, medians of {rounds} rounds"
    )
    if not gpus:
        print(
            "Without agreeing: as many plain loops at once on the same share of a batch, each in a process of its own."
        )
    form = table(
        "batch", "workers", "in all", "each", "step ms", "middle half", "images/s", "efficiency", "without agreeing",
        "times one worker", left=1,
    )  # fmt: skip
    one = rate(cases[0].batch, measured[cases[0]].step_s)
    for kind in cases[0].kinds:
        for case in cases:
            if kind in case.kinds:
                steps = measured[case]
                here = rate(case.batch, steps.step_s)
                ceiling = ""
                if not gpus:
                    at_most = rate(case.batch, steps.alone_s) / rate(cases[0].batch, measured[cases[0]].alone_s)
                    ceiling = f"{at_most / case.workers:.0%}"
                form.add_row(
                    kind, str(case.workers), str(case.batch), str(case.batch // case.workers),
                    *median_and_spread(steps.step_s, 1000), f"{here:.1f}", f"{here / one / case.workers:.0%}", ceiling,
                    f"{here / one:.1f} x",
                )  # fmt: skip
    print_whole(form)


def rate(batch: int, step_s: list[float]) -> float:
    """Images per second at a global batch, from step times."""
    return batch / statistics.median(step_s)
