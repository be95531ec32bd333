"""What a sweep must come to, whatever becomes of it: its runs trained one after the other, without Ray Tune."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from sweeps.expand import expand
from sweeps.place import Place
from sweeps.plan import load_plan
from sweeps.trial import _measure, curves, describe
from wsshm.files.location import Location
from wsshm.training.run import train
from wsshm.training.run_plan import RunPlan


def trained_here(out: Path, *options: str, plan: str = "smoke", workers: int = 0) -> Path:
    """Write the store of a plan in `out`; `options` are those of the command.

    The runs are trained in this process or, with `workers`, on the cluster that RAY_ADDRESS names.
    """
    place, threads = Place(Location.of(out)), torch.get_num_threads()
    try:
        for run in expand(load_plan(plan, [option for option in options if option != "--set"])):
            trained = train(_on_workers(run, workers), place.stages)
            measured, taught, _ = _measure(run, place)
            place.store.write("scores", [*taught, *measured.scores])
            place.store.write("epochs", curves(run.run_id, trained.stages))
            place.store.write("runs", [{"plan": plan, "status": "finished", **describe(run)}])
    finally:
        torch.set_num_threads(threads)
    return out


def _on_workers(run: RunPlan, workers: int) -> RunPlan:
    options = run.config.train.model_copy(update={"workers": workers})
    return replace(run, config=run.config.model_copy(update={"train": options}))
