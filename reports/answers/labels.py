"""Which labels to buy: the planner's split of the money, else what the measured labels came to."""

from __future__ import annotations

import pandas as pd

from reports import choice, other_labels, printed
from reports.answers import Question, register
from reports.comparison import Comparison
from reports.document import Answer, Picture, between, counted, decimals, listed, number
from reports.figures import box_labels as figure
from reports.plans import UNIT, Plan, plural, span
from reports.sections import Given

QUESTION = "Which labels to buy?"
NAME = "labels"
UNANSWERED = "This store cannot say yet: its runs cover too few numbers of labels."


def answer(given: Given) -> Answer:
    """The proposed split where the runs carry one; where they do not, what would, and what is known."""
    plans = given.purchase.plans
    if plans and plans[0].status == "supported":
        return _planned(plans[0], given)
    if plans:
        text = f"The runs do not support an answer: {plans[0].reasons[0]}."
        command = plans[0].remedy if "wsshm " in plans[0].remedy else ""
        return _unanswered(given, text, printed.to_answer(command, plans[0].remedy), "planner")
    remedy = printed.to_answer(given.purchase.command, given.purchase.otherwise)
    return _unanswered(given, UNANSWERED, remedy, "cost")


def _planned(plan: Plan, given: Given) -> Answer:
    assert plan.answer is not None
    best, places = plan.answer.best, decimals([plan.answer.best.sad])
    parts = [
        f"{_labels(plan, kind, best.of(kind))} ({plan.cost.format(plan.price(kind) * best.of(kind))})"
        for kind in plan.kinds
        if best.of(kind)
    ]
    money = f"{plan.cost.format(plan.budget)}{' of annotation' if plan.cost.is_time else ''}"
    why = (
        ""
        if given.budget
        else "So much did the largest numbers of labels in these runs cost; --budget plans another sum."
    )
    sure = [
        f"Predicted SAD {number(best.sad, places)} {UNIT} (95 % interval {between(best.low, best.high, places)}).",
        _range(plan),
        f"No other split lowers it by more than {_percent(plan.answer.regret)} (95 % confidence).",
        f"From {counted(len(plan.runs), 'run')} of {plan.method} ({counted(plan.runs['seed'].nunique(), 'seed')})"
        f"{f' on {plan.where}' if plan.where else ''}.",
    ]
    frame = figure.splits(plan)
    caption = (
        f"Predicted SAD over the split of {money}, with its 95 % band; mark: the proposed split, bar: the 95 % interval of the"
        " best one."
    )
    picture = Picture("answer-labels", QUESTION, caption, figure.draw_splits(frame), frame)
    text = f"For {money}: {listed(parts)}."
    return Answer(NAME, QUESTION, text, why, [*sure, *plan.cautions[:1]], picture, "planner")


def _labels(plan: Plan, kind: str, count: int) -> str:
    name = plural(plan.grades, kind)
    return counted(count, name.removesuffix("s"), name)


def _range(plan: Plan) -> str:
    """Between which numbers of each kind the best split lies."""
    assert plan.answer is not None
    if len(plan.grades) == 1:
        few, many = plan.answer.interval
        if few.mattes == many.mattes:
            return "Every round of the bootstrap finds this split the best."
        return f"The best split lies between {few.budget} and {many.budget} (95 %)."
    kinds = [
        f"{span(each.low, each.high)} {plural(plan.grades, each.kind)}" for each in plan.answer.spreads if each.high
    ]
    return f"The best split has {listed(kinds)} (95 % intervals, each kind by itself)."


def _percent(part: float) -> str:
    return "0.1 %" if part < 1e-3 else f"{100 * part:.2g} %"


def _unanswered(given: Given, text: str, remedy: str, section: str) -> Answer:
    """What the store lacks, and beside it the lowest error that each combination of labels came to, where there are two."""
    for comparison, *_ in choice.groups(given.comparisons, given.frames.runs):
        cells = comparison.shown("sad", own=True)
        cells = cells[~cells["control"]]
        frame = figure.measured(cells, given.cost)
        if len(frame) < 2 or not (frame["price"] > 0).all():
            continue
        kinds = [_best(frame, kind) for kind in figure.KINDS if (frame["kind"] == kind).any()]
        changes = [f"{text[0].upper()}{text[1:]}" for text in other_labels.changes(comparison)]
        sure = [f"Measured so far, lowest SAD in {UNIT}: {'; '.join(kinds)}.", *changes, _basis(comparison, cells)]
        caption = (
            "The lowest SAD of any method with each combination of labels, over what these cost; bars: 95 % intervals."
        )
        picture = Picture("answer-labels", QUESTION, caption, figure.draw_measured(frame), frame)
        return Answer(NAME, QUESTION, text, sure=sure, picture=picture, section=section, remedy=remedy)
    return Answer(NAME, QUESTION, text, remedy=remedy)


def _best(frame: pd.DataFrame, kind: str) -> str:
    """The lowest error of a kind of labels, with what they cost."""
    own = frame[frame["kind"] == kind]
    row, places = own.loc[own["sad"].idxmin()], decimals(frame["sad"])
    return f"{figure.KINDS[kind]} {number(row['sad'], places)} ({row['method']}, {row['price']:,.1f} {row['unit']})"


def _basis(comparison: Comparison, cells: pd.DataFrame) -> str:
    return f"From {comparison.pictures}, {printed.seeds(cells['seeds'])}."


register(Question(NAME, 10, answer))
