"""What a report is made of, before it becomes HTML, Markdown or a terminal table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, a second smaller line, and a tone (best | better | worse | even | muted)."""

    text: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Column:
    header: str
    numeric: bool = True
    group: str = ""
    unit: str = ""

    @property
    def title(self) -> str:
        return f"{self.header} ({self.unit})" if self.unit else self.header


@dataclass(frozen=True)
class Table:
    """A table as it is shown, and `frame`, the unrounded values behind it; `rows` may be fewer than the frame's.

    Not `sortable` are tables whose rows lean on the one above.
    """

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    frame: pd.DataFrame
    sortable: bool = True

    def groups(self) -> list[tuple[str, int]]:
        """Runs of columns with one group heading: (heading, number of columns); none where no column has one."""
        runs: list[tuple[str, int]] = []
        for column in self.columns:
            if runs and runs[-1][0] == column.group:
                runs[-1] = (column.group, runs[-1][1] + 1)
            else:
                runs.append((column.group, 1))
        return runs if any(name for name, _ in runs) else []


@dataclass(frozen=True)
class Picture:
    """A figure, what it says, and the data it was drawn from. `photographic` ones go into the page as PNG, not SVG."""

    name: str
    title: str
    caption: str
    figure: Figure
    frame: pd.DataFrame
    photographic: bool = False


@dataclass(frozen=True)
class Listing:
    """Text to be copied as it stands, such as YAML; its file is tables/NAME."""

    name: str
    caption: str
    text: str


@dataclass(frozen=True)
class Attached:
    """A table that is too long for the page: one line there, whole in tables/NAME.csv and .parquet."""

    name: str
    about: str
    frame: pd.DataFrame


Block = Table | Picture | Listing | Attached


@dataclass
class Section:
    """A part of the page; without blocks and text it is left out, and `missing` is `what is absent; COMMAND`."""

    key: str
    title: str
    text: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: str = ""

    @property
    def filled(self) -> bool:
        return bool(self.blocks or self.text)


def decimals(values: Iterable[float], significant: int = 3) -> int:
    """Decimals for a whole column: the smallest value gets `significant` digits, the largest at most one more."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return significant - 1
    least, most = (math.floor(math.log10(size)) for size in (min(sizes), max(sizes)))
    return max(0, min(significant - 1 - least, significant - most))


def number(value: float, places: int, sign: bool = False) -> str:
    """`value` with `places` decimals and a true minus; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    rounded = round(value, places)
    text = f"{abs(rounded):,.{places}f}"
    return f"−{text}" if rounded < 0 else f"+{text}" if sign and rounded > 0 else text


def between(low: float, high: float, places: int, sign: bool = False) -> str:
    """An interval as text; nothing where there is none."""
    return f"{number(low, places, sign)} to {number(high, places, sign)}" if math.isfinite(low) else ""


def counted(count: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`, `1,200 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int = 0) -> str:
    """`a, b and c`; with `most`, no more names than that: `a, b and 3 others`."""
    every = list(names)
    if most and len(every) > most:
        every = [*every[:most], counted(len(every) - most, "other")]
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else ""


def shortened(text: str, most: int) -> str:
    """The first `most` characters, and an ellipsis where there are more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
