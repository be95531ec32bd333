"""Plans: YAML files that describe many runs; typed and closed. Importing this module imports neither torch nor ray."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from bench.cost import CostModel
from wsshm.config import Budget, RunConfig, Section, load_document, override, parse, set_dotted
from wsshm.errors import UserError, nearest

SHIPPED = Path(__file__).parent / "plans"


Choices = Annotated[list[Any], pydantic.Field(min_length=1)]


class SearchPlan(Section):
    """How the space is gone through. A grid runs every combination."""

    algorithm: Literal["grid"] = "grid"


class SpeedPlan(Section):
    """What is timed after training: every combination, each in a fresh process; nothing where `models` is empty."""

    models: tuple[str, ...] = ()
    sizes: tuple[int | str, ...] = (512,)
    batches: tuple[pydantic.PositiveInt, ...] = (1,)
    precisions: tuple[Literal["fp32", "bf16", "fp16"], ...] = ("fp32",)
    engines: tuple[Literal["eager"], ...] = ("eager",)


class CostPlan(Section):
    """The price of a label, in seconds (`690s`) or money (`23EUR`)."""

    matte: str = "690s"
    mask: str = "79.2s"

    def model(self) -> CostModel:
        """The prices as reports take them."""
        return CostModel.from_prices(self.model_dump())


class ReportPlan(Section):
    """What the report at the end needs to know."""

    cost: CostPlan = CostPlan()


class Plan(Section):
    """A sweep: `base` is one run's configuration; `space` x `budgets` x `seeds` are the runs.

    `space` maps dotted keys of a run's configuration to lists. `also` adds single runs beside the grid, each a mapping
    of dotted keys (over the first budget), again for every seed.
    """

    name: str
    about: str = ""
    base: dict[str, Any] = pydantic.Field(default_factory=dict)
    space: dict[str, Choices] = pydantic.Field(default_factory=dict)
    also: tuple[dict[str, Any], ...] = ()
    search: SearchPlan = SearchPlan()
    budgets: tuple[Budget, ...] = pydantic.Field((Budget(),), min_length=1)
    seeds: tuple[pydantic.NonNegativeInt, ...] = pydantic.Field((0,), min_length=1)
    speed: SpeedPlan = SpeedPlan()
    report: ReportPlan = ReportPlan()


def load_plan(name: str, assignments: list[str] | None = None) -> Plan:
    """A plan by shipped name (no `.yaml`) or path, with `--set` assignments applied to its root.

    Raises UserError for an unknown plan, key or impossible value.
    """
    document = override(load_document(plan_path(name)), assignments or [])
    plan = parse(document, Plan, f"the plan {name}")
    parse(plan.base, RunConfig, f"base of the plan {name}")
    plan.report.cost.model()
    return plan


def plan_path(name: str) -> Path:
    """Where a plan lies: a name without `.yaml` is always a shipped one's."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    path = SHIPPED / f"{name}.yaml"
    if not path.is_file():
        raise UserError(
            f"there is no shipped plan {name!r}; {nearest(name, shipped_plans())} (a file of your own ends in .yaml)"
        )
    return path


def shipped_plans() -> list[str]:
    """The names of the plans that come with the suite."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def configurations(plan: Plan) -> list[RunConfig]:
    """Every run's configuration, as planned: `also` first, where they differ the expensive before the cheap."""
    budgets = [budget.model_dump() for budget in plan.budgets]
    keys = list(plan.space)
    changes = [{"budget": budgets[0]} | extra for extra in plan.also]
    changes += [
        {"budget": budget} | dict(zip(keys, values, strict=True))
        for budget in budgets
        for values in itertools.product(*plan.space.values())
    ]
    result = []
    for change, seed in itertools.product(changes, plan.seeds):
        document = yaml.safe_load(yaml.safe_dump(plan.base))
        for key, value in {"train.seed": seed, **change}.items():
            set_dotted(document, key, yaml.safe_load(yaml.safe_dump(value)))
        result.append(parse(document, RunConfig, f"a run of the plan {plan.name}"))
    return result
