"""`wsshm report plan-budget`: which labels to buy next, as text, a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.cost import CostModel
from reports import printed
from reports.comparison import LABELS, Comparison, scored
from reports.document import ABSENT, Cell, Column, Picture, Table, by_grade, counted, decimals, listed, numbers, texts
from reports.figures import planner as figure
from reports.figures.style import png_svg_pdf, theme
from reports.laws import fit
from reports.load import REFERENCE, Frames, load
from reports.measures import BY_NAME
from reports.splits import Plan, plan
from reports.support import fittable
from reports.write import check_outside, put
from wsshm.errors import UserError, nearest
from wsshm.files.tables import csv_text
from wsshm.grades import DEFAULT

NAME = "plan-budget"
COLUMNS = [
    *("ratio", "budget", "unit", "status", "buy_mattes", "buy_masks", "mattes", "masks"),
    *("mattes_low", "mattes_high", "masks_low", "masks_high", "sad", "low", "high", "regret", "reasons"),
]


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
    """One row per run of `method` (a method or a variant's label): run_id, mattes, masks, seed, sad over the same images.

    Of several variants the one with most numbers of labels is taken, then the one with the lowest error on the
    validation set. Also returns what `reports.splits.plan` is told of these runs, and notes on what was left out.
    """
    every = named(comparison, method)
    own, notes = every[every["grades"] == ""], []
    if graded := sorted(set(every["grades"]) - {""}):
        notes.append(
            f"Left out: runs of {method} with masks of another grade than {DEFAULT} ({listed(map(by_grade, graded), 3)}); this"
            f" plan is of {DEFAULT} masks alone."
        )
    if own.empty:
        raise UserError(
            f"all runs of {method} have masks of another grade than {DEFAULT}; this plan needs some of {DEFAULT}"
        )
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
    frame = frames.runs.set_index("run_id").loc[ids, ["mattes", "masks", "seed"]].join(means)
    about = {"method": own["label"].iloc[0], "where": comparison.where, "base": printed.base_of(frames.runs, ids)}
    return frame.astype({"mattes": int, "masks": int}).reset_index(names="run_id"), about, notes


def picture(plans: list[Plan]) -> Picture:
    """The figure of plans with the same runs."""
    first = plans[0]
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


def table(plans: list[Plan]) -> Table:
    """The best split at each ratio of prices."""
    first = plans[0]
    answers = [each.answer for each in plans if each.answer]
    places = decimals(answer.best.sad for answer in answers)
    records: list[dict[str, Any]] = []
    for each in plans:
        record = {"ratio": each.ratio, "budget": each.budget, "unit": each.cost.unit, "status": each.status}
        record["supported"] = f"{each.status}, extrapolated" if each.extrapolated else each.status
        if answer := each.answer:
            best, (few, many) = answer.best, answer.interval
            for kind, low, high in (("mattes", few, many), ("masks", many, few)):  # more of one are fewer of the other
                ends = {
                    f"{kind}_low": getattr(low, kind),
                    f"{kind}_high": getattr(high, kind),
                    kind: getattr(best, kind),
                }
                record |= ends | {f"buy_{name}": count - getattr(each.have, kind) for name, count in ends.items()}
            record |= {"sad": best.sad, "low": best.low, "high": best.high}
            record |= {"regret": answer.regret, "reasons": "; ".join(each.reasons)}
        records.append(record)

    def tone(row: dict) -> str:
        return "" if row["status"] == "supported" else "muted"

    columns = [
        Column("matte : mask", lambda row: f"{row['ratio']:.3g}", True, "ratio of prices"),
        numbers("mattes to buy", "buy_mattes", interval=("buy_mattes_low", "buy_mattes_high"), tone=tone),
        numbers("masks to buy", "buy_masks", interval=("buy_masks_low", "buy_masks_high"), tone=tone),
        numbers("predicted SAD", "sad", places, "10³ px", interval=("low", "high"), tone=tone),
        Column(
            "SAD above the minimum, at most",
            lambda row: Cell(f"{100 * row['regret']:.2g} %", tone=tone(row)) if "regret" in row else ABSENT,
            True,
        ),
        texts("supported by the data", "supported", tone=tone),
    ]
    caption = (
        f"Best split of {first.cost.format(first.budget)} for {first.method}; below each number its 95 % interval. A "
        f"mask costs {first.cost.mask:,.6g} {first.cost.unit} throughout."
    )
    frame = pd.DataFrame(records)
    return Table(NAME, caption, columns, frame[[name for name in COLUMNS if name in frame]], records)


def plans_at(runs: pd.DataFrame, prices: list[CostModel], budget: float, **about: Any) -> list[Plan]:
    """One plan per price over a single fit: the law does not depend on prices."""
    fitted = fit(runs) if fittable(runs) else None
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


def priced(cost: CostModel, ratios: Sequence[float]) -> list[CostModel]:
    """The cost model at each ratio of a matte's price to a mask's, the mask's kept; without ratios as it is."""
    for ratio in ratios:
        if not 0 < ratio < float("inf"):
            raise UserError(f"the ratio {ratio:g} must be positive: the price of a matte in masks, such as 10")
    return [replace(cost, matte=ratio * cost.mask, matte_source=f"{ratio:g} masks") for ratio in ratios] or [cost]


def _written(plans: list[Plan], out: Path) -> Path:
    """Write the table and, where there is a fit, the figure and its data; each file whole or not there."""
    files = {f"{NAME}.csv": csv_text(table(plans).frame).encode()}
    if plans[0].answer:
        with theme():
            shown = picture(plans)
            files |= {f"{NAME}{ending}": content for ending, content in png_svg_pdf(shown.figure).items()}
        files[f"{NAME}-figure.csv"] = csv_text(shown.frame).encode()
    put(out, files, "the plan")
    return out
