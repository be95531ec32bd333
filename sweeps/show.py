"""`wsshm sweep show`: a plan expanded, what it shares, what its labels cost and what it will take to run."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.settings import CPU_PROTOCOL
from bench.store import Store
from reports.document import counted
from reports.load import flatten
from sweeps.estimate import Kind, Rates, Task, runs_here, total, wall
from sweeps.expand import expand
from sweeps.order import shared_first
from sweeps.plan import Plan
from sweeps.variation import OWN_COLUMNS, console, shown, table, varying
from wsshm.config import RunConfig
from wsshm.console import duration
from wsshm.files.location import Location
from wsshm.grades import in_words
from wsshm.models import text_of
from wsshm.training.run_plan import RunPlan

COMMAND = "wsshm sweep"
UNET = "unet"  # the plan smoke's architecture


def show(plan: Plan, weights: dict[str, str], store: Location) -> None:
    """Print a plan's runs, their stages and who shares them, the cost of the labels, and an estimate of the time."""
    searching = plan.search.algorithm == "optuna"
    listed = expand(plan, dict(weights), drawn=False) if not searching or plan.also else []
    # What Optuna will draw is not known; as many random draws cost about the same and share about as much.
    runs = expand(as_random(plan), dict(weights), drawn=False) if searching else listed
    out = console()
    if listed:
        _print_runs(listed, runs)
    if plan.searched:
        _print_space(plan)
    users = users_of(runs)
    steps = {entry.address: entry.stage.steps for run in runs for entry in run.stages}
    shared = [count for count in users.values() if count > 1]
    drawn = f" ({len(listed)} as listed and {plan.search.num_runs} that optuna draws; here drawn at random)"
    out.print(
        f"\n{counted(len(runs), 'run')}{drawn if searching else ''}, {counted(len(users), 'stage')} to train,"
        f" {sum(steps.values()):,} optimiser steps in all; {_sharing(shared)}"
    )
    _print_costs(plan, runs)
    out.print()
    for line in estimated(plan, runs, store):
        out.print(line, soft_wrap=True)


def as_random(plan: Plan) -> Plan:
    """The same plan with its space drawn at random: what Optuna's runs will be like."""
    return plan.model_copy(update={"search": plan.search.model_copy(update={"algorithm": "random"})})


def users_of(runs: Iterable[RunPlan]) -> Counter[str]:
    """How many runs need each stage, by its address."""
    return Counter(entry.address for run in runs for entry in run.stages)


def _print_runs(runs: Sequence[RunPlan], among: Sequence[RunPlan]) -> None:
    documents = [run.config.model_dump(mode="json") for run in runs]
    keys = varying(documents, OWN_COLUMNS)
    users = users_of(among)
    headings = [key.rpartition(".")[2] for key in keys]
    runs_table = table("run", "method", *headings, ">mattes", ">masks", ">seed", "stages (of how many runs)")
    for run, document in zip(runs, documents, strict=True):
        shares = [f" ({users[entry.address]})" * (users[entry.address] > 1) for entry in run.stages]
        names = [f"{entry.stage.name} {entry.address[:6]}{of}" for entry, of in zip(run.stages, shares, strict=True)]
        values = [shown(flatten(document).get(key)) for key in keys]
        labels = f"{run.mattes:,}", in_words(run.masks_by_grade), str(run.config.train.seed)
        runs_table.add_row(run.run_id, run.config.method.name, *values, *labels, ", ".join(names))
    console().print(runs_table)


def _print_space(plan: Plan) -> None:
    search = plan.search
    space = table("key", "drawn from", title=f"\n{search.algorithm}: {search.num_runs} draws from this space")
    for key, sampler in plan.searched.items():
        ((kind, values),) = sampler.model_dump().items()
        bounds = ", ".join(map(shown, values))
        space.add_row(key, bounds if kind == "choice" else f"{kind} from {bounds.replace(', ', ' to ')}")
    console().print(space)
    told = f"minimised: {' and '.join(search.objectives)}"
    if search.scheduler:
        told += f"; {search.scheduler.name} stops runs that fall behind, so the sweep takes less time than estimated"
    console().print(told)


def _print_costs(plan: Plan, runs: Sequence[RunPlan]) -> None:
    """What each budget's labels cost at the plan's prices: once for all the runs that use them."""
    prices = plan.report.cost.model()
    costs = table(">mattes", ">masks", ">annotation", ">runs", title="\nlabels that a run learns from")
    used = Counter((run.mattes, run.masks, tuple(run.masks_by_grade.items())) for run in runs)
    for (mattes, _, by_grade), count in sorted(used.items()):
        masks = dict(by_grade)
        costs.add_row(f"{mattes:,}", in_words(masks), prices.format(prices.of(mattes, masks)), str(count))
    console().print(costs)


