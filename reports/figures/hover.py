"""What single points of a figure say: shown on the page to who points at them, with a mouse, a finger or the keyboard.

A figure carries these texts itself. Nothing is drawn of them, so that its PNG, SVG and PDF are those of a figure without;
on the page each is a circle in the inline SVG with the text as its title, which browsers show without scripts too, and
`templates/points.js` shows more quickly. Any figure offers it:

    tell(axes, x, y, "resnet18\n31 frames per second")
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure

from reports.document import between, decimals, listed, number, shortened
from wsshm.errors import printable

RADIUS = 6.0  # typographic points, of the ring around a point
LETTERS = 160  # of a line: names may be of any length
RUNS = 6  # ids that are named; all are in the figure's Parquet


class Told(Artist):
    """A text at a place of its axes, in data units, that no renderer draws."""

    def __init__(self, place: tuple[float, float], text: str, radius: float) -> None:
        super().__init__()
        self.place, self.text, self.radius = place, text, radius
        self.set_in_layout(False)

    def draw(self, renderer: RendererBase) -> None:
        """Draw nothing."""


def tell(axes: Axes, x: float, y: float, text: str, radius: float = RADIUS) -> None:
    """Let the point at (x, y), in data units, say `text`, whose first line is its heading."""
    axes.add_artist(Told((x, y), text, radius))


def overlay(figure: Figure) -> str:
    """What stands last in a figure's inline SVG: a circle for each point that says something, panel by panel from the left.

    The figure must be laid out; nothing where no point says anything.
    """
    height = 72 * figure.get_figheight()
    circles = []
    for axes in figure.axes:
        told = [artist for artist in axes.artists if isinstance(artist, Told)]
        if not told:
            continue
        places = 72 / figure.dpi * axes.transData.transform([artist.place for artist in told])
        for index in np.argsort(places[:, 0], kind="stable"):
            x, y = places[index]
            if np.isfinite([x, y]).all():
                circles.append(
                    Markup('<circle cx="{:.2f}" cy="{:.2f}" r="{:.2f}" role="img"><title>{}</title></circle>').format(
                        x, height - y, told[index].radius, _plain(told[index].text)
                    )
                )
    if not circles:
        return ""
    return "\n".join(['<g class="points" fill="none" pointer-events="all">', *circles, "</g>\n"])


def with_interval(what: str, value: float, low: float, high: float) -> str:
    """A line that says a value, and its interval if there is one: `SAD (10³ px): 0.957, 95 % interval 0.816 to 1.136`."""
    places = decimals([value, low])
    interval = between(low, high, places)
    return f"{what}: {number(value, places)}{f', 95 % interval {interval}' if interval else ''}"


def of_runs(run_ids: Sequence[str]) -> str:
    """A line that names runs; empty if there are none."""
    return f"{'run' if len(run_ids) == 1 else 'runs'} {listed(run_ids, RUNS)}" if len(run_ids) else ""


def _plain(text: str) -> str:
    """What of a store's content can stand in a title: no control characters, no endless lines."""
    return "\n".join(shortened(line, LETTERS) for line in printable(text, keep="\n").split("\n") if line)
