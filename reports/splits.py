"""The split of a budget between mattes and masks of every grade with the lowest predicted error.

The law of `reports.laws` is fitted to one method's runs; every split that the budget pays for is then predicted, with
every round of the bootstrap, so that the answer carries its interval and what choosing it may cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cost import CostModel
from bench.graded import column_of
from reports import support
from reports.affordable import NONE, affordable, masks_in
from reports.comparison import Budget
from reports.laws import ROUNDS, Array, Fitted
from reports.plans import MATTES, Answer, Plan, Split, Spread
from reports.remedies import remedy
from reports.worth import fit
from wsshm.grades import text_of

NEAR = 0.01  # splits predicted to be this close to the best are as good
ALIKE = 1e-4  # of splits this close to the best, the one with masks of the fewest grades is proposed
LEVEL = 0.95
TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
AT_ONCE = 4_000_000  # predictions held in memory


def plan(
    frame: pd.DataFrame,
    cost: CostModel,
    budget: float,
    have: Budget = NONE,
    most_mattes: int | None = None,
    most_masks: int | Mapping[str, int] | None = None,
    method: str = "mlb",
    where: str = "",
    fitted: Fitted | None = None,
    rounds: int = ROUNDS,
    base: dict[str, Any] | None = None,
) -> Plan:
    """The best split of `budget` (in `cost.unit`) by one method's runs: `frame` with mattes, masks, seed, sad.

    Masks are of the default grade, or of those that a column `grades` says (as of `Budget`). `have` is already there and
    costs nothing more; `most_*` is how many labels there can be in all. `fitted` saves the fit where several budgets or
    prices are asked of the same runs. `base` is what the runs were configured with, for the sweep that would fill a gap.
    Raises UserError for a budget that buys nothing; runs that cannot carry an answer make an unsupported plan, not an error.
    """
    used = support.usable(frame)
    runs, grades = used.runs, used.grades
    line = affordable(cost, budget, have, most_mattes, most_masks, grades)
    reasons, answer, beyond = support.gaps(used.first), None, NONE
    cautions: list[str] = []
    if fitted is None and support.fittable(used.first):
        fitted = fit(runs, grades, rounds)
    if fitted is not None:
        answer, spanned = _answered(fitted, line, have)
        doubts, cautions = support.doubts(fitted, answer.best.budget, spanned, answer.regret)
        reasons, beyond = reasons + doubts, answer.best.budget if doubts else NONE
    filled = remedy(runs, method, base, have, beyond, grades)
    return Plan(method, where, cost, budget, have, runs, answer, tuple(reasons), tuple(cautions), filled, grades)


def _answered(fitted: Fitted, line: pd.DataFrame, have: Budget) -> tuple[Answer, float]:
    """The answer among the splits of `line`, and which part of them, by share, the best one's interval spans."""
    grades = fitted.law.grades
    mattes, masks = line["mattes"].to_numpy(np.float64), masks_in(line, grades)
    columns = ["masks"] if len(grades) == 1 else [column_of(grade) for grade in grades]
    predicted = fitted.law.at(mattes, masks)[0]
    best = _simplest(predicted, line, grades)
    low, high, least, own, found = _drawn(fitted, mattes, masks, best)
    line = line.assign(sad=predicted, low=low, high=high)
    order = np.argsort(line["mattes"].to_numpy(), kind="stable")
    rank = np.empty(len(line), int)
    rank[order] = np.arange(len(line))
    few, many = (int(order[row]) for row in np.quantile(rank[found], TAILS, method="nearest"))  # by rising mattes
    if rank[few] > rank[best]:
        few = best
    if rank[many] < rank[best]:
        many = best
    near = order[line["sad"].to_numpy()[order] <= (1 + NEAR) * line["sad"].min()]
    share = line["share"].to_numpy()
    spanned_low, spanned_high = np.quantile(share[found], TAILS, method="nearest")
    answer = Answer(
        fitted=fitted,
        line=line,
        best=_split(line, best, grades),
        interval=(_split(line, few, grades), _split(line, many, grades)),
        near=(_split(line, int(near[0]), grades), _split(line, int(near[-1]), grades)),
        ends={kind: _split(line, row, grades) for kind, row in _ends(line, grades).items()},
        spreads=tuple(
            _spread(kind, line[column], there, best, found, near)
            for kind, column, there in zip((MATTES, *grades), (MATTES, *columns), _counts(have, grades), strict=True)
        ),
        total=_spread("masks", line["masks"], have.masks, best, found, near),
        regret=float(np.quantile(own / least - 1, LEVEL)),
    )
    return answer, float((spanned_high - spanned_low) / max(share.max() - share.min(), 1e-9))


