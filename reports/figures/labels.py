"""Names beside points, moved until none covers another: what makes a crowded scatter readable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import ArrayLike, NDArray

from reports.figures.style import INK, MUTED, PAPER, Point

RADII = (9.0, 15.0, 24.0, 36.0, 52.0, 72.0, 96.0)  # typographic points from the point to its name
DIRECTIONS = tuple((np.cos(angle), np.sin(angle)) for angle in np.pi / 8 * np.array([0, 2, -2, 4, -4, 1, -1, 6, -6, 8]))
COVERED = 15  # places that a name goes on rather than cover a point


def name_apart(
    axes: Axes, points: Sequence[Point], others: ArrayLike = (), size: float = 8.5, bold: Sequence[str] = ("mlb",)
) -> int:
    """Write each point's name where it covers no other name, no point and no point of `others` (n, 2), in data units.

    Earlier points choose first; a name without any free place is left out. The axes' limits must be set and the figure
    laid out (`Figure.draw_without_rendering`): names do not change it. Returns how many names were written.
    """
    frame = axes.get_window_extent()
    scale = axes.figure.dpi / 72
    centres = axes.transData.transform([(point.x, point.y) for point in points]) if points else np.empty((0, 2))
    further = np.asarray(others, dtype=float).reshape(-1, 2)
    obstacles = np.vstack([centres, axes.transData.transform(further) if len(further) else further])
    taken = np.empty((0, 4))
    written = 0
    for point, centre in zip(points, centres, strict=True):
        text = f"{point.name} (control)" if point.control else point.name
        font = FontProperties(family=["DejaVu Sans"], size=size, weight="bold" if point.name in bold else "normal")
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
        # Hinting moves each letter of a PNG to a whole pixel: by up to half of one.
        extent = np.array([width + 3, 1.35 * size]) * scale + np.array([len(text) / 2, 0])
        boxes, offsets = _candidates(centre, extent, scale)
        free = (
            (boxes[:, 0] >= frame.x0)
            & (boxes[:, 1] >= frame.y0)
            & (boxes[:, 2] <= frame.x1)
            & (boxes[:, 3] <= frame.y1)
            & ~_overlapping(boxes, taken)
        )
        covered = _covering(boxes, obstacles)
        if not free.any():
            continue
        best = int(np.flatnonzero(free)[np.argmin(covered[free] * COVERED + np.arange(len(boxes))[free])])
        taken = np.vstack([taken, boxes[best]])
        far = np.hypot(*offsets[best]) > RADII[0] * 1.4 * scale
        axes.annotate(
            text,
            (point.x, point.y),
            xytext=tuple(((boxes[best, :2] + boxes[best, 2:]) / 2 - centre) / scale),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            color=INK,
            fontweight="bold" if point.name in bold else "normal",
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.08", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.75},
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3}
            if far
            else None,
            zorder=6,
        ).set_in_layout(False)
        written += 1
    return written


def _candidates(centre: NDArray, extent: NDArray, scale: float) -> tuple[NDArray, NDArray]:
    """Boxes (n, 4: left, bottom, right, top) around a point, the nearest first, and the steps (n, 2) that led there."""
    steps = np.array([(x * radius, y * radius) for radius in RADII for x, y in DIRECTIONS]) * scale
    # The box begins where the step ends: a name to the right starts there, one above is centred over it.
    middles = centre + steps + np.sign(np.round(steps, 6)) * extent / 2
    vertical = np.abs(steps[:, 0]) < 1e-6
    middles[vertical, 0] = centre[0]
    middles[np.abs(steps[:, 1]) < 1e-6, 1] = centre[1]
    return np.hstack([middles - extent / 2, middles + extent / 2]), steps


def _overlapping(boxes: NDArray, taken: NDArray) -> NDArray[np.bool_]:
    one, other = boxes[:, None, :], taken[None, :, :]
    apart = (one[..., 2] <= other[..., 0]) | (other[..., 2] <= one[..., 0])
    apart |= (one[..., 3] <= other[..., 1]) | (other[..., 3] <= one[..., 1])
    return np.logical_not(apart.all(axis=1))


def _covering(boxes: NDArray, points: NDArray) -> NDArray[np.intp]:
    """How many of `points` each box covers."""
    x, y = points[None, :, 0], points[None, :, 1]
    inside = (x > boxes[:, :1]) & (x < boxes[:, 2:3]) & (y > boxes[:, 1:2]) & (y < boxes[:, 3:4])
    return inside.sum(axis=1)
