"""How Ray Tune goes through a plan's runs: Optuna told of what the store knows, ASHA by our own epochs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import optuna
import pydantic
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from sweeps.objectives import last_errors
from sweeps.place import Place
from sweeps.plan import Plan, Sampler
from sweeps.reporter import EPOCH

STUDY = "sweep"
DRAWN = "drawn/"  # Ray makes a section `drawn` of a trial's configuration from names that begin so
_DRAWN = pydantic.TypeAdapter(dict[str, bool | int | float | str | None])
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draw:
    """What a search drew for a run, with the run's objectives where it is settled and has all."""

    run_id: str
    values: dict[str, Any]
    objectives: tuple[float, ...] | None
    settled: bool


class _Told(OptunaSearch):
    """Optuna told of runs by their ends alone; one that came to no result failed, whatever it has reported before."""

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        """An epoch: early stopping is the scheduler's."""

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The end of a run."""
        names = [self.metric] if isinstance(self.metric, str) else self.metric
        whole = bool(result) and all(name in (result or {}) for name in names)
        super().on_trial_complete(trial_id, result if whole else None, error or not whole)


def recorded_draws(plan: Plan, place: Place, latency_ms: dict[str, float]) -> list[Draw]:
    """All that was drawn in OUT so far. Draws that this plan's space cannot hold are none of its own."""
    settled = place.store.settled() if place.store.exists() else set()
    errors = last_errors(place.store, settled)
    found = []
    for file in place.draws.listing():
        run_id = file.name.removesuffix(".json")
        try:
            values = _DRAWN.validate_json(file.read_bytes())
        except ValueError:
            log.warning("%s is cut off or altered; skipping this draw", file)
            continue
        if set(values) != set(plan.searched) or not all(plan.searched[k].holds(v) for k, v in values.items()):
            continue
        backbone = values.get("model.backbone", plan.backbones()[0])
        known = errors.get(run_id, {}) | ({"latency_ms": latency_ms[backbone]} if backbone in latency_ms else {})
        reached = tuple(known[name] for name in plan.search.objectives if name in known)
        complete = run_id in settled and len(reached) == len(plan.search.objectives)
        found.append(Draw(run_id, values, reached if complete else None, run_id in settled))
    return found


def optuna_search(plan: Plan, draws: list[Draw]) -> OptunaSearch:
    """Optuna's TPE, told of every settled draw; draws that are not settled are asked for again first."""
    distributions = {DRAWN + key: _distribution(sampler) for key, sampler in plan.searched.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        study_name=STUDY, storage=storage, directions=["minimize"] * len(plan.search.objectives)
    )
    told = [draw for draw in draws if draw.objectives is not None]
    for draw in told:
        study.add_trial(
            optuna.trial.create_trial(
                params=_named(draw.values), distributions=distributions, values=list(draw.objectives or ())
            )
        )
    several = len(plan.search.objectives) > 1
    names: list[str] = list(plan.search.objectives)
    # A sampler that began with the same numbers each time would draw again what is known already.
    seed = plan.search.seed + 1000 * len(draws)
    return _Told(
        space=distributions,
        metric=names if several else names[0],
        mode=["min"] * len(names) if several else "min",
        points_to_evaluate=[_named(draw.values) for draw in draws if not draw.settled],
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
        study_name=STUDY,
        storage=storage,
    )


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {DRAWN + key: value for key, value in values.items()}


def _distribution(sampler: Sampler) -> BaseDistribution:
    if sampler.choice:
        return CategoricalDistribution(sampler.choice)
    low, high = sampler.loguniform or sampler.uniform or (0.0, 1.0)
    return FloatDistribution(low, high, log=sampler.loguniform is not None)


def scheduler(
    plan: Plan, epochs: Iterable[int], earlier: Mapping[str, list[tuple[int, float]]]
) -> TrialScheduler | None:
    """The plan's early stopping; `epochs` are the numbers of epochs that runs may come to.

    `earlier` holds the settled runs' errors by epochs: the runs of a resumed sweep are judged by them.
    """
    if plan.search.scheduler is None:
        return None
    objective = plan.search.objectives[0]
    asha = ASHAScheduler(
        time_attr=EPOCH,
        metric=objective,
        mode="min",
        grace_period=plan.search.scheduler.grace_epochs,
        reduction_factor=plan.search.scheduler.reduction,
        max_t=max(epochs) + 1,  # none is stopped for having reached its own end
    )
    for run_id, points in earlier.items():
        trial: Any = SimpleNamespace(trial_id=run_id)  # all that ASHA asks of a trial
        asha.on_trial_add(None, trial)  # type: ignore[arg-type]
        for epoch, error in points:
            asha.on_trial_result(None, trial, {EPOCH: epoch, objective: error})  # type: ignore[arg-type]
        asha.on_trial_remove(None, trial)  # type: ignore[arg-type]
    return asha
