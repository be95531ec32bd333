"""`wsshm report plan-budget`: which labels to buy next, as text, a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.cost import CostModel
from reports import marginal, printed
from reports.affordable import NONE
from reports.comparison import LABELS, Comparison, scored
from reports.document import Block, Picture, Table, counted
from reports.figures import grades as by_grade
from reports.figures import marginal as figure_of_gains
from reports.figures import planner as figure
from reports.figures.cost import RATIOS
from reports.figures.style import png_svg_pdf, theme
from reports.load import REFERENCE, Frames, load
from reports.measures import BY_NAME
from reports.plan_table import NAME, table
from reports.plans import Plan
from reports.remedies import more_of, remedy
from reports.splits import plan
from reports.support import CELLS_OF_GRADE, COUNTS_OF_GRADE, fittable, usable
from reports.worth import fit
from reports.write import check_outside, put
from wsshm.errors import UserError, nearest
from wsshm.files.tables import csv_text


def plan_budget(store: str | Path, budget: float, cost: CostModel, out: Path | None = None, **asked: Any) -> list[Plan]:
    """Print which labels to buy with `budget` by the runs in `store`, as `plans_of` is `asked`; one plan per ratio of prices.

    With `out`, the figure, its data and the table go there. Data that carry no answer are no error: the plan's status
    says so. Raises UserError for a store without runs of the method, or a budget that buys nothing.
    """
    from reports.terminal import show  # only the command prints

    if out is not None:
        check_outside(out, store)
    plans, notes = plans_of(load(store), budget, cost, **asked)
    if len(plans) > 1:
        show([table(plans)], notes=True)
    # What holds at every ratio is said once.
    print(*dict.fromkeys([*(sentence for each in plans for sentence in each.sentences()), *notes]), sep="\n")
    if len(plans[0].grades) > 1 and plans[0].answer:
        show([marginal.table(plans[0])], notes=True)
    if out is not None:
        print(f"Written to {_written(plans, Path(out))}")
    return plans


def plans_of(
    frames: Frames,
    budget: float,
    cost: CostModel,
    ratios: Sequence[float] = (),
    method: str = REFERENCE,
    on: str | None = None,
    **labels: Any,
) -> tuple[list[Plan], list[str]]:
    """One plan per ratio of prices, and notes on which runs they rest; nothing is printed.

    `budget` is in `cost.unit`; `ratios` are prices of a matte in masks (none: the prices of `cost`); `on` is the title of
    a comparison where the store holds several; `labels` are `have`, `most_mattes` and `most_masks` of `reports.splits.plan`.
    """
    comparison = _chosen(scored(frames, cost), method, on)
    runs, about, notes = measured(frames, comparison, method)
    return plans_at(runs, priced(cost, ratios), budget, **about, **labels), notes


def measured(
    frames: Frames, comparison: Comparison, method: str = REFERENCE
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """One row per run of `method` (a method or a variant's label): run_id, mattes, masks, seed, sad over the same images,
    grades (of its masks, as of `reports.comparison.Budget`).

    Of several variants the one with most numbers of labels is taken, then the one with the lowest error on the
    validation set. Also returns what `reports.splits.plan` is told of these runs, and notes on what is left out.
    """
    own, notes = named(comparison, method), []
    if len(own["label"].unique()) > 1:
        rank = own.groupby("label", sort=False)["val_sad"].agg(["size", "mean"])
        chosen = rank.sort_values(["size", "mean"], ascending=[False, True], kind="stable").index[0]
        notes.append(
            f"{method} has {len(rank)} variants; this plan is made from the one with runs at the most label budgets, "
            f"'{chosen}'. Choose another with --method."
        )
        own = own[own["label"] == chosen]
    ids = list(own["run_ids"].explode())
    means = comparison.values(BY_NAME["sad"])[ids].dropna().mean().rename("sad")  # over the images that all runs have
    grades = own[["run_ids", "grades"]].explode("run_ids").set_index("run_ids")["grades"]
    frame = frames.runs.set_index("run_id").loc[ids, ["mattes", "masks", "seed"]].join(means).join(grades)
    about = {"method": own["label"].iloc[0], "where": comparison.where, "base": printed.base_of(frames.runs, ids)}
    frame = frame.astype({"mattes": int, "masks": int}).reset_index(names="run_id")
    for grade, lacking in usable(frame).short.items():
        notes.append(
            f"Left out: {grade} masks. The runs have {lacking}, and it takes {CELLS_OF_GRADE} with {COUNTS_OF_GRADE} numbers"
            f" of {grade} masks to say what these are worth: {more_of(frame, grade, about['method'], about['base'])}"
        )
    return frame, about, notes


def picture(plans: list[Plan]) -> Picture:
    """The figure of plans with the same runs."""
    first = plans[0]
    if len(first.grades) > 1:
        return _picture_by_grade(first)
    caption = (
        f"Predicted SAD of {first.method} over numbers of labels; hatched outside the measured range. Dots are the "
        f"{counted(len(first.runs.drop_duplicates(['mattes', 'masks'])), 'pair')} of numbers that were "
        f"({counted(first.runs['seed'].nunique(), 'seed')}), coloured by how far they lie from the law. Lines are what "
        f"{first.cost.format(first.budget)} buys, marks the splits with the lowest predicted SAD, thick parts and bars "
        "their 95 % intervals. Below: the same lines over the share of the money spent on mattes, with the 95 % band "
        "of the first."
    )
    frame = figure.data(plans)
    return Picture(NAME, first.where or first.method, caption, figure.draw(frame), frame)


def _picture_by_grade(plan: Plan) -> Picture:
    beside = " beside the labels already there" if plan.have != NONE else ""
    caption = (
        f"Predicted SAD of {plan.method} over mattes and masks of each grade{beside}, with the same contours; hatched outside"
        " of what was measured with the grade. Dots are the numbers that were measured, coloured by how far they lie from the"
        f" law. Lines are what {plan.cost.format(plan.budget)} buys ({plan.prices}), marks the splits with the lowest"
        " predicted SAD. Below: the same lines over the share of the money spent on mattes; the grey band is the best mixture"
        " of grades, the star the proposed split."
    )
    frame = by_grade.data(plan)
    return Picture(NAME, plan.where or plan.method, caption, by_grade.draw(frame), frame)


def picture_of_gains(plan: Plan) -> Picture:
    """The figure of what more of each kind would bring."""
    whose = "the proposed split" if plan.have == NONE else "the labels already there"
    caption = (
        f"Left: predicted SAD of {plan.method} over further money, from {whose} ({marginal.start(plan)}), all of it on one"
        " kind; thin where that is far outside of what was measured; the grey band is the best split of it. Right: how far"
        f" the SAD falls at the beginning, over {plan.cost.format(marginal.STEP * plan.budget)}, with 95 % intervals."
    )
    frame = figure_of_gains.data(plan)
    return Picture(marginal.NAME, plan.where or plan.method, caption, figure_of_gains.draw(frame), frame)


def blocks(plans: list[Plan]) -> list[Block]:
    """The figures and tables of plans over one fit; with several grades of masks also what more of each kind would bring."""
    first = plans[0]
    if len(first.grades) == 1 or first.answer is None:
        return [picture(plans), table(plans)] if first.answer else [table(plans)]
    return [picture(plans), table(plans), picture_of_gains(first), marginal.table(first)]


def plans_at(runs: pd.DataFrame, prices: list[CostModel], budget: float, **about: Any) -> list[Plan]:
    """One plan per price over a single fit: the law does not depend on prices."""
    used = usable(runs)
    fitted = fit(used.runs, used.grades) if fittable(used.first) else None
    return [plan(runs, cost, budget, fitted=fitted, **about) for cost in prices]


def _chosen(comparisons: list[Comparison], method: str, on: str | None) -> Comparison:
    """The comparison to plan by: the one named, else the one where the method had most numbers of labels."""
    if on is not None:
        titles = [comparison.title for comparison in comparisons]
        if on not in titles:
            raise UserError(f"the store has no comparison {on!r}; {nearest(on, titles)}")
        comparisons = [comparison for comparison in comparisons if comparison.title == on]
    trained = [each.of("sad", own=True) for each in comparisons]
    names = {name for cells in trained for column in ("label", "method") for name in cells[column]}
    if method not in names:
        raise UserError(f"the store has no finished runs of the method {method!r}; {nearest(method, names)}")
    return max(comparisons, key=lambda each: len(named(each, method)[LABELS].drop_duplicates()))


def named(comparison: Comparison, name: str) -> pd.DataFrame:
    """The cells with an SAD of a variant with this label, else of the method, whose labels are known."""
    cells = comparison.of("sad", own=True)
    variant = cells[cells["label"] == name]
    return variant if len(variant) else cells[cells["method"] == name]


@dataclass(frozen=True)
class Purchase:
    """Which labels to buy by a whole store: `plans` at the prices given, then at other ratios of prices, or why there are none.

    `command` is the sweep that would make a plan possible, `otherwise` says in words what to do if no command would.
    """

    plans: list[Plan]
    notes: list[str]
    command: str = ""
    otherwise: str = ""


def purchase(frames: Frames, comparisons: list[Comparison], cost: CostModel, budget: float | None = None) -> Purchase:
    """By the first comparison with runs of `mlb` that a law can be fitted to, for `budget`.

    Without a budget for what the largest measured labels cost: what would have been the best use of that.
    """
    lacking: Purchase | None = None
    for comparison in comparisons:
        if named(comparison, REFERENCE).empty:
            continue
        runs, about, notes = measured(frames, comparison)
        used = usable(runs)
        if fittable(used.first):
            most = used.first[["mattes", "masks"]].max()
            money = budget or cost.of(most["mattes"], {used.grades[0]: most["masks"]})
            own = cost.matte / cost.mask
            prices = [cost, *priced(cost, [ratio for ratio in RATIOS if abs(ratio / own - 1) > 0.02])]
            return Purchase(plans_at(runs, prices, money, **about), notes)
        if lacking is None:
            said = remedy(used.runs, about["method"], about["base"], NONE, NONE, used.grades)
            lacking = Purchase([], [], *((said, "") if said.startswith("wsshm ") else ("", said)))
    if lacking is None and frames.runs["external"].all():
        lacking = Purchase([], [], printed.fill("annotation-cost", frames))
    return lacking or Purchase([], [], "", f"train {REFERENCE} with three numbers of mattes and three of masks")


def priced(cost: CostModel, ratios: Sequence[float]) -> list[CostModel]:
    """The cost model at each ratio of a matte's price to a mask's, the mask's kept; without ratios as it is."""
    for ratio in ratios:
        if not 0 < ratio < float("inf"):
            raise UserError(f"the ratio {ratio:g} must be positive: the price of a matte in masks, such as 10")
    return [replace(cost, matte=ratio * cost.mask, matte_source=f"{ratio:g} masks") for ratio in ratios] or [cost]


def _written(plans: list[Plan], out: Path) -> Path:
    """Write the tables and, where there is a fit, the figures and their data; each file whole or not there."""
    files: dict[str, bytes] = {}
    with theme():
        for block in blocks(plans):
            name = block.name
            if isinstance(block, Table):
                files[f"{name}.csv"] = csv_text(block.frame).encode()
            elif isinstance(block, Picture):
                files |= {f"{name}{ending}": content for ending, content in png_svg_pdf(block.figure).items()}
                files[f"{name}-figure.csv"] = csv_text(block.frame).encode()
    put(out, files, "the plan")
    return out
