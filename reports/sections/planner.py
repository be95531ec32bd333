"""Which labels to buy next, by what the store's runs say."""

from __future__ import annotations

from bench.cost import CostModel
from reports import printed, remedies, support
from reports.affordable import NONE
from reports.comparison import Comparison
from reports.document import Section
from reports.figures.cost import RATIOS
from reports.load import REFERENCE, Frames
from reports.planner import blocks, measured, named, plans_at, priced
from reports.sections import PageSection, register

MISSING = "The runs cover too few label budgets to say which labels to buy next"


def section(frames: Frames, comparisons: list[Comparison], cost: CostModel, budget: float | None = None) -> Section:
    """The page's section on the labels to buy next, at the prices given and at `RATIOS`.

    Without a budget it plans what the largest measured labels cost: what would have been the best use of that. It is
    left out where no comparison has runs of `mlb` with enough numbers of labels.
    """
    result = Section("planner", "Which labels to buy")
    for comparison in comparisons:
        if named(comparison, REFERENCE).empty:
            continue
        runs, about, notes = measured(frames, comparison)
        used = support.usable(runs)
        if not support.fittable(used.first):
            remedy = remedies.remedy(used.runs, about["method"], about["base"], NONE, NONE, used.grades)
            command = remedy if remedy.startswith("wsshm ") else ""
            result.missing = result.missing or printed.missing(MISSING, command, remedy)
            continue
        most = used.first[["mattes", "masks"]].max()
        money = budget or cost.of(most["mattes"], {used.grades[0]: most["masks"]})
        own = cost.matte / cost.mask
        prices = [cost, *priced(cost, [ratio for ratio in RATIOS if abs(ratio / own - 1) > 0.02])]
        plans = plans_at(runs, prices, money, **about)
        why = "" if budget else " This is the cost of the largest numbers of labels in the runs."
        first, *others = plans[0].sentences()
        result.text = [first + why, *others]
        result.notes = [*notes, "For another budget, or labels you already have: wsshm report plan-budget --help"]
        result.blocks = blocks(plans)
        return result
    if not result.missing and frames.runs["external"].all():
        result.missing = printed.missing(MISSING, printed.fill("annotation-cost", frames))
    result.missing = result.missing or f"{MISSING}: train {REFERENCE} with three numbers of mattes and three of masks"
    return result


register(PageSection("planner", 40, lambda given: section(given.frames, given.comparisons, given.cost, given.budget)))
