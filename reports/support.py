"""Whether runs carry an answer to which labels to buy, and of which grades of masks; where not: why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats

from reports.comparison import Budget
from reports.document import counted, listed
from reports.laws import FEWEST_CELLS, KINDS, OFFSET, Fitted, cells_of
from reports.worth import by_grade, of_first
from wsshm.grades import DEFAULT, GRADES

FEWEST_COUNTS = 3  # of a kind: two points cannot bend
CELLS_OF_GRADE, COUNTS_OF_GRADE = (
    3,
    2,
)  # one more than the two numbers of a further grade, which one count cannot separate
SIGNIFICANT = 0.01
MISFIT, MISFIT_P = 0.03, 0.01  # a law of another form that missed by 4 % proposed splits 11 % above the least
FAR, BEYOND = 4.0, 1.05  # factors outside of the measured counts: too far to answer; far enough to say
REGRET, VAGUE_REGRET, VAGUE_SHARE = 0.10, 0.03, 0.80


def gaps(runs: pd.DataFrame) -> list[str]:
    """What the runs (mattes, masks, seed, sad) lack, whatever is asked; each a clause without a full stop."""
    reasons = []
    cells = cells_of(runs)
    for kind in KINDS:
        counts = counts_of(runs, kind)
        if len(counts) < FEWEST_COUNTS:
            shown = f" ({listed([f'{count:,}' for count in counts])})" if counts else ""
            reasons.append(
                f"the runs have only {counted(len(counts), 'number')} of {kind}{shown}; at least {FEWEST_COUNTS} are "
                f"needed to see how the error depends on it"
            )
    if len(cells) < FEWEST_CELLS:
        reasons.append(
            f"{counted(len(cells), 'combination')} of mattes and masks {'is' if len(cells) == 1 else 'are'} too few to "
            f"fit the law; at least {FEWEST_CELLS} are needed"
        )
    if (cells["runs"] > 1).mean() <= 0.5:
        reasons.append(
            "most combinations were trained with one seed, so chance cannot be separated from the effect of the labels"
        )
    if (runs["sad"] <= 0).any():
        reasons.append("a run has an SAD of 0, to which the law cannot be fitted")
    if fittable(runs):
        falls, rises = _trends(runs)
        if rises:
            reasons.append(f"the error rises with more {' and with more '.join(rises)}")
        elif not falls:
            reasons.append("the error does not fall significantly with more labels of either kind")
    return reasons


def fittable(runs: pd.DataFrame) -> bool:
    """Whether the law can be fitted at all."""
    enough = all(len(counts_of(runs, kind)) >= FEWEST_COUNTS for kind in KINDS)
    return enough and len(cells_of(runs)) >= FEWEST_CELLS and bool((runs["sad"] > 0).all())


@dataclass(frozen=True)
class Usable:
    """The runs that a law can be fitted to: of `grades`, the first of which it is of. `short` says what others lack."""

    runs: pd.DataFrame
    grades: tuple[str, ...]
    short: dict[str, str]

    @property
    def first(self) -> pd.DataFrame:
        """The runs whose masks are all of the first grade."""
        return of_first(self.runs, self.grades)


def usable(runs: pd.DataFrame) -> Usable:
    """The grades of `runs` (mattes, masks, grades, seed, sad) that have enough cells.

    The first is the default grade, or where its runs carry no law the one with most cells that do. A further one needs
    three cells with two numbers of its masks.
    """
    counts = by_grade(runs, tuple(GRADES))
    used = [grade for grade in GRADES if (counts[grade] > 0).any()] or [DEFAULT]
    alone = {grade: runs[(counts.drop(columns=grade) == 0).all(axis=1)] for grade in used}
    order = [DEFAULT, *(grade for grade in used if grade != DEFAULT)]
    cells = {grade: len(cells_of(alone[grade])) for grade in used}
    fit_alone = [grade for grade in used if fittable(alone[grade])]
    first = min(fit_alone or used, key=lambda grade: (grade != DEFAULT, -cells[grade], order.index(grade)))
    further, short = [grade for grade in used if grade != first], dict[str, str]()
    while True:  # a cell with a grade that is left out says nothing of the others
        others = [grade for grade in GRADES if grade not in (first, *further)]
        kept = (counts[others] == 0).all(axis=1)
        lacking = {grade: said for grade in further if (said := _lacks(runs[kept], counts[kept], grade))}
        if not lacking:
            return Usable(runs[kept].reset_index(drop=True), (first, *further), short)
        short |= lacking
        further = [grade for grade in further if grade not in lacking]


def _lacks(runs: pd.DataFrame, counts: pd.DataFrame, grade: str) -> str:
    """What a grade has too few of, in words; empty where it has enough."""
    own = counts[grade] > 0
    if (runs.loc[own, "sad"] <= 0).any():
        return "a run with an SAD of 0, to which no law can be fitted"
    cells = runs.loc[own, ["mattes"]].join(counts).drop_duplicates()
    if len(cells) >= CELLS_OF_GRADE and cells[grade].nunique() >= COUNTS_OF_GRADE:
        return ""
    return f"{counted(len(cells), 'combination')} of labels with {counted(cells[grade].nunique(), 'number')} of them"


def doubts(fitted: Fitted, proposed: Budget, spanned: float, regret: float) -> tuple[list[str], list[str]]:
    """Reasons against the answer of a fit, and cautions (whole sentences) where it stands.

    `spanned` is the part of all splits that the interval of the best one covers, `regret` what choosing `proposed` may
    cost, relative to its SAD.
    """
    reasons, cautions = [], []
    scatter = fitted.scatter
    if scatter.p_misfit < MISFIT_P:
        size = f"{scatter.misfit:.1%}".replace("%", " %")
        if scatter.misfit > MISFIT:
            reasons.append(f"the law misses the runs' means by {size}, more than chance explains")
        else:
            cautions.append(f"The law misses the runs' means by {size}, a little more than chance explains.")
    for grade, (missed, p) in fitted.misfits.items():
        if p < MISFIT_P:
            percent = f"{missed:.1%}".replace("%", " %")
            said = f"the law misses the means of the runs with {grade} masks by {percent}"
            if missed > MISFIT:
                reasons.append(f"{said}, more than chance explains")
            else:
                cautions.append(f"{said[0].upper()}{said[1:]}, a little more than chance explains.")
    reaches = _reaches(fitted, proposed)
    if far := [each for each in reaches if each.factor > FAR]:
        where = listed([f"{each}, a factor of {each.factor:.1f})" for each in far])
        reasons.append(
            f"the best split lies far outside of what was measured, at {where}: train runs closer to it, or plan a "
            "smaller budget first and train with that"
        )
    elif some := [each for each in reaches if each.factor > BEYOND]:
        cautions.append(f"The law is extrapolated, to {listed([f'{each})' for each in some])}.")
    if regret > REGRET or (regret > VAGUE_REGRET and spanned > VAGUE_SHARE):
        percent = f"{regret:.0%}".replace("%", " %")
        text = f"another split may have an SAD lower by {percent}"
        if spanned > VAGUE_SHARE:
            text += ", because the interval of the best split spans nearly all splits"
        reasons.append(text)
    falls, _ = _trends(fitted.runs)
    for kind in KINDS:
        if falls and kind not in falls:
            cautions.append(f"No effect of more {kind} was found: the error does not fall significantly with them.")
    return reasons, cautions


def outside(fitted: Fitted, proposed: Budget) -> float:
    """By which factor a split lies outside of what was measured; 1 within."""
    return max(each.factor for each in _reaches(fitted, proposed))


@dataclass(frozen=True)
class Reach:
    """A proposed number of labels of a kind beside those that were measured; `factor`: how far outside, 1 within."""

    kind: str
    count: float
    low: int
    high: int
    factor: float

    def __str__(self) -> str:
        """The caller closes the bracket."""
        return f"{self.count:,.0f} {self.kind} ({self.low:,} to {self.high:,} were measured"


def _reaches(fitted: Fitted, proposed: Budget) -> list[Reach]:
    """Mattes, masks, and of several grades each that is proposed.

    Several grades stand for as many masks of the first as they make up for; a few of one beside others are nothing that
    was not measured, many are.
    """
    mattes, masks = (counts_of(fitted.runs, kind) for kind in KINDS)
    result = [Reach("mattes", proposed.mattes, mattes[0], mattes[-1], beyond(proposed.mattes, mattes))]
    grades = fitted.law.grades
    if len(grades) == 1:
        return [*result, Reach("masks", proposed.masks, masks[0], masks[-1], beyond(proposed.masks, masks))]
    wanted = np.array([[proposed.by_grade.get(grade, 0) for grade in grades]], np.float64)
    own = float(fitted.law.effective(wanted)[0, 0])
    measured = fitted.law.effective(fitted.further[list(grades)].to_numpy(np.float64))[0]
    span = [min(masks[0], int(measured.min())), max(masks[-1], int(measured.max()))]
    result.append(Reach(f"{grades[0]} masks or their like", own, span[0], span[1], beyond(own, span)))
    for place, grade in enumerate(grades):
        if count := int(wanted[0, place]):
            seen = fitted.further.loc[fitted.further[grade] > 0, grade].tolist() + (masks if place == 0 else [])
            low, high = int(min(seen)), int(max(seen))
            result.append(Reach(f"{grade} masks", count, low, high, max(1.0, (count + OFFSET) / (high + OFFSET))))
    return result


def beyond(count: float, measured: list[int]) -> float:
    """By which factor `count` lies outside of the measured counts; 1 within."""
    return max(1.0, (count + OFFSET) / (measured[-1] + OFFSET), (measured[0] + OFFSET) / (count + OFFSET))


def counts_of(runs: pd.DataFrame, kind: str) -> list[int]:
    """The numbers of a kind of label that runs have, rising."""
    return sorted(int(count) for count in runs[kind].unique())


def _trends(runs: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The kinds of label with which the error falls, and those with which it rises, by more than chance.

    A plane through the logarithms: with a law that falls only, a fit could not tell.
    """
    logs = np.log(runs[list(KINDS)].to_numpy(np.float64) + OFFSET)
    design = np.column_stack([np.ones(len(runs)), logs])
    target = np.log(runs["sad"].to_numpy(np.float64))
    slopes, *_ = np.linalg.lstsq(design, target, rcond=None)
    freedom = len(runs) - 3
    variance = float(np.sum((target - design @ slopes) ** 2)) / freedom
    errors = np.sqrt(np.maximum(variance * np.diag(np.linalg.pinv(design.T @ design)), 1e-30))
    chance = scipy.stats.t.cdf(slopes / errors, freedom)[1:]
    return (
        [kind for kind, p in zip(KINDS, chance, strict=True) if p < SIGNIFICANT],
        [kind for kind, p in zip(KINDS, chance, strict=True) if p > 1 - SIGNIFICANT / 10],
    )
