"""Methods compared: the main network in full, others as far as they hold several methods."""

from __future__ import annotations

import pandas as pd

from bench.cost import CostModel
from reports import selection, tables
from reports.comparison import BY_NAME, Budget, Comparison
from reports.document import Attached, Cell, Column, Picture, Section, Table, between, counted, decimals, listed, number
from reports.figures import methods as figure
from reports.load import Frames

IN_FULL = 2  # budgets with tables of their own; the others' stand in files
RUN = "python -m sweeps run quickstart"


def section(frames: Frames, comparisons: list[Comparison], cost: CostModel) -> Section:
    """Figures and tables of methods; every cell of every network goes into tables/cells.csv."""
    result = Section(
        "methods", "Methods compared", notes=list(frames.notes), missing=f"No finished run was scored; {RUN}"
    )
    if not comparisons:
        result.notes = []
        return result
    result.text = [
        "All numbers were measured here, by this suite, with its own reading of each method and equal optimiser steps "
        "for all; none is taken from a paper. mlb is Matte Label Blending. Controls answer a question and are no "
        "contenders: mlb_masklabel is mlb in all but the label inside the band, which stays the mask; oracle is given "
        "true mattes of the natural pictures."
    ]
    if len(comparisons) > 1:
        result.text.append(
            "Results on different data, protocols, versions of the measures or networks stand in tables of their own "
            "and are never averaged together."
        )
    mains, others = selection.main(comparisons), selection.others(comparisons)
    for comparison in [*mains, *others]:
        first = comparison is comparisons[0]
        result.notes += [note if first else f"{comparison.title}: {note}" for note in comparison.notes]
        _one(result, comparison, cost, 1 if any(comparison is other for other in others) else IN_FULL)
    seen = {id(comparison) for comparison in (*mains, *others)}
    if left := [comparison for comparison in comparisons if id(comparison) not in seen]:
        result.text.append(_left_out(left))
    result.blocks.append(every_cell(comparisons, cost))
    return result


def seeds(comparison: Comparison) -> str:
    """How many seeds stand behind the means, in a sentence."""
    cells = selection.shown(comparison)
    counts = sorted(set(cells.loc[~cells["external"].astype(bool), "seeds"]))
    if counts in ([], [1]):
        return "One seed each, so the spread over seeds is not known."
    return f"Means of {' to '.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seeds."


def _one(result: Section, comparison: Comparison, cost: CostModel, in_full: int) -> None:
    frame = figure.data(comparison)
    if len(frame):
        caption = f"Dots are means over {comparison.pictures}, bars 95 % bootstrap intervals. {seeds(comparison)}"
        caption += _variants(comparison)
        result.blocks.append(Picture(f"methods{comparison.slug}", comparison.title, caption, figure.draw(frame), frame))
    if len(comparison.budgets) > in_full and (overview := by_budget(comparison)) is not None:
        result.blocks.append(overview)
    for index, budget in enumerate(comparison.budgets):
        made = [tables.methods(comparison, budget, cost), tables.differences(comparison, budget)]
        for table in made:
            if table is None:
                continue
            about = f"{budget}, {'paired differences to mlb' if table is made[1] else 'methods compared'}."
            result.blocks.append(table if index < in_full else Attached(table.name, about, table.frame))


def by_budget(comparison: Comparison, measure: str = "sad") -> Table | None:
    """One measure of every method at every budget, and what is told apart from `mlb` there."""
    frame = selection.shown(comparison)
    frame = frame[frame["measure"] == measure]
    if frame.empty:
        return None
    what, places = BY_NAME[measure], max(1, decimals(frame["mean"]))
    columns = [Column("method", False)]
    columns += [Column(_numbers(budget), group="mattes + masks", unit=what.unit) for budget in comparison.budgets]
    rows = []
    for label, part in frame.groupby("label", sort=False):
        kind = tables.kind_of(part.iloc[0])
        row = [Cell(str(label), kind, "muted" if kind else "")]
        for budget in comparison.budgets:
            found = part[part["cell"].isin(comparison.at(budget))]
            if found.empty:
                row.append(Cell("–", tone="muted"))
                continue
            value = found.iloc[0]
            verdict = _verdict(comparison, budget, int(value["cell"]), measure)
            note = between(value["low"], value["high"], places)
            row.append(
                Cell(number(value["mean"], places), f"{note}; {verdict}" if note and verdict else note or verdict)
            )
        rows.append(row)
    reference = any(comparison.reference(budget) is not None for budget in comparison.budgets)
    caption = f"{what.header} of every method at every budget, {comparison.pictures}, with 95 % bootstrap intervals."
    if reference:
        caption += " Where a method and mlb are told apart, the better one is named; else they are not told apart."
    return Table(f"budgets{comparison.slug}", caption, columns, rows, tables.plain(frame))


def _variants(comparison: Comparison) -> str:
    """Which of a method's variants stands for it."""
    once = comparison.cells.drop_duplicates("cell")
    said = []
    for (method, mattes, masks), part in once.groupby(["method", "mattes", "masks"], sort=False):
        if len(part) > 1 and part["shown"].any():
            label = part.loc[part["shown"].astype(bool), "label"].iloc[0]
            at = _numbers(Budget(int(mattes), int(masks))) if pd.notna(mattes) else "unknown labels"
            said.append(f" At {at} labels {method} is the best of {len(part)} variants by validation: {label}.")
    return "".join(said)


def _numbers(budget: Budget) -> str:
    return f"{budget.mattes:,} + {budget.masks:,}"


def _verdict(comparison: Comparison, budget: Budget, cell: int, measure: str) -> str:
    reference = comparison.reference(budget)
    frame = comparison.differences
    if reference is None or cell == reference or frame.empty:
        return ""
    own = frame[
        (frame["mattes"] == budget.mattes)
        & (frame["masks"] == budget.masks)
        & (frame["cell"] == cell)
        & (frame["against"] == reference)
        & (frame["measure"] == measure)
    ]
    said = own["verdict"].iloc[0] if len(own) else ""
    return tables.SEEN_FROM_MLB.get(said, "")


def every_cell(comparisons: list[Comparison], cost: CostModel) -> Attached:
    """All cells of all networks and grounds: nothing that is left out of the page is lost."""
    parts = [
        tables.plain(comparison.cells).assign(**comparison.ground, **comparison.network) for comparison in comparisons
    ]
    frame = pd.concat(parts, ignore_index=True).assign(cost_unit=cost.unit)
    about = (
        f"Every mean of every method, variant and network ({counted(len(comparisons), 'network')} on "
        f"{counted(len(selection.by_ground(comparisons)), 'ground')}), with its interval and run ids."
    )
    return Attached("cells", about, frame)


def _left_out(left: list[Comparison]) -> str:
    names = list(dict.fromkeys(comparison.network["backbone"] for comparison in left))
    several = sum(len(selection.labels(comparison)) > 1 for comparison in left)
    what = f"{several} of them with several methods" if several else "one method each, see Backbones"
    return (
        f"Not shown in this section: {counted(len(left), 'further network')} ({what}), over {listed(names, 6)}. "
        "All are in tables/cells.csv; python -m reports leaderboard STORE prints them."
    )
