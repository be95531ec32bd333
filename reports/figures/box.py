"""The look of the small figures in the boxes of the first screen: readable where a box is 350 px wide."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.6, 1.9  # inches
TEXT = 8.5  # points: 11 px where a box is 350 px wide


def canvas(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty small figure with its one panel."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.tick_params(labelsize=TEXT, length=2)
    axes.xaxis.label.set_fontsize(TEXT)
    axes.yaxis.label.set_fontsize(TEXT)
    return figure, axes
