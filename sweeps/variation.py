"""In what runs' configurations differ, as dotted keys and short values; what tables of many runs look like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.box
import rich.console
import rich.table
from rich.text import Text

from wsshm.keys import EXECUTION
from wsshm.models import NAME

WIDTH_OF_A_PIPE = 200  # columns where no terminal says how wide it is
OWN_COLUMNS = ("method.name", "budget.mattes", "budget.masks", "train.seed")
"""Keys that have a column of their own in every table."""
NEVER_SHOWN = {"data.root", *EXECUTION}


def varying(documents: Iterable[dict[str, Any]], without: Iterable[str] = ()) -> list[str]:
    """The dotted keys whose values are not the same in all configurations, in the configuration's order.

    Keys that change no number are left out, and those in `without`.
    """
    from reports.load import flatten  # draws in pandas, which a list of plans does without

    rows = [flatten(document) for document in documents]
    keys = dict.fromkeys(key for row in rows for key in row if key not in NEVER_SHOWN and key not in without)
    return [key for key in keys if any(row.get(key) != rows[0].get(key) for row in rows)]


def shown(value: Any, unset: str = "default") -> str:
    """A value as a table shows it: numbers in four significant digits, `unset` for None (`all` of a budget).

    >>> shown({"name": "unet", "width": 1.5})
    'unet, width=1.5'
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(shown(part) if key == NAME else f"{key}={shown(part)}" for key, part in value.items())
    return unset if value is None else str(value)


def console() -> rich.console.Console:
    """Stdout, wide enough for a whole row where it is no terminal."""
    found = rich.console.Console(highlight=False, markup=False)
    return found if found.is_terminal else rich.console.Console(width=WIDTH_OF_A_PIPE, highlight=False, markup=False)


def table(*columns: str, title: str = "") -> rich.table.Table:
    """A plain table; a column whose name starts with `>` is aligned to the right."""
    result = rich.table.Table(
        title=Text(title, style="bold") if title else None, title_justify="left", box=None, pad_edge=False
    )
    for name in columns:
        right = name.startswith(">")
        result.add_column(name.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return result
