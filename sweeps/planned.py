"""What a sweep wrote down of itself: OUT/plan.yaml and OUT/runs.json, for commands that look at it without its data.

A file that is empty, cut off or altered is one sentence. Neither holds the passwords and keys of an address.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pydantic
import yaml

from sweeps.place import Place
from sweeps.plan import RESOLVED_WEIGHTS, Plan, of_an_earlier_release, with_earlier_defaults, with_tests
from wsshm.config import TESTS, RunConfig, parse
from wsshm.documents import mapping
from wsshm.errors import UserError, redacted
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage

"""What stands for a secret in an address that was written down."""


@dataclass(frozen=True)
class KnownRun:
    """A run as its sweep wrote it down: `stages` are addresses by name."""

    label: str
    config: dict[str, Any]
    stages: dict[str, str]

    def addressed(self) -> tuple[RunConfig, list[tuple[Stage, str]]]:
        """Its configuration, and its stages in order with their addresses."""
        config: RunConfig = parse(self.config, where="a run's configuration in runs.json")
        stages = stages_of(config)
        if missing := [stage.name for stage in stages if stage.name not in self.stages]:
            raise UserError(f"runs.json knows no stage {missing[0]!r} of {self.label!r}; rerun the sweep's command")
        return config, [(stage, self.stages[stage.name]) for stage in stages]


_RUNS = pydantic.TypeAdapter(dict[str, KnownRun])
_WEIGHTS = pydantic.TypeAdapter(dict[str, str])


def read_planned(place: Place) -> dict[str, KnownRun] | None:
    """The runs by id, without those that a search draws as it goes; None where the sweep has not come to write them."""
    try:
        return _RUNS.validate_json(place.planned.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(
            f"{place.planned} is not a list of runs: it is empty, cut off or altered; rerun the sweep's command, which writes"
            " it again"
        ) from None


def write_planned(place: Place, runs: dict[str, dict[str, Any]]) -> None:
    """Write the runs by id, each as a KnownRun's fields."""
    place.planned.write_text(redacted(json.dumps(runs)))


def read_plan(place: Place) -> tuple[dict[str, Any], dict[str, str]] | None:
    """The document of the plan that OUT belongs to, and the origins of its weights; None where OUT holds no sweep."""
    try:
        content = place.plan.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    remedy = "it was cut off or altered: remove it, then rerun the sweep's command, which writes it again"
    try:
        document = mapping(content, str(place.plan))
        weights = _WEIGHTS.validate_python(document.pop(RESOLVED_WEIGHTS, None) or {})
        return document, weights
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from None
    except ValueError:
        raise UserError(f"{place.plan} has impossible {RESOLVED_WEIGHTS}; {remedy}") from None


def write_plan(place: Place, plan: Plan, weights: dict[str, str]) -> None:
    """Write the resolved plan."""
    place.plan.write_text(yaml.safe_dump(written(plan) | {RESOLVED_WEIGHTS: weights}, sort_keys=False))


def written(plan: Plan) -> dict[str, Any]:
    """A plan's document as it is written down: its test sets are named, as another release may have others by default."""
    return with_tests(_without_secrets(plan.model_dump(mode="json")), TESTS)


def going_on(plan: Plan, recorded: dict[str, Any]) -> tuple[Plan, dict[str, Any]]:
    """The plan and what is recorded of it, both with the data and the blend that an earlier release began the sweep with,
    unless they name others."""
    if not of_an_earlier_release(recorded):
        return plan, recorded
    base = with_earlier_defaults({"base": plan.base})["base"]
    return plan.model_copy(update={"base": base}), with_earlier_defaults(recorded)


def free_keys(plan: Plan) -> tuple[str, ...]:
    """Keys of the plan, besides a run's execution keys, that may change while a sweep goes on: none changes a run.

    Timings are rows of their own, each with its size, batch, precision and engine: what is timed besides only adds rows,
    as `wsshm bench speed --store` does, and what is timed no longer leaves rows that stay true. A search that minimises
    `latency_ms` is steered by the first of them, so there what is timed must stay.
    """
    steered = "latency_ms" in plan.search.objectives
    timing = ("speed.processes", "speed.target_fps") if steered else ("speed",)
    return ("about", "stages", "track", "search.num_runs", *timing)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_secrets(part) for part in value]
    return redacted(value) if isinstance(value, str) else value
