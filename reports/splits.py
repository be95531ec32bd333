"""The split of a budget between mattes and masks with the lowest predicted error.

The law of `reports.laws` is fitted to one method's runs; every split that the budget pays for is then predicted, with
every round of the bootstrap, so that the answer carries its interval and what choosing it may cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.cost import CostModel
from reports import support
from reports.comparison import Budget
from reports.document import between, counted, decimals, listed, number
from reports.laws import ROUNDS, Fitted, fit
from wsshm.errors import UserError

NEAR = 0.01  # splits predicted to be this close to the best are as good
LEVEL = 0.95
CANDIDATES = 400
UNIT = "thousand pixels"
NONE = Budget(0, 0)


@dataclass(frozen=True)
class Split:
    """Labels in all, those already there included, what the new ones cost, and the SAD predicted for them."""

    mattes: int
    masks: int
    cost: float
    sad: float
    low: float
    high: float

    @property
    def budget(self) -> Budget:
        return Budget(self.mattes, self.masks)


@dataclass(frozen=True)
class Answer:
    """What a fitted law says of one budget.

    `line`: every split considered: mattes, masks, cost, share (of the spending, that goes to mattes), sad, low, high.
    `interval` is the 95 % interval of the best split and `near` the splits within 1 % of the least predicted SAD, both
    as (fewest mattes, most mattes). `regret`: in 95 % of the bootstrap's rounds the SAD of the proposed split is at
    most this share above the least there is.
    """

    fitted: Fitted = field(repr=False)
    line: pd.DataFrame = field(repr=False)
    best: Split
    interval: tuple[Split, Split]
    near: tuple[Split, Split]
    all_masks: Split
    all_mattes: Split
    regret: float


@dataclass(frozen=True)
class Plan:
    """The answer for one budget and one pair of prices, and whether the data support it.

    `answer` is None where no law could be fitted. `reasons` say why the data support none, `cautions` what to bear in
    mind where they do, `remedy` what would fill the gap.
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

    @property
    def status(self) -> str:
        return "unsupported" if self.reasons else "supported"

    @property
    def extrapolated(self) -> bool:
        """Whether the proposed split, though supported, lies outside of what was measured."""
        supported = self.answer if not self.reasons else None
        return supported is not None and support.outside(self.runs, supported.best.budget) > support.BEYOND

    @property
    def ratio(self) -> float:
        """The price of a matte in masks."""
        return self.cost.matte / self.cost.mask

    @property
    def prices(self) -> str:
        return f"a matte at {self.cost.matte:,.6g} {self.cost.unit}, a mask at {self.cost.mask:,.6g} {self.cost.unit}"

    @property
    def buy(self) -> Budget | None:
        """The labels to buy next; None where there is no answer at all."""
        if self.answer is None:
            return None
        return Budget(self.answer.best.mattes - self.have.mattes, self.answer.best.masks - self.have.masks)

    def sentences(self) -> list[str]:
        """The answer in plain words, one finding a sentence."""
        money = f"For {self.cost.format(self.budget)} ({self.prices})"
        if not self.reasons and self.answer:
            return [
                f"{money}, {self._proposal(self.answer)}",
                *_sureness(self.answer),
                _ends(self.answer, self.have),
                self._basis(self.answer.fitted),
                *self.cautions,
            ]
        said = [f"{money}, the data do not support an answer: {'; '.join(self.reasons)}."]
        if self.answer:
            best = self.answer.best
            said.append(f"Not reliable: the fit puts the lowest SAD at {best.budget} ({_predicted(best)}).")
        return [*said, *self.cautions, f"To fill the gap: {self.remedy}"]

    def _proposal(self, answer: Answer) -> str:
        best = answer.best
        if self.have == NONE:
            text = f"the lowest SAD is predicted with {_labels(best.budget)}: {_predicted(best)}."
        else:
            text = (
                f"with {_labels(self.have)} already there, buy {_labels(self.buy or NONE)} next. That makes "
                f"{_labels(best.budget)}, with a predicted SAD of {_predicted(best)}."
            )
        over = self.budget - best.cost
        return f"{text} {self.cost.format(over)} remain unspent." if over >= self.cost.mask else text

    def _basis(self, fitted: Fitted) -> str:
        where = f" on {self.where}" if self.where else ""
        counts = (
            f"{counted(len(fitted.cells), 'pair')} of numbers of labels, {counted(self.runs['seed'].nunique(), 'seed')}"
        )
        chance = f"; the SAD of one run scatters by {_percent(fitted.scatter.sd)}" if fitted.scatter.sd > 0 else ""
        return (
            f"From {counted(len(self.runs), 'run')} of {self.method}{where} ({counts}){chance}. Intervals are for the "
            "mean over seeds on these test images."
        )


def plan(
    frame: pd.DataFrame,
    cost: CostModel,
    budget: float,
    have: Budget = NONE,
    most_mattes: int | None = None,
    most_masks: int | None = None,
    method: str = "mlb",
    where: str = "",
    fitted: Fitted | None = None,
    rounds: int = ROUNDS,
    base: dict[str, Any] | None = None,
) -> Plan:
    """The best split of `budget` (in `cost.unit`) by one method's runs: `frame` with mattes, masks, seed, sad.

    `have` is already there and costs nothing more; `most_*` is how many labels there can be in all. `fitted` saves the
    fit where several budgets or prices are asked of the same runs. `base` is what the runs were configured with, for the
    sweep that would fill a gap. Raises UserError for a budget that buys nothing; runs that cannot carry an answer make an
    unsupported plan, not an error.
    """
    line = affordable(cost, budget, have, most_mattes, most_masks)
    runs = frame[["mattes", "masks", "seed", "sad"]]
    reasons, answer, beyond = support.gaps(runs), None, NONE
    cautions: list[str] = []
    if fitted is None and support.fittable(runs):
        fitted = fit(runs, rounds)
    if fitted is not None:
        answer, spanned = _answered(fitted, line)
        doubts, cautions = support.doubts(fitted, answer.best.budget, spanned, answer.regret)
        reasons, beyond = reasons + doubts, answer.best.budget if doubts else NONE
    remedy = support.remedy(runs, method, base, have, beyond)
    return Plan(method, where, cost, budget, have, runs, answer, tuple(reasons), tuple(cautions), remedy)


