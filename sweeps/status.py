"""`python -m sweeps status`: how far a sweep is, from its files alone. Imports neither torch nor ray."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import rich.console
import rich.live
import yaml
from rich.text import Text

from bench.speed import parse_size
from bench.store import SETTLED
from reports.load import flatten
from reports.pareto import front
from sweeps.estimate import Rates, Task, wall
from sweeps.objectives import last_errors, latencies
from sweeps.place import Place
from sweeps.plan import RESOLVED_WEIGHTS, Plan
from sweeps.planned import KnownRun, read_planned
from sweeps.variation import OWN_COLUMNS, console, shown, table, varying
from wsshm.claims import STALE_S, Claim
from wsshm.commandline import duration
from wsshm.config import parse
from wsshm.errors import UserError
from wsshm.storage import Location

REDRAW_S, REDRAW_REMOTE_S = 3.0, 15.0
ENOUGH = 0.03  # the share of a run, done by itself, from which its rate says something
BEST = 5


@dataclass(frozen=True)
class Running:
    """A run that goes on, as its progress file tells it; `found` is the share that was there when it began."""

    run_id: str
    label: str
    stage: str
    share: float
    found: float
    since_s: float
    silent_s: float

    @property
    def left_s(self) -> float | None:
        """Seconds until its end at the rate so far; None while that says nothing."""
        own = self.share - self.found
        return self.since_s * (1 - self.share) / own if own >= ENOUGH else None


@dataclass(frozen=True)
class Status:
    """How far a sweep is. `best` is a table of runs with their objectives and what they differ in.

    `starting`: its runs are not known yet. Then all else is empty.
    """

    name: str
    alive: bool
    starting: bool = False
    total: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SETTLED, 0))
    running: list[Running] = field(default_factory=list)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    left_s: float | None = None
    best: list[dict[str, Any]] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Runs that have not begun."""
        return self.total - sum(self.counts.values()) - len(self.failed) - len(self.running)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do but what failed."""
        return not self.starting and not self.running and not self.waiting

    @property
    def silent_s(self) -> float | None:
        """For how long nothing has come from a sweep that died with runs going on; None for any other."""
        return None if self.alive or not self.running else min(run.silent_s for run in self.running)


def read_status(out: Location, now: float | None = None) -> Status:
    """How far the sweep in OUT is. UserError where OUT holds none."""
    now = time.time() if now is None else now
    alive = _goes_on(Place(out), now)
    if alive and not Place(out).plan.is_file():
        return Status(out.name, alive, starting=True)
    plan, _, place = open_sweep(out)
    planned = read_planned(place)
    if planned is None:
        return Status(plan.name, alive, starting=True)
    latest = _rows(place).drop_duplicates("run_id", keep="last")
    settled = latest[latest["status"].isin(SETTLED)]
    running = [run for run in _running(place, now) if run.run_id not in set(settled["run_id"])]
    active = {run.run_id for run in running}
    failures = {
        str(row.run_id): (_label(row), _first_sentence(row.error))
        for row in latest[~latest["status"].isin(SETTLED)].itertuples()
        if row.run_id not in active
    }
    begun = {*latest["run_id"], *active}
    status = Status(
        plan.name,
        alive,
        total=len(begun | set(planned)) + _undrawn(plan, place, begun - set(planned), bool(running) or alive),
        counts={name: int((settled["status"] == name).sum()) for name in SETTLED},
        running=running,
        failed=failures,
        objectives=plan.search.objectives,
        best=_best(plan, place, settled),
    )
    if not running or not alive:
        return status
    waiting = [run for run_id, run in planned.items() if run_id not in begun]
    # What a running run needs it has, or is making.
    made = {address for run_id in active if run_id in planned for address in planned[run_id].stages.values()}
    made |= {name.rpartition(":")[2] for names in settled["stages"].dropna() for name in names}
    return replace(status, left_s=_left(status, waiting, made, place, settled))


def open_sweep(out: Location) -> tuple[Plan, dict[str, str], Place]:
    """The plan that OUT belongs to, its resolved weights, and what lies in OUT. UserError where OUT holds no sweep."""
    try:
        document = yaml.safe_load(Place(out).plan.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{out} holds no sweep (no plan.yaml); give the folder that `python -m sweeps run` wrote to, runs/PLAN if"
            " --out did not say otherwise"
        ) from None
    weights = document.pop(RESOLVED_WEIGHTS, {})
    plan: Plan = parse(document, Plan, str(Place(out).plan))
    return plan, weights, Place(out, plan.stages)


def _goes_on(place: Place, now: float) -> bool:
    """Whether somebody runs the sweep now.

    Of an owner elsewhere a minute's silence is told, by the clock here; only one who takes a claim over must be surer.
    """
    claim = Claim(place.claim)
    try:
        return claim.owner() is not None and (claim.on_this_machine() or now - place.claim.modified() <= STALE_S)
    except FileNotFoundError:
        return False


def _rows(place: Place) -> pd.DataFrame:
    columns = ["run_id", "status", "error", "method", "mattes", "masks", "seed", "config", "stages"]
    columns += ["started", "finished"]
    if not place.store.exists():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    rows = place.store.read("runs", columns)
    return rows[rows["config"].notna()]


def _undrawn(plan: Plan, place: Place, drawn: Collection[str], goes_on: bool) -> int:
    """How many runs a search has yet to draw; none once it ended, even with fewer: draws may be equal, or impossible."""
    if plan.search.algorithm != "optuna" or (not goes_on and _reported(place)):
        return 0
    return max(0, (plan.search.num_runs or 0) - len(drawn))


def _reported(place: Place) -> bool:
    """Whether the report, a sweep's last work, is newer than the plan, which is written whenever a sweep is asked."""
    page = place.out / "report" / "index.html"
    return page.exists() and page.modified() >= place.plan.modified()


