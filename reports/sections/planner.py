"""Which labels to buy next, by what the store's runs say."""

from __future__ import annotations

from bench.cost import CostModel
from reports import planner, printed
from reports.comparison import Comparison
from reports.document import Section
from reports.load import Frames
from reports.planner import Purchase, blocks
from reports.sections import PageSection, register

MISSING = "The runs cover too few label budgets to say which labels to buy next"


def section(frames: Frames, comparisons: list[Comparison], cost: CostModel, budget: float | None = None) -> Section:
    """The page's section on the labels to buy next, at the prices given and at other ratios of them.

    Without a budget it plans what the largest measured labels cost: what would have been the best use of that. It is
    left out where no comparison has runs of `mlb` with enough numbers of labels.
    """
    return _section(planner.purchase(frames, comparisons, cost, budget), budget)


def _section(found: Purchase, budget: float | None) -> Section:
    result = Section("planner", "Which labels to buy")
    if not found.plans:
        result.missing = printed.missing(MISSING, found.command, found.otherwise)
        return result
    why = "" if budget else " This is the cost of the largest numbers of labels in the runs."
    first, *others = found.plans[0].sentences()
    result.text = [first + why, *others]
    result.notes = [*found.notes, "For another budget, or labels you already have: wsshm report plan-budget --help"]
    result.blocks = blocks(found.plans)
    return result


register(PageSection("planner", 40, lambda given: _section(given.purchase, given.budget)))
