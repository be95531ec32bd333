"""`wsshm sweep status`: how far a sweep is, from its files alone. Imports neither torch nor ray."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import rich.console
import rich.live
from rich.text import Text

from bench import graded
from bench.settings import parse_size
from bench.store import SETTLED, stages_in
from reports.load import flatten
from reports.pareto import front
from sweeps.estimate import Rates, Task, wall
from sweeps.objectives import last_errors, latencies
from sweeps.place import Place
from sweeps.plan import Plan, of_an_earlier_release, with_earlier_defaults
from sweeps.planned import KnownRun, read_plan, read_planned
from sweeps.running import Running, ended, running_runs, slots
from sweeps.variation import OWN_COLUMNS, console, shown, table, varying
from wsshm.config import parse
from wsshm.console import duration
from wsshm.errors import UserError, redacted, without_hidden
from wsshm.files.claims import STALE_S, Claim
from wsshm.files.location import Location

REDRAW_S, REDRAW_REMOTE_S = 3.0, 15.0
BEST = 5


@dataclass(frozen=True)
class Status:
    """How far a sweep is. `best` is a table of runs with their objectives and what they differ in.

    `starting`: its runs are not known yet. Then all else is empty. `slots` tells of the cluster's places for workers, `ended`
    why the sweep ended before its time.
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
    slots: str = ""
    ended: str = ""

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
    running = [run for run in running_runs(place, now) if run.run_id not in set(settled["run_id"])]
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
        slots=slots(place, now) if alive else "",
        ended="" if alive else ended(place),
    )
    if not running or not alive:
        return status
    waiting = [run for run_id, run in planned.items() if run_id not in begun]
    # What a running run needs it has, or is making.
    made = {address for run_id in active if run_id in planned for address in planned[run_id].stages.values()}
    made |= {address for column in settled["stages"].dropna() for address in stages_in(column).values()}
    return replace(status, left_s=_left(status, waiting, made, place, settled))


def open_sweep(out: Location) -> tuple[Plan, dict[str, str], Place]:
    """The plan that OUT belongs to, its resolved weights, and what lies in OUT. UserError where OUT holds no sweep."""
    known = read_plan(Place(out))
    if known is None:
        raise UserError(
            f"{out} holds no sweep (no plan.yaml); give the folder that `wsshm sweep run` wrote to, runs/PLAN if --out did"
            " not say otherwise"
        )
    document, weights = known
    if of_an_earlier_release(document):
        document = with_earlier_defaults(document)
    plan: Plan = parse(document, Plan, str(Place(out).plan))
    return plan, weights, Place(out, plan.stages and without_hidden(plan.stages))


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
    columns = ["run_id", "status", "error", "method", "mattes", *graded.COLUMNS, "seed", "config", "stages"]
    columns += ["started", "finished"]
    if not place.store.exists():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    rows = graded.with_grades(place.store.read("runs", columns))
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
        tasks.append(rates.task([(address, stage) for stage, address in stages], config, made) or Task((), typical))
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
    timed = plan.speed
    height, width = parse_size(plan.timed_sizes()[0])
    return latencies(speed, device, height, width, timed.batches[0], timed.precisions[0], timed.engines[0])


def _label(row: Any) -> str:
    return f"{row.method} ({shown(row.mattes, 'all')} mattes, {shown(row.masks, 'all')} masks, seed {shown(row.seed)})"


def _first_sentence(error: object) -> str:
    text = " ".join(str(error or "no error was recorded").split())
    return text if len(text) <= 160 else text[:157] + "..."


def headline(status: Status, out: Location) -> Text:
    """One line: the counts and the time left."""
    again = f"wsshm sweep run PLAN --out {redacted(out)}"
    text = Text.assemble((status.name, "bold"), f" in {redacted(out)}: ")
    if status.starting:
        never = f"never started its runs; rerun the command ({again})"
        return text.append("starting: opening or drawing its data" if status.alive else never)
    counts = {"stopped early": status.counts["stopped"], "running": len(status.running)}
    counts |= {"failed": len(status.failed), "waiting": status.waiting}
    finished = f"{status.counts['finished']} of {status.total} finished"
    text.append(", ".join([finished, *(f"{number} {what}" for what, number in counts.items() if number)]))
    if status.over:
        text.append(f"; done{' except for failed runs (rerun the command to retry them)' if status.failed else ''}")
    elif status.ended:
        text.append(f"; it ended: {status.ended}", "red")
    elif status.silent_s is not None:
        text.append(f"; no sign of life for {duration(status.silent_s)}; rerun the command ({again})", "red")
    elif status.running:
        left = "estimating the time left" if status.left_s is None else f"about {duration(status.left_s)} left"
        text.append(f"; {left}")
    elif status.alive:
        text.append("; no run is training at the moment: the sweep is starting, timing models or building its report")
    else:
        text.append(f"; not running; rerun the command ({again})")
    return text


def rendered(status: Status, out: Location) -> rich.console.Group:
    """The whole status for a terminal."""
    parts: list[Any] = [headline(status, out)]
    if status.slots:
        parts.append(Text(status.slots))
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
        title = f"\n{front_of} {' and '.join(names)} (validation) so far"
        best = table("run", *(f">{n}" for n in names), *columns, title=title)
        for row in status.best:
            values = [shown(float(row[name])) for name in names]
            values += [shown(row[name], "all") for name in ("method", "mattes", "masks", "seed")]
            best.add_row(row["run"], *values, *map(shown, row["settings"].values()))
        parts.append(best)
    return rich.console.Group(*parts)


def print_status(out: Location, watch: bool = False) -> int:
    """Print the status once, or repeatedly until the sweep ends. The command's exit status: 1 where runs failed."""
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
