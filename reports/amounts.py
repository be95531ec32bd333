"""What `plan-budget` is asked in: an amount to spend, ratios of prices, labels that are there already."""

from __future__ import annotations

import math
import re

from bench.cost import LABELS, SECONDS, CostModel
from wsshm.errors import UserError, nearest

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


def owned(text: str) -> dict[str, int]:
    """Labels that are there already, as `mattes=40,masks=1000`; a kind that is not named counts 0."""
    kinds = [f"{label}s" for label in LABELS]
    result = dict.fromkeys(kinds, 0)
    for part in text.split(","):
        kind, _, count = (piece.strip() for piece in part.partition("="))
        if kind not in kinds:
            raise UserError(f"--have names {kind!r}; {nearest(kind, kinds)}")
        if not count.isdecimal():
            raise UserError(f"--have {part.strip()!r} names no whole number; write for example mattes=40,masks=1000")
        result[kind] = int(count)
    return result
