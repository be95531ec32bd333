"""The cost of labels: a price per matte and per mask, in annotation time or money.

The defaults are published annotation times. No academic source for the time of one alpha matte was found, so that the
ratio of the two prices is uncertain (about 6 to 12) and every report says which prices it used.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from wsshm.errors import UserError, nearest

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
LABELS = ("matte", "mask")
EXAMPLE = "matte=690s,mask=79.2s or matte=23EUR,mask=2EUR"

MATTE_SOURCE = (
    "midpoint of 480 to 900 s, an industry figure for rotoscoping one frame with hair or motion blur by hand "
    "(low to medium confidence; no academic figure was found)"
)
MASK_SOURCE = "time of one polygon mask of a COCO instance, PointSup (arXiv 2104.06404)"
GIVEN = "given by the user"


@dataclass(frozen=True)
class CostModel:
    """Price of one matte and of one mask, both in `unit`: `s` (annotation time) or a currency such as `EUR`."""

    matte: float = 690.0
    mask: float = 79.2
    unit: str = "s"
    matte_source: str = MATTE_SOURCE
    mask_source: str = MASK_SOURCE

    @classmethod
    def parse(cls, text: str) -> CostModel:
        """Read `matte=690s,mask=79.2s` or `matte=23EUR,mask=2EUR`; times may be in s, min or h.

        Raises UserError naming the part that is wrong: an unknown label, no price, or time mixed with money.
        """
        prices: dict[str, str] = {}
        for part in text.split(","):
            label, equals, price = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise UserError(f"the cost {text!r} must name a price for each kind of label, such as {EXAMPLE}")
            if label in prices:
                raise UserError(f"the cost {text!r} names the price of a {label} twice; give one price for each label")
            prices[label] = price
        return cls.from_prices(prices)

    @classmethod
    def from_prices(cls, prices: dict[str, str]) -> CostModel:
        """The same from `{"matte": "690s", "mask": "79.2s"}`, as a plan holds it."""
        for label in prices:
            if label not in LABELS:
                raise UserError(f"the cost names an unknown label {label!r}; {nearest(label, LABELS)}")
        missing = [label for label in LABELS if label not in prices]
        if missing:
            raise UserError(f"the cost has no price for a {missing[0]}; give both, such as {EXAMPLE}")
        (matte, unit), (mask, mask_unit) = _price(prices["matte"]), _price(prices["mask"])
        if unit != mask_unit:
            raise UserError(
                f"the cost mixes units ({prices['matte']} for a matte, {prices['mask']} for a mask); "
                f"give both as time or both in one currency"
            )
        default = cls()
        if (matte, mask, unit) == (default.matte, default.mask, default.unit):
            return default
        return cls(matte, mask, unit, GIVEN, GIVEN)

    @property
    def is_time(self) -> bool:
        return self.unit == "s"

    @property
    def is_given(self) -> bool:
        """Whether both prices are the user's own."""
        return self.matte_source == self.mask_source == GIVEN

    @property
    def display_unit(self) -> str:
        """The unit that axes and table headers show: `h` for times, else the currency."""
        return "h" if self.is_time else self.unit

    def of(self, mattes: float, masks: float) -> float:
        """Cost of `mattes` mattes and `masks` masks, in `unit`."""
        return self.matte * mattes + self.mask * masks

    def shown(self, cost: float) -> float:
        """`cost` (in `unit`) in `display_unit`."""
        return cost / SECONDS["h"] if self.is_time else cost

    def format(self, cost: float) -> str:
        """`cost` (in `unit`) in a readable unit: 25 s, 42 min, 29.7 h, 1,340 EUR."""
        if not self.is_time:
            return f"{cost:,.2f} {self.unit}" if cost < 100 and cost % 1 else f"{cost:,.0f} {self.unit}"
        if cost < 60:
            return f"{cost:g} s" if cost < 10 else f"{cost:.0f} s"
        if cost < SECONDS["h"]:
            return f"{cost / 60:.0f} min"
        hours = cost / SECONDS["h"]
        return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"

    def describe(self) -> str:
        """The prices and where they come from, in one sentence."""
        unit = " s" if self.is_time else f" {self.unit}"
        if self.is_given:
            return f"Prices given by the user: {self.matte:g}{unit} per matte, {self.mask:g}{unit} per mask."
        matte = f"A matte costs {self.matte:g}{unit}: {self.matte_source}."
        return f"{matte} A mask costs {self.mask:g}{unit}: {self.mask_source}."


def _price(text: str) -> tuple[float, str]:
    """A price and its unit; times come in seconds."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z]+)", text.strip())
    amount = float(match[1]) if match else math.nan
    if not match or not math.isfinite(amount) or amount <= 0:
        raise UserError(f"the price {text!r} is not a positive number with its unit; write for example {EXAMPLE}")
    unit = match[2]
    if unit in SECONDS:
        return amount * SECONDS[unit], "s"
    if not re.fullmatch(r"[A-Z]{3}", unit):
        raise UserError(f"the price {text!r} has an unknown unit {unit!r}; use s, min, h or a currency such as EUR")
    return amount, unit
