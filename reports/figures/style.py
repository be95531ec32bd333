"""The style shared by all figures: a colour and a marker per method, quiet axes, text that stays text.

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
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from reports.figures.scripts import legible
from wsshm.methods import described

mpl.use("Agg")

PAPER, INK, MUTED, GRID = "#fefefe", "#1c2127", "#626b75", "#dfe3e8"
CSS_VARIABLES = {PAPER: "var(--paper)", INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
WIDTH = 9.0  # inches, of every figure but the qualitative sheet
LETTER = 0.65  # width of a letter, in units of its font's size
BESIDE = 5.0  # the same of a legend's mark and the gap after a column

# Okabe and Ito's colours, distinguishable with any kind of colour vision; those of methods are declared in their files,
# with a marker that identifies them in greyscale.
BLUE = "#0072b2"
OTHER_COLOURS = ("#d55e00", "#b8a600", "#7a5195", "#a05a2c")

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


def colours(methods: Sequence[str]) -> dict[str, str]:
    """The colour of each method; those that declare none, or that of another one, take spare ones in turn."""
    chosen: dict[str, str] = {}
    spare = 0
    for name in methods:
        method = described(name)
        own = method.colour
        if own is None or (own in chosen.values() and not method.control):
            own = OTHER_COLOURS[spare % len(OTHER_COLOURS)]
            spare += 1
        chosen[name] = own
    return chosen


def marker(method: str) -> str:
    return described(method).marker


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

    Less `gap` per rank the sorted positions only have to be non-decreasing: an isotonic regression.
    """
    order, steps = np.argsort(positions, kind="stable"), gap * np.arange(len(positions))
    moved = np.empty(len(positions))
    moved[order] = isotonic_regression(np.asarray(positions, dtype=float)[order] - steps).x + steps
    return moved.tolist()


def key(label: str, **look: Any) -> Line2D:
    """An entry of a legend: a line and mark that look like this."""
    return Line2D([], [], label=label, **look)


def legend_below(figure: Figure, entries: Sequence[Line2D], columns: int = 0) -> None:
    """A legend below the panels, in as many `columns` as fit if they are not given."""
    columns = columns or legend_columns([str(entry.get_label()) for entry in entries])
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, fontsize=8.5)


def legend_columns(names: Sequence[str], size: float = 8.5) -> int:
    """How many columns of a legend with these names fit below a figure of `WIDTH`, the letters `size` points high."""
    for columns in range(len(names), 1, -1):
        longest = [max(part) for part in np.array_split([len(name) for name in names], columns)]
        if sum(letters * LETTER + BESIDE for letters in longest) * size / 72 <= WIDTH:
            return columns
    return 1


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


def png_svg_pdf(figure: Figure) -> dict[str, bytes]:
    """The figure as .png, at twice a screen's resolution, and as .svg and .pdf with text as text.

    The same data gives the same bytes. The layout is worked out once, for the PNG.
    """
    with theme():
        raster, drawing, page = io.BytesIO(), io.BytesIO(), io.BytesIO()
        with legible(figure, rasters=True):
            figure.savefig(raster, format="png", dpi=200, metadata={"Software": None})
            figure.set_layout_engine(None)
            figure.savefig(page, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        with legible(figure, rasters=False):
            figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    return {".png": raster.getvalue(), ".svg": drawing.getvalue(), ".pdf": page.getvalue()}


def inline(svg_text: str, name: str, overlay: str = "") -> str:
    """An SVG made to stand in a page: no header, ids that no other figure has, neutral colours as CSS variables.

    `overlay` is SVG that lies above all else.
    """
    body = svg_text[svg_text.index("<svg") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    for colour, variable in CSS_VARIABLES.items():
        body = body.replace(colour, variable)
    drawing, end, _ = body.rpartition("</svg>")
    return drawing + overlay + end
