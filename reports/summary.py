"""The first section in plain words, generated from the data: what can be said, and what can not.

It stays short however much the store holds: the largest budget of the main network in full, and a sentence each for
what other budgets, networks, clocks and other people's predictions say.
"""

from __future__ import annotations

import pandas as pd

from bench.cost import CostModel
from reports.comparison import BY_NAME, REFERENCE, REGIONS, Budget, Comparison
from reports.document import between, counted, decimals, listed, number
from reports.figures.speed import conditions
from reports.load import FINISHED

NAMED = 4  # budgets, predictions or conditions in one sentence: more are counted
FEW_IMAGES = 30  # fewer make a percentile bootstrap's intervals too narrow
VERDICTS = (("worse", "better than"), ("better", "worse than"), ("not told apart", "not told apart from"))


def sentences(comparisons: list[Comparison], runs: pd.DataFrame, speed: pd.DataFrame, cost: CostModel) -> list[str]:
    """A sentence per finding, about a dozen at most."""
    said = [_counts(runs)] if len(runs) else []
    if comparisons:
        main, *others = comparisons
        if len(main.budgets) and main.budgets[0].known:
            said += _lowest(main, cost, named=bool(others)) + _verdicts(main, main.budgets[0])
            said += _other_budgets(main)
        said += _networks([main, *(other for other in others if other.ground == main.ground)])
        said += _external(comparisons)
        said += _limits(main)
    return said + _fastest(speed)


def _counts(runs: pd.DataFrame) -> str:
    own = runs[~runs["external"]]
    finished = int((own["status"] == FINISHED).sum())
    text = f"{counted(finished, 'run')} finished"
    text += f"; {len(own) - finished} did not, see Failures." if len(own) > finished else ", none failed."
    return text if len(own) else f"No run of this suite, but {counted(len(runs), 'set')} of predictions made elsewhere."


def _sad(comparison: Comparison, budget: Budget | None = None) -> pd.DataFrame:
    """The SAD of the cells that stand for their methods, at a budget or at all."""
    cells = comparison.cells
    part = cells[(cells["measure"] == "sad") & cells["shown"]]
    return part if budget is None else part[part["cell"].isin(comparison.at(budget))]


def _rivals(comparison: Comparison, budget: Budget) -> pd.DataFrame:
    part = _sad(comparison, budget)
    return part[~part["control"] & ~part["external"]]


def _lowest(comparison: Comparison, cost: CostModel, named: bool) -> list[str]:
    budget = comparison.budgets[0]
    rivals = _rivals(comparison, budget)
    if len(rivals) < 2:
        return []
    price = cost.format(cost.of(budget.mattes, budget.masks))
    where = f"On {comparison.title}, with {budget}" if named else f"With {budget}"
    where += f" ({price} of annotation)" if cost.is_time else f" ({price})"
    best = rivals.loc[rivals["mean"].idxmin()]
    return [f"{where}, {best['method']} has the lowest SAD of {len(rivals)} methods ({_value(best)})."]


def _value(row: pd.Series) -> str:
    places = decimals([row["mean"]])
    interval = between(row["low"], row["high"], places)
    value = f"{number(row['mean'], places)} thousand pixels"
    return value + (f", 95 % interval {interval}" if interval else ", from one image, so without an interval")


def _verdicts(comparison: Comparison, budget: Budget) -> list[str]:
    """What is said of `mlb` against the other methods at a budget."""
    reference = comparison.reference(budget)
    frame = comparison.differences
    here = (frame["mattes"] == budget.mattes) & (frame["masks"] == budget.masks) & (frame["against"] == reference)
    once = comparison.cells.drop_duplicates("cell").set_index("cell")
    here &= frame["cell"].isin(once.index[once["shown"] & ~once["external"]])
    said = []
    for name in ("sad", "mad_boundary"):
        part = frame[here & (frame["measure"] == name)]
        names = part["cell"].map(once["method"]) + part["cell"].map(once["control"]).map(
            {True: " (control)", False: ""}
        )
        groups = [
            f"{words} {listed(names[part['verdict'] == verdict])}"
            for verdict, words in VERDICTS
            if (part["verdict"] == verdict).any()
        ]
        if groups:
            measure = BY_NAME[name]
            which = f"By {measure.header} on the {REGIONS[measure.region]}, {REFERENCE} with {budget} is"
            said.append(f"{which} {'; '.join(groups)}.")
    if said:
        said[-1] += f" These verdicts are corrected for the {_family(frame)} differences that are looked at."
    return said


def _family(frame: pd.DataFrame) -> int:
    """How many differences hold together."""
    return int((frame["measure"] == frame["measure"].iloc[0]).sum())


def _other_budgets(comparison: Comparison) -> list[str]:
    """What other numbers of labels do to `mlb`, and whether it stays ahead."""
    said = []
    largest, *others = comparison.budgets
    first = comparison.reference(largest)
    frame = comparison.differences
    once = comparison.cells.drop_duplicates("cell").set_index("cell")
    rows = frame[(frame["measure"] == "sad") & (frame["against"] == first)]
    rows = rows[rows["cell"].isin([comparison.reference(budget) for budget in others])]
    changes = []
    for row in rows.itertuples():
        budget = Budget(int(once["mattes"][row.cell]), int(once["masks"][row.cell]))
        places = decimals([row.mean])
        interval = between(row.low, row.high, places, sign=True)
        change = number(row.mean, places, sign=True) + (f" ({interval})" if interval else "")
        changes.append(f"{change} with {budget}, {row.verdict}")
    if changes:
        more = f"; {counted(len(changes) - NAMED, 'more budget')} in the tables" if len(changes) > NAMED else ""
        said.append(
            f"{REFERENCE} with other labels instead of {largest}, by SAD in thousand pixels: "
            f"{'; '.join(changes[:NAMED])}{more}."
        )
    ahead = [
        part.loc[part["mean"].idxmin(), "method"] for budget in others if len(part := _rivals(comparison, budget)) > 1
    ]
    if ahead:
        counts = pd.Series(ahead).value_counts()
        if len(counts) == 1:
            said.append(f"With {listed(map(str, others), NAMED)} too, {ahead[0]} has the lowest SAD.")
        else:
            winners = listed([f"{method} ({count})" for method, count in counts.items()], NAMED)
            said.append(f"At {len(ahead)} further budgets the lowest SAD is that of {winners}.")
    return said


