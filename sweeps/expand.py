"""A plan's runs: resolved, with their data opened and their identities known."""

from __future__ import annotations

from dataclasses import dataclass

from sweeps.plan import Plan, configurations
from wsshm.config import RunConfig
from wsshm.data.sources import Sources
from wsshm.stages import run_id_of
from wsshm.train import checked_sources, resolved


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan: its identity, its resolved configuration and its data."""

    run_id: str
    config: RunConfig
    sources: Sources

    @property
    def label(self) -> str:
        """How progress lines call it."""
        budget, seed = self.config.budget, self.config.train.seed
        mattes = "all" if budget.mattes is None else budget.mattes
        return f"{self.config.method.name} ({mattes} mattes, seed {seed})"


def expand(plan: Plan, weights: dict[str, str] | None = None) -> list[PlannedRun]:
    """A plan's runs, each identity once, with data opened (the embedded set is drawn on first use) and checked.

    `weights` are origins of pretrained weights that were resolved earlier, by backbone; new ones are added to it. They
    are kept so that a sweep which goes on elsewhere, or while a hub is away, still means the same runs.
    """
    weights = {} if weights is None else weights
    opened: dict[str, Sources] = {}
    runs: dict[str, PlannedRun] = {}
    for config in configurations(plan):
        if config.model.weights == "auto":
            known = weights.get(config.model.backbone)
            config = resolved(_with_weights(config, known) if known else config)
            weights[config.model.backbone] = config.model.weights
        else:
            config = resolved(config)
        key = config.data.model_dump_json()
        if key not in opened:
            opened[key] = checked_sources(config)
        sources = checked_sources(config, opened[key])
        run = PlannedRun(run_id_of(config, sources), config, sources)
        runs.setdefault(run.run_id, run)
    return list(runs.values())


def _with_weights(config: RunConfig, weights: str) -> RunConfig:
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": weights})})
