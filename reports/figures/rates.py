"""Frame rates without errors to set them against: a row for each model, a dot for each way in which it was executed."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports.document import shortened
from reports.figures.forest import forest, name_rows
from reports.figures.style import BLUE, INK, OTHER_COLOURS, PAPER, key, log_axis

ROWS = 40
ONE_WAY, SEVERAL_WAYS = 0.24, 0.36  # inches of a row
Looks = dict[tuple[str, str], dict[str, object]]
MARKERS = {"fp32": "o", "bf16": "s", "fp16": "D", "int8": "^"}


def height(timed: pd.DataFrame) -> float:
    """Inches that a panel of these timings takes."""
    rows = min(timed["network"].nunique(), ROWS)
    return 1.0 + rows * (SEVERAL_WAYS if _ways(timed) else ONE_WAY)


def panel(axes: Axes, timed: pd.DataFrame, looks: Looks) -> None:
    """Models in the order of their fastest way, each way as it looks in all panels."""
    fastest = timed.groupby("network")["fps"].max().sort_values(kind="stable").tail(ROWS)
    timed = timed[timed["network"].isin(fastest.index)]
    name_rows(axes, [shortened(name, 40) for name in fastest.index], lines=bool(looks))
    places = {name: place for place, name in enumerate(fastest.index)}
    dots = []
    for name, own in timed.groupby("network", sort=False):
        own = own.sort_values("fps")
        # Ways of one model, from slow to fast, stand a little above each other, so that their bars do not meet.
        for place, row in enumerate(own.to_dict("records")):
            look = looks.get((row["engine"], row["precision"]), {"colour": INK, "marker": "o", "filled": True})
            y = places[name] + 0.5 * (place - (len(own) - 1) / 2) / max(len(own), 4)
            dots.append({"y": y, "value": row["fps"], "low": row["fps_low"], "high": row["fps_high"], **look})
    forest(axes, pd.DataFrame(dots), size=5)
    axes.set_xlim(timed["fps_low"].min() * 0.9, timed["fps_high"].max() * 1.1)
    log_axis(axes)


def legend(looks: Looks) -> list[Line2D]:
    """What colours and markers mean; nothing where there is one way."""
    return [
        key(
            f"{engine}, {precision}",
            color=look["colour"],
            marker=look["marker"],
            markerfacecolor=look["colour"] if look["filled"] else PAPER,
            linestyle="",
        )
        for (engine, precision), look in looks.items()
    ]


def looks_of(timed: pd.DataFrame) -> Looks:
    """Colour and marker of each (engine, precision) of the timings of all panels; nothing where there is only one way.

    Engines have colours, precisions markers, int8 is filled with paper.
    """
    ways = _ways(timed)
    engines = list(dict.fromkeys(engine for engine, _ in ways))
    colours = (BLUE, *OTHER_COLOURS, INK)
    return {
        (engine, precision): {
            "colour": colours[engines.index(engine) % len(colours)],
            "marker": MARKERS.get(precision, "v"),
            "filled": precision != "int8",
        }
        for engine, precision in ways
    }


def _ways(timed: pd.DataFrame) -> list[tuple[str, str]]:
    """(engine, precision) of the timings, in order; none where there is only one."""
    ways = sorted(set(zip(timed["engine"], timed["precision"], strict=True)))
    return ways if len(ways) > 1 else []
