"""`reports plan-budget`: from a store to the labels to buy next, in words, as a table and as a figure."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.cost import CostModel
from reports.comparison import BY_NAME, Budget, Comparison, compare
from reports.document import Cell, Column, Picture, Section, Table, between, counted, decimals, number
from reports.figures import planner as figure
from reports.figures.cost import RATIOS
from reports.figures.style import png_svg_pdf, theme
from reports.load import REFERENCE, Frames, load
from reports.splits import NONE, Answer, Plan, Split, plan
from reports.support import fittable
from wsshm.errors import UserError, nearest

__all__ = ["Answer", "Plan", "Split", "measured", "plan", "plan_budget", "plans_of", "section"]

NAME = "plan-budget"
MISSING = "Runs with too few numbers of labels to say which to buy next; python -m sweeps run annotation-cost"


def plan_budget(
    store: str | Path,
    budget: float,
    cost: CostModel,
    ratios: Sequence[float] = (),
    method: str = REFERENCE,
    have: Budget = NONE,
    most_mattes: int | None = None,
    most_masks: int | None = None,
    on: str | None = None,
    out: Path | None = None,
) -> list[Plan]:
    """Print which labels to buy with `budget` by the runs in `store`; one plan per ratio of prices.

    `budget` is in `cost.unit`; `have` is there already and costs nothing more; `most_*` is how many labels there can be
    in all; `ratios` are prices of a matte in masks (none: the prices of `cost`); `on` is the title of a comparison
    where the store holds several. With `out`, the figure, its data and the table go there. Data that carry no answer
    are no error: the plan's status says so. Raises UserError for a store without runs of the method, or a budget that
    buys nothing.
    """
    from reports.terminal import show  # only the command prints

    plans, notes = plans_of(load(store), budget, cost, ratios, method, have, most_mattes, most_masks, on)
    if len(plans) > 1:
        show([table(plans)], notes=True)
    said: dict[str, None] = {}  # what holds at every ratio is said once
    for sentence in [sentence for each in plans for sentence in each.sentences()] + notes:
        said.setdefault(sentence)
    print(*said, sep="\n")
    if out is not None:
        print(f"Written to {_written(plans, Path(out))}")
    return plans


def plans_of(
    frames: Frames,
    budget: float,
    cost: CostModel,
    ratios: Sequence[float] = (),
    method: str = REFERENCE,
    have: Budget = NONE,
    most_mattes: int | None = None,
    most_masks: int | None = None,
    on: str | None = None,
) -> tuple[list[Plan], list[str]]:
    """The plans of `plan_budget`, and notes on which runs they rest; nothing is printed."""
    comparison = _chosen(compare(frames, cost), method, on, frames.root)
    runs, name, notes = measured(frames, comparison, method)
    return _plans(runs, _priced(cost, ratios), budget, have, most_mattes, most_masks, name, comparison.where), notes


def measured(frames: Frames, comparison: Comparison, method: str = REFERENCE) -> tuple[pd.DataFrame, str, list[str]]:
    """One row per run of `method` (a method or a variant's label): mattes, masks, seed, sad over the same images.

    Of several variants the one with most numbers of labels is taken, then the one with the lowest error on the
    validation set. Also returns its label, and notes on what was left out.
    """
    cells = _trained(comparison)
    own = cells[cells["label"] == method]
    own = own if len(own) else cells[cells["method"] == method]
    notes = []
    if len(own["label"].unique()) > 1:
        rank = own.groupby("label", sort=False)["val_sad"].agg(["size", "mean"])
        chosen = rank.sort_values(["size", "mean"], ascending=[False, True], kind="stable").index[0]
        notes.append(
            f"Of {len(rank)} variants of {method}, {chosen} has runs with most numbers of labels and is used; name "
            "another by --method."
        )
        own = own[own["label"] == chosen]
    ids = [run for found in own["run_ids"] for run in found]
    means = comparison.values(BY_NAME["sad"])[ids].dropna().mean().rename("sad")  # over the images that all runs have
    frame = frames.runs.set_index("run_id").loc[ids, ["mattes", "masks", "seed"]].join(means)
    return frame.astype({"mattes": int, "masks": int}).reset_index(drop=True), str(own["label"].iloc[0]), notes


def section(frames: Frames, comparisons: list[Comparison], cost: CostModel, budget: float | None = None) -> Section:
    """The page's section on the labels to buy next, at the prices given and at `RATIOS`.

    Without a budget it plans what the largest measured labels cost: what would have been the best use of that. It is
    left out where no comparison has runs of `mlb` with enough numbers of labels.
    """
    result = Section("planner", "Which labels to buy", missing=MISSING)
    for comparison in comparisons:
        if not (_trained(comparison)["method"] == REFERENCE).any():
            continue
        runs, name, notes = measured(frames, comparison)
        if not fittable(runs):
            continue
        money = budget or cost.of(runs["mattes"].max(), runs["masks"].max())
        own = cost.matte / cost.mask
        prices = [cost, *_priced(cost, [ratio for ratio in RATIOS if abs(ratio / own - 1) > 0.02])]
        plans = _plans(runs, prices, money, NONE, None, None, name, comparison.where)
        why = "" if budget else " That is what the largest numbers of labels that were measured cost."
        result.text = [plans[0].sentences()[0] + why, *plans[0].sentences()[1:]]
        result.notes = [*notes, "Another budget, or labels already there: python -m reports plan-budget --help"]
        result.blocks = [picture(plans), table(plans)]
        break
    return result


def picture(plans: list[Plan]) -> Picture:
    """The figure of plans with the same runs."""
    first = plans[0]
    caption = (
        f"Predicted SAD of {first.method} over numbers of labels; hatched where nothing was measured. Dots are the "
        f"{counted(len(first.runs.drop_duplicates(['mattes', 'masks'])), 'pair')} of numbers that were "
        f"({counted(first.runs['seed'].nunique(), 'seed')}), coloured by how far they lie from the law. Lines are what "
        f"{first.cost.format(first.budget)} buy, marks the splits with the least predicted SAD, thick parts and bars "
        "their 95 % intervals. Below: the same lines by what part of the money goes to mattes, with the 95 % band of "
        "the first."
    )
    frame = figure.data(plans)
    return Picture(NAME, first.where or first.method, caption, figure.draw(frame), frame)


def table(plans: list[Plan]) -> Table:
    """The best split at each ratio of prices."""
    first = plans[0]
    answers = [each.answer for each in plans if each.answer]
    places = decimals(answer.best.sad for answer in answers)
    rows, records = [], []
    for each in plans:
        record = {"ratio": each.ratio, "budget": each.budget, "unit": each.cost.unit, "status": each.status}
        if (answer := each.answer) is None:
            rows.append([Cell(f"{each.ratio:.3g}"), *[Cell("–", tone="muted")] * 4, Cell(each.status, tone="muted")])
            records.append(record)
            continue
        best, (few, many), buy = answer.best, answer.interval, each.bought(answer.best)
        bought = [each.bought(split) for split in (few, many)]
        tone = "muted" if each.reasons else ""
        rows.append(
            [
                Cell(f"{each.ratio:.3g}"),
                Cell(f"{buy.mattes:,}", f"{bought[0].mattes:,} to {bought[1].mattes:,}", tone),
                Cell(f"{buy.masks:,}", f"{bought[1].masks:,} to {bought[0].masks:,}", tone),
                Cell(number(best.sad, places), between(best.low, best.high, places), tone),
                Cell(f"{100 * answer.regret:.2g} %", tone=tone),
                Cell(f"{each.status}, extrapolated" if each.extrapolated else each.status, tone=tone),
            ]
        )
        record |= {"buy_mattes": buy.mattes, "buy_masks": buy.masks, "mattes": best.mattes, "masks": best.masks}
        record |= {"mattes_low": few.mattes, "mattes_high": many.mattes, "masks_low": many.masks}
        record |= {"masks_high": few.masks, "sad": best.sad, "low": best.low, "high": best.high}
        records.append(record | {"regret": answer.regret, "reasons": "; ".join(each.reasons)})
    columns = [
        Column("matte : mask", unit="ratio of prices"),
        Column("mattes to buy"),
        Column("masks to buy"),
        Column("predicted SAD", unit="10³ px"),
        Column("at most above the least"),
        Column("the data's support", numeric=False),
    ]
    caption = (
        f"Best split of {first.cost.format(first.budget)} for {first.method}: small print is the 95 % interval. A "
        f"mask costs {first.cost.mask:,.6g} {first.cost.unit} throughout."
    )
    return Table(NAME, caption, columns, rows, pd.DataFrame(records))


def _plans(
    runs: pd.DataFrame,
    prices: list[CostModel],
    budget: float,
    have: Budget,
    most_mattes: int | None,
    most_masks: int | None,
    method: str,
    where: str,
) -> list[Plan]:
    """One plan per price over a single fit: the law does not depend on prices."""
    plans: list[Plan] = []
    for cost in prices:
        fitted = plans[0].answer.fitted if plans and plans[0].answer else None
        plans.append(plan(runs, cost, budget, have, most_mattes, most_masks, method, where, fitted))
    return plans


def _chosen(comparisons: list[Comparison], method: str, on: str | None, root: str) -> Comparison:
    """The comparison to plan by: the one named, else the one where the method had most numbers of labels."""
    if not comparisons:
        raise UserError(f"no finished run in {root} was scored; run: python -m sweeps run annotation-cost")
    if on is not None:
        titles = [comparison.title for comparison in comparisons]
        if on not in titles:
            raise UserError(f"the store has no comparison {on!r}; {nearest(on, titles)}")
        comparisons = [comparison for comparison in comparisons if comparison.title == on]
    names = {name for each in comparisons for column in ("label", "method") for name in _trained(each)[column]}
    if method not in names:
        raise UserError(f"the store has no finished runs of the method {method!r}; {nearest(method, names)}")

    def pairs(comparison: Comparison) -> int:
        cells = _trained(comparison)
        own = cells[(cells["label"] == method) | (cells["method"] == method)]
        return len(own[["mattes", "masks"]].drop_duplicates())

    return max(comparisons, key=pairs)


def _trained(comparison: Comparison) -> pd.DataFrame:
    """The cells with an SAD whose labels are known: not predictions that were made elsewhere."""
    cells = comparison.cells
    return cells[(cells["measure"] == "sad") & ~cells["external"].astype(bool)]


def _priced(cost: CostModel, ratios: Sequence[float]) -> list[CostModel]:
    """The cost model at each ratio of a matte's price to a mask's, the mask's kept; without ratios as it is."""
    for ratio in ratios:
        if not 0 < ratio < float("inf"):
            raise UserError(f"the ratio {ratio:g} must be positive: the price of a matte in masks, such as 10")
    return [replace(cost, matte=ratio * cost.mask, matte_source=f"{ratio:g} masks") for ratio in ratios] or [cost]


def _written(plans: list[Plan], out: Path) -> Path:
    """Write the table and, where there is a fit, the figure and its data; each file whole or not there."""
    splits = table(plans).frame
    files = {f"{NAME}.csv": splits.to_csv(index=False, lineterminator="\n").encode()}
    if plans[0].answer:
        with theme():
            shown = picture(plans)
            drawings = png_svg_pdf(shown.figure)
        files |= {f"{NAME}.png": drawings[0], f"{NAME}.svg": drawings[1].encode(), f"{NAME}.pdf": drawings[2]}
        files[f"{NAME}-figure.csv"] = shown.frame.to_csv(index=False, lineterminator="\n").encode()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"the plan cannot go to {out}: there is a file of that name; give another folder") from None
    for name, content in files.items():
        temporary = out / f".{name}.{uuid.uuid4().hex}.tmp"
        try:
            temporary.write_bytes(content)
            os.replace(temporary, out / name)
        finally:
            temporary.unlink(missing_ok=True)
    return out
