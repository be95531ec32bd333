"""Every method minus one of them, image by image: a dot and its 95 % interval per row, a panel per measure."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.style import COLOURS, GRID, INK, MUTED, OTHER_COLOURS, PAPER, WIDTH, marker
from reports.measures import REGIONS, WITH_FURTHER

EVEN = "not told apart"
TONES = {"better": COLOURS["mlb"], "worse": OTHER_COLOURS[0], EVEN: MUTED}
LONGEST = 34  # letters in a line of a row's name
LINE = 0.17  # inches that such a line takes
TITLE = 60  # letters in the panels' titles beside each other
# Times the median of the rows' reaches: beyond it a row is a number at the edge, so that the others are told apart.
FAR = 3


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of the tables of `reports.against`, joined: a row of panels for each of them (column `table`)."""
    measures = list(dict.fromkeys(frame["measure"]))
    blocks = [part for _, part in frame.groupby("table", sort=False)]
    names = [_names(block) for block in blocks]
    rooms = [[LINE * (name.count("\n") + 1) + 0.14 for name in of_block.values()] for of_block in names]
    heights = [sum(room) + 1.35 for room in rooms]
    several = len(set(frame.get("dataset", ()))) > 1
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, block, of_block, room in zip(parts, blocks, names, rooms, strict=True):
        rival, budget = (str(block[column].iloc[0]) for column in ("against", "budget"))
        rival = ", ".join([_method(rival), *_distinct(block)[rival]])
        title = f"minus {rival}, image by image, in % of its error ({budget})"
        if several:
            title += f"; {block['dataset'].iloc[0]}, truth {block['truth'].iloc[0]}"
        part.suptitle("\n".join(textwrap.wrap(title, 88)), x=0.01, ha="left", fontsize=10, color=INK)
        ends = np.cumsum(room)
        places = dict(zip(of_block, ends - np.array(room) / 2, strict=True))
        panels = part.subplots(1, len(measures), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, measures, strict=True):
            scale = _scale(frame[frame["measure"] == name])
            axes.set_xlim(*scale)
            _panel(axes, block[block["measure"] == name], name, places, TITLE // len(measures))
        panels[0].set_yticks(list(places.values()), list(of_block.values()), fontsize=8.5)
        for tick, label in zip(panels[0].get_yticklabels(), of_block, strict=True):
            tick.set_fontweight("bold" if _method(label) == "mlb" else "normal")
        panels[0].set_ylim(ends[-1], 0)
    handles = [
        Line2D([], [], color=colour, marker="o", markerfacecolor=PAPER if word == EVEN else colour, label=word)
        for word, colour in TONES.items()
        if word in set(frame["verdict"])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8.5)
    return figure


def _scale(rows: pd.DataFrame) -> tuple[float, float]:
    """One measure's limits: zero and all intervals, but for those of rows that are `FAR` times farther than most."""
    rows = rows[np.isfinite(rows["percent"])]
    ends = rows[["percent", "percent_low", "percent_high"]]
    near = ends[rows["percent"].abs() <= FAR * ends.abs().max(axis=1).median()].to_numpy()
    low, high = (min(np.nanmin(near), 0.0), max(np.nanmax(near), 0.0)) if len(near) else (0.0, 0.0)
    room = (high - low) or 1.0
    return low - 0.07 * room, high + 0.07 * room


def _panel(axes: Axes, rows: pd.DataFrame, name: str, places: dict[str, float], width: int) -> None:
    """One measure's dots and intervals, each at its row's place; a row off the scale is an arrow with its number."""
    measure = WITH_FURTHER[name]
    low, high = axes.get_xlim()
    for y in places.values():
        axes.axhline(y, color=GRID, linewidth=0.8, zorder=1)
    axes.axvline(0, color=INK, linewidth=1, zorder=2)
    for row in rows[np.isfinite(rows["percent"])].itertuples():
        y, colour = places[row.label], TONES[row.verdict]
        if not low <= row.percent <= high:
            beyond = row.percent > high
            text = f"{row.percent:+.0f} % →" if beyond else f"← {row.percent:+.0f} %".replace("-", "−")
            axes.text(
                *(0.99 if beyond else 0.01, y, text),
                transform=axes.get_yaxis_transform(),
                ha="right" if beyond else "left",
                va="center",
                color=colour,
                fontsize=8,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
            )
            continue
        axes.plot([row.percent_low, row.percent_high], [y, y], color=colour, solid_capstyle="butt", zorder=3)
        axes.plot(
            *(row.percent, y, marker(row.label)),
            color=colour,
            markerfacecolor=PAPER if row.verdict == EVEN else colour,
            markeredgewidth=1.5,
            markersize=9 if marker(row.label) == "*" else 6.5,
            zorder=4,
        )
    region = REGIONS.get(measure.region, measure.region)
    axes.set_title("\n".join([measure.header, *textwrap.wrap(region, width)]))
    axes.set_xlabel(textwrap.fill(f"%; {'lower' if measure.lower_is_better else 'higher'} is better", width + 6))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _names(block: pd.DataFrame) -> dict[str, str]:
    """{label: what stands beside its row}: the method, in how many seeds, and what sets a variant apart."""
    distinct = _distinct(block)
    result = {}
    for row in block.drop_duplicates("label").itertuples():
        seeds = f"{row.seeds} seed{'s' * (row.seeds != 1)}" if row.seeds else "no seed in common"
        method = _method(row.label)
        head = f"{method} ({row.kind}; {seeds})" if row.kind else f"{method} ({seeds})"
        result[row.label] = "\n".join([head, *textwrap.wrap(", ".join(distinct[row.label]), LONGEST)])
    return result


def _distinct(block: pd.DataFrame) -> dict[str, list[str]]:
    """{label: its settings}, less those that more than half of a method's rows share, which say nothing of a row."""
    settings = {label: label.split(", ")[1:] for label in [*block["label"].unique(), str(block["against"].iloc[0])]}
    result = {}
    for label, own in settings.items():
        family = [others for other, others in settings.items() if _method(other) == _method(label)]
        rare = [setting for setting in own if sum(setting in others for others in family) <= len(family) / 2]
        result[label] = rare if len(family) > 1 else []
    return result


def _method(label: str) -> str:
    return label.partition(", ")[0]
