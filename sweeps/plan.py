"""Plans: YAML files that describe many runs; typed and closed. Importing this module imports neither torch nor ray."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from bench.cost import CostModel
from bench.engines import ENGINES
from wsshm.config import (
    BY_GRADE,
    ONE,
    Budget,
    DataConfig,
    Labels,
    LabelsByGrade,
    ModelConfig,
    RunConfig,
    Section,
    Seed,
    Steps,
    WhichForm,
    of_known_grades,
    override,
    parse,
    set_dotted,
)
from wsshm.documents import load_document
from wsshm.errors import UserError, nearest
from wsshm.grades import DEFAULT, GRADES
from wsshm.key_page import page
from wsshm.keys import explained
from wsshm.models import text_of
from wsshm.registry import Registered

SHIPPED = Path(__file__).parent / "plans"
RESOLVED_WEIGHTS = "resolved_weights"
EARLIER_DATA: dict[str, Any] = {"test": ["procedural/test"], "procedural": {"mask_coarseness": 1.0}}
"""What a plan means that an earlier release wrote down: its test set, and how its masks were drawn. It names no test set, as
plans do that are written down now (see `wsshm.config.TESTS`)."""
EARLIER_BLEND = {"threshold": 0.5, "band": 0.04}
"""What `method.blend` was where such a plan does not say."""
TRAINED = "trained"  # of `speed.sizes` and `speed.models`

Choices = Annotated[list[Any], pydantic.Field(min_length=1)]
Interval = tuple[float, float]
Objective = Literal["val_sad", "val_mse", "val_mad", "latency_ms"]
MOST_RUNS = 100_000


def _fit_for_folders(name: str) -> str:
    if not re.fullmatch(r"[^\W_][\w .+()-]{0,99}", name):
        raise ValueError(
            "folders and jobs are named after it: at most 100 letters, digits, spaces and any of . _ + - ( ), the first a"
            " letter or digit"
        )
    return name


Name = Annotated[str, pydantic.AfterValidator(_fit_for_folders)]
Drawn = Annotated[int, pydantic.Field(ge=1, le=MOST_RUNS)]
DIGITS = 4  # of a drawn number: enough for any setting, and short to read


class Sampler(Section):
    """What a searched key is drawn from: exactly one of an interval, an interval of logarithms, a list."""

    uniform: Interval | None = None
    """Both ends of an interval."""
    loguniform: Interval | None = None
    """Both ends of an interval above 0, whose logarithms are equally likely."""
    choice: Choices | None = None
    """The values."""

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
    """Early stopping by ASHA: of the runs that reach a rung, the best 1/`reduction` continue.

    Rungs lie at `grace_epochs` x `reduction`^k epochs, counted from the end of a stage that only prepares (a teacher).
    What `also` asks for is never stopped. Methods differ in what they have learnt by an epoch, so only one is searched.
    """

    name: Literal["asha"] = "asha"
    """The rule."""
    grace_epochs: Steps = 2
    """Epochs before the first runs may be stopped."""
    reduction: Annotated[int, pydantic.Field(ge=2, le=1000)] = 3
    """At each rung the best 1 in so many runs continues."""


class SearchPlan(Section):
    """How the space is searched.

    `grid` runs every combination. `random` draws searched keys `num_runs` times, each draw under every combination of
    the rest. `optuna` (TPE) draws each run by what the earlier ones came to. `objectives` are minimised: errors on the
    validation set at the end of a run, and `latency_ms`, the network's median time for the first of `speed`'s settings.
    """

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    """grid (every combination), random, or optuna (TPE)."""
    num_runs: Drawn | None = None
    """How many times random or optuna draw; null for a grid."""
    seed: Seed = 0
    """The same seed gives the same draws."""
    objectives: Annotated[tuple[Objective, ...], pydantic.Field(min_length=1)] = ("val_sad",)
    """What is minimised: val_sad, val_mse or val_mad at the end of a run, latency_ms of the network; several give a
    Pareto front."""
    scheduler: SchedulerPlan | None = None
    """Early stopping by ASHA: {name: asha, grace_epochs: 2, reduction: 3}."""


class SpeedPlan(Section):
    """What is timed after training: every combination, each in fresh processes; nothing if `models` is empty.

    Runs are scored with a picture's shorter side at the size that they were trained at: a report sets speed beside error
    for timings of that shorter side alone.
    """

    models: tuple[str, ...] = ()
    """Backbones to time after training; `trained`: every network that the plan trains."""
    sizes: tuple[int | str, ...] = pydantic.Field(default=(TRAINED,), min_length=1)
    """Picture sizes: trained (the square of data.size), 512, 1080p, or width x height: 288x192 for 3:2 photos at 192 px."""
    batches: tuple[Annotated[int, pydantic.Field(ge=1, le=4096)], ...] = pydantic.Field(default=(1,), min_length=1)
    """Batch sizes."""
    precisions: tuple[Literal["fp32", "bf16", "fp16", "int8"], ...] = pydantic.Field(default=("fp32",), min_length=1)
    """Precisions."""
    engines: tuple[Annotated[str, Registered(ENGINES)], ...] = pydantic.Field(default=("eager",), min_length=1)
    """What executes the network."""
    processes: Annotated[int, pydantic.Field(ge=1, le=100)] = 3
    """Fresh processes that each is timed in; the interval is over them."""
    target_fps: Annotated[float, pydantic.Field(gt=0)] | None = None
    """Frames per second to be held, end to end: the report says which network to ship and marks which hold it."""


PRICE_OF_MASK = f"{CostModel().mask:g}s"
PriceByGrade = Annotated[
    Annotated[str, pydantic.Tag(ONE)] | Annotated[dict[str, str], pydantic.Field(min_length=1), pydantic.Tag(BY_GRADE)],
    WhichForm,
    pydantic.BeforeValidator(of_known_grades),
]


class CostPlan(Section):
    """The price of a label, in seconds (`690s`) or money (`23EUR`)."""

    matte: str = "690s"
    """Price of a matte."""
    mask: PriceByGrade = PRICE_OF_MASK
    """Price of a mask of the default grade, polygon, or of several grades: {polygon: 79.2s, fine: 160s}; a grade that is not
    named has its published time where prices are times."""

    @pydantic.field_validator("mask")
    @classmethod
    def _spelt_once(cls, mask: str | dict[str, str]) -> str | dict[str, str]:
        if not isinstance(mask, dict):
            return mask
        return mask[DEFAULT] if set(mask) == {DEFAULT} else {name: mask[name] for name in GRADES if name in mask}

    def model(self) -> CostModel:
        """The prices as reports take them."""
        return CostModel.from_prices(self.model_dump())


class ReportPlan(Section):
    """What the report at the end needs to know."""

    cost: CostPlan = CostPlan()


# Each element of a list may be by grade itself: [1000, {polygon: 900, fine: 100}].
MasksGrid = Annotated[
    Annotated[Labels | tuple[LabelsByGrade, ...], pydantic.Tag(ONE)]
    | Annotated[dict[str, Labels | tuple[Labels, ...]], pydantic.Field(min_length=1), pydantic.Tag(BY_GRADE)],
    WhichForm,
    pydantic.BeforeValidator(of_known_grades),
]


class BudgetGrid(Section):
    """A label budget, or with lists all combinations of their numbers."""

    mattes: Labels | tuple[Labels, ...] | None = None
    """Numbers of mattes; null is all there are."""
    masks: MasksGrid | None = None
    """Numbers of masks of the default grade, or by grade: {polygon: [300, 1000], fine: 100}; null is all there are."""

    @property
    def count(self) -> int:
        """How many they are."""
        by_grade = self.masks.values() if isinstance(self.masks, dict) else (self.masks,)
        return math.prod(len(v) if isinstance(v, tuple) else 1 for v in (self.mattes, *by_grade))

    def budgets(self) -> list[Budget]:
        """The budgets it stands for."""
        mattes, masks = _each(self.mattes), _each(self.masks)
        if isinstance(self.masks, dict):
            several = itertools.product(*map(_each, self.masks.values()))
            masks = [dict(zip(self.masks, counts, strict=True)) for counts in several]
        return [Budget(mattes=m, masks=n) for m, n in itertools.product(mattes, masks)]


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, tuple) else (value,)


class Plan(Section):
    """A sweep: `base` is one run's configuration; `space` x `budgets` x `seeds` are the runs.

    `space` maps dotted keys of a run's configuration to lists, or to what a search draws from. `also` adds single runs
    beside them, each a mapping of dotted keys (over the first budget), again for every seed. `stages` is a folder or
    URI where several sweeps share what they train (default OUT/stages); `track` names what follows the runs live.
    """

    name: Name
    """Name of the sweep; --out defaults to runs/NAME."""
    about: str = ""
    """What it does, for `wsshm sweep plans`."""
    base: dict[str, Any] = pydantic.Field(default_factory=dict)
    """One run's configuration, as `wsshm config` prints it."""
    space: dict[str, Range] = pydantic.Field(default_factory=dict)
    """Dotted keys of base: a list is a grid; {uniform: [a, b]}, {loguniform: [a, b]} and {choice: [...]} are searched."""
    also: tuple[dict[str, Any], ...] = ()
    """Single runs in addition to the space, each a mapping of dotted keys."""
    search: SearchPlan = SearchPlan()
    budgets: tuple[BudgetGrid, ...] = pydantic.Field((BudgetGrid(),), min_length=1)
    """Numbers of labels; a smaller budget's labels are a subset of a larger one's. Lists are combined."""
    seeds: tuple[Seed, ...] = pydantic.Field((0,), min_length=1)
    """Every run is repeated with each of them."""
    speed: SpeedPlan = SpeedPlan()
    report: ReportPlan = ReportPlan()
    stages: str | None = None
    """Folder or URI where several sweeps share what they train; null is OUT/stages."""
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Trackers that follow the runs live."""

    @property
    def num_runs(self) -> int:
        """How many runs it asks for, without expanding them; equal ones counted each."""
        lists = math.prod(len(values) for values in self.space.values() if isinstance(values, list))
        budgets = sum(grid.count for grid in self.budgets)
        return len(self.seeds) * (len(self.also) + lists * budgets * (self.search.num_runs or 1))

    @property
    def searched(self) -> dict[str, Sampler]:
        """The keys that a search draws."""
        return {key: value for key, value in self.space.items() if isinstance(value, Sampler)}

    @pydantic.model_validator(mode="after")
    def _searchable(self) -> Plan:
        search, searched = self.search, self.searched
        if self.num_runs > MOST_RUNS:
            raise ValueError(
                f"it asks for {self.num_runs:,} runs, and {MOST_RUNS:,} are the most; shorten the lists of space, budgets"
                " or seeds, or search them by search.algorithm: random"
            )
        if search.algorithm == "grid":
            if searched:
                raise ValueError(
                    f"space.{next(iter(searched))} is a range to search, but a grid runs listed values; give a list, or"
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
                "search.scheduler compares runs at equal epochs, but methods learn at different speeds; remove method.name"
                " from space"
            )
        backbones = searched.get("model.backbone")
        if "latency_ms" in search.objectives and backbones and not backbones.choice:
            raise ValueError("the objective latency_ms needs the backbones as {choice: [...]}")
        return self

    def backbones(self) -> list[str]:
        """Every backbone that a run may have."""
        return list(dict.fromkeys(self._values("model", "backbone", ModelConfig().backbone)))

    def timed_sizes(self) -> list[int | str]:
        """The sizes that are timed, `trained` replaced by every size that a run may be trained at."""
        trained = self._values("data", "size", DataConfig().size)
        sizes = [size for given in self.speed.sizes for size in (trained if given == TRAINED else [given])]
        return list(dict.fromkeys(sizes))

    def timed_networks(self, models: Iterable[ModelConfig]) -> list[tuple[str, str]]:
        """(architecture, backbone) of what is timed, `models` being those of the plan's runs."""
        trained = list(dict.fromkeys((text_of(model.architecture), model.backbone) for model in models))
        given = [name for name in self.speed.models if name != TRAINED]
        named = itertools.product(dict.fromkeys(architecture for architecture, _ in trained), given)
        return list(dict.fromkeys([*(trained if TRAINED in self.speed.models else []), *named]))

    def _values(self, section: str, name: str, default: Any) -> list[Any]:
        """The values that runs may have of a key, as far as they are listed: in the space, else in the base, and in `also`."""
        key, choice = f"{section}.{name}", self.space.get(f"{section}.{name}")
        listed = choice.choice if isinstance(choice, Sampler) else choice
        base = self.base.get(section, {}).get(name, default)
        return [*(listed or [base]), *(change[key] for change in self.also if key in change)]

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
    if document.pop(RESOLVED_WEIGHTS, None) is not None and of_an_earlier_release(document):
        document = with_earlier_defaults(document)
    plan = parse(document, Plan, where)
    parse(plan.base, RunConfig, f"base of {where}")
    check_space(plan)
    plan.report.cost.model()
    return plan


