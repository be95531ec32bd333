"""A plan's runs: resolved, with their data opened and their identities known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from reports.load import flatten
from sweeps.plan import Plan, configurations
from sweeps.variation import OWN_COLUMNS, shown
from wsshm import methods, models
from wsshm.config import RunConfig
from wsshm.data.sources import open_sources
from wsshm.keys import without_defaults
from wsshm.training.planning import plan_run, resolved
from wsshm.training.run_plan import RunPlan


def expand(plan: Plan, weights: dict[str, str] | None = None, drawn: bool = True) -> list[RunPlan]:
    """A plan's runs, each identity once, with data opened; no picture is read.

    The embedded set is drawn on first use, unless `drawn` is False: then the runs are the same, but cannot be trained yet.

    `weights` are origins of pretrained weights that were resolved earlier, by backbone; new ones are added to it. They
    are kept so that a sweep which goes on elsewhere, or while a hub is away, still means the same runs.
    """
    weights = {} if weights is None else weights
    runs: dict[str, RunPlan] = {}
    beside = len(plan.also) * len(plan.seeds)
    also = list(dict.fromkeys(key for change in plan.also for key in change))
    for number, config in enumerate(configurations(plan)):
        auto = config.model.weights == "auto"
        config = resolved(with_weights(config, weights))
        if auto:
            weights[config.model.backbone] = config.model.weights
        planned = plan_run(config, open_sources(config.data, drawn), beside=number < beside)
        run = labelled(planned, also if number < beside else plan.space)
        runs.setdefault(run.run_id, run)
    return list(runs.values())


def with_weights(config: RunConfig, weights: dict[str, str]) -> RunConfig:
    """The configuration with `model.weights: auto` replaced by what it was resolved to earlier, if it was."""
    known = weights.get(config.model.backbone) if config.model.weights == "auto" else None
    if not known:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": known})})


def labelled(run: RunPlan, keys: Iterable[str]) -> RunPlan:
    """The run with what progress lines call it: its method, mattes and seed, and its values of `keys`, numbers by name."""
    said = [f"{run.mattes} mattes", f"seed {run.config.train.seed}"]
    for key, value in _values(run.config, keys).items():
        text = shown(value)
        said.append(text if isinstance(value, str | dict) else f"{key.rpartition('.')[2]} {text}")
    return replace(run, label=f"{run.config.method.name} ({', '.join(said)})")


def _values(config: RunConfig, keys: Iterable[str]) -> dict[str, Any]:
    """The values of dotted `keys`, of whole sections those that are not at their default; without `OWN_COLUMNS`."""
    document = config.model_dump(mode="json")
    every, differing = flatten(document), flatten(without_defaults(document))
    # The configuration has only those options of a method's or an architecture's own that are not at their default.
    own = {
        "method.options": methods.options_of(config),
        "model.architecture": models.options_of(config.model.architecture),
    }
    for section, options in own.items():
        every |= {
            f"{section}.{name}": value for name, value in (options.model_dump(mode="json") if options else {}).items()
        }
    found: dict[str, Any] = {}
    for key in keys:
        found |= {key: every[key]} if key in every else {k: v for k, v in differing.items() if k.startswith(f"{key}.")}
    return {key: value for key, value in found.items() if key not in OWN_COLUMNS}
