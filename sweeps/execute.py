"""Run a plan to its end: what is settled is skipped, the rest is trained by Ray Tune, then timed and reported."""

from __future__ import annotations

import itertools
import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import TrialScheduler

from bench import provenance, settings, speed
from bench.store import SETTLED
from reports.document import counted
from reports.page import build
from sweeps import tracking
from sweeps.best import best_run, next_steps, record_best
from sweeps.cluster import DRIVER, check_disk, cluster, room_for
from sweeps.expand import expand
from sweeps.objectives import latencies, learned
from sweeps.occupied import alone
from sweeps.order import in_order
from sweeps.place import Place
from sweeps.plan import Plan
from sweeps.planned import free_keys, going_on, read_plan, write_plan, write_planned, written
from sweeps.preflight import Needs, check_nodes, refuse_job_folder
from sweeps.search import optuna_search, recorded_draws, scheduler
from sweeps.settle import Settled
from sweeps.slots import Slots
from sweeps.trial import trial
from sweeps.watch import Watch
from wsshm.data.gate import check_data
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location, check_writable
from wsshm.keys import first_difference
from wsshm.models import text_of
from wsshm.models.network import build_model
from wsshm.ray_cluster import check_named
from wsshm.training.progress import Watched, Watcher
from wsshm.training.run_plan import RunPlan
from wsshm.training.workload import comparable_epochs, run_work

BYTES_PER_PARAMETER = 4 * 5  # the model twice, and weights, two moments of AdamW and buffers while training
FIXED_BYTES = 300e6  # Ray's own files, rows, samples, the report
TRIAL_DEATHS = 2
"""How often a run's own process may die (with its node, say) before the run is given up."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: counts of runs, why some failed (and whether for what the user gave), where its report and the
    failed runs' tracebacks are, and lines that say what to do next."""

    finished: int
    stopped: int
    failed: dict[str, str]
    mistakes: bool
    report: Location
    next_steps: list[str]
    tracebacks: Location | None = None


def run_plan(plan: Plan, out: Location | Path | str) -> Outcome:
    """Run all of a plan's runs that `out` does not hold settled yet, time its models, build its report.

    Rerun with the same plan, it resumes where it stopped. Raises UserError, before anything is trained, for
    another plan's OUT, an impossible run or too little room.
    """
    check_named()
    place = Place(_checked(Location.of(out), "--out"))
    if plan.stages:  # made absolute: workers start in other folders
        shared = _checked(Location.of(plan.stages), "stages")
        plan = plan.model_copy(update={"stages": str(shared)})
        place = Place(place.out, plan.stages)
    callbacks = tracking.callbacks(plan.track, plan.name, place.out)
    with alone(place):
        plan, weights = _recorded(plan, place)
        return _Sweep(plan, place, weights, callbacks).run()


def _checked(folder: Location, option: str) -> Location:
    if folder.exists() and not folder.is_folder():
        raise UserError(f"{option} {redacted(folder)} is not a folder; give another path")
    refuse_job_folder(folder)
    check_writable(folder, option)
    return folder


def _recorded(plan: Plan, place: Place) -> tuple[Plan, dict[str, str]]:
    """The plan as OUT goes on with it, and the weights' origins recorded there; UserError if OUT belongs to another plan."""
    known = read_plan(place)
    if known is None:
        return plan, {}
    recorded, weights = known
    plan, recorded = going_on(plan, recorded)
    difference = first_difference(recorded, written(plan), free_keys(plan))
    if difference:
        key, there, here = difference
        raise UserError(
            f"{place.out} holds the results of another plan: its {key} is {there!r}, this plan's is {here!r};"
            " give another folder by --out"
        )
    return plan, weights


