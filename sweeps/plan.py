"""Plans: YAML files that describe many runs; typed and closed. Importing this module imports neither torch nor ray."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import yaml

from bench.cost import CostModel
from wsshm.config import Budget, ModelConfig, RunConfig, Section, load_document, override, parse, set_dotted
from wsshm.errors import UserError, nearest

SHIPPED = Path(__file__).parent / "plans"
RESOLVED_WEIGHTS = "resolved_weights"

Choices = Annotated[list[Any], pydantic.Field(min_length=1)]
Interval = tuple[float, float]
Objective = Literal["val_sad", "val_mse", "val_mad", "latency_ms"]
DIGITS = 4  # of a drawn number: enough for any setting, and short to read


class Sampler(Section):
    """What a searched key is drawn from: exactly one of an interval, an interval of logarithms, a list."""

    uniform: Interval | None = None
    loguniform: Interval | None = None
    choice: Choices | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1 or not set(value) <= set(cls.model_fields):
            raise ValueError("takes a list, or one of {uniform: [a, b]}, {loguniform: [a, b]}, {choice: [...]}")
        return value

    @pydantic.model_validator(mode="after")
    def _rises(self) -> Sampler:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        interval = self.uniform or self.loguniform
        if interval and not interval[0] < interval[1]:
            raise ValueError(f"{given[0]}: {list(interval)} must rise from low to high")
        if self.loguniform and self.loguniform[0] <= 0:
            raise ValueError(f"loguniform: {list(self.loguniform)} must lie above 0")
        return self

    @pydantic.model_serializer
    def _dump(self) -> dict[str, Any]:
        given = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: list(value) for name, value in given if value is not None}

    def draw(self, rng: np.random.Generator) -> Any:
        """One value."""
        if self.choice:
            return self.choice[rng.integers(len(self.choice))]
        if self.loguniform:
            low, high = np.log(self.loguniform)
            return rounded(float(np.exp(rng.uniform(low, high))))
        assert self.uniform
        return rounded(float(rng.uniform(*self.uniform)))

    def examples(self) -> list[Any]:
        """Values that show whether the whole range is possible: all choices, or the ends and one in between."""
        low, high = self.uniform or self.loguniform or (0.0, 0.0)
        return self.choice or [low, high, rounded(low + 0.4567 * (high - low))]

    def holds(self, value: Any) -> bool:
        """Whether a value can have been drawn from this."""
        if self.choice:
            return value in self.choice
        low, high = self.uniform or self.loguniform or (0.0, 0.0)
        return isinstance(value, int | float) and low <= value <= high


Range = Annotated[
    Annotated[Choices, pydantic.Tag("<list>")] | Annotated[Sampler, pydantic.Tag("<sampler>")],
    pydantic.Discriminator(lambda value: "<list>" if isinstance(value, list | tuple) else "<sampler>"),
]


class SchedulerPlan(Section):
    """Early stopping by ASHA: of the runs that came as far, the best 1/`reduction` go on.

    Rungs lie at `grace_epochs` x `reduction`^k epochs, counted from the end of a stage that only prepares (a teacher).
    What `also` asks for is never stopped. Methods differ in what they have learnt by an epoch, so only one is searched.
    """

    name: Literal["asha"] = "asha"
    grace_epochs: pydantic.PositiveInt = 2
    reduction: Annotated[int, pydantic.Field(ge=2)] = 3


class SearchPlan(Section):
    """How the space is gone through.

    `grid` runs every combination. `random` draws searched keys `num_runs` times, each draw under every combination of
    the rest. `optuna` (TPE) draws each run by what the earlier ones came to. `objectives` are minimised: errors on the
    validation set at the end of a run, and `latency_ms`, the network's median time for the first of `speed`'s settings.
    """

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    num_runs: pydantic.PositiveInt | None = None
    seed: pydantic.NonNegativeInt = 0
    objectives: Annotated[tuple[Objective, ...], pydantic.Field(min_length=1)] = ("val_sad",)
    scheduler: SchedulerPlan | None = None


class SpeedPlan(Section):
    """What is timed after training: every combination, each in a fresh process; nothing where `models` is empty."""

    models: tuple[str, ...] = ()
    sizes: tuple[int | str, ...] = pydantic.Field(default=(512,), min_length=1)
    batches: tuple[pydantic.PositiveInt, ...] = pydantic.Field(default=(1,), min_length=1)
    precisions: tuple[Literal["fp32", "bf16", "fp16"], ...] = pydantic.Field(default=("fp32",), min_length=1)
    engines: tuple[Literal["eager"], ...] = pydantic.Field(default=("eager",), min_length=1)


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


class BudgetGrid(Section):
    """A label budget, or with lists all combinations of their numbers."""

    mattes: pydantic.NonNegativeInt | tuple[pydantic.NonNegativeInt, ...] | None = None
    masks: pydantic.NonNegativeInt | tuple[pydantic.NonNegativeInt, ...] | None = None

    def budgets(self) -> list[Budget]:
        """The budgets it stands for."""
        mattes, masks = (v if isinstance(v, tuple) else (v,) for v in (self.mattes, self.masks))
        return [Budget(mattes=m, masks=n) for m, n in itertools.product(mattes, masks)]


class Plan(Section):
    """A sweep: `base` is one run's configuration; `space` x `budgets` x `seeds` are the runs.

    `space` maps dotted keys of a run's configuration to lists, or to what a search draws from. `also` adds single runs
    beside them, each a mapping of dotted keys (over the first budget), again for every seed. `stages` is a folder or
    URI where several sweeps share what they train (default OUT/stages); `track` names what follows the runs live.
    """

    name: str
    about: str = ""
    base: dict[str, Any] = pydantic.Field(default_factory=dict)
    space: dict[str, Range] = pydantic.Field(default_factory=dict)
    also: tuple[dict[str, Any], ...] = ()
    search: SearchPlan = SearchPlan()
    budgets: tuple[BudgetGrid, ...] = pydantic.Field((BudgetGrid(),), min_length=1)
    seeds: tuple[pydantic.NonNegativeInt, ...] = pydantic.Field((0,), min_length=1)
    speed: SpeedPlan = SpeedPlan()
    report: ReportPlan = ReportPlan()
    stages: str | None = None
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()

    @property
    def searched(self) -> dict[str, Sampler]:
        """The keys that a search draws."""
        return {key: value for key, value in self.space.items() if isinstance(value, Sampler)}

    @pydantic.model_validator(mode="after")
    def _searchable(self) -> Plan:
        search, searched = self.search, self.searched
        if search.algorithm == "grid":
            if searched:
                raise ValueError(
                    f"space.{next(iter(searched))} is to be searched, and a grid runs every combination; give a list, or"
                    " set search.algorithm to random or optuna"
                )
            if search.num_runs:
                raise ValueError("search.num_runs is for random and optuna; a grid runs every combination")
        elif not searched or not search.num_runs:
            raise ValueError(f"search.algorithm {search.algorithm} needs search.num_runs and a key in space to draw")
        if search.algorithm == "optuna":
            if lists := [key for key in self.space if key not in searched]:
                raise ValueError(f"space.{lists[0]} is a list, and optuna draws every key; write {{choice: [...]}}")
            if len(self.seeds) > 1 or len(self.label_budgets()) > 1:
                raise ValueError(
                    "optuna searches with one seed and one budget; repeat its best runs with more by a grid"
                )
        if search.scheduler and (len(search.objectives) > 1 or search.objectives[0] == "latency_ms"):
            raise ValueError("search.scheduler stops runs by one error; give one objective, such as val_sad")
        if search.scheduler and "method.name" in self.space:
            raise ValueError(
                "search.scheduler holds runs against each other by epochs, by which methods have not learnt as much; take"
                " method.name out of space"
            )
        backbones = searched.get("model.backbone")
        if "latency_ms" in search.objectives and backbones and not backbones.choice:
            raise ValueError("the objective latency_ms needs the backbones as {choice: [...]}")
        return self

    def backbones(self) -> list[str]:
        """Every backbone that a run may have."""
        default = self.base.get("model", {}).get("backbone", ModelConfig().backbone)
        choice = self.space.get("model.backbone")
        listed = choice.choice or [] if isinstance(choice, Sampler) else choice
        extra = [change["model.backbone"] for change in self.also if "model.backbone" in change]
        return list(dict.fromkeys([*(listed or [default]), *extra]))

    def label_budgets(self) -> list[Budget]:
        """All label budgets, in order."""
        return [budget for grid in self.budgets for budget in grid.budgets()]


def load_plan(name: str, assignments: list[str] | None = None) -> Plan:
    """A plan by shipped name (no `.yaml`) or path, with `--set` assignments applied to its root.

    Raises UserError for an unknown plan, key or impossible value.
    """
    return plan_of(load_document(plan_path(name)), f"the plan {name}", assignments)


def plan_of(document: dict[str, Any], where: str, assignments: list[str] | None = None) -> Plan:
    """A plan from its document, or OUT/plan.yaml's; `where` names it in a UserError."""
    document = override(document, assignments or [])
    document.pop(RESOLVED_WEIGHTS, None)
    plan = parse(document, Plan, where)
    parse(plan.base, RunConfig, f"base of {where}")
    check_space(plan)
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
    """Every run's configuration that is known beforehand: `also` first, then the grid, or the random draws.

    Optuna's runs are not among them: each depends on what the earlier ones came to.
    """
    budgets = [budget.model_dump() for budget in plan.label_budgets()]
    lists = {key: value for key, value in plan.space.items() if isinstance(value, list)}
    changes = [{"budget": budgets[0]} | extra for extra in plan.also]
    if plan.search.algorithm != "optuna":
        changes += [
            {"budget": budget} | dict(zip(lists, values, strict=True)) | drawn
            for drawn in draws(plan)
            for budget in budgets
            for values in itertools.product(*lists.values())
        ]
    return [configured(plan, {"train.seed": seed, **change}) for change, seed in itertools.product(changes, plan.seeds)]


