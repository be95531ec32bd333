"""Run a plan to its end: what is finished is skipped, the rest is trained by Ray Tune, then timed and reported."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
import yaml
from ray import tune

from bench import provenance, speed
from reports.page import build
from sweeps.cluster import DRIVER_CPUS, check_disk, check_shared, cluster, concurrent_runs
from sweeps.expand import PlannedRun, expand
from sweeps.plan import Plan
from sweeps.trial import Place, trial
from wsshm.config import EXECUTION_KEYS
from wsshm.errors import UserError
from wsshm.models import build_model
from wsshm.progress import Watched, Watcher
from wsshm.work import run_work

BYTES_PER_PARAMETER = 4 * 5  # the model twice, and weights, two moments of AdamW and buffers while training
T = TypeVar("T")
FIXED_BYTES = 300e6  # Ray's own files, rows, samples, the report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: counts of runs, why some failed (and whether for what the user gave), where its report is."""

    finished: int
    failed: dict[str, str]
    mistakes: bool
    report: Path


def run_plan(plan: Plan, out: Path | str) -> Outcome:
    """Run all of a plan's runs that `out` does not hold finished yet, time its models, build its report.

    Asked again with the same plan it goes on where it stopped. Raises UserError, before anything is trained, for
    another plan's OUT, an impossible run or too little room.
    """
    place = Place(_local(out))
    with _alone(place.out):
        return _run(plan, place)


def _run(plan: Plan, place: Place) -> Outcome:
    weights = _recorded(plan, place.out)
    log.info("plan %s: opening the data (the embedded set is drawn on first use)", plan.name)
    runs = expand(plan, weights)
    specs = _speed_specs(plan, runs)
    _record(plan, weights, place.out)
    with cluster():
        check_shared(place.out)
        todo, mistakes = _todo(place, runs), False
        if todo:
            check_disk(place.out, FIXED_BYTES + len(todo) * BYTES_PER_PARAMETER * _parameters(todo))
            mistakes = _tune(plan, todo, place)
        _time(place, specs)
    return _finish(plan, runs, place, mistakes)


def _local(out: Path | str) -> Path:
    if "://" in str(out):
        raise UserError(f"--out {out} is a URI, and this release writes to folders; give one that all nodes share")
    path = Path(out).resolve()
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuse a second sweep in the same folder at the same time; the system frees the lock of a killed one."""
    with open(out / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another sweep is running in {out}; wait for it, or give another folder by --out"
            ) from None
        yield


def _recorded(plan: Plan, out: Path) -> dict[str, str]:
    """The weights' origins recorded in OUT; UserError where OUT belongs to another plan."""
    file = out / "plan.yaml"
    if not file.is_file():
        return {}
    recorded = yaml.safe_load(file.read_text())
    weights = recorded.pop("resolved_weights", {})
    difference = first_difference(recorded, plan.model_dump(mode="json"))
    if difference:
        key, there, here = difference
        raise UserError(
            f"{out} holds the results of another plan: its {key} is {there!r}, this plan's is {here!r};"
            " give another folder by --out"
        )
    return weights