def estimated(plan: Plan, runs: Sequence[RunPlan], store: Location) -> list[str]:
    """Sentences on how long the runs take, what that is based on, and what it leaves out."""
    rates = Rates.read(Store(str(store)))
    tasks, missing = [], dict[Kind, RunConfig]()
    for run in runs:
        task = rates.task([(entry.address, entry.stage) for entry in run.stages], run.config)
        if task is None:
            missing.setdefault(Kind.of(run.config), run.config)
        else:
            tasks.append(task)
    tasks = [tasks[position] for position in shared_first([task.stages for task in tasks])]
    lines = []
    if tasks:
        lines += _times(plan, runs, tasks, len(missing) > 0)
        lines += [
            f"based on {counted(rate.rows, 'finished run')} of {kind} in {store} ({', '.join(rate.devices)})"
            for kind, rate in rates.known.items()
            if kind in {Kind.of(run.config) for run in runs}
        ]
        start = (
            f"plus {duration(rates.beside_s)} a run for start-up and scoring" if rates.beside_s else "training alone"
        )
        lines.append(
            f"shared stages count once, {start}; other load, waiting for nodes and the report are not included"
        )
    if missing:
        lines.append(
            f"no estimate for {_without_rate(missing)}: {store} has no finished run of this kind; this command adds some:"
        )
        lines.append("  " + _rate_command(list(missing.values())))
    settings = (
        len(plan.timed_networks(run.config.model for run in runs)) * len(plan.timed_sizes()) * len(plan.speed.batches)
    )
    settings *= len(plan.speed.precisions) * len(plan.speed.engines) * 2
    if settings:
        seconds = plan.speed.processes * int(CPU_PROTOCOL.warmup_seconds + CPU_PROTOCOL.seconds)
        lines.append(f"then {settings} settings are timed in turn, each for at least {seconds} s plus its starts")
    return lines


def _times(plan: Plan, runs: Sequence[RunPlan], tasks: list[Task], partly: bool) -> list[str]:
    options = max((run.config.train for run in runs), key=lambda train: train.worker_counts[-1])
    seconds, some = total(tasks), f" (of {counted(len(tasks), 'run')} of {len(runs)})" if partly else ""
    lines = [f"estimated time{some}: about {duration(seconds)} of computing, one run at a time"]
    gpus = options.worker_counts[-1] * options.gpus_per_worker
    if gpus:
        lines[0] += f", which is {gpus * seconds / 3600:.1f} GPU hours"
        at_8 = f"{duration(wall(tasks, 8))} ({8 * gpus:g} GPUs)"
        lines.append(f"wall time: divide by the number of runs at a time; with 8 at a time about {at_8}")
        return lines
    at_once = min(len(runs), runs_here(options))
    if at_once:
        at_a_time = f"{at_once} runs at a time" if at_once > 1 else "one run at a time"
        lines.append(f"wall time on this machine: about {duration(wall(tasks, at_once))}, {at_a_time}")
    else:
        lines.append("wall time: this machine has too few processors for one run")
    return lines


def _without_rate(kinds: Iterable[Kind]) -> str:
    """Kinds of runs, those that differ in the backbone alone together."""
    backbones: dict[str, list[str]] = {}
    for kind in kinds:
        backbones.setdefault(f"{kind.architecture}, {kind.precision}, {kind.device} a worker", []).append(kind.backbone)
    return " and ".join(f"{', '.join(names)} ({rest})" for rest, names in backbones.items())


def _rate_command(configs: list[RunConfig]) -> str:
    """A short sweep that leaves rows of these kinds."""
    first = configs[0]
    train = first.train
    space: dict[str, list[Any]] = {"model.backbone": list(dict.fromkeys(config.model.backbone for config in configs))}
    architectures = {text_of(config.model.architecture): config.model.architecture for config in configs}
    if architectures.keys() != {UNET}:
        space["model.architecture"] = list(architectures.values())
    assignments = {
        "space": json.dumps(space).replace('"', ""),
        "base.data.size": first.data.size,
        "base.train.batch": train.batch,
        "base.train.steps": 60,
        "base.train.teacher_steps": 30,
        "base.train.precision": train.precision,
        "base.train.cpus_per_worker": train.cpus_per_worker,
        "base.train.gpus_per_worker": f"{train.gpus_per_worker:g}",
    }
    left_out = {"base.train.cpus_per_worker": 1, "base.train.gpus_per_worker": "0", "base.train.precision": "fp32"}
    given = " ".join(
        f"--set {shlex.quote(f'{key}={value}')}" for key, value in assignments.items() if left_out.get(key) != value
    )
    return f"{COMMAND} run smoke --out runs/rates {given}   (then show PLAN --store runs/rates/store)"


def _sharing(users: list[int]) -> str:
    """How many stages are shared, by how many runs."""
    if not users:
        return "none of the stages is shared"
    low, high = min(users), max(users)
    by = f"{low} runs" if low == high else f"{low} to {high} runs"
    return f"1 stage is shared, by {by}" if len(users) == 1 else f"{len(users)} stages are shared, by {by} each"