def draws(plan: Plan) -> list[dict[str, Any]]:
    """The random draws of the searched keys; a grid has one, of none. More draws begin with the same ones."""
    if plan.search.algorithm == "grid":
        return [{}]
    generators = (np.random.default_rng([plan.search.seed, i]) for i in range(plan.search.num_runs or 0))
    return [{key: sampler.draw(rng) for key, sampler in plan.searched.items()} for rng in generators]


def configured(plan: Plan, changes: dict[str, Any]) -> RunConfig:
    """One run's configuration: the plan's base with dotted keys changed. Raises UserError where it is impossible."""
    document = yaml.safe_load(yaml.safe_dump(plan.base))
    for key, value in changes.items():
        set_dotted(document, key, yaml.safe_load(yaml.safe_dump(value)))
    return parse(document, RunConfig, f"a run of the plan {plan.name}")


def searched_configuration(plan: Plan, drawn: dict[str, Any]) -> RunConfig:
    """The configuration of a run that Optuna draws."""
    values = {key: rounded(value) if isinstance(value, float) else value for key, value in drawn.items()}
    return configured(plan, {"train.seed": plan.seeds[0], "budget": plan.label_budgets()[0].model_dump(), **values})


def check_space(plan: Plan) -> None:
    """Raise UserError where a searched key is unknown, or a part of its range impossible, with the rest as in base."""
    for key, sampler in plan.searched.items():
        for value in sampler.examples():
            configured(plan, {key: value})


def rounded(value: float) -> float:
    """A drawn number at `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")
