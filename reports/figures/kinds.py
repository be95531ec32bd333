"""How figures tell kinds of label apart: mattes, and masks of each grade; in grey by their lines and marks."""

from __future__ import annotations

from typing import Any

from reports.figures.style import BLUE, INK, OTHER_COLOURS
from reports.plans import MATTES
from wsshm.grades import GRADES

COLOURS = (BLUE, *OTHER_COLOURS)
LINES: tuple[Any, ...] = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "sDv^"


def look(kind: str) -> dict[str, Any]:
    """Colour, line and mark of a kind, the same in every figure."""
    if kind == MATTES:
        return {"color": INK, "linestyle": "solid", "marker": "o"}
    place = list(GRADES).index(kind)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": LINES[place % len(LINES)],
        "marker": MARKERS[place % len(MARKERS)],
    }