def _simplest(predicted: Array, line: pd.DataFrame, grades: tuple[str, ...]) -> int:
    """The split with the lowest SAD; of several grades, of those as good to a ten-thousandth that with the fewest."""
    if len(grades) == 1:
        return int(predicted.argmin())
    alike = np.flatnonzero(predicted <= (1 + ALIKE) * predicted.min())
    different = (masks_in(line, grades)[alike] > 0).sum(axis=1)
    fewest = alike[different == max(1, different.min())] if (different > 0).all() else alike
    return int(fewest[predicted[fewest].argmin()])


def _drawn(
    fitted: Fitted, mattes: Array, masks: Array, best: int
) -> tuple[Array, Array, Array, Array, NDArray[np.int64]]:
    """Every split's interval, and of every round the least SAD, that of the split `best`, and which split has the least."""
    own = fitted.draws.at(mattes[[best]], masks[[best]])[:, 0]
    low, high = np.empty(len(mattes)), np.empty(len(mattes))
    least, found = np.full(len(own), np.inf), np.zeros(len(own), np.int64)
    step = max(1, AT_ONCE // len(own))
    for start in range(0, len(mattes), step):
        part = slice(start, start + step)
        drawn = fitted.draws.at(mattes[part], masks[part])
        low[part], high[part] = np.quantile(drawn, TAILS, axis=0)
        at = drawn.argmin(axis=1)
        values = drawn[np.arange(len(own)), at]
        better = values < least
        least[better], found[better] = values[better], start + at[better]
    return low, high, least, own, found


def _ends(line: pd.DataFrame, grades: tuple[str, ...]) -> dict[str, int]:
    """The rows that spend all they can on one kind, and what is left on the first grade (mattes: on theirs)."""
    rows = {MATTES: int(line["mattes"].to_numpy().argmax())}  # the first of them: what is left goes to one grade
    fewest = line["mattes"] == line["mattes"].min()
    for grade in grades:
        count = line["masks" if len(grades) == 1 else column_of(grade)].where(fewest, -1).to_numpy()
        most = np.flatnonzero(count == count.max())
        rows[grade] = int(most[line["masks"].to_numpy()[most].argmin()])
    return rows


def _spread(
    kind: str, counts: pd.Series, there: float, best: int, found: NDArray[np.int64], near: NDArray[np.int64]
) -> Spread:
    """One kind's numbers in the splits that were best in the bootstrap's rounds, and in those near the best."""
    every = counts.to_numpy()
    low, high = (int(count) for count in np.quantile(every[found], TAILS, method="nearest"))
    return Spread(
        kind=kind,
        low=min(low, int(every[best])),
        high=max(high, int(every[best])),
        near_low=int(every[near].min()),
        near_high=int(every[near].max()),
        bought=float((every[found] > there).mean()),
    )


def _counts(labels: Budget, grades: tuple[str, ...]) -> list[float]:
    return [labels.mattes, *(labels.by_grade.get(grade, 0) for grade in grades)]


def _split(line: pd.DataFrame, row: int, grades: tuple[str, ...]) -> Split:
    values = line.iloc[row]
    sad, low, high = (float(values[name]) for name in ("sad", "low", "high"))
    masks = {grade: int(values["masks" if len(grades) == 1 else column_of(grade)]) for grade in grades}
    labels = int(values["mattes"]), int(values["masks"])
    return Split(*labels, float(values["cost"]), sad, low, high, text_of(masks))
