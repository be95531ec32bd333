"""Plans of labels as a table: the best split at each ratio of prices, with several grades of masks kind by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from bench.graded import column_of
from reports.document import ABSENT, Cell, Column, Table, decimals, listed, numbers, ranged, texts
from reports.plans import MATTES, Plan, Split, plural
from wsshm.grades import DEFAULT

NAME = "plan-budget"
COLUMNS = [
    *("ratio", "budget", "unit", "status", "buy_mattes", "buy_masks", "mattes", "masks"),
    *("mattes_low", "mattes_high", "masks_low", "masks_high", "sad", "low", "high", "regret", "reasons"),
]


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
            for kind, low, high in _intervals(each, few, many):
                of_grade = kind not in ("mattes", "masks")
                name = column_of(kind) if of_grade else kind
                count = best.of(kind) if of_grade else getattr(best, kind)
                there = each.have.by_grade.get(kind, 0) if of_grade else getattr(each.have, kind)
                ends = {f"{name}_low": low, f"{name}_high": high, name: count}
                record |= ends | {f"buy_{key}": int(number - there) for key, number in ends.items()}
            record |= {"sad": best.sad, "low": best.low, "high": best.high}
            record |= {"regret": answer.regret, "reasons": "; ".join(each.reasons)}
        records.append(record)

    def tone(row: dict) -> str:
        return "" if row["status"] == "supported" else "muted"

    def regret(row: dict) -> Cell:
        return Cell(f"{100 * row['regret']:.2g} %", tone=tone(row)) if "regret" in row else ABSENT

    columns = [
        Column("matte : mask", lambda row: f"{row['ratio']:.3g}", True, "ratio of prices"),
        numbers("mattes to buy", "buy_mattes", interval=("buy_mattes_low", "buy_mattes_high"), tone=tone),
        numbers("masks to buy", "buy_masks", interval=("buy_masks_low", "buy_masks_high"), tone=tone),
        numbers("predicted SAD", "sad", places, "10³ px", interval=("low", "high"), tone=tone),
        Column("SAD above the minimum, at most", regret, True),
        texts("supported by the data", "supported", tone=tone),
    ]
    price = f"A mask costs {first.cost.mask:,.6g} {first.cost.unit} throughout."
    several = len(first.grades) > 1
    if first.grades != (DEFAULT,):
        masks = [f"{grade} {first.cost.mask_of(grade):,.6g} {first.cost.unit}" for grade in first.grades]
        price = f"Prices of masks throughout: {listed(masks)}."
    split = f"Best split of {first.cost.format(first.budget)} for {first.method}; below each number its 95 % interval."
    caption = f"{split} {price}"
    if several:
        caption += (
            " Rounds: share of the bootstrap's rounds whose best split buys some. Regret: with 95 % confidence no other split"
            " has an SAD lower by more."
        )
    frame = pd.DataFrame(records)
    graded = [name for name in frame if any(column_of(grade) in name for grade in first.grades)]
    frame = frame[[name for name in (*COLUMNS, *graded) if name in frame]]
    if several:
        return Table(NAME, caption, _columns_by_kind(places), frame, _rows_by_kind(plans, records), sortable=False)
    return Table(NAME, caption, columns, frame, records)


def _rows_by_kind(plans: list[Plan], records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of several grades, a row for each kind of label; what holds for all kinds is in the first."""
    rows: list[dict[str, Any]] = []
    for each, record in zip(plans, records, strict=True):
        for spread in each.answer.spreads if each.answer else ():
            name = "buy_mattes" if spread.kind == MATTES else f"buy_{column_of(spread.kind)}"
            row = {"status": each.status, "name": plural(each.grades, spread.kind), "bought": spread.bought}
            row |= {"buy": record[name], "buy_low": record[f"{name}_low"], "buy_high": record[f"{name}_high"]}
            rows.append(row | (record if spread.kind == MATTES else {}))
        if each.answer is None:
            rows.append(record | {"name": ""})
    return rows


def _columns_by_kind(places: int) -> list[Column]:
    def tone(row: dict) -> str:
        return "" if row["status"] == "supported" else "muted"

    def percent(key: str, form: str) -> Callable[[dict], Cell]:
        return lambda row: Cell(f"{100 * row[key]:{form}} %", tone=tone(row)) if key in row else Cell("")

    def predicted(row: dict) -> Cell:
        return ranged(row["sad"], row["low"], row["high"], places, tone=tone(row)) if "sad" in row else Cell("")

    return [
        Column("matte", lambda row: f"{row['ratio']:.3g}" if "ratio" in row else "", True, "masks"),
        texts("kind", "name", tone=tone),
        numbers("buy", interval=("buy_low", "buy_high"), tone=tone),
        Column("rounds", percent("bought", ".0f"), True),
        Column("SAD", predicted, True, "10³ px"),
        Column("regret", percent("regret", ".2g"), True),
        Column("supported", lambda row: Cell(row.get("supported", ""), tone=tone(row))),
    ]


def _intervals(plan: Plan, few: Split, many: Split) -> list[tuple[str, int, int]]:
    """Kind of label, and the interval of its number in the best split."""
    assert plan.answer is not None
    if len(plan.grades) == 1:  # more of one are fewer of the other
        return [("mattes", few.mattes, many.mattes), ("masks", many.masks, few.masks)]
    return [(each.kind, each.low, each.high) for each in (*plan.answer.spreads, plan.answer.total)]
