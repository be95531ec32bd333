"""Which method to train with the labels at hand: the simplest of those that none beats.

A blend is worth its trouble only where it lowers the error by more than chance. So of the methods without a significant
difference from the one with the lowest error, and close to it, the simplest is chosen, one without a blend first.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics import NOT_SIGNIFICANT
from reports.against import differences
from reports.agreement import BETTER, WORSE, of_same_runs
from reports.comparison import LABELS, Budget, Comparison, by_ground
from reports.load import ADDED, as_document, flatten
from reports.measures import BY_NAME
from wsshm.methods import described

MEASURE = BY_NAME["sad"]
CLOSE = 5.0  # percent: an error so little above the lowest is a price worth paying for a simpler method
BLEND = "method.blend."
MIRRORED = {BETTER: WORSE, WORSE: BETTER, NOT_SIGNIFICANT: NOT_SIGNIFICANT}
COLUMNS = ["cell", "label", "mean", "percent", "low", "high", "verdict"]


@dataclass(frozen=True)
class Choice:
    """The method to train on one test set: its `cell`, and `best`, the cell with the lowest error, which may be the same.

    `rows` compare every other method with the chosen one: cell, label, mean, percent (of the chosen one's mean, as are low
    and high, which hold for all rows together) and verdict, on the row's method.
    """

    comparison: Comparison
    budget: Budget
    cell: int
    best: int
    rows: pd.DataFrame = field(repr=False)

    @property
    def head(self) -> pd.Series:
        """What `Comparison.cells` says of the chosen cell's error."""
        cells = self.comparison.of(MEASURE.name)
        return cells[cells["cell"] == self.cell].iloc[0]

    def names(self, verdict: str) -> list[str]:
        """The methods with this verdict beside the chosen one, the lowest error first."""
        return list(self.rows.loc[self.rows["verdict"] == verdict, "label"])


def blends(method: str) -> bool:
    """Whether a method learns from blended labels: it reads how wide the blend's band is."""
    return f"{BLEND}band" in described(method).reads


def groups(comparisons: list[Comparison], runs: pd.DataFrame) -> list[list[Comparison]]:
    """The comparisons of each test set whose runs' labels are known, natural pictures of the user's own first.

    Those are the ones that the runs took their masks' photos from: what the model is for. Composites come after them.
    """
    documents = [as_document(text).get("data") for text in runs.loc[~runs["external"], "config"]]
    own = {str(data.get("masks")) for data in documents if isinstance(data, dict)}
    known = [group for group in by_ground(comparisons) if group[0].budgets[0].known]
    return sorted(known, key=lambda group: group[0].ground["dataset"] not in own)


def contenders(comparison: Comparison, budget: Budget) -> pd.DataFrame:
    """The methods that a budget pays for, each by the variant that stands for it, with their SAD."""
    cells = comparison.shown(MEASURE.name, own=True)
    return cells[cells["cell"].isin(comparison.at(budget)) & ~cells["control"]]


def choose(comparison: Comparison, seed_of: dict[str, Hashable]) -> Choice | None:
    """The method to train at the largest budget at which several were; None without two of them, or with a single image."""
    if len(comparison.images) < 2:
        return None
    for budget in comparison.budgets:
        cells = contenders(comparison, budget)
        if len(set(cells["method"])) > 1:
            break
    else:
        return None
    best = int(cells.loc[cells["mean"].idxmin(), "cell"])
    beside = compared(comparison, budget, best, seed_of)
    tied = beside[(beside["verdict"] == NOT_SIGNIFICANT) & (beside["percent"] <= CLOSE)]
    able = cells[cells["cell"].isin([best, *tied["cell"]])]
    ranks = {row.cell: (blends(row.method), described(row.method).order, row.mean) for row in able.itertuples()}
    cell = min(ranks, key=lambda each: ranks[each])
    if cell == best:
        return Choice(comparison, budget, best, best, beside)
    rows = compared(comparison, budget, int(cell), seed_of).set_index("cell")
    # What was chosen by stays so: among other differences this one might get another interval.
    back = beside.set_index("cell").loc[cell]
    means = cells.set_index("cell")["mean"]
    scale = -means[best] / means[cell]
    rows.loc[best, ["percent", "low", "high"]] = [scale * back[name] for name in ("percent", "high", "low")]
    rows.loc[best, "verdict"] = MIRRORED[back["verdict"]]
    rows = rows.reset_index()[COLUMNS]
    return Choice(comparison, budget, int(cell), best, rows)


