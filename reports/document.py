"""What a report is made of, before it becomes HTML, Markdown or a terminal table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from wsshm.grades import GRADES, from_text, in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, a second smaller line, and a tone (best | better | worse | even | muted)."""

    text: str
    note: str = ""
    tone: str = ""


ABSENT = Cell("–", tone="muted")
Show = Callable[[Any], Cell | str]  # what a column shows of a record


@dataclass(frozen=True)
class Column:
    """One column of a table: how it is headed, and what it shows of a record. See `texts` and `numbers`."""

    header: str
    show: Show
    numeric: bool = False
    unit: str = ""
    group: str = ""

    @property
    def title(self) -> str:
        return f"{self.header} ({self.unit})" if self.unit else self.header

    def cell(self, record: Any) -> Cell:
        shown = self.show(record)
        return shown if isinstance(shown, Cell) else Cell(shown)


def texts(header: str, key: str = "", unit: str = "", tone: Callable[[Any], str] | None = None) -> Column:
    """A column of the texts under `key` (default: `header`), in the tone that `tone` gives a record."""

    def show(record: Any) -> Cell:
        value = record[key or header]
        return Cell("" if pd.isna(value) else str(value), tone=tone(record) if tone else "")

    return Column(header, show, unit=unit)


def numbers(
    header: str,
    key: str = "",
    places: int | None = 0,
    unit: str = "",
    group: str = "",
    interval: tuple[str, str] | None = None,
    scale: float = 1.0,
    sign: bool = False,
    tone: Callable[[Any], str] | None = None,
) -> Column:
    """A column of the numbers under `key` (default: `header`), times `scale`, with the `interval` between two keys below.

    Without `places` each number has as many decimals as it needs; one that is missing or not finite is a dash.
    """

    def show(record: Any) -> Cell:
        value = _real(record.get(key or header)) * scale
        if not math.isfinite(value):
            return ABSENT
        digits = decimals([value]) if places is None else places
        low, high = (_real(record.get(name)) * scale for name in interval) if interval else (math.nan, math.nan)
        return ranged(value, low, high, digits, sign, tone(record) if tone else "")

    return Column(header, show, True, unit, group)


def masks_column() -> Column:
    """How many masks, and below it of which grades they are where not all are of the default one (`grades`)."""
    plain = numbers("masks")

    def show(record: Any) -> Cell:
        cell, grades = plain.cell(record), record.get("grades")
        return Cell(cell.text, by_grade(grades), cell.tone) if isinstance(grades, str) and grades else cell

    return Column("masks", show, True)


def interval_column(header: str, places: int, sign: bool = False) -> Column:
    """A column of the intervals between `low` and `high`."""
    return Column(header, lambda record: between(record["low"], record["high"], places, sign) or "–", True)


def _real(value: Any) -> float:
    return float(value) if pd.notna(value) else math.nan


@dataclass(frozen=True)
class Table:
    """A table as it is shown, and `frame`, the unrounded values behind it; `records` (default: the frame's) are its rows.

    A terminal shows `title` above the table and `about` below it. A table is not `sortable` if its rows refer to the row
    above. Of one that is `attached` the page shows one line about it: it is too long, and complete in tables/NAME.csv.
    """

    name: str
    about: str
    columns: Sequence[Column]
    frame: pd.DataFrame
    records: Sequence[Any] | None = None
    sortable: bool = True
    title: str = ""
    attached: bool = False

    @property
    def caption(self) -> str:
        return f"{self.title}: {self.about}" if self.title else self.about

    @cached_property
    def rows(self) -> list[list[Cell]]:
        records = self.frame.to_dict("records") if self.records is None else self.records
        return [[column.cell(record) for column in self.columns] for record in records]

    def groups(self) -> list[tuple[str, int]]:
        """Runs of columns with one group heading: (heading, number of columns); empty if no column has a heading."""
        runs = [(name, len(list(columns))) for name, columns in groupby(self.columns, lambda column: column.group)]
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


Block = Table | Picture | Listing


@dataclass(frozen=True)
class Answer:
    """What the store answers to one question: a box of the page's first screen.

    `text` is the answer in one short sentence, `why` its reason in one or two, `sure` how sure it is, a line each; `picture`
    is drawn for a box that is 350 px wide. `section` is the key of the section with the tables that it is made of. `remedy`
    says what would answer what the store does not.
    """

    name: str
    question: str
    text: str
    why: str = ""
    sure: Sequence[str] = ()
    picture: Picture | None = None
    section: str = ""
    remedy: str = ""


