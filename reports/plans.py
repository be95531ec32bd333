"""A plan of labels: the proposed split, how sure it is, whether the data support it, and all of that in words."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from bench.cost import CostModel
from reports import support
from reports.affordable import NONE
from reports.comparison import Budget
from reports.document import between, counted, decimals, listed, number
from reports.laws import Fitted
from reports.worth import table_of
from wsshm.grades import DEFAULT, text_of

UNIT = "thousand pixels"
MATTES = "mattes"


@dataclass(frozen=True)
class Split:
    """Labels in all, those already there included, what the new ones cost, and the SAD predicted for them.

    `masks` are of all grades, `grades` how many of which (as of `Budget`).
    """

    mattes: int
    masks: int
    cost: float
    sad: float
    low: float
    high: float
    grades: str = ""

    @property
    def budget(self) -> Budget:
        return Budget(self.mattes, self.masks, self.grades)

    def of(self, kind: str) -> int:
        """How many of `mattes`, or of masks of a grade."""
        return self.mattes if kind == MATTES else int(self.budget.by_grade.get(kind, 0))


@dataclass(frozen=True)
class Spread:
    """One kind of label (`mattes`, or a grade of masks) over the splits that may be best.

    `low` and `high` are the 95 % interval of its number in the best split, `near_low` and `near_high` its range over the
    splits within 1 % of the lowest SAD, `bought` the part of the bootstrap's rounds whose best split buys some.
    """

    kind: str
    low: int
    high: int
    near_low: int
    near_high: int
    bought: float


@dataclass(frozen=True)
class Answer:
    """What a fitted law says of one budget.

    `line`: every split considered, as `reports.affordable` has them, with sad, low, high. `interval` is the 95 % interval
    of the best split and `near` the splits within 1 % of the least predicted SAD, both as (fewest mattes, most mattes);
    with several grades they say little, and `spreads` has every kind by itself, `total` all masks. `ends` are all of the
    money on one kind, by kind. `regret`: in 95 % of the bootstrap's rounds the SAD of the proposed split is at most this
    share above the least there is.
    """

    fitted: Fitted = field(repr=False)
    line: pd.DataFrame = field(repr=False)
    best: Split
    interval: tuple[Split, Split]
    near: tuple[Split, Split]
    ends: dict[str, Split]
    spreads: tuple[Spread, ...]
    total: Spread
    regret: float

    @property
    def all_mattes(self) -> Split:
        return self.ends[MATTES]

    @property
    def all_masks(self) -> Split:
        """All on masks of the first grade."""
        return self.ends[self.fitted.law.grades[0]]


@dataclass(frozen=True)
class Plan:
    """The answer for one budget and one set of prices, and whether the data support it.

    `grades` are those of the masks that `runs` have. `answer` is None where no law could be fitted. `reasons` say why the
    data support none, `cautions` what to bear in mind where they do, `remedy` what would fill the gap.
    """

    method: str
    where: str
    cost: CostModel
    budget: float
    have: Budget
    runs: pd.DataFrame = field(repr=False)
    answer: Answer | None
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    remedy: str
    grades: tuple[str, ...] = (DEFAULT,)

    @property
    def status(self) -> str:
        return "unsupported" if self.reasons else "supported"

    @property
    def extrapolated(self) -> bool:
        """Whether the proposed split, though supported, lies outside of what was measured."""
        supported = self.answer if not self.reasons else None
        return supported is not None and support.outside(supported.fitted, supported.best.budget) > support.BEYOND

    @property
    def ratio(self) -> float:
        """The price of a matte in masks of the default grade."""
        return self.cost.matte / self.cost.mask

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be bought: `mattes`, and the grades of masks."""
        return (MATTES, *self.grades)

    @property
    def prices(self) -> str:
        unit = self.cost.unit
        masks = [
            f"{labelled(self.grades, grade, one=True)} at {self.cost.mask_of(grade):,.6g} {unit}"
            for grade in self.grades
        ]
        return ", ".join([f"a matte at {self.cost.matte:,.6g} {unit}", *masks])

    @property
    def buy(self) -> Budget | None:
        """The labels to buy next; None where there is no answer at all."""
        return self.bought(self.answer.best) if self.answer else None

    def bought(self, split: Split) -> Budget:
        """The labels that a split has and that are not there yet."""
        masks = {grade: split.of(grade) - int(self.have.by_grade.get(grade, 0)) for grade in self.grades}
        return Budget(split.mattes - self.have.mattes, sum(masks.values()), text_of(masks))

    def price(self, kind: str) -> float:
        """Of one label of a kind."""
        return self.cost.matte if kind == MATTES else self.cost.mask_of(kind)

    def sentences(self) -> list[str]:
        """The answer in plain words, one finding a sentence."""
        money = f"For {self.cost.format(self.budget)} ({self.prices})"
        if not self.reasons and self.answer:
            return [
                f"{money}, {self._proposal(self.answer)}",
                *(_sureness(self.answer) if len(self.grades) == 1 else _sureness_by_kind(self.answer)),
                self._ends(self.answer),
                *_worths(self.answer.fitted),
                self._basis(self.answer.fitted),
                *self.cautions,
            ]
        said = [f"{money}, the data do not support an answer: {'; '.join(self.reasons)}."]
        if self.answer:
            best = self.answer.best
            said.append(f"Not reliable: the fit puts the lowest SAD at {best.budget} ({_predicted(best)}).")
        return [*said, *self.cautions, f"To fill the gap: {self.remedy}"]

    def _labels(self, budget: Budget) -> str:
        parts = [counted(budget.mattes, "matte")] if budget.mattes else []
        for grade in self.grades:
            if count := int(budget.by_grade.get(grade, 0)):
                name = labelled(self.grades, grade)
                parts.append(counted(count, name.removesuffix("s"), name))
        return listed(parts) or "no labels"

    def _proposal(self, answer: Answer) -> str:
        best = answer.best
        if self.have == NONE:
            text = f"the lowest SAD is predicted with {self._labels(best.budget)}: {_predicted(best)}."
        else:
            text = (
                f"with {self._labels(self.have)} already there, buy {self._labels(self.buy or NONE)} next. That makes "
                f"{self._labels(best.budget)}, with a predicted SAD of {_predicted(best)}."
            )
        over = self.budget - best.cost
        cheapest = min(self.cost.mask_of(grade) for grade in self.grades)
        return f"{text} {self.cost.format(over)} remain unspent." if over >= cheapest else text

    def _ends(self, answer: Answer) -> str:
        said = []
        for kind in (*self.grades, MATTES):
            split = answer.ends[kind]
            rest = any(split.of(other) > _there(self.have, other) for other in self.kinds if other != kind)
            name = plural(self.grades, kind)
            far = support.outside(answer.fitted, split.budget) > support.FAR
            said.append(
                f"{'As much as possible' if rest else 'All of it'} on {name} ({split.budget}): {_predicted(split)}"
                f"{', far outside of what was measured' * far}."
            )
        return " ".join(said)

    def _basis(self, fitted: Fitted) -> str:
        where = f" on {self.where}" if self.where else ""
        cells = len(fitted.cells) + len(fitted.further)
        pairs = "pair" if len(self.grades) == 1 else "combination"
        counts = f"{counted(cells, pairs)} of numbers of labels, {counted(self.runs['seed'].nunique(), 'seed')}"
        chance = f"; the SAD of one run scatters by {_percent(fitted.scatter.sd)}" if fitted.scatter.sd > 0 else ""
        return (
            f"From {counted(len(self.runs), 'run')} of {self.method}{where} ({counts}){chance}. Intervals are for the "
            "mean over seeds on these test images."
        )