def of_an_earlier_release(document: dict[str, Any]) -> bool:
    """Whether a plan's document that a sweep wrote down is one from before there were two test sets and grades."""
    data = _data_of(document)
    return data is not None and "test" not in data


def with_earlier_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """A plan's document with the data and the blend that it had then, as far as it names no others.

    A run's id is of both: with others every finished run would be trained once more.
    """
    data = _data_of(document)
    if data is None:
        return document
    base = document.get("base", {})
    drawn = {"procedural": EARLIER_DATA["procedural"] | (data.get("procedural") or {})}
    changed = base | {"data": EARLIER_DATA | data | drawn}
    method = base.get("method") or {}
    if isinstance(method, dict) and isinstance(blend := method.get("blend") or {}, dict):
        blend = EARLIER_BLEND | blend
        changed["method"] = {"boundary": blend["threshold"]} | method | {"blend": blend}  # which were one key
    return document | {"base": changed}


def with_tests(document: dict[str, Any], tests: Iterable[str]) -> dict[str, Any]:
    """A plan's document, on these test sets if its base names none."""
    data = _data_of(document)
    if data is None or "test" in data:
        return document
    return document | {"base": document.get("base", {}) | {"data": data | {"test": list(tests)}}}


def _data_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """What a document's base says of data; None if that is no mapping."""
    base = document.get("base", {})
    data = base.get("data", {}) if isinstance(base, dict) else None
    return data if isinstance(data, dict) and isinstance(data.get("procedural") or {}, dict) else None


def explained_plan(plan: Plan, width: int) -> str:
    """The plan as YAML with every key, its type, meaning and default (`wsshm.keys`)."""
    head = "# Every key of the plan. A comment names the default where the value differs.\n"
    return head + explained(Plan, plan.model_dump(mode="json"), width, {"base": RunConfig})


KEYS = """# Every key of a plan

What `wsshm sweep keys` prints; a test compares this page with it. [README.md](README.md#plans) says how they go together, and
`wsshm sweep show PLAN --full` prints a plan with all of them. The keys of `base` are those of [a run](../wsshm/CONFIG.md).
`--set` changes any key: `wsshm sweep run quickstart --set speed.target_fps=30`.
"""


def keys_page() -> str:
    """Every key of a plan, as a page of Markdown."""
    return page(KEYS, Plan)


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
    document = copy.deepcopy(plan.base)
    for key, value in changes.items():
        set_dotted(document, key, copy.deepcopy(value))
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
