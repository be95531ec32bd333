"""The one exception that every command turns into one sentence and exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong. The message is one sentence that names the thing and the remedy."""


def nearest(name: str, choices: Iterable[str], count: int = 3) -> str:
    """The valid choices closest to `name`, as text for an error message.

    >>> nearest("mbl", ["mlb", "joint"])
    "the nearest valid choice is 'mlb'"
    """
    known = sorted(set(choices))
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.5)
    if len(close) == 1:
        return f"the nearest valid choice is {close[0]!r}"
    if close:
        return "the nearest valid choices are " + ", ".join(map(repr, close))
    listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"valid choices are {listed}"


def last_sentence(error: BaseException) -> str:
    """An error's own words; a data loader's process wraps them in a traceback, whose last line they are."""
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
