"""What more of one kind of label would bring: how far the predicted error falls for an hour, or money, spent on it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.cost import CostModel
from reports.affordable import NONE, affordable, masks_in
from reports.comparison import Budget
from reports.document import Cell, Column, Table, numbers, texts
from reports.laws import Array
from reports.plans import MATTES, Plan, plural
from reports.splits import TAILS
from reports.support import FAR, outside
from wsshm.grades import text_of

NAME = "plan-budget-gains"
STEP = 0.1  # of the budget, over which a fall is taken: of a kind without a label yet, the first one alone says nothing
MONEY = 100.0  # the unit of gains where prices are money
PIXELS = 1000.0  # an SAD's unit in pixels
POINTS = 24  # of a line over the spending


@dataclass(frozen=True)
class Gain:
    """One kind: `labels` of it that `STEP` of the budget buys, the SAD there, and its fall per `amount` with its interval.

    `factor` is by how much that lies outside of what was measured; 1 within.
    """

    kind: str
    price: float
    labels: float
    sad: float
    gain: float
    low: float
    high: float
    factor: float


def amount(cost: CostModel) -> tuple[float, str]:
    """What gains are told for, in `cost.unit` and as text: an hour, or `MONEY` of a currency."""
    return (3600.0, "hour") if cost.is_time else (MONEY, f"{MONEY:g} {cost.unit}")


def start(plan: Plan) -> Budget:
    """The labels that are already there; if none are, those that the plan proposes."""
    assert plan.answer is not None
    return plan.answer.best.budget if plan.have == NONE else plan.have


def gains(plan: Plan) -> list[Gain]:
    """Every kind's gain at `start`; nothing where no law could be fitted."""
    if plan.answer is None:
        return []
    fitted, at = plan.answer.fitted, start(plan)
    spent = STEP * plan.budget
    per = spent / amount(plan.cost)[0]
    now, before = (_along(plan, law, at, MATTES, np.zeros(1))[:, 0] for law in (fitted.law, fitted.draws))
    result = []
    for kind in plan.kinds:
        there, drawn = (_along(plan, law, at, kind, np.array([spent]))[:, 0] for law in (fitted.law, fitted.draws))
        low, high = np.quantile((before - drawn) / per, TAILS)
        labels = spent / plan.price(kind)
        result.append(
            Gain(
                kind=kind,
                price=plan.price(kind),
                labels=labels,
                sad=float(there[0]),
                gain=float((now - there)[0] / per),
                low=float(low),
                high=float(high),
                factor=outside(fitted, _with(plan, at, kind, round(labels))),
            )
        )
    return result


def spending(plan: Plan) -> pd.DataFrame:
    """Predicted SAD over further money from `start`: on each `kind` alone, and as `best` in the best split of it.

    Columns kind, spent (in the prices' display unit), sad, low, high, measured (not far outside of it).
    """
    if plan.answer is None:
        return pd.DataFrame(columns=["kind", "spent", "sad", "low", "high", "measured"])
    fitted, at = plan.answer.fitted, start(plan)
    money = np.linspace(0, plan.budget, POINTS + 1)
    parts = []
    for kind in plan.kinds:
        low, high = np.quantile(_along(plan, fitted.draws, at, kind, money), TAILS, axis=0)
        counts = np.round(money / plan.price(kind)).astype(int)
        measured = [outside(fitted, _with(plan, at, kind, int(count))) <= FAR for count in counts]
        sad = _along(plan, fitted.law, at, kind, money)[0]
        parts.append(pd.DataFrame({"kind": kind, "sad": sad, "low": low, "high": high, "measured": measured}))
        parts[-1]["spent"] = plan.cost.shown(1.0) * money
    least = [float(_along(plan, fitted.law, at, MATTES, np.zeros(1))[0, 0])]
    bought = [0.0, *money[money >= min(plan.price(kind) for kind in plan.kinds)]]
    for spent in bought[1:]:
        line = affordable(plan.cost, float(spent), at, grades=plan.grades)
        found = fitted.law.at(line["mattes"], masks_in(line, plan.grades))[0]
        least.append(min(float(found.min()), least[-1]))  # labels are whole: what is left of the money may stay unspent
    best = {"kind": "best", "spent": plan.cost.shown(1.0) * np.array(bought), "sad": least, "measured": True}
    return pd.concat([*parts, pd.DataFrame(best)], ignore_index=True)


def table(plan: Plan) -> Table:
    """The gains of a plan, the largest first."""
    per, unit = amount(plan.cost)
    at = start(plan) if plan.answer else NONE
    rows: list[dict[str, Any]] = [
        {
            **{"kind": each.kind, "price": each.price, "price_unit": plan.cost.unit, "per": unit},
            **{"at_mattes": at.mattes, "at_masks": at.masks, "at_grades": at.grades},
            **{"labels": per / each.price, "gain": each.gain, "low": each.low, "high": each.high},
            **{"spent": STEP * plan.budget, "sad": each.sad, "factor": each.factor},
        }
        for each in sorted(gains(plan), key=lambda each: -each.gain)
    ]

    def tone(row: dict) -> str:
        return "muted" if plan.reasons or row["factor"] > FAR else ""

    columns = [
        Column("more", lambda row: Cell(plural(plan.grades, row["kind"]), tone=tone(row))),
        numbers(f"labels per {unit}", "labels", None, tone=tone),
        numbers("SAD falls by", "gain", None, f"px per {unit}", interval=("low", "high"), scale=PIXELS, tone=tone),
        texts("measured", "reach", tone=tone),
    ]
    records = [row | {"reach": _reach(row["factor"])} for row in rows]
    whose = "the labels already there" if plan.have != NONE else "the proposed split"
    about = (
        f"Marginal gain from {whose} ({at}): by how much {plan.method}'s predicted SAD falls for each {unit} spent on one"
        f" kind alone, over the next {plan.cost.format(STEP * plan.budget)}; below it the 95 % interval."
    )
    if plan.reasons:
        about += " Not reliable: the data do not support an answer."
    return Table(NAME, about, columns, pd.DataFrame(rows), records)


def _reach(factor: float) -> str:
    return "within" if factor <= 1.05 else f"{factor:.1f} times beyond"


def _along(plan: Plan, law: Any, at: Budget, kind: str, money: Array) -> Array:
    """The error of every law (n, k) with as many more labels of a kind as each sum of money buys, parts of one included."""
    more = money / plan.price(kind)
    masks = np.array([[at.by_grade.get(grade, 0)] for grade in plan.grades], np.float64) + np.zeros_like(more)
    mattes = at.mattes + (more if kind == MATTES else 0 * more)
    if kind != MATTES:
        masks[plan.grades.index(kind)] += more
    return law.at(mattes, masks[0] if len(plan.grades) == 1 else masks.T)


def _with(plan: Plan, at: Budget, kind: str, more: int) -> Budget:
    masks = {grade: int(at.by_grade.get(grade, 0)) + more * (grade == kind) for grade in plan.grades}
    return Budget(at.mattes + more * (kind == MATTES), sum(masks.values()), text_of(masks))