def compared(comparison: Comparison, budget: Budget, reference: int, seed_of: dict[str, Hashable]) -> pd.DataFrame:
    """The contenders of a budget compared with one of them (`COLUMNS`), the lowest error first.

    A difference to `mlb` is the one of the tables, whose intervals hold for all that they show.
    """
    heads = contenders(comparison, budget).set_index("cell", drop=False)
    means = heads["mean"]
    mlb = comparison.reference(budget)
    if reference != mlb:
        found = differences(comparison.values(MEASURE), heads, reference, MEASURE, seed_of)
        found = found[["cell", "difference", "low", "high", "verdict"]]
        if mlb is not None:
            [*told] = comparison.beside(budget, mlb, measure=MEASURE.name, cell=reference).itertuples()
            rows = [_mirrored(mlb, row) for row in told]
            found = pd.concat([found[found["cell"] != mlb], pd.DataFrame(rows, columns=found.columns)])
    else:
        found = comparison.beside(budget, mlb, measure=MEASURE.name).rename(columns={"mean": "difference"})
    found = found[found["cell"].isin(means.index) & (found["cell"] != reference)]
    scale = 100 / means[reference] if means[reference] else np.nan
    own = {"label": found["cell"].map(heads["label"]), "mean": found["cell"].map(means)}
    found = found.assign(
        **own, percent=scale * found["difference"], low=scale * found["low"], high=scale * found["high"]
    )
    return found.sort_values("mean", kind="stable").reset_index(drop=True)[COLUMNS].astype({"cell": int})


def elsewhere(choice: Choice, comparisons: list[Comparison], seed_of: dict[str, Hashable]) -> list[Choice]:
    """The same method on the other test sets of the same runs, whether it would be chosen there or not; those on which
    another is better come first.
    """
    group = next((own for own in of_same_runs(comparisons) if any(each is choice.comparison for each in own)), [])
    head, result = choice.comparison.heads.loc[choice.cell], []
    for other in group:
        if other is choice.comparison or len(other.images) < 2 or choice.budget not in other.budgets:
            continue
        cells = contenders(other, choice.budget)
        same = (cells["variant_label"] == head["label"]) & (cells[LABELS] == head[LABELS]).all(axis=1)
        if same.any() and len(cells) > 1:
            cell, best = int(cells.loc[same, "cell"].iloc[0]), int(cells.loc[cells["mean"].idxmin(), "cell"])
            result.append(Choice(other, choice.budget, cell, best, compared(other, choice.budget, cell, seed_of)))
    return sorted(result, key=lambda each: not each.names(BETTER))


def settings_of(runs: pd.DataFrame, run_ids: list[str]) -> dict[str, Any]:
    """How the runs of a cell blended: the keys of `method.blend` in their configuration; {} where it does not say."""
    config = runs.loc[runs["run_id"] == run_ids[0], "config"]
    flat = flatten(as_document(config.iloc[0])) if len(config) else {}
    own = {key: value for key, value in flat.items() if key.startswith(BLEND)}
    return {key.removeprefix(BLEND): value for key, value in {**(ADDED if own else {}), **own}.items()}


def _mirrored(mlb: int, row: Any) -> tuple[int, float, float, float, str]:
    """A row of the tables, some method minus mlb, seen from that method."""
    return mlb, -row.mean, -row.high, -row.low, MIRRORED[row.verdict]
