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
    """A table as it is shown, and `frame`, the unrounded values behind it."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    frame: pd.DataFrame

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


@dataclass
class Section:
    """A part of the page; without blocks and text, `missing` says which command would fill it."""

    key: str
    title: str
    text: list[str] = field(default_factory=list)
    blocks: list[Table | Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: str = ""


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
