"""Every method against one of them, image by image: in percent of that one's error, with its seeds' agreement.

The page compares everything with `mlb`; a control asks for itself as the reference. What MLB's blended values are worth
is its difference to `mlb_masklabel`, and what any label could be worth is the oracle's.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.averages import in_common, seeds_of
from reports.comparison import Budget, Comparison
from reports.document import ABSENT, Cell, Table, between, number, slug, tone_of
from reports.load import Frames, settings
from reports.measures import RegionalMeasure
from reports.per_image import paired_differences
from reports.tables import by_cell, kind_of, measure_column, method_column
from wsshm.errors import UserError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = [
    *("cell", "label", "kind", "measure", "images", "mean", "mean_against", "difference", "low", "high"),
    *("percent", "percent_low", "percent_high", "seeds", "agreeing", "verdict", "method", "settings"),
]


def tables(
    frames: Frames, comparisons: list[Comparison], method: str, measures: list[RegionalMeasure], variants: bool = False
) -> list[Table]:
    """A table for each comparison and budget: every method but `method`, minus `method`.

    A method's variant that was best on validation stands for it, or, with `variants`, each has a row of its own; `method`
    may then be a variant's label, or a method's name for the one that stands for it. Raises UserError where no comparison
    has runs of `method`, or no values of anything beside it.
    """
    seed_of = seeds_of(frames.runs.set_index("run_id"))
    every = [each.cells if variants else each.shown() for each in comparisons]
    cells = [own[~own["peer"]] for own in every]
    made = [
        _table(comparison, own, budget, method, measures, seed_of)
        for comparison, own in zip(comparisons, cells, strict=True)
        for budget in comparison.budgets
    ]
    if found := [table for table in made if table is not None]:
        return found
    names = {name for own in cells for column in ("label", "method") for name in own[column]}
    if method not in names and any(method in set(own["method"]) for own in every):
        raise UserError(
            f"{method!r} is somebody else's model, trained on other data, and no run is compared with it; its errors stand"
            " beside those of the runs in the report"
        )
    if method not in names:
        raise UserError(f"the store has no finished runs of the method {method!r}; {nearest(method, names)}")
    asked = ", ".join(measure.name for measure in measures)
    raise UserError(f"nothing beside {method} has a value of {asked} with labels that the same budget pays for")


def figure(made: list[Table]) -> Figure:
    """These tables, drawn."""
    from reports.figures.against import draw  # only now: tables need no matplotlib

    return draw(pd.concat([table.frame.assign(table=table.name) for table in made], ignore_index=True))


def _table(
    comparison: Comparison,
    cells: pd.DataFrame,
    budget: Budget,
    method: str,
    measures: list[RegionalMeasure],
    seed_of: dict[str, Hashable],
) -> Table | None:
    heads = cells.drop_duplicates("cell").set_index("cell")
    heads = heads[heads.index.isin(comparison.at(budget))]
    own = heads[heads["label"] == method]
    if own.empty:
        own = heads[(heads["method"] == method) & heads["shown"]]
    if own.empty or len(heads) == 1:
        return None
    own = own.iloc[0]
    method = own["label"]
    found = [differences(comparison.values(measure), heads, own.name, measure, seed_of) for measure in measures]
    if not (found := [rows for rows in found if len(rows)]):
        return None
    rival = {"against": method, "against_method": own["method"], "against_settings": _settings(own)}
    where = {"budget": str(budget), **comparison.ground, **comparison.network}
    frame = pd.concat(found, ignore_index=True).assign(**rival, **where)

    def show(row: dict) -> Cell:
        if not np.isfinite(row["percent"]):
            return ABSENT
        interval = between(row["percent_low"], row["percent_high"], 1, sign=True)
        agree = f"{row['agreeing']} of {row['seeds']} seeds" if row["seeds"] > 1 else "1 seed"
        agree = agree if row["seeds"] else "no seed in common"
        note = "; ".join(part for part in (interval, row["verdict"], agree) if part)
        return Cell(number(row["percent"], 1, sign=True), note, tone_of(row["verdict"]))

    columns = [method_column(f"minus {method}")]
    columns += [replace(measure_column(measure, show), unit="%") for measure in measures]
    title = f"{budget}, {comparison.where}"
    caption = (
        f"every method minus {method}, image by image, in percent of {method}'s mean. The "
        "intervals hold for all methods of a measure together with 95 %; they cover the choice of images, and in how many "
        "seeds the difference has the same sign says how far training's chance matters. Verdicts are on the method named."
    )
    return Table(
        f"against-{slug(method)}{comparison.slug}-{budget.slug}", caption, columns, frame, by_cell(frame), title=title
    )


def differences(
    values: pd.DataFrame, heads: pd.DataFrame, reference: int, measure: RegionalMeasure, seed_of: dict[str, Hashable]
) -> pd.DataFrame:
    """A row (`COLUMNS`) for each cell but the reference that has a value for every image, in the order of `heads`.

    `values` are `Comparison.values` of the measure, `heads` the rows of `Comparison.heads` that are compared; the intervals
    hold for all of them together.
    """
    values = values.dropna(how="all")
    by_seed = {
        cell: {seed_of[run_id]: values[run_id] for run_id in ids}
        for cell, ids in heads["run_ids"].items()
        if len(values) and values.reindex(columns=list(ids)).notna().all(axis=None)
    }
    base = by_seed.pop(reference, {})
    rows, pairs = [], []
    for cell, own in by_seed.items() if base else ():
        ours, theirs = in_common(own, base)
        sides = [
            pd.concat([side[s] for s in seeds], axis=1).mean(axis=1) for side, seeds in ((own, ours), (base, theirs))
        ]
        pairs.append((sides[0], sides[1]))
        apart = [(own[seed] - base[seed]).mean() for seed in ours & theirs]
        agreeing = int((np.sign(apart) == np.sign((sides[0] - sides[1]).mean())).sum())
        head = heads.loc[cell]
        names = {"cell": cell, "kind": kind_of(head), "settings": _settings(head), **head[["label", "method"]]}
        rows.append(names | {"measure": measure.name, "seeds": len(apart), "agreeing": agreeing})
    frame = pd.DataFrame(rows).join(paired_differences(pairs, measure.lower_is_better))
    frame = frame.rename(columns={"a": "mean", "b": "mean_against"})
    for name, of in {"percent": "difference", "percent_low": "low", "percent_high": "high"}.items():
        frame[name] = 100 * frame[of] / frame["mean_against"].replace(0, np.nan)
    return frame.reindex(columns=COLUMNS)


def _settings(head: pd.Series) -> str:
    """What sets a row's variant apart, as JSON; nothing where it stands for its method."""
    return json.dumps([] if head["label"] == head["method"] else settings(head["variant"]))
