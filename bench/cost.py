"""The cost of labels: a price per matte and per mask of each grade, in annotation time or money.

The defaults are published annotation times; `wsshm.grades` has those of masks and says where each comes from, and which
one is ours. No academic source for the time of one alpha matte was found, so that the ratio of a matte's price to a
mask's is uncertain (about 6 to 12 masks of the default grade) and every report says which prices it used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wsshm import grades
from wsshm.errors import UserError, nearest
from wsshm.grades import DEFAULT, GRADES

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
LABELS = ("matte", "mask")
NAMES = (*LABELS, *(f"mask.{name}" for name in GRADES))
EXAMPLE = "matte=690s,mask=79.2s or matte=23EUR,mask=2EUR,mask.fine=4EUR"

MATTE_SOURCE = (
    "midpoint of 480 to 900 s, an industry figure for rotoscoping one frame with hair or motion blur by hand "
    "(low to medium confidence; no academic figure was found)"
)
MASK_SOURCE = GRADES[DEFAULT].time_source
GIVEN = "given by the user"


@dataclass(frozen=True)
class CostModel:
    """Price of one matte and of one mask, in `unit`: `s` (annotation time) or a currency such as `EUR`.

    `mask` is the price of a mask of the default grade, `others` are pairs of another grade and its price. A grade that
    they lack has its published time where prices are times, and none where they are money.
    """

    matte: float = 690.0
    mask: float = GRADES[DEFAULT].seconds
    unit: str = "s"
    matte_source: str = MATTE_SOURCE
    mask_source: str = MASK_SOURCE
    others: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> CostModel:
        """Read `matte=690s,mask=79.2s` or `matte=23EUR,mask=2EUR,mask.fine=4EUR`; times may be in s, min or h.

        `mask` is short for `mask.polygon`, the default grade. Raises UserError naming the part that is wrong: an unknown
        label or grade, no price, or time mixed with money.
        """
        prices: dict[str, str] = {}
        for part in text.split(","):
            label, equals, price = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise UserError(f"the cost {text!r} must name a price for each kind of label, such as {EXAMPLE}")
            label = "mask" if label == f"mask.{DEFAULT}" else label
            if label in prices:
                raise UserError(f"the cost {text!r} names the price of a {label} twice; give one price for each label")
            prices[label] = price
        return cls.from_prices(prices)

    @classmethod
    def from_prices(cls, prices: Mapping[str, Any]) -> CostModel:
        """The same from `{"matte": "690s", "mask": "79.2s"}`, as a plan holds it.

        Another grade's price is `"mask.fine": "160s"`, or all of them are under `mask`: `{"polygon": "79.2s", "fine": "160s"}`.
        """
        flat: dict[str, str] = {}
        for label, value in prices.items():
            nested = isinstance(value, Mapping)
            named = {f"{label}.{grade}": price for grade, price in value.items()} if nested else {label: value}
            for name, price in named.items():
                name = "mask" if name == f"mask.{DEFAULT}" else name
                if name in flat:
                    raise UserError(f"the cost names the price of a {name} twice; give one price for each label")
                flat[name] = price
        for label in flat:
            if label not in NAMES:
                raise UserError(f"the cost names an unknown label {label!r}; {nearest(label, NAMES)}")
        if "mask" not in flat and len(flat) > 1 and "matte" in flat and _price(flat["matte"])[1] == "s":
            flat["mask"] = f"{cls().mask:g}s"  # as every grade without a price has its default time
        missing = [label for label in LABELS if label not in flat]
        if missing:
            raise UserError(f"the cost has no price for a {missing[0]}; give both, such as {EXAMPLE}")
        read = {label: _price(price) for label, price in flat.items()}
        (matte, unit), (mask, _) = read["matte"], read["mask"]
        for label, (_, own) in read.items():
            if own != unit:
                raise UserError(
                    f"the cost mixes units ({flat['matte']} for a matte, {flat[label]} for a {label}); "
                    f"give all as time or all in one currency"
                )
        others = tuple(
            (name, read[f"mask.{name}"][0])
            for name, grade in GRADES.items()
            if f"mask.{name}" in read and read[f"mask.{name}"] != (grade.seconds, "s")
        )
        default = cls()
        if (matte, mask, unit) == (default.matte, default.mask, default.unit):
            return cls(others=others)
        return cls(matte, mask, unit, GIVEN, GIVEN, others)

    @property
    def is_time(self) -> bool:
        return self.unit == "s"

    @property
    def is_given(self) -> bool:
        """Whether the prices of a matte and of a mask of the default grade are the user's own."""
        return self.matte_source == self.mask_source == GIVEN

    @property
    def display_unit(self) -> str:
        """The unit that axes and table headers show: `h` for times, else the currency."""
        return "h" if self.is_time else self.unit

    def mask_of(self, grade: str) -> float:
        """Price of a mask of a grade, in `unit`. UserError where prices are money and none was given for it."""
        known = {DEFAULT: self.mask, **dict(self.others)}
        if grade in known:
            return known[grade]
        if self.is_time:
            return grades.named(grade).seconds
        raise UserError(
            f"the cost has no price for masks of the grade {grades.named(grade).name}; add it, such as"
            f" mask.{grade}=4{self.unit}"
        )

    def of(self, mattes: float, masks: float | Mapping[str, float]) -> float:
        """Cost of `mattes` mattes and `masks` masks, in `unit`; a plain number of masks is of the default grade."""
        if not isinstance(masks, Mapping):
            return self.matte * mattes + self.mask * masks
        return self.matte * mattes + sum(self.mask_of(grade) * count for grade, count in masks.items())

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

    def describe(self, used: Iterable[str] = ()) -> str:
        """The prices and where they come from, in sentences; of other grades of masks those that are `used`."""
        unit = " s" if self.is_time else f" {self.unit}"
        if self.is_given:
            said = f"Prices given by the user: {self.matte:g}{unit} per matte, {self.mask:g}{unit} per mask."
        else:
            matte = f"A matte costs {self.matte:g}{unit}: {self.matte_source}."
            said = f"{matte} A mask costs {self.mask:g}{unit}: {self.mask_source}."
        given = dict(self.others)
        for grade in used:
            if grade != DEFAULT:
                source = GIVEN if grade in given else grades.named(grade).time_source
                said += f" A mask of the grade {grade} costs {self.mask_of(grade):g}{unit}: {source}."
        return said


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
