"""A plan's runs: resolved, with their data opened and their identities known."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from sweeps.plan import Plan, configurations
from sweeps.variation import shown
from wsshm.config import RunConfig
from wsshm.data.sources import Sources
from wsshm.stages import run_id_of
from wsshm.train import checked_sources, resolved


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan: its identity, its resolved configuration and data, how progress lines call it.

    `beside`: the plan's `also` asks for it, not its space.
    """

    run_id: str
    config: RunConfig
    sources: Sources
    label: str
    beside: bool = False


def expand(plan: Plan, weights: dict[str, str] | None = None) -> list[PlannedRun]:
    """A plan's runs, each identity once, with data opened (the embedded set is drawn on first use) and checked.

    `weights` are origins of pretrained weights that were resolved earlier, by backbone; new ones are added to it. They
    are kept so that a sweep which goes on elsewhere, or while a hub is away, still means the same runs.
    """
    weights = {} if weights is None else weights
    opened: dict[str, Sources] = {}
    runs: dict[str, PlannedRun] = {}
    beside = len(plan.also) * len(plan.seeds)
    also = list(dict.fromkeys(key for change in plan.also for key in change))
    for number, config in enumerate(configurations(plan)):
        auto = config.model.weights == "auto"
        config = resolved(with_weights(config, weights))
        if auto:
            weights[config.model.backbone] = config.model.weights
        key = config.data.model_dump_json()
        if key not in opened:
            opened[key] = checked_sources(config)
        sources = checked_sources(config, opened[key])
        label = label_of(config, also if number < beside else plan.space)
        run = PlannedRun(run_id_of(config, sources), config, sources, label, number < beside)
        runs.setdefault(run.run_id, run)
    return list(runs.values())


def with_weights(config: RunConfig, weights: dict[str, str]) -> RunConfig:
    """The configuration with `model.weights: auto` replaced by what it was resolved to earlier, if it was."""
    known = weights.get(config.model.backbone) if config.model.weights == "auto" else None
    if not known:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": known})})


def label_of(config: RunConfig, keys: Iterable[str]) -> str:
    """How progress lines call a run: its method, budget and seed, and its values of `keys`, numbers by name."""
    budget = config.budget
    mattes = "all" if budget.mattes is None else budget.mattes
    document = config.model_dump(mode="json")
    said = [f"{mattes} mattes", f"seed {config.train.seed}"]
    for key in keys:
        if key not in ("method.name", "train.seed", "budget.mattes", "budget.masks"):
            value = functools.reduce(lambda section, name: section[name], key.split("."), document)
            text = shown(value)
            said.append(text if isinstance(value, str) else f"{key.rpartition('.')[2]} {text}")
    return f"{config.method.name} ({', '.join(said)})"
