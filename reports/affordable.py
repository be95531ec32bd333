"""Every split of a budget over mattes and masks of every grade that is worth looking at.

For so many mattes the rest of the money goes to masks. Their error is a fraction of linear functions of the counts where
the effective masks are given, and is least at a corner of what can be bought: two grades at most, beside any of which all
there are were bought. So each grade alone and each pair in several shares are all that has to be tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.cost import CostModel
from bench.graded import column_of
from reports.comparison import Budget
from reports.document import listed
from wsshm.errors import UserError
from wsshm.grades import DEFAULT, counted

CANDIDATES = 400
SEVERAL = 12_000  # candidates with several grades: what 400 rounds predict in a second
SHARES = np.array([0.02, 0.05, *np.arange(1, 10) / 10, 0.95, 0.98])  # of the masks' money that goes to a pair's first
NONE = Budget(0, 0)

Counts = NDArray[np.int64]


def affordable(
    cost: CostModel,
    budget: float,
    have: Budget,
    most_mattes: int | None = None,
    most_masks: int | Mapping[str, int] | None = None,
    grades: Sequence[str] = (DEFAULT,),
) -> pd.DataFrame:
    """Splits that spend `budget` as far as there are labels: mattes, masks (in all), cost, share (of mattes); mattes rise.

    With several `grades` also a column for each (`bench.graded.column_of`), and splits of fewer grades come first. Every
    number of mattes up to `CANDIDATES`, more of them, or more grades, in as many steps. `most_masks` is by grade, a number
    of the default one. Raises UserError where nothing can be bought, or of labels of a grade that is not among `grades`.
    """
    if not np.isfinite(budget) or budget <= 0:
        raise UserError(f"the budget must be a positive number, not {budget:g}")
    most = {} if most_masks is None else most_masks if isinstance(most_masks, Mapping) else {DEFAULT: most_masks}
    _check_grades(have, most, grades)
    there = {grade: int(have.by_grade.get(grade, 0)) for grade in grades}
    _check_most("mattes", have.mattes, most_mattes, "--most-mattes")
    for grade in grades:
        _check_most("masks" if len(grades) == 1 else f"{grade} masks", there[grade], most.get(grade), "--most-masks")
    price = {grade: cost.mask_of(grade) for grade in grades}
    cheapest = min(cost.matte, *price.values())
    if budget < cheapest:
        raise UserError(
            f"the budget of {cost.format(budget)} buys no label: the cheapest costs {cost.format(cheapest)}; raise "
            f"--budget, which is in {cost.unit}, or give other prices with --cost"
        )
    ways = _ways(grades, [grade for grade in grades if grade in most] if len(grades) > 1 else [])
    new = _numbers_of_mattes(cost, budget, have, most_mattes, CANDIDATES if len(ways) == 1 else SEVERAL // len(ways))
    left = budget - cost.matte * new
    room = {grade: most[grade] - there[grade] if grade in most else None for grade in grades}
    bought = [_bought(left, way, price, room) for way in ways]
    counts = {grade: np.concatenate([each.get(grade, np.zeros_like(new)) for each in bought]) for grade in grades}
    new = np.tile(new, len(ways))
    spent = cost.matte * new + sum(price[grade] * count for grade, count in counts.items())
    if not spent.any():
        raise UserError(
            "nothing can be bought: you already have the most labels there can be; raise --most-mattes or --most-masks"
        )
    share = np.divide(cost.matte * new, spent, out=np.zeros(len(new)), where=spent > 0)
    own = {column_of(grade): there[grade] + counts[grade] for grade in grades} if len(grades) > 1 else {}
    masks = sum(there.values()) + sum(counts.values())
    line = pd.DataFrame({"mattes": have.mattes + new, "masks": masks, **own, "cost": spent, "share": share})
    return line if len(ways) == 1 else line.drop_duplicates(["mattes", *own], ignore_index=True)


def masks_in(line: pd.DataFrame, grades: Sequence[str]) -> NDArray[np.float64]:
    """The masks of splits as `reports.laws.Law.at` takes them: (k,) of one grade, (k, G) of several."""
    columns = ["masks"] if len(grades) == 1 else [column_of(grade) for grade in grades]
    counts = line[columns].to_numpy(np.float64)
    return counts[:, 0] if len(grades) == 1 else counts


def _check_grades(have: Budget, most: Mapping[str, int], grades: Sequence[str]) -> None:
    for option, named in (("--have", have.by_grade), ("--most-masks", counted(most))):
        for grade in named:
            if grade not in grades:
                raise UserError(
                    f"{option} names {grade} masks, and the runs do not say what these are worth beside"
                    f" {listed(grades)} ones; leave them out, or train runs with some"
                )


def _check_most(kind: str, there: int, most: int | None, option: str) -> None:
    if most is not None and most < there:
        raise UserError(
            f"there are already {there:,} {kind}, more than the most there can be ({most:,}); raise {option}"
        )


def _numbers_of_mattes(
    cost: CostModel, budget: float, have: Budget, most_mattes: int | None, candidates: int
) -> Counts:
    """Numbers of new mattes to try: all, or about `candidates` in even steps and fine ones at the beginning."""
    mattes = int(_whole(budget / cost.matte))
    if most_mattes is not None:
        mattes = min(mattes, most_mattes - have.mattes)
    if mattes <= candidates:
        return np.arange(mattes + 1)
    even, fine = np.linspace(0, mattes, candidates + 1), np.geomspace(1, mattes, candidates // 4)
    return np.unique(np.concatenate([even, fine]).round().astype(int))


def _ways(grades: Sequence[str], limited: Sequence[str]) -> list[tuple[tuple[str, float], ...]]:
    """Orders in which the masks' money is spent, each grade on its share of what is left: one alone, then pairs.

    What is left then goes to the last grade. Each also with all there are of some of the `limited` grades bought first.
    """
    ways: list[tuple[tuple[str, float], ...]] = []
    for first in (part for size in range(len(limited) + 1) for part in itertools.combinations(limited, size)):
        whole = tuple((grade, 1.0) for grade in first)
        others = [grade for grade in grades if grade not in first]
        ways += [(*whole, (grade, 1.0)) for grade in others] or [whole]
        for pair in itertools.combinations(others, 2):
            ways += [(*whole, (pair[0], float(share)), (pair[1], 1.0)) for share in SHARES]
    return ways


def _bought(
    left: NDArray[np.floating],
    way: Sequence[tuple[str, float]],
    price: Mapping[str, float],
    room: Mapping[str, int | None],
) -> dict[str, Counts]:
    """How many masks of each grade of a way the money buys; what a share's rounding leaves is spent on the last grade."""
    bought = {}
    for grade, share in way:
        count = _whole(share * left / price[grade])
        if (most := room[grade]) is not None:
            count = np.minimum(count, most)
        bought[grade] = count
        left = left - price[grade] * count
    return bought


def _whole(counts: ArrayLike) -> Counts:
    """Whole labels; money that is short by rounding alone still buys the last one."""
    return np.maximum(np.floor(np.asarray(counts) + 1e-9), 0).astype(np.int64)