def _running(place: Place, now: float) -> list[Running]:
    runs = []
    for file in (place.out / "progress").listing():
        with contextlib.suppress(OSError, ValueError, KeyError):  # being replaced, or removed, right now
            told = json.loads(file.read_text())
            if told["over"]:
                continue
            runs.append(
                Running(
                    run_id=file.name.removesuffix(".json"),
                    label=told.get("label", ""),
                    stage=told["stage"],
                    share=min(1.0, told["done"] / told["total"]),
                    found=told.get("found", 0.0) / told["total"],
                    since_s=max(0.0, now - told.get("started", now)),
                    silent_s=max(0.0, now - file.modified()),
                )
            )
    return runs


def _left(status: Status, waiting: list[KnownRun], made: set[str], place: Place, settled: pd.DataFrame) -> float | None:
    """Seconds until all runs are over, with as many at a time as now; None where nothing tells yet.

    `made` are addresses of stages that nobody has to train any more.
    """
    left = [run.left_s for run in status.running]
    usual = (settled["finished"] - settled["started"]).map(lambda t: t.total_seconds()).tolist()
    usual += [run.since_s + s for run, s in zip(status.running, left, strict=True) if s is not None]
    if not usual:
        return None
    typical = sorted(usual)[len(usual) // 2]
    tasks = [Task((), typical if seconds is None else seconds) for seconds in left]
    rates = Rates.read(place.store)
    for run in waiting:
        config, stages = run.addressed()
        seconds = {address: rates.stage_s(stage, config) for stage, address in stages}
        known = tuple((address, s) for address, s in seconds.items() if s is not None)
        if len(known) < len(seconds):
            tasks.append(Task((), typical))
        else:
            tasks.append(Task(tuple(pair for pair in known if pair[0] not in made), rates.beside_s or 0.0))
    tasks += [Task((), typical)] * (status.waiting - len(waiting))
    return wall(tasks, len(status.running))


def _best(plan: Plan, place: Place, settled: pd.DataFrame) -> list[dict[str, Any]]:
    """The best settled runs by the plan's objectives on the validation set; several objectives' Pareto front."""
    names = [*plan.search.objectives]
    if settled.empty:
        return []
    errors = last_errors(place.store, set(settled["run_id"]))
    documents = {row.run_id: json.loads(row.config) for row in settled.itertuples()}
    latency = _latency(plan, place) if "latency_ms" in names else {}
    points = []
    for run_id, document in documents.items():
        values: Mapping[str, float] = errors.get(run_id, {}) | {
            "latency_ms": latency.get(flatten(document).get("model.backbone", ""), math.nan)
        }
        points.append([values.get(name, math.nan) for name in names])
    keys = varying(documents.values(), OWN_COLUMNS)
    ids = list(documents)
    order = front(points) if len(names) > 1 else sorted(range(len(ids)), key=lambda i: points[i][0])[:BEST]
    rows = settled.set_index("run_id")
    return [
        {
            "run": ids[i],
            **dict(zip(names, points[i], strict=True)),
            **rows.loc[ids[i], ["method", "mattes", "masks", "seed"]].to_dict(),
            "settings": {key: flatten(documents[ids[i]]).get(key) for key in keys},
        }
        for i in map(int, order)
        if not any(map(math.isnan, points[i]))
    ]


def _latency(plan: Plan, place: Place) -> dict[str, float]:
    """Median milliseconds by backbone at the plan's first setting, as far as they are timed."""
    speed = place.store.read("speed")
    if speed.empty:
        return {}
    device = speed["device"].iloc[-1]  # another machine's times are never mixed in
    size, batch, precision = plan.speed.sizes[0], plan.speed.batches[0], plan.speed.precisions[0]
    return latencies(speed, device, *parse_size(size), batch, precision)


def _label(row: Any) -> str:
    return f"{row.method} ({shown(row.mattes, 'all')} mattes, {shown(row.masks, 'all')} masks, seed {shown(row.seed)})"


def _first_sentence(error: object) -> str:
    text = " ".join(str(error or "no error was recorded").split())
    return text if len(text) <= 160 else text[:157] + "..."


def headline(status: Status, out: Location) -> Text:
    """One line: the counts and the time left."""
    again = f"python -m sweeps run PLAN --out {out}"
    text = Text.assemble((status.name, "bold"), f" in {out}: ")
    if status.starting:
        told = (
            "starting: its data is opened, or drawn" if status.alive else f"never came to its runs; ask again ({again})"
        )
        return text.append(told)
    counts = [f"{status.counts['finished']} of {status.total} finished"]
    for number, what in (
        (status.counts["stopped"], "stopped early"),
        (len(status.running), "running"),
        (len(status.failed), "failed"),
        (status.waiting, "waiting"),
    ):
        if number:
            counts.append(f"{number} {what}")
    text.append(", ".join(counts))
    if status.over:
        text.append("; done" if not status.failed else "; done but for what failed (asked again, it is tried again)")
    elif status.silent_s is not None:
        text.append(
            f"; no sign of life for {duration(status.silent_s)}; ask again with the same command ({again})", "red"
        )
    elif status.running:
        text.append(
            f"; about {duration(status.left_s)} left" if status.left_s is not None else "; estimating the time left"
        )
    elif status.alive:
        text.append("; no run is going on at the moment: it is starting, timing models, or making its report")
    else:
        text.append(f"; not going on; ask again with the same command ({again})")
    return text


def rendered(status: Status, out: Location) -> rich.console.Group:
    """The whole status for a terminal."""
    parts: list[Any] = [headline(status, out)]
    if status.running:
        running = table("run", "label", "stage", ">done", ">since", ">about left", title="\nrunning")
        for run in status.running:
            left = "" if run.left_s is None or status.silent_s is not None else duration(run.left_s)
            running.add_row(run.run_id, run.label, run.stage, f"{run.share:.0%}", duration(run.since_s), left)
        parts.append(running)
    if status.failed:
        failed = table("run", "label", "error", title="\nfailed")
        for run_id, (label, error) in status.failed.items():
            failed.add_row(run_id, label, error)
        parts.append(failed)
    if status.best:
        names = status.objectives
        front_of = "Pareto front of" if len(names) > 1 else "best by"
        keys = list(status.best[0]["settings"])
        columns = ("method", ">mattes", ">masks", ">seed", *(key.rpartition(".")[2] for key in keys))
        best = table(
            "run", *(f">{n}" for n in names), *columns, title=f"\n{front_of} {' and '.join(names)} (validation) so far"
        )
        for row in status.best:
            own = (shown(row[name], "all") for name in ("method", "mattes", "masks", "seed"))
            best.add_row(
                row["run"], *(shown(float(row[n])) for n in names), *own, *map(shown, row["settings"].values())
            )
        parts.append(best)
    return rich.console.Group(*parts)


def print_status(out: Location, watch: bool = False) -> int:
    """Print the status once, or anew until the sweep is over. The command's exit status: 1 where runs failed."""
    screen = console()
    status = read_status(out)
    every = REDRAW_S if out.local else REDRAW_REMOTE_S
    if watch and screen.is_terminal:
        with rich.live.Live(rendered(status, out), console=screen, auto_refresh=False) as live:
            while not status.over:
                time.sleep(every)
                status = read_status(out)
                live.update(rendered(status, out), refresh=True)
    else:
        while watch and not status.over:
            screen.print(headline(status, out), soft_wrap=True)
            time.sleep(every)
            status = read_status(out)
        screen.print(rendered(status, out))
    return 1 if status.failed else 0
