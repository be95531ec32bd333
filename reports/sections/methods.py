"""Methods compared: the main network in full, others as far as they hold several methods."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from bench.cost import CostModel
from reports import printed, tables
from reports.comparison import Budget, Comparison, by_ground, main_networks, method_order, other_networks
from reports.document import (
    ABSENT,
    Cell,
    Column,
    Picture,
    Section,
    Table,
    between,
    counted,
    decimals,
    labels_in_short,
    listed,
    number,
)
from reports.figures import methods as figure
from reports.load import FINISHED, Frames
from reports.measures import BY_NAME
from reports.sections import PageSection, register
from wsshm.methods import described

IN_FULL = 2  # budgets with tables of their own; the others' stand in files


def section(frames: Frames, comparisons: list[Comparison], cost: CostModel) -> Section:
    """Figures and tables of methods; every cell of every network goes into tables/cells.csv."""
    result = Section("methods", "Methods compared", notes=list(frames.notes), missing=unscored(frames))
    if not comparisons:
        result.notes = []
        return result
    result.text = [
        "All numbers were measured here, by this suite, with its own reading of each method and the same number of "
        f"optimiser steps; none is taken from a paper. {_what_they_are(comparisons)}"
    ]
    if any(comparison.heads["peer"].any() for comparison in comparisons):
        result.text.append(
            "Other people's models stand beside them for reference: trained elsewhere, on other data, and compared with none."
        )
    if len(comparisons) > 1:
        result.text.append(
            "Results on different data, protocols, versions of the measures or networks are in separate tables "
            "and are never averaged together."
        )
    mains, others = main_networks(comparisons), other_networks(comparisons)
    for comparison in [*mains, *others]:
        first = comparison is comparisons[0]
        result.notes += [note if first else f"{comparison.title}: {note}" for note in comparison.notes]
        _one(result, comparison, cost, 1 if any(comparison is other for other in others) else IN_FULL)
    seen = {id(comparison) for comparison in (*mains, *others)}
    if left := [comparison for comparison in comparisons if id(comparison) not in seen]:
        result.text.append(_left_out(left, [*mains, *others], frames))
    result.blocks.append(every_cell(comparisons, cost))
    return result


def _what_they_are(comparisons: list[Comparison]) -> str:
    """What each method that was compared is, in a sentence; controls in one of their own."""
    heads = pd.concat([comparison.heads for comparison in comparisons])
    own = method_order(heads.loc[~heads["external"], "method"])
    contenders, controls = (
        "; ".join(f"{method.name} is {method.about}" for method in map(described, own) if method.control is control)
        for control in (False, True)
    )
    said = [f"{contenders}."] if contenders else []
    return " ".join(said + ([f"Controls answer a question and do not compete: {controls}."] if controls else []))


def unscored(
    frames: Frames, what: str = "No finished run was scored", table: str = "scores", to: str = printed.FILL
) -> str:
    """What a section lacks that is made from `table` of the store, whose rows every finished run writes."""
    own = frames.runs[~frames.runs["external"]]
    if own.empty:
        return printed.missing(what, printed.fill("quickstart", frames), to=to)
    if (own["status"] == FINISHED).any():
        return (
            f"{what}: the store has no {table} of its finished runs; if it is a copy, copy its folder {table} as well"
        )
    return f"{what}: no run finished, see Failures; rerun the command that made them"


def seeds(comparison: Comparison) -> str:
    """How many seeds stand behind the means, in a sentence."""
    cells = comparison.shown()
    counts = sorted(set(cells.loc[~cells["external"], "seeds"]))
    if counts in ([], [1]):
        return "One seed each, so the spread over seeds is unknown."
    return f"Means of {' to '.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seeds."


def _one(result: Section, comparison: Comparison, cost: CostModel, in_full: int) -> None:
    frame = figure.data(comparison)
    if len(frame):
        bars = ", bars 95 % bootstrap intervals" if len(comparison.images) > 1 else ""
        caption = f"Dots are means over {comparison.pictures}{bars}. {seeds(comparison)}"
        caption += tables.variants(comparison, comparison.budgets)
        result.blocks.append(Picture(f"methods{comparison.slug}", comparison.title, caption, figure.draw(frame), frame))
    if len(comparison.budgets) > in_full and (overview := by_budget(comparison)) is not None:
        result.blocks.append(overview)
    for index, budget in enumerate(comparison.budgets):
        made = [tables.methods(comparison, budget, cost), tables.differences(comparison, budget)]
        for table in made:
            if table is None:
                continue
            about = f"{budget}, {'paired differences to mlb' if table is made[1] else 'methods compared'}."
            result.blocks.append(table if index < in_full else replace(table, about=about, title="", attached=True))


def by_budget(comparison: Comparison, measure: str = "sad") -> Table | None:
    """One measure of every method at every budget, and what differs significantly from `mlb` there."""
    frame = comparison.shown(measure)
    if frame.empty:
        return None
    what, places = BY_NAME[measure], max(1, decimals(frame["mean"]))

    def column(budget: Budget) -> Column:
        verdicts = comparison.beside(budget, comparison.reference(budget), measure=measure).set_index("cell")["verdict"]

        def show(row: dict) -> Cell:
            if budget not in row:
                return ABSENT
            value = row[budget]
            verdict = tables.SEEN_FROM_MLB.get(verdicts.get(value["cell"]), "")
            note = between(value["low"], value["high"], places)
            return Cell(number(value["mean"], places), f"{note}; {verdict}" if note and verdict else note)

        return Column(
            labels_in_short(budget.mattes, budget.masks, budget.grades), show, True, what.unit, "mattes + masks"
        )

    columns = [tables.method_column(), *map(column, comparison.budgets)]
    at = {budget: comparison.at(budget) for budget in comparison.budgets}
    records = []
    for _, part in frame.groupby("label", sort=False):
        found = {budget: part[part["cell"].isin(cells)] for budget, cells in at.items()}
        own = {budget: cells.iloc[0].to_dict() for budget, cells in found.items() if len(cells)}
        records.append(part.iloc[0].to_dict() | own)
    reference = any(comparison.reference(budget) is not None for budget in comparison.budgets)
    caption = f"{what.header} of every method at every budget, {comparison.pictures}, with 95 % bootstrap intervals."
    if reference:
        caption += " Where a method and mlb differ significantly, the better one is named."
    return Table(f"budgets{comparison.slug}", caption, columns, tables.plain(frame), records)


def every_cell(comparisons: list[Comparison], cost: CostModel) -> Table:
    """All cells of all networks and grounds: nothing that is left out of the page is lost."""
    parts = [
        tables.plain(comparison.cells).assign(**comparison.ground, **comparison.network) for comparison in comparisons
    ]
    frame = pd.concat(parts, ignore_index=True).assign(cost_unit=cost.unit)
    networks = {tuple(comparison.network.values()) for comparison in comparisons}
    grounds = by_ground(comparisons)
    about = (
        f"Every mean of every method, variant and network ({counted(len(networks), 'network')}, "
        f"{counted(len(grounds), 'test set', 'test sets or protocols')}), with its interval and run ids."
    )
    return Table("cells", about, (), frame, attached=True)


def _left_out(left: list[Comparison], shown: list[Comparison], frames: Frames) -> str:
    """What this section does not show: networks of the test sets that it shows, and further test sets."""
    known = {tuple(comparison.ground.values()) for comparison in shown}
    networks: dict[str, list[str]] = {}
    for comparison in left:
        if tuple(comparison.ground.values()) in known:
            networks.setdefault(comparison.ground["dataset"], []).append(comparison.network["backbone"])
    said = [
        f"{counted(len(names), 'further network')} on {dataset} ({listed(dict.fromkeys(names), 6)}; see Backbones)"
        for dataset, names in networks.items()
    ]
    if others := {tuple(comparison.ground.values()) for comparison in left} - known:
        said.append(counted(len(others), "further test set or protocol", "further test sets or protocols"))
    return (
        f"Not shown in this section: {listed(said)}. All are in tables/cells.csv, and "
        f"`wsshm report leaderboard {printed.store(frames)}` lists them."
    )


register(PageSection("methods", 20, lambda given: section(given.frames, given.comparisons, given.cost)))
