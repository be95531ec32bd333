"""What `plan-budget` is asked in: an amount to spend, ratios of prices, labels that are or can be there."""

from __future__ import annotations

import math
import re

from bench.cost import SECONDS, CostModel
from reports.comparison import Budget
from wsshm.errors import UserError, nearest
from wsshm.grades import DEFAULT, GRADES, text_of

NUMBER = r"[0-9][0-9,_]*\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+"


def budget(text: str, cost: CostModel) -> float:
    """An amount in the cost's unit: `5000` as it is, `30h`, `90min` or `5000s` where labels cost time, `5000EUR` money.

    Raises UserError where it is no positive amount, or of another unit than the prices.
    """
    match = re.fullmatch(rf"({NUMBER})\s*([A-Za-z]*)", text.strip())
    amount = float(re.sub("[,_]", "", match[1])) if match else math.nan
    if not match or not 0 < amount < math.inf:
        raise UserError(f"the budget {text!r} is no positive amount; write for example 5000, 30h or 5000EUR")
    unit = match[2]
    if not unit:
        return amount
    if cost.is_time and unit in SECONDS:
        return amount * SECONDS[unit]
    if unit == cost.unit:
        return amount
    prices = "time" if cost.is_time else cost.unit
    remedy = "--cost matte=23EUR,mask=2EUR gives prices in money" if cost.is_time else f"give it in {cost.unit}"
    raise UserError(f"the budget {text!r} is in {unit} but labels are priced in {prices}; {remedy}")


def ratios(text: str) -> list[float]:
    """Ratios of a matte's price to a mask's, comma-separated."""
    result = []
    for part in text.split(","):
        try:
            ratio = float(part)
        except ValueError:
            ratio = math.nan
        if not 0 < ratio < math.inf:
            raise UserError(f"the ratio {part.strip()!r} is no positive number; write for example --ratio 5,10,20")
        result.append(ratio)
    return result


def owned(text: str) -> Budget:
    """Labels that are there already, as `mattes=40,masks=1000` or, by grade, `mattes=40,masks.fine=100`.

    `masks` is short for those of the default grade; a kind that is not named counts 0. Raises UserError naming the part that
    is wrong.
    """
    counts = _counts(text, "--have", ["mattes", "masks", *(f"masks.{grade}" for grade in GRADES)], "masks.")
    masks = {grade: counts[name] for grade in GRADES if (name := f"masks.{grade}") in counts}
    return Budget(counts.get("mattes", 0), sum(masks.values()), text_of(masks))


def most_masks(text: str) -> dict[str, int]:
    """Most masks there can be, by grade: `2000` of the default grade, or `polygon=2000,fine=300`.

    Raises UserError naming the part that is wrong.
    """
    if text.strip().isdecimal():
        return {DEFAULT: int(text)}
    return _counts(text, "--most-masks", list(GRADES))


def _counts(text: str, option: str, names: list[str], before: str = "") -> dict[str, int]:
    """Whole numbers by name; `before` begins the names of grades, without a grade the default one."""
    example = "mattes=40,masks=1000" if before else "polygon=2000,fine=300"
    result: dict[str, int] = {}
    for part in text.split(","):
        name, _, count = (piece.strip() for piece in part.partition("="))
        if name not in names:
            raise UserError(f"{option} names {name!r}; {nearest(name, names)}")
        if not count.isdecimal():
            raise UserError(f"{option} {part.strip()!r} names no whole number; write for example {example}")
        name = f"{before}{DEFAULT}" if f"{name}." == before else name
        if name in result:
            raise UserError(f"{option} names {name} twice; give one number for each")
        result[name] = int(count)
    return result
