"""Comma-separated options of commands."""

from __future__ import annotations

from wsshm.errors import UserError


def listed(text: str, option: str) -> list[str]:
    """The parts of a comma-separated option, each once."""
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise UserError(f"{option} is empty; give at least one value")
    return parts


def whole(text: str, option: str) -> list[int]:
    """The parts of a comma-separated option of whole numbers above 0."""
    parts = listed(text, option)
    for part in parts:
        if not part.isdecimal() or int(part) == 0:
            raise UserError(f"{option} takes whole numbers above 0, not {part!r}")
    return [int(part) for part in parts]