def labelled(grades: tuple[str, ...], grade: str, one: bool = False) -> str:
    """What to call masks of a grade: `fine masks`, `a fine mask`; just masks where all are of the default grade."""
    plain = grades == (DEFAULT,)
    if one:
        return "a mask" if plain else f"{'an' if grade[0] in 'aeiou' else 'a'} {grade} mask"
    return "masks" if plain else f"{grade} masks"


def _there(have: Budget, kind: str) -> int:
    return have.mattes if kind == MATTES else int(have.by_grade.get(kind, 0))


def _predicted(split: Split) -> str:
    places = decimals([split.sad])
    return f"{number(split.sad, places)} {UNIT}, 95 % interval {between(split.low, split.high, places)}"


def _sureness(answer: Answer) -> list[str]:
    few, many = answer.interval
    if few.mattes == many.mattes:
        said = ["Every round of the bootstrap finds this split the best."]
    else:
        said = [f"95 % interval of the best split: from {few.budget} to {many.budget}."]
    alike, most = answer.near
    if alike.mattes != most.mattes:
        said.append(f"Any split from {alike.budget} to {most.budget} is predicted to be within 1 % of the lowest SAD.")
    return [*said, _regret(answer)]


def _sureness_by_kind(answer: Answer) -> list[str]:
    """The same where masks are of several grades, so that splits lie on no line."""

    def ranges(low: str, high: str) -> str:
        some = [each for each in answer.spreads if getattr(each, high)]
        none = [plural(answer.fitted.law.grades, each.kind) for each in answer.spreads if not getattr(each, high)]
        parts = [
            f"{span(getattr(each, low), getattr(each, high))} {plural(answer.fitted.law.grades, each.kind)}"
            for each in some
        ]
        return "; no ".join([listed(parts), *([" or ".join(none)] if none else [])])

    rounds = listed(f"{each.kind} {100 * each.bought:.0f} %" for each in answer.spreads)
    return [
        f"95 % intervals of the best split, each kind by itself: {ranges('low', 'high')}. Share of the bootstrap's rounds"
        f" whose best split buys some: {rounds}.",
        f"Among the splits predicted to be within 1 % of the lowest SAD are some with {ranges('near_low', 'near_high')}.",
        _regret(answer),
    ]


def plural(grades: tuple[str, ...], kind: str) -> str:
    """What to call labels of a kind."""
    return MATTES if kind == MATTES else labelled(grades, kind)


def span(low: int, high: int) -> str:
    """`40`, or `20 to 60`."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _regret(answer: Answer) -> str:
    regret = "0.1 %" if answer.regret < 1e-3 else _percent(answer.regret)
    return f"How sure: with 95 % confidence, no other split of this budget has an SAD lower by more than {regret}."


def _worths(fitted: Fitted) -> list[str]:
    first, said = fitted.law.grades[0], []
    for row in table_of(fitted):
        worth = f"{row['worth']:.2g} {first} masks (95 % interval {row['worth_low']:.2g} to {row['worth_high']:.2g})"
        places = decimals([row["above_low"], row["above_high"]], 2)
        above = f"{number(row['above'], places, True)} ({between(row['above_low'], row['above_high'], places, True)})"
        said.append(
            f"{labelled(fitted.law.grades, row['grade'], one=True).capitalize()} makes up for {worth}; the SAD that any"
            f" number of them leaves, beside that of {first} masks: {above} {UNIT}."
        )
    if said and not ((fitted.further[list(fitted.law.grades)] > 0).sum(axis=1) > 1).any():
        said.append(
            "No run had masks of several grades together: what they do together is an assumption, that their worths add"
            " up and what they leave is mixed by their shares."
        )
    return said


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %"
