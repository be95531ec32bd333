"""The first section in plain words, generated from the data: what can be said, and what can not."""

from __future__ import annotations

import pandas as pd

from bench.cost import CostModel
from reports.comparison import BY_NAME, REGIONS, Budget, Comparison
from reports.document import between, decimals, number
from reports.figures.speed import condition
from reports.load import FINISHED

SAD = BY_NAME["sad"]


def sentences(comparisons: list[Comparison], runs: pd.DataFrame, speed: pd.DataFrame, cost: CostModel) -> list[str]:
    """One sentence per finding; the largest budget first."""
    said = [_counts(runs)] if len(runs) else []
    for comparison in comparisons:
        for budget in comparison.budgets:
            said += _at(comparison, budget, cost, named=len(comparisons) > 1)
        said += _fewer(comparison)
    if comparisons and not (pd.concat([comparison.cells for comparison in comparisons])["seeds"] > 1).any():
        said.append(
            "Every method was trained with one seed only: the intervals cover the choice of images, not that of the "
            "seed, so that small differences may turn with another seed."
        )
    return said + _fastest(speed)


def _counts(runs: pd.DataFrame) -> str:
    finished = int((runs["status"] == FINISHED).sum())
    failed = len(runs) - finished
    text = f"{finished} {'run' if finished == 1 else 'runs'} finished"
    return f"{text}; {failed} did not, see Failures." if failed else f"{text}, none failed."


def _at(comparison: Comparison, budget: Budget, cost: CostModel, named: bool) -> list[str]:
    cells = comparison.cells
    part = cells[(cells["measure"] == "sad") & cells["cell"].isin(comparison.at(budget))]
    if part.empty:
        return []
    rivals = part[~part["control"]]
    where = f"On {comparison.title}, with {budget}" if named else f"With {budget}"
    where += (
        f" ({cost.format(cost.of(budget.mattes, budget.masks))} of annotation)"
        if cost.is_time
        else (f" ({cost.format(cost.of(budget.mattes, budget.masks))})")
    )
    said = []
    if len(rivals) > 1:
        best = rivals.loc[rivals["mean"].idxmin()]
        places = decimals(rivals["mean"])
        interval = between(best["low"], best["high"], places)
        value = f"{number(best['mean'], places)} thousand pixels"
        value += f", 95 % interval {interval}" if interval else ", from one image, so without an interval"
        said.append(f"{where}, {best['label']} has the lowest SAD of {len(rivals)} methods ({value}).")
    said += _verdicts(comparison, budget)
    return said


def _verdicts(comparison: Comparison, budget: Budget) -> list[str]:
    reference = comparison.reference(budget)
    if reference is None:
        return []
    frame = comparison.differences
    frame = frame[
        (frame["mattes"] == budget.mattes) & (frame["masks"] == budget.masks) & (frame["against"] == reference)
    ]
    controls = set(comparison.cells.loc[comparison.cells["control"], "cell"])
    said = []
    for name in ("sad", "mad_boundary"):
        part = frame[frame["measure"] == name]
        groups = []
        for verdict, words in (
            ("worse", "better than"),
            ("better", "worse than"),
            ("not told apart", "not told apart from"),
        ):
            names = [
                f"{row.label}{' (control)' if row.cell in controls else ''}"
                for row in part[part["verdict"] == verdict].itertuples()
            ]
            if names:
                groups.append(f"{words} {_listed(names)}")
        if groups:
            measure = BY_NAME[name]
            said.append(
                f"By {measure.header} on the {REGIONS[measure.region]}, mlb with {budget} is {'; '.join(groups)}."
            )
    return said


def _fewer(comparison: Comparison) -> list[str]:
    """What fewer labels do to `mlb`."""
    frame = comparison.differences
    if frame.empty:
        return []
    cells = comparison.cells[comparison.cells["measure"] == "sad"].set_index("cell")
    said = []
    for row in frame[
        (frame["measure"] == "sad") & (frame["cell"].isin(cells.index[cells["method"] == "mlb"]))
    ].itertuples():
        own, other = cells.loc[row.cell], cells.loc[row.against]
        if (own["mattes"], own["masks"]) == (other["mattes"], other["masks"]):
            continue
        small, large = (Budget(int(cell["mattes"]), int(cell["masks"])) for cell in (own, other))
        places = decimals([row.mean])
        interval = between(row.low, row.high, places, sign=True)
        said.append(
            f"mlb with {small} instead of {large}: SAD {number(row.mean, places, sign=True)} thousand pixels"
            + (f" ({interval})" if interval else "")
            + f", {'worse' if row.verdict == 'worse' else row.verdict}."
        )
    return said


def _fastest(speed: pd.DataFrame) -> list[str]:
    timed = speed[(speed["status"] == "ok") & speed["fps"].notna()]
    if timed.empty:
        return []
    conditions = pd.Series([condition(row) for _, row in timed.iterrows()], index=timed.index)
    said = []
    for text, part in timed.groupby(conditions, sort=False):
        best = part.loc[part["fps"].idxmax()]
        models = part["model"].nunique()
        of = f"the fastest of {models} models" if models > 1 else "the one model timed"
        said.append(
            f"{best['model']} is {of} at {number(best['fps'], decimals([best['fps']]))} frames per second ({text})."
        )
    return said[:3]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
