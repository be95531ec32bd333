"""Every method against one of them, image by image: in percent of that one's error, with its seeds' agreement.

The page holds everything against `mlb`; a control asks for itself as the reference. What MLB's blended values are worth
is its difference to `mlb_masklabel`, and what any label could be worth is the oracle's.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from bench.statistics import simultaneous, verdict
from reports import selection
from reports.comparison import Budget, Comparison
from reports.document import Cell, Column, Table, between, number
from reports.load import Frames
from reports.measures import REGIONS, Measure
from reports.tables import kind_of
from wsshm.errors import UserError, nearest

TONES = {"better": "better", "worse": "worse", "not told apart": "even"}


def tables(
    frames: Frames, comparisons: list[Comparison], method: str, measures: list[Measure], variants: bool = False
) -> list[Table]:
    """A table for each comparison and budget: every method but `method`, minus `method`.

    A method's variant that was best on validation stands for it, or, with `variants`, each has a row of its own; `method`
    may then be a variant's label, or a method's name for the one that stands for it. Raises UserError where no comparison
    has runs of `method`, or no values of anything beside it.
    """
    cells_of = selection.every if variants else selection.shown
    seed_of = frames.runs.set_index("run_id")["seed"].to_dict()
    made = [
        table
        for comparison in comparisons
        for budget in comparison.budgets
        if (table := _table(comparison, cells_of(comparison), budget, method, measures, seed_of)) is not None
    ]
    if not made:
        cells = [cells_of(comparison) for comparison in comparisons]
        names = {name for part in cells for column in ("label", "method") for name in part[column]}
        if method not in names:
            raise UserError(f"the store has no finished runs of the method {method!r}; {nearest(method, names)}")
        asked = ", ".join(measure.name for measure in measures)
        raise UserError(f"nothing beside {method} has a value of {asked} with labels that the same budget pays for")
    return made


def _table(
    comparison: Comparison,
    cells: pd.DataFrame,
    budget: Budget,
    method: str,
    measures: list[Measure],
    seed_of: dict[str, float],
) -> Table | None:
    heads = cells.drop_duplicates("cell").set_index("cell")
    heads = heads[heads.index.isin(comparison.at(budget))]
    own = heads[heads["label"] == method]
    if own.empty:
        own = heads[(heads["method"] == method) & heads["shown"].astype(bool)]
    if own.empty or len(heads) == 1:
        return None
    method = str(own["label"].iloc[0])
    records = [
        record
        for measure in measures
        for record in _differences(comparison.values(measure).dropna(how="all"), heads, own.index[0], measure, seed_of)
    ]
    if not records:
        return None
    frame = pd.DataFrame(records).assign(against=method, budget=str(budget), **comparison.ground, **comparison.network)
    columns = [Column(f"minus {method}", False)]
    columns += [Column(f"{measure.header} {measure.arrow}", True, REGIONS[measure.region], "%") for measure in measures]
    rows = []
    for cell, part in frame.groupby("cell", sort=False):
        of_measure = part.set_index("measure")
        kind = kind_of(heads.loc[cell])
        row = [Cell(str(part["label"].iloc[0]), kind, "muted" if kind else "")]
        for measure in measures:
            if measure.name not in of_measure.index or not np.isfinite(of_measure.loc[measure.name, "percent"]):
                row.append(Cell("–", tone="muted"))
                continue
            value = of_measure.loc[measure.name]
            interval = between(value["percent_low"], value["percent_high"], 1, sign=True)
            agree = f"{value['agreeing']} of {value['seeds']} seeds" if value["seeds"] > 1 else "1 seed"
            agree = agree if value["seeds"] else "no seed in common"
            note = "; ".join(part for part in (interval, value["verdict"], agree) if part)
            row.append(Cell(number(value["percent"], 1, sign=True), note, TONES[value["verdict"]]))
        rows.append(row)
    caption = (
        f"{budget}, {comparison.where}: every method minus {method}, image by image, in percent of {method}'s mean. The "
        "intervals hold for all methods of a measure together with 95 %; they cover the choice of images, and in how many "
        "seeds the difference has the same sign says how far training's chance matters. Verdicts are on the method named."
    )
    name = "".join(character if character.isalnum() else "-" for character in method)
    return Table(f"against-{name}{comparison.slug}-{budget.slug}", caption, columns, rows, frame)


def _differences(
    values: pd.DataFrame, heads: pd.DataFrame, reference: int, measure: Measure, seed_of: dict[str, float]
) -> list[dict]:
    """A record for each cell but the reference that has a value for every image, in the order of `heads`."""
    by_seed = {
        cell: {_seed(run_id, seed_of): values[run_id] for run_id in ids if run_id in values}
        for cell, ids in heads["run_ids"].items()
        if values.reindex(columns=list(ids)).notna().all(axis=None)
    }
    if reference not in by_seed or values.empty:
        return []
    base, found, columns = by_seed.pop(reference), [], []
    for cell, own in by_seed.items():
        common = [seed for seed in own if seed in base]
        a = np.mean([own[seed] for seed in common or own], axis=0)
        b = np.mean([base[seed] for seed in common or base], axis=0)
        signs = [np.sign((own[seed] - base[seed]).mean()) for seed in common]
        agreeing = sum(sign == np.sign((a - b).mean()) for sign in signs)
        found.append((cell, float(a.mean()), float(b.mean()), len(common), int(agreeing)))
        columns.append(a - b)
    if not found:
        return []
    records = []
    for (cell, mean, of_base, seeds, agreeing), interval in zip(found, simultaneous(np.array(columns).T), strict=True):
        scale = 100 / of_base if of_base else np.nan
        records.append(
            {"cell": cell, "label": heads.loc[cell, "label"], "kind": kind_of(heads.loc[cell])}
            | {"measure": measure.name, "images": len(values)}
            | {"mean": mean, "mean_against": of_base}
            | {"difference": interval.mean, "low": interval.low, "high": interval.high}
            | {"percent": interval.mean * scale, "percent_low": interval.low * scale}
            | {"percent_high": interval.high * scale, "seeds": seeds, "agreeing": agreeing}
            | {"verdict": verdict(interval, measure.lower_is_better)}
        )
    return records


def _seed(run_id: str, seed_of: dict[str, float]) -> Hashable:
    seed = seed_of.get(run_id)
    return run_id if seed is None or pd.isna(seed) else int(seed)