class _Sweep:
    """One invocation of a plan: what it knows, and its steps."""

    def __init__(self, plan: Plan, place: Place, weights: dict[str, str], callbacks: list[tune.Callback]) -> None:
        self.plan, self.place, self.weights, self.callbacks = plan, place, weights, callbacks
        self.invocation = uuid.uuid4().hex
        self.latency_ms: dict[str, float] = {}
        self.accelerator: dict[str, float] = {}
        self.settled = Settled(place)
        self.watch: Watch | None = None

    def run(self) -> Outcome:
        """All steps, in order."""
        plan, place = self.plan, self.place
        runs = expand(plan, self.weights, drawn=False)
        samples = self._samples() if plan.search.algorithm == "optuna" else []
        specs = self._speed_specs(runs + samples)
        log.info("plan %s: opening the data", plan.name)  # what is wrong in a plan was said before anything is drawn
        for run in {(run.data_fingerprint, *run.config.data.named): run for run in runs + samples}.values():
            check_data(run.config.data, run.sources)
        self._record(runs)
        settled, on_gpus = place.store.settled(), any(spec.device == "cuda" for spec in specs)
        if samples or on_gpus or any(run.run_id not in settled for run in runs):
            self._on_cluster(runs, samples, specs)
        else:  # no cluster is needed to say so, nor to time on this machine what has no stable timing yet
            self._train(runs)
            self._time(specs)
        place.slots.delete()  # they were the cluster's
        return self._finish(runs)

    def _on_cluster(self, runs: list[RunPlan], samples: list[RunPlan], specs: list[settings.SpeedSpec]) -> None:
        """Train, search and time, once every node was checked."""
        plan, place = self.plan, self.place
        with cluster() as watch:
            self.watch = watch
            watch.on_loss = self.place.tell_end
            needs = self._needs(runs, samples)
            check_disk(place.out, needs.out_bytes)
            for folder in {place.out, place.stages} if place.shared_stages else {place.out}:
                check_nodes(folder, needs)
            if "latency_ms" in plan.search.objectives:
                self._time(specs)  # first, with nothing else running: the search minimises it
                self.latency_ms = self._latencies(specs)
            self._train(runs)
            if samples:
                self._search(samples)
            self._time(specs)

    def _samples(self) -> list[RunPlan]:
        """For a search: a run with each backbone that it may draw. Their needs and weights stand for all."""
        plan = self.plan
        changes = tuple({"model.backbone": backbone} for backbone in plan.backbones())
        return expand(plan.model_copy(update={"also": changes, "seeds": plan.seeds[:1]}), self.weights, drawn=False)

    def _record(self, runs: list[RunPlan]) -> None:
        write_plan(self.place, self.plan, self.weights)
        planned = {
            run.run_id: {
                "label": run.label,
                "config": run.config.model_dump(mode="json"),
                "stages": {entry.stage.name: entry.address for entry in run.stages},
            }
            for run in runs
        }
        write_planned(self.place, planned)
        for old in (self.place.out / "progress", self.place.ended, self.place.slots):  # what a killed sweep left
            old.delete()

    def _needs(self, runs: list[RunPlan], samples: list[RunPlan]) -> Needs:
        """What the sweep needs of every node: room for what is not settled yet, memory for loaders."""
        settled = self.place.store.settled()
        todo = sum(run.run_id not in settled for run in runs)
        if samples:
            todo += (self.plan.search.num_runs or 0) - sum(d.settled for d in recorded_draws(self.plan, self.place, {}))
        room = FIXED_BYTES + max(0, todo) * BYTES_PER_PARAMETER * _parameters(runs + samples)
        return Needs(room, max(run.config.loader_processes for run in runs + samples))

    def _train(self, runs: list[RunPlan]) -> None:
        """Train and measure the runs that are known beforehand."""
        settled = self.place.store.settled()
        todo = [run for run in runs if run.run_id not in settled]
        if runs:
            log.info("%s, %d finished already", counted(len(runs), "run"), len(runs) - len(todo))
        # Runs in addition to the space are the baseline of the others, and never stopped early.
        apart = self.plan.search.scheduler is not None
        self._fit([run for run in todo if apart and run.beside], None)
        rest = [run for run in runs if not (apart and run.beside)]
        stopping = self._scheduler(rest, [run.run_id for run in rest])
        self._fit([run for run in rest if run.run_id not in settled], stopping)

    def _fit(self, runs: list[RunPlan], stopping: TrialScheduler | None) -> None:
        if not runs:
            return
        tasks = [self._task() | {"run": run} for run in in_order(runs, self.place.stages)]
        watched = {r.run_id: Watched(r.label, self.place.progress(r.run_id), run_work(r.config)) for r in runs}
        # A process that has imported torch serves the next run too, unless it may have to be stopped in the middle.
        config = tune.TuneConfig(
            max_concurrent_trials=self._at_once(runs, len(runs)), scheduler=stopping, reuse_actors=stopping is None
        )
        self._tune({"run": tune.grid_search(tasks)}, config, Watcher(watched, self.plan.name))

    def _search(self, samples: list[RunPlan]) -> None:
        """Train and measure what Optuna draws, until as many runs are settled as the plan asks for."""
        draws = recorded_draws(self.plan, self.place, self.latency_ms)
        settled = sum(draw.settled for draw in draws)
        wanted = self.plan.search.num_runs or 0
        log.info("a search of %d runs, %d of them finished already", wanted, min(settled, wanted))
        todo = wanted - settled
        if todo <= 0:
            return
        task = self._task() | {"document": self._document(samples[0]), "weights": self.weights}
        config = tune.TuneConfig(
            num_samples=todo,
            max_concurrent_trials=self._at_once(samples, todo),
            search_alg=optuna_search(self.plan, draws),
            scheduler=self._scheduler(samples, [draw.run_id for draw in draws]),
            reuse_actors=self.plan.search.scheduler is None,
        )
        watcher = Watcher({}, self.plan.name, folder=self.place.out / "progress", planned=todo)
        self._tune({"run": task}, config, watcher)

    def _document(self, sample: RunPlan) -> dict[str, Any]:
        """The plan for trials that draw their own run: with absolute paths, since they start in other folders."""
        document = self.plan.model_dump(mode="json")
        base = document["base"]
        base["data"] = base.get("data", {}) | {"root": sample.config.data.root}
        if base.get("model", {}).get("weights", "auto") not in ("auto", "none", "hub", "package"):
            base["model"]["weights"] = sample.config.model.weights
        return document

    def _scheduler(self, runs: list[RunPlan], run_ids: list[str]) -> TrialScheduler | None:
        """The plan's early stopping of such runs, told of those among `run_ids` that are settled."""
        earlier = learned(self.place.store, run_ids, self.plan.search.objectives[0])
        return scheduler(self.plan, [comparable_epochs(run.config) for run in runs], earlier)

    def _task(self) -> dict[str, Any]:
        """What every trial is told besides its configuration."""
        search = self.plan.search
        return {
            "out": str(self.place.out),
            "stages": self.place.shared_stages,
            "invocation": self.invocation,
            "plan": self.plan.name,
            "keys": list(self.plan.space),
            "objectives": search.objectives,
            "latency_ms": self.latency_ms,
            # Every epoch is told to Tune where somebody listens; each telling costs a process and a poll.
            "reports": search.scheduler is not None or bool(self.callbacks),
        }

    def _at_once(self, runs: list[RunPlan], todo: int) -> int:
        room = room_for([run.config for run in runs], todo)
        assert self.watch, "runs are trained in a cluster"
        self.watch.holds_a_run = room.holds_a_run
        self.watch.on_look = Slots(self.place, room, todo, self.settled).tell
        log.info("training %s, %d at a time", counted(todo, "run"), room.at_once)
        return room.at_once

    def _tune(self, space: dict[str, Any], config: tune.TuneConfig, watcher: Watcher) -> None:
        # Tune's own loggers write files that nothing here reads, and its table would stand between our progress lines.
        # Its own handler of Ctrl-C would swallow the first one and let the sweep go on to its report.
        os.environ |= {
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "RAY_AIR_NEW_OUTPUT": "0",
            "TUNE_DISABLE_SIGINT_HANDLER": "1",
            "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a run that failed has no objective
        }
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        progress, files = self.place.out / "progress", self.place.out / "ray"
        with watcher:
            tune.Tuner(
                tune.with_resources(trial, DRIVER),
                param_space=space,
                tune_config=config,
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(files),
                    verbose=0,
                    callbacks=[self.settled, *self.callbacks],
                    failure_config=tune.FailureConfig(max_failures=TRIAL_DEATHS),
                ),
            ).fit()
        for leftover in (files, progress):
            leftover.delete()

    def _speed_specs(self, runs: list[RunPlan]) -> list[settings.SpeedSpec]:
        from wsshm.models.trial import check_backbone

        networks = self.plan.timed_networks(run.config.model for run in runs)
        if "latency_ms" in self.plan.search.objectives:
            if "model.architecture" in self.plan.space:
                raise UserError("latency_ms is measured with one architecture; take model.architecture out of space")
            architectures = dict.fromkeys(text_of(run.config.model.architecture) for run in runs)
            every = [*networks, *itertools.product(architectures, self.plan.backbones())]
            networks = list(dict.fromkeys(every))
        for architecture, backbone in networks:
            check_backbone(backbone, architecture=architecture)
        gpu = any(run.config.train.gpus_per_worker for run in runs)
        self.accelerator = next((run.config.train.accelerator_resource for run in runs), {})
        timed = self.plan.speed
        grid = (self.plan.timed_sizes(), timed.batches, timed.precisions, timed.engines)
        device = "cuda" if gpu else "cpu"
        by_network = [
            settings.expand([backbone], *grid, architectures=[architecture], device=device)
            for architecture, backbone in networks
        ]
        # What is compared is timed side by side, so that drift favours none.
        return [spec for alike in zip(*by_network, strict=True) for spec in alike]

    def _time(self, specs: list[settings.SpeedSpec]) -> None:
        """Time what the store has no row of yet from this device."""
        if not specs:
            return
        call, store = _caller(specs, self.accelerator), self.place.store
        device = call(_timed_on, specs[0].device)
        keys = ["model", "height", "width", "batch", "precision", "engine", "layout", "scope"]
        known = store.read("speed") if store.exists() else None
        done = set()
        if known is not None:
            known = known[(known["status"] == "ok") & (known["device"] == device)]
            done = set(known[keys].itertuples(index=False, name=None))
        todo = [spec for spec in specs if tuple(getattr(spec, key) for key in keys) not in done]
        if todo:
            log.info("timing %d settings", len(todo))
            call(speed.speed_table, todo, None, None, store, self.plan.speed.processes)

    def _latencies(self, specs: list[settings.SpeedSpec]) -> dict[str, float]:
        device = _caller(specs, self.accelerator)(_timed_on, specs[0].device)
        first = specs[0]
        found = latencies(
            self.place.store.read("speed"),
            device,
            first.height,
            first.width,
            first.batch,
            first.precision,
            first.engine,
        )
        for backbone in self.plan.backbones():
            if backbone not in found:
                raise UserError(
                    f"the latency of {backbone} could not be measured, and the search minimises it; leave this backbone"
                    " out, or latency_ms out of search.objectives"
                )
        return found

    def _finish(self, runs: list[RunPlan]) -> Outcome:
        place = self.place
        failed = {f"draw {number}": why for number, why in enumerate(self.settled.unfit, 1)}
        if not place.store.exists():
            raise UserError(next(iter(failed.values()), "no run produced a result; rerun the command to retry them"))
        rows = place.store.read("runs").set_index("run_id")
        wanted = {run.run_id for run in runs}
        if self.plan.search.algorithm == "optuna":
            wanted |= {draw.run_id for draw in recorded_draws(self.plan, place, self.latency_ms)}
        found = rows.loc[[run_id for run_id in rows.index if run_id in wanted]]
        failed |= {run_id: str(row["error"]) for run_id, row in found.iterrows() if row["status"] not in SETTLED}
        for run_id in wanted - set(rows.index):
            failed[run_id] = "the run ended without a result; rerun the command to retry it"
        cost, report = self.plan.report.cost.model(), place.out / "report"
        with TemporaryDirectory(prefix="wsshm-") as scratch:
            index = build(
                str(place.out / "store"), report.local or Path(scratch), cost, target_fps=self.plan.speed.target_fps
            )
            if not report.local:
                report.upload(Path(scratch), last=index.name)
        statuses = found["status"].value_counts()
        best = best_run(self.plan, place.store, wanted)
        record_best(place, best)
        return Outcome(
            int(statuses.get("finished", 0)),
            int(statuses.get("stopped", 0)),
            failed,
            self.settled.mistakes,
            report / index.name,
            next_steps(place, best),
            place.tracebacks if any(place.traceback(run_id).is_file() for run_id in failed) else None,
        )


def _parameters(runs: list[RunPlan]) -> int:
    """Parameters of the plan's largest model, counted without memory."""
    import torch

    models = {run.config.model.model_dump_json(): run.config.model for run in runs}
    with torch.device("meta"):
        built = [build_model(config, load_weights=False) for config in models.values()]
    return max(sum(p.numel() for p in model.parameters()) for model in built)


def _timed_on(device: str) -> str:
    """What speeds measured in this place are of: torch's threads, which an environment may have limited."""
    import torch

    return provenance.device_name(device, torch.get_num_threads())


def _caller(specs: list[settings.SpeedSpec], accelerator: dict[str, float]) -> Callable[..., Any]:
    """Calls a function where timing is done: here, or on a node with a GPU (of the kind that runs ask for), owned whole."""
    if specs[0].device != "cuda":
        return lambda function, *arguments: function(*arguments)
    asked: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1, "resources": accelerator}
    return lambda function, *arguments: ray.get(ray.remote(**asked)(function).remote(*arguments))