def _networks(alike: list[Comparison]) -> list[str]:
    """Which of several networks, trained alike, errs least."""
    if len(alike) < 2:
        return []
    parts = [_sad(comparison).assign(network=position) for position, comparison in enumerate(alike)]
    every = pd.concat(parts, ignore_index=True)
    every = every[~every["control"] & ~every["external"]]
    every["main"] = every["method"] == REFERENCE
    groups = every.groupby(["method", "mattes", "masks", "main"], sort=False)
    common = groups["network"].count().reset_index(name="count")
    row = common.sort_values(["count", "main", "mattes", "masks"], ascending=False, kind="stable").iloc[0]
    part = every[(every[["method", "mattes", "masks"]] == row[["method", "mattes", "masks"]]).all(axis=1)]
    if len(part) < 2:
        return []
    best = part.loc[part["mean"].idxmin()]
    close = int((part["low"] <= best["high"]).sum()) - 1
    budget = Budget(int(row["mattes"]), int(row["masks"]))
    text = (
        f"Of {len(part)} networks trained with {row['method']} at {budget}, {_name(alike, int(best['network']))} has the "
        f"lowest SAD ({_value(best)})"
    )
    if pd.notna(best["high"]):
        overlapping = counted(close, "other's overlaps", "others' overlap") if close else "no other's overlaps"
        text += f"; of the intervals, {overlapping} with its own, which alone is no verdict"
    return [f"{text}."]


def _name(alike: list[Comparison], position: int) -> str:
    """What tells a network from those beside it."""
    network = alike[position].network
    same = [other for other in alike if other.network["backbone"] == network["backbone"]]
    keys = [key for key in network if key != "backbone" and len({other.network[key] for other in same}) > 1]
    return ", ".join([network["backbone"], *(f"{key} {network[key]}" for key in keys)])


def _external(comparisons: list[Comparison]) -> list[str]:
    """Predictions made elsewhere: their SAD, and where they can be, held against `mlb`."""
    found: dict[str, str] = {}
    for comparison in comparisons:
        part = _sad(comparison)
        frame = comparison.differences
        reference = comparison.reference(comparison.budgets[0])
        for row in part[part["external"]].to_dict("records"):
            if row["method"] in found:
                continue
            own = (frame["cell"] == row["cell"]) & (frame["against"] == reference) & (frame["measure"] == "sad")
            verdict = frame.loc[own, "verdict"].iloc[0] if own.any() else ""
            beside = f", {_against(verdict)} with {comparison.budgets[0]}" if verdict else ""
            found[row["method"]] = f"{row['method']} {_value(pd.Series(row))}{beside}"
    if not found:
        return []
    return [f"Predictions made elsewhere, by SAD on what they were scored on: {listed(found.values(), NAMED)}."]


def _against(verdict: str) -> str:
    return f"not told apart from {REFERENCE}" if verdict == "not told apart" else f"{verdict} than {REFERENCE}"


def _limits(comparison: Comparison) -> list[str]:
    """What the intervals do not cover."""
    said = []
    own = comparison.cells[comparison.cells["shown"] & ~comparison.cells["external"]].drop_duplicates("cell")
    once = int((own["seeds"] == 1).sum())
    if len(own) and once == len(own):
        said.append(
            "Every method was trained with one seed only: the intervals cover the choice of images, not that of the "
            "seed, so that small differences may turn with another seed."
        )
    elif once:
        said.append(
            f"{once} of {len(own)} means are of one seed only: their intervals cover the choice of images, not that of "
            "the seed."
        )
    if 1 < len(comparison.images) < FEW_IMAGES:
        said.append(
            f"All of this is from {comparison.pictures} only: intervals from so few are too narrow, if anything."
        )
    return said


def _fastest(speed: pd.DataFrame) -> list[str]:
    """The fastest model under each of the conditions under which most were timed; conditions are never mixed."""
    timed = speed[(speed["status"] == "ok") & speed["fps"].notna() & (speed["batch"] == 1)]
    if timed.empty:
        return []
    timed = timed.assign(condition=conditions(timed))
    counts = timed.groupby("condition", sort=False)["model"].nunique().sort_values(ascending=False, kind="stable")
    said = []
    for text in counts.index[:2]:
        part = timed[timed["condition"] == text]
        best = part.loc[part["fps"].idxmax()]
        of = f"the fastest of {counts[text]} models" if counts[text] > 1 else "the one model timed"
        rate = number(best["fps"], decimals([best["fps"]]))
        said.append(f"{best['model']} is {of} at {rate} frames per second ({text})")
    rest = f"; {counted(len(counts) - 2, 'further condition')} in Speed" if len(counts) > 2 else ""
    return [f"{'; '.join(said)}{rest}."]
