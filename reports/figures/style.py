"""The one look of all figures: a colour and a marker per method, quiet axes, text that stays text.

Figures are drawn for white paper. On the page their SVG stands inline, with the neutral colours turned into CSS
variables, so that the same drawing is also right on a dark screen.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

mpl.use("Agg")

PAPER, INK, MUTED, GRID = "#fefefe", "#1c2127", "#626b75", "#dfe3e8"
CSS_VARIABLES = {PAPER: "var(--paper)", INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
WIDTH = 9.0  # inches, of every figure but the qualitative sheet

# Okabe and Ito's colours, told apart by people with any kind of colour vision; markers carry the same in grey.
COLOURS = {
    "matte_only": "#cc79a7",
    "seg_only": "#e69f00",
    "joint": "#009e73",
    "matte_then_seg": "#56b4e9",
    "mlb": "#0072b2",
    "mlb_masklabel": "#8a8f98",
    "oracle": "#8a8f98",
}
OTHER_COLOURS = ("#d55e00", "#b8a600", "#7a5195", "#a05a2c")
MARKERS = {
    "matte_only": "v",
    "seg_only": "s",
    "joint": "D",
    "matte_then_seg": "^",
    "mlb": "o",
    "mlb_masklabel": "P",
    "oracle": "*",
}

RC: Any = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a name with two dollar signs is a name
    "svg.hashsalt": "wsshm",
}


@dataclass(frozen=True)
class Point:
    """A point that wants its name beside it."""

    x: float
    y: float
    name: str
    colour: str
    control: bool = False


@contextmanager
def theme() -> Iterator[None]:
    """Draw and save in this look, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def colours(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each label: its method's; methods unknown here, and further variants, take spare ones in turn."""
    chosen: dict[str, str] = {}
    spare = 0
    for label in labels:
        own = COLOURS.get(label.split(",")[0])
        if own is None or (own in chosen.values() and own != COLOURS["oracle"]):
            own = OTHER_COLOURS[spare % len(OTHER_COLOURS)]
            spare += 1
        chosen[label] = own
    return chosen


def marker(label: str) -> str:
    return MARKERS.get(label.split(",")[0], "X")


def log_axis(axes: Axes, which: str = "x") -> None:
    """A logarithmic axis with plain numbers: many over a short span, 1, 2 and 5 or powers of ten over a long one."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = getattr(axes, f"get_{which}lim")()
    span = high / low
    subs = (1.0,) if span > 3000 else (1.0, 2.0, 5.0) if span > 12 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(MaxNLocator(5) if span < 2.5 else LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def apart(positions: Sequence[float], gap: float) -> list[float]:
    """`positions` moved as little as keeps neighbours at least `gap` apart, in the order given.

    Less `gap` per rank the sorted positions only have to be non-decreasing: least squares by pooling neighbours.
    """
    order = np.argsort(positions, kind="stable")
    pools: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        mean, count = float(positions[index]) - gap * rank, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        pools.append((mean, count))
    levels = [mean for mean, count in pools for _ in range(count)]
    moved = [0.0] * len(levels)
    for rank, index in enumerate(order):
        moved[index] = levels[rank] + gap * rank
    return moved


def name_points(axes: Axes, points: Sequence[Point], near: float = 0.16, gap: float = 0.058) -> None:
    """Write each point's name right of it, in columns: points nearer than `near` share one right of the last of them.

    Distances are fractions of the axes, whose limits must be set. A thin line leads to a name that had to move.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = [(*to_axes.transform((point.x, point.y)), point) for point in points]
    columns: list[list[tuple[float, float, Point]]] = []
    for x, y, point in sorted(placed, key=lambda item: item[0]):
        if columns and x - columns[-1][-1][0] < near:
            columns[-1].append((x, y, point))
        else:
            columns.append([(x, y, point)])
    for column in columns:
        right = max(x for x, _, _ in column) + 0.035
        for (_, _, point), height in zip(column, apart([y for _, y, _ in column], gap), strict=True):
            axes.annotate(
                f"{point.name} (control)" if point.control else point.name,
                (point.x, point.y),
                xytext=(right, height),
                textcoords="axes fraction",
                va="center",
                fontsize=9,
                color=INK,
                fontweight="bold" if point.name == "mlb" else "normal",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": point.colour,
                    "linestyle": (0, (1, 2)),
                    "shrinkA": 1,
                    "shrinkB": 5,
                },
                zorder=5,
            )


def fit_y(axes: Axes, low: float, high: float) -> bool:
    """Limits of the y axis around the values from `low` to `high`, logarithmic where they span much; tells which.

    On a logarithmic axis small errors are as easy to tell apart as large ones.
    """
    if low > 0 and high / low > 3:
        margin = (high / low) ** 0.08
        axes.set_ylim(low / margin, high * margin)
        log_axis(axes, "y")
        return True
    axes.set_ylim(low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1))
    return False


def png_svg_pdf(figure: Figure) -> tuple[bytes, str, bytes]:
    """The figure as PNG, at twice a screen's resolution, and as SVG and PDF with text as text.

    The same data gives the same bytes. The layout is worked out once, for the PNG.
    """
    with theme():
        raster, drawing, page = io.BytesIO(), io.BytesIO(), io.BytesIO()
        figure.savefig(raster, format="png", dpi=200, metadata={"Software": None})
        figure.set_layout_engine(None)
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(page, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return raster.getvalue(), drawing.getvalue().decode(), page.getvalue()


def inline(svg_text: str, name: str) -> str:
    """An SVG made to stand in a page: no header, ids that no other figure has, neutral colours as CSS variables."""
    body = svg_text[svg_text.index("<svg") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    for colour, variable in CSS_VARIABLES.items():
        body = body.replace(colour, variable)
    return body.strip()
