"""Names beside points, moved until none covers another: what makes a crowded scatter readable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import ArrayLike, NDArray

from reports.figures.style import INK, MUTED, PAPER, Point
from reports.load import REFERENCE

RADII = (9.0, 15.0, 24.0, 36.0, 52.0, 72.0, 96.0)  # typographic points from the point to its name
DIRECTIONS = tuple((np.cos(angle), np.sin(angle)) for angle in np.pi / 8 * np.array([0, 2, -2, 4, -4, 1, -1, 6, -6, 8]))
COVERED = 15  # places that a name goes on rather than cover a point
CROSSED = 6  # the same rather than cross a line, which stays legible beneath it
NEARER = 20  # the same rather than stand nearer to another point than to its own
CLEAR = 5.0  # typographic points that a name keeps from a point: the mark has a size
CENTRED: Any = {"textcoords": "offset points", "ha": "center", "va": "center", "color": INK, "zorder": 6}
LEADING = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3}  # the line to a far name
ALONG = np.linspace(0.005, 0.995, 9)  # where along a line its name may stand, as a share of the axes' width


def name_apart(
    axes: Axes,
    points: Sequence[Point],
    others: ArrayLike = (),
    size: float = 8.5,
    bold: Sequence[str] = (REFERENCE,),
    taken: NDArray | None = None,
    lines: Sequence[float] = (),
) -> int:
    """Write each point's name where it covers no other name, no point and no point of `others` (n, 2), in data units.

    Earlier points choose first; a name without any free place is left out. `taken` (n, 4) are boxes in pixels that
    `name_lines` has used, `lines` the heights of horizontal lines, which a name crosses only if it must. The axes' limits
    must be set and the figure laid out (`Figure.draw_without_rendering`): names do not change it. Returns how many names
    were written.
    """
    frame = axes.get_window_extent()
    scale = axes.figure.dpi / 72
    centres = axes.transData.transform([(point.x, point.y) for point in points]) if points else np.empty((0, 2))
    obstacles = np.vstack([centres, _pixels(axes, others)])
    taken = np.empty((0, 4)) if taken is None else taken
    heights = _heights(axes, lines)
    written = 0
    for point, centre in zip(points, centres, strict=True):
        text = f"{point.name} (control)" if point.control else point.name
        weight = "bold" if point.name in bold else "normal"
        boxes, offsets = _candidates(centre, _extent(text, size, weight, scale), scale)
        inside = ((boxes[:, :2] >= frame.min) & (boxes[:, 2:] <= frame.max)).all(axis=1)
        free = inside & ~_overlapping(boxes, taken)
        if not free.any():
            continue
        cost = COVERED * _covering(boxes, obstacles, CLEAR * scale) + NEARER * _nearer(boxes, centre, centres)
        cost += CROSSED * _crossing(boxes, heights)
        best = int(np.flatnonzero(free)[np.argmin((cost + np.arange(len(boxes)))[free])])
        taken = np.vstack([taken, boxes[best]])
        far = np.hypot(*offsets[best]) > RADII[0] * 1.4 * scale
        axes.annotate(
            text,
            (point.x, point.y),
            xytext=tuple(((boxes[best, :2] + boxes[best, 2:]) / 2 - centre) / scale),
            fontsize=size,
            fontweight=weight,
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.08", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.75},
            arrowprops=LEADING if far else None,
            **CENTRED,
        ).set_in_layout(False)
        written += 1
    return written


def name_lines(axes: Axes, lines: Sequence[tuple[float, str]], others: ArrayLike = (), size: float = 8) -> NDArray:
    """Write the name of each horizontal line (its y, its name) above or below it, where it covers least of all else.

    That is: no name of another line, and as few points of `others` (n, 2), in data units, and of other lines as can be.
    Returns the names' boxes (n, 4) in pixels. As for `name_apart`, the figure must be laid out.
    """
    frame = axes.get_window_extent()
    scale = axes.figure.dpi / 72
    heights = _heights(axes, [y for y, _ in lines])
    taken = np.empty((0, 4))
    for place, (y, text) in enumerate(lines):
        width, height = _extent(text, size, "normal", scale)
        left = np.tile(frame.x0 + ALONG * (frame.width - width), 2)
        bottom = np.repeat([heights[place] + 2 * scale, heights[place] - 2 * scale - height], len(ALONG))
        boxes = np.column_stack([left, bottom, left + width, bottom + height])
        outside = (boxes[:, 1] < frame.y0) | (boxes[:, 3] > frame.y1) | _overlapping(boxes, taken)
        # The ends of a line before its middle, and above before below.
        order = np.tile(np.argsort(np.argsort(-np.abs(ALONG - 0.5), kind="stable")), 2) + np.repeat([0, 2], len(ALONG))
        covered = _covering(boxes, _pixels(axes, others), CLEAR * scale) + 1000 * outside
        crossed = _crossing(boxes, np.delete(heights, place))
        best = int(np.argmin(covered * COVERED + 10 * CROSSED * crossed + order))
        taken = np.vstack([taken, boxes[best]])
        share = (boxes[best, [0, 2]].mean() - frame.x0) / frame.width
        axes.annotate(
            text,
            (share, y),
            xycoords=("axes fraction", "data"),
            xytext=(0, ((boxes[best, 1] + boxes[best, 3]) / 2 - heights[place]) / scale),
            fontsize=size,
            **CENTRED,
        ).set_in_layout(False)
    return taken


def _extent(text: str, size: float, weight: str, scale: float) -> NDArray:
    """Width and height of a text in pixels."""
    font = FontProperties(family=["DejaVu Sans"], size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    # Hinting moves each letter of a PNG to a whole pixel: by up to half of one.
    return np.array([width + 3, 1.35 * size]) * scale + np.array([len(text) / 2, 0])


def _pixels(axes: Axes, places: ArrayLike) -> NDArray:
    further = np.asarray(places, dtype=float).reshape(-1, 2)
    return axes.transData.transform(further) if len(further) else further


def _candidates(centre: NDArray, extent: NDArray, scale: float) -> tuple[NDArray, NDArray]:
    """Boxes (n, 4: left, bottom, right, top) around a point, the nearest first, and the steps (n, 2) that led there."""
    steps = np.array([(x * radius, y * radius) for radius in RADII for x, y in DIRECTIONS]) * scale
    # The box begins where the step ends: a name to the right starts there, one above is centred over it.
    middles = centre + steps + np.sign(np.round(steps, 6)) * extent / 2
    vertical = np.abs(steps[:, 0]) < 1e-6
    middles[vertical, 0] = centre[0]
    middles[np.abs(steps[:, 1]) < 1e-6, 1] = centre[1]
    return np.hstack([middles - extent / 2, middles + extent / 2]), steps


def _heights(axes: Axes, lines: Sequence[float]) -> NDArray:
    """The heights of horizontal lines in pixels."""
    return _pixels(axes, [(axes.get_xlim()[0], y) for y in lines])[:, 1]


def _crossing(boxes: NDArray, heights: NDArray) -> NDArray[np.intp]:
    """How many horizontal lines cross each box."""
    return ((boxes[:, 1:2] < heights) & (heights < boxes[:, 3:4])).sum(axis=1)


def _nearer(boxes: NDArray, centre: NDArray, centres: NDArray) -> NDArray[np.intp]:
    """How many of `centres` (n, 2) are nearer to each box than `centre` is."""

    def gaps(points: NDArray) -> NDArray:
        beyond = np.maximum(boxes[:, None, :2] - points[None], points[None] - boxes[:, None, 2:])
        return np.hypot(*np.moveaxis(np.maximum(beyond, 0), -1, 0))

    return (gaps(centres) < gaps(centre[None]) - 1e-6).sum(axis=1)


def _overlapping(boxes: NDArray, taken: NDArray) -> NDArray[np.bool_]:
    low, high = np.maximum(boxes[:, None, :2], taken[None, :, :2]), np.minimum(boxes[:, None, 2:], taken[None, :, 2:])
    return (low < high).all(axis=2).any(axis=1)


def _covering(boxes: NDArray, points: NDArray, clear: float) -> NDArray[np.intp]:
    """How many of `points` each box covers, or comes nearer to than `clear` pixels."""
    inside = (points > boxes[:, None, :2] - clear) & (points < boxes[:, None, 2:] + clear)
    return inside.all(axis=2).sum(axis=1)