def first_difference(a: Any, b: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first dotted key at which two plans differ, with both values; execution settings and prose do not count."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in [*a, *(n for n in b if n not in a)]:
            if name in EXECUTION_KEYS or (not key and name == "about"):
                continue
            found = first_difference(a.get(name), b.get(name), f"{key}.{name}" if key else str(name))
            if found:
                return found
        return None
    return None if a == b else (key, a, b)


def _record(plan: Plan, weights: dict[str, str], out: Path) -> None:
    temporary = out / f".plan.yaml.{os.getpid()}"
    document = plan.model_dump(mode="json") | {"resolved_weights": weights}
    temporary.write_text(yaml.safe_dump(document, sort_keys=False))
    os.replace(temporary, out / "plan.yaml")


def _todo(place: Place, runs: list[PlannedRun]) -> list[PlannedRun]:
    finished = place.store.finished() if place.store.exists() else set()
    todo = [run for run in runs if run.run_id not in finished]
    log.info("%d runs, %d of them finished already", len(runs), len(runs) - len(todo))
    return todo


def _parameters(runs: list[PlannedRun]) -> int:
    """Parameters of the plan's largest model, counted without memory."""
    import torch

    models = {run.config.model.model_dump_json(): run.config.model for run in runs}
    with torch.device("meta"):
        built = [build_model(config, load_weights=False) for config in models.values()]
    return max(sum(p.numel() for p in model.parameters()) for model in built)


def _tune(plan: Plan, runs: list[PlannedRun], place: Place) -> bool:
    """Train and measure runs. True where one failed for what the user gave."""
    watched = {r.run_id: Watched(r.label, place.progress(r.run_id), run_work(r.config)) for r in runs}
    at_once = min(concurrent_runs(run.config.train) for run in runs)
    log.info("training %d runs, %d at a time", len(runs), min(at_once, len(runs)))
    params = [
        {"run_id": r.run_id, "config": r.config.model_dump(mode="json"), "out": str(place.out), "plan": plan.name}
        for r in runs
    ]
    # Tune's own loggers write files that nothing here reads, and its table would stand between our progress lines.
    # Its own handler of Ctrl-C would swallow the first one and let the sweep go on to its report.
    os.environ |= {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
    }
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    shutil.rmtree(place.out / "progress", ignore_errors=True)
    with Watcher(watched, plan.name):
        results = tune.Tuner(
            tune.with_resources(trial, {"CPU": DRIVER_CPUS}),
            param_space={"run": tune.grid_search(params)},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=at_once,
                trial_name_creator=lambda t: t.config["run"]["run_id"],
                trial_dirname_creator=lambda t: t.config["run"]["run_id"],
            ),
            run_config=tune.RunConfig(name="tune", storage_path=str(place.out / "ray"), verbose=0),
        ).fit()
    shutil.rmtree(place.out / "ray", ignore_errors=True)
    mistakes = any((results[i].metrics or {}).get("mistake") for i in range(len(results)))
    shutil.rmtree(place.out / "progress", ignore_errors=True)
    return mistakes


def _speed_specs(plan: Plan, runs: list[PlannedRun]) -> list[speed.SpeedSpec]:
    from wsshm.models.encoder import check_backbone

    for backbone in plan.speed.models:
        check_backbone(backbone)
    gpu = any(run.config.train.gpus_per_worker for run in runs)
    return speed.expand(
        plan.speed.models,
        plan.speed.sizes,
        plan.speed.batches,
        plan.speed.precisions,
        plan.speed.engines,
        device="cuda" if gpu else "cpu",
    )


def _time(place: Place, specs: list[speed.SpeedSpec]) -> None:
    """Time what the store has no row of yet from this device."""
    if not specs:
        return
    gpu = specs[0].device == "cuda"
    call = _on_gpu if gpu else lambda function, *arguments: function(*arguments)
    device = call(provenance.device_name, specs[0].device)
    keys = ["model", "height", "width", "batch", "precision", "engine", "scope"]
    known = place.store.read("speed")
    known = known[(known["status"] == "ok") & (known["device"] == device)]
    done = set(known[keys].itertuples(index=False, name=None))
    todo = [spec for spec in specs if tuple(getattr(spec, key) for key in keys) not in done]
    if todo:
        log.info("timing %d settings", len(todo))
        call(speed.speed_table, todo, None, None, place.store)


def _on_gpu(function: Callable[..., T], *arguments: Any) -> T:
    """Call on a node with a GPU, which is owned whole meanwhile."""
    return ray.get(ray.remote(num_cpus=1, num_gpus=1)(function).remote(*arguments))


def _finish(plan: Plan, runs: list[PlannedRun], place: Place, mistakes: bool) -> Outcome:
    rows = place.store.read("runs").set_index("run_id")
    wanted = rows.loc[[run.run_id for run in runs if run.run_id in rows.index]]
    bad = wanted[wanted["status"] != "finished"]
    failed = {run_id: str(row["error"]) for run_id, row in bad.iterrows()}
    for run in runs:
        if run.run_id not in rows.index:
            failed[run.run_id] = "the run ended without a result; ask again to retry it"
    report = build(place.out / "store", place.out / "report", plan.report.cost.model())
    return Outcome(len(runs) - len(failed), failed, mistakes, report)