@dataclass
class Section:
    """A part of the page; without content it is left out, and `missing` says why and what would fill it.

    `answers` are boxes side by side above all else. Where `points` is true, its text is a list of points.
    """

    key: str
    title: str
    text: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: str = ""
    answers: list[Answer] = field(default_factory=list)
    points: bool = False

    @property
    def filled(self) -> bool:
        return bool(self.blocks or self.text or self.answers)

    @property
    def pictures(self) -> list[Picture]:
        """Its figures, those of answers first."""
        found = [answer.picture for answer in self.answers if answer.picture]
        return found + [block for block in self.blocks if isinstance(block, Picture)]


def decimals(values: Iterable[float], significant: int = 3) -> int:
    """Decimals for a whole column: the smallest value gets `significant` digits, the largest at most one more."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return significant - 1
    least, most = (math.floor(math.log10(size)) for size in (min(sizes), max(sizes)))
    return max(0, min(significant - 1 - least, significant - most))


def number(value: float, places: int, sign: bool = False) -> str:
    """`value` with `places` decimals and a true minus sign; a dash if it is not finite."""
    if not math.isfinite(value):
        return "–"
    rounded = round(value, places)
    text = f"{abs(rounded):,.{places}f}"
    return f"−{text}" if rounded < 0 else f"+{text}" if sign and rounded > 0 else text


def ranged(value: float, low: float, high: float, places: int, sign: bool = False, tone: str = "") -> Cell:
    """A number with its interval below."""
    return Cell(number(value, places, sign), between(low, high, places, sign), tone)


def tone_of(verdict: str) -> str:
    """The tone of a verdict."""
    return {"better": "better", "faster": "better", "worse": "worse", "slower": "worse"}.get(verdict, "even")


def between(low: float, high: float, places: int, sign: bool = False) -> str:
    """An interval as text; empty if it is not finite."""
    return f"{number(low, places, sign)} to {number(high, places, sign)}" if math.isfinite(low) else ""


def counted(count: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`, `1,200 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def network_name(text: str) -> str:
    """An architecture with its options, or a network with it, as people read it.

    >>> network_name("{name: fast, downsample: 1}/resnet18"), network_name("unet/resnet18")
    ('fast (downsample 1)/resnet18', 'unet/resnet18')
    """
    found = re.match(r"\{.*?\}(?=/|$)", text)
    if not found:
        return text
    options = yaml.safe_load(found[0])
    name = options.pop("name")
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in options.items())
    return f"{name} ({told}){text[found.end() :]}"


def listed(names: Iterable[str], most: int = 0) -> str:
    """`a, b and c`; with `most`, no more names than that: `a, b and 3 others`."""
    every = list(names)
    if most and len(every) > most:
        every = [*every[:most], counted(len(every) - most, "other")]
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else ""


def by_grade(grades: str) -> str:
    """Masks by grade as a run's `grades` holds them, in words; empty where all are of the default grade."""
    return in_words(from_text(grades, 0)) if grades else ""


def grades_in(texts: Iterable[str]) -> list[str]:
    """The grades that several runs' `grades` name, in their order."""
    found = {grade for text in texts for grade in from_text(text, 0)}
    return [grade for grade in GRADES if grade in found]


def labels_in_words(mattes: float, masks: float, grades: str) -> str:
    """Numbers of labels: `40 mattes + 1,000 masks`, and of which grades masks are where not all are of the default one."""
    return f"{mattes:,.0f} mattes + {masks:,.0f} masks{f' ({by_grade(grades)})' if grades else ''}"


def labels_in_short(mattes: float, masks: float, grades: str) -> str:
    """The same for a narrow place: `40 + 1,000`."""
    return f"{mattes:,.0f} + {by_grade(grades) or f'{masks:,.0f}'}"


def slug(text: str) -> str:
    """A text as a part of a file's name."""
    return "".join(character if character.isalnum() else "-" for character in text)


def shortened(text: str, most: int) -> str:
    """The first `most` characters, and an ellipsis where there are more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