def _answered(fitted: Fitted, line: pd.DataFrame) -> tuple[Answer, float]:
    """The answer among the splits of `line`, and which part of them, by share, the best one's interval spans."""
    counts = line["mattes"], line["masks"]
    drawn = fitted.draws.at(*counts)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(drawn, tails, axis=0)
    line = line.assign(sad=fitted.law.at(*counts)[0], low=low, high=high)
    best = int(line["sad"].to_numpy().argmin())
    few, many = (int(row) for row in np.quantile(drawn.argmin(axis=1), tails, method="nearest"))  # mattes rise
    near = np.flatnonzero(line["sad"] <= (1 + NEAR) * line["sad"].min())
    share = line["share"].to_numpy()
    answer = Answer(
        fitted=fitted,
        line=line,
        best=_split(line, best),
        interval=(_split(line, min(few, best)), _split(line, max(many, best))),
        near=(_split(line, int(near[0])), _split(line, int(near[-1]))),
        all_masks=_split(line, 0),
        all_mattes=_split(line, len(line) - 1),
        regret=float(np.quantile(drawn[:, best] / drawn.min(axis=1) - 1, LEVEL)),
    )
    return answer, float((share[many] - share[few]) / max(share[-1] - share[0], 1e-9))


def affordable(
    cost: CostModel, budget: float, have: Budget, most_mattes: int | None = None, most_masks: int | None = None
) -> pd.DataFrame:
    """Splits that spend `budget` as far as there are labels: mattes, masks (in all), cost, share; mattes rise.

    Every number of mattes up to `CANDIDATES`, more of them in as many steps. Raises UserError where nothing can be
    bought.
    """
    if not np.isfinite(budget) or budget <= 0:
        raise UserError(f"the budget must be a positive number, not {budget:g}")
    for kind, there, most in (("mattes", have.mattes, most_mattes), ("masks", have.masks, most_masks)):
        if most is not None and most < there:
            raise UserError(
                f"there are already {there:,} {kind}, more than the most there can be ({most:,}); raise --most-{kind}"
            )
    if budget < min(cost.matte, cost.mask):
        cheapest = min(cost.matte, cost.mask)
        raise UserError(
            f"the budget of {cost.format(budget)} buys no label: the cheapest costs {cost.format(cheapest)}; raise "
            f"--budget, which is in {cost.unit}, or give other prices with --cost"
        )
    mattes = int(_whole(budget / cost.matte))
    if most_mattes is not None:
        mattes = min(mattes, most_mattes - have.mattes)
    new = np.arange(mattes + 1)
    if mattes > CANDIDATES:
        even, fine = np.linspace(0, mattes, CANDIDATES + 1), np.geomspace(1, mattes, CANDIDATES // 4)
        new = np.unique(np.concatenate([even, fine]).round().astype(int))
    masks = _whole((budget - cost.matte * new) / cost.mask)
    if most_masks is not None:
        masks = np.minimum(masks, most_masks - have.masks)
    spent = cost.matte * new + cost.mask * masks
    if not spent.any():
        raise UserError(
            "nothing can be bought: you already have the most labels there can be; raise --most-mattes or --most-masks"
        )
    share = np.divide(cost.matte * new, spent, out=np.zeros(len(new)), where=spent > 0)
    line = {"mattes": have.mattes + new, "masks": have.masks + masks, "cost": spent, "share": share}
    return pd.DataFrame(line)


def _whole(counts: ArrayLike) -> NDArray[np.int64]:
    """Whole labels; money that is short by rounding alone still buys the last one."""
    return np.maximum(np.floor(np.asarray(counts) + 1e-9), 0).astype(np.int64)


def _split(line: pd.DataFrame, row: int) -> Split:
    values = line.iloc[row]
    sad, low, high = (float(values[name]) for name in ("sad", "low", "high"))
    return Split(int(values["mattes"]), int(values["masks"]), float(values["cost"]), sad, low, high)


def _labels(budget: Budget) -> str:
    parts = [(budget.mattes, "matte"), (budget.masks, "mask")]
    return listed([counted(count, name) for count, name in parts if count]) or "no labels"


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
    regret = "0.1 %" if answer.regret < 1e-3 else _percent(answer.regret)
    return [
        *said,
        f"How sure: with 95 % confidence, no other split of this budget has an SAD lower by more than {regret}.",
    ]


def _ends(answer: Answer, have: Budget) -> str:
    said = []
    for name, split, rest in (("masks", answer.all_masks, "mattes"), ("mattes", answer.all_mattes, "masks")):
        far = support.outside(answer.fitted.runs, split.budget) > support.FAR
        how = "As much as possible" if getattr(split, rest) > getattr(have, rest) else "All of it"
        said.append(
            f"{how} on {name} ({split.budget}): {_predicted(split)}{', far outside of what was measured' * far}."
        )
    return " ".join(said)


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %"
