"""Every method minus a reference method, image by image: a dot with its 95 % interval per row, a panel per measure."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.statistics import NOT_SIGNIFICANT
from reports.figures.forest import embolden, forest, name_rows
from reports.figures.style import BLUE, INK, MUTED, OTHER_COLOURS, PAPER, WIDTH, key, legend_below, marker
from reports.measures import WITH_FURTHER

TONES = {"better": BLUE, "worse": OTHER_COLOURS[0], NOT_SIGNIFICANT: MUTED}
LONGEST = 34  # letters in a line of a row's name
LINE = 0.17  # inches that such a line takes
TITLE = 60  # letters in the panels' titles beside each other
# Times the median extent of the rows: a row beyond it is drawn as a number at the edge, so that the others stay legible.
FAR = 3


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of the frames of `reports.against`, joined: a row of panels for each of them (column `table`)."""
    measures = list(dict.fromkeys(frame["measure"]))
    blocks = [part for _, part in frame.groupby("table", sort=False)]
    names = [_names(block) for block in blocks]
    rooms = [[LINE * (name.count("\n") + 1) + 0.14 for name in of_block.values()] for of_block in names]
    heights = [sum(room) + 1.35 for room in rooms]
    several = len(set(frame.get("dataset", ()))) > 1
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, block, of_block, room in zip(parts, blocks, names, rooms, strict=True):
        first = block.iloc[0]
        rival = ", ".join([first["against_method"], *_distinct(block)[first["against"]]])
        title = f"minus {rival}, image by image, in % of its error ({first['budget']})"
        if several:
            title += f"; {first['dataset']}, truth {first['truth']}"
        part.suptitle("\n".join(textwrap.wrap(title, 88)), x=0.01, ha="left", fontsize=10, color=INK)
        ends = np.cumsum(room)
        places = dict(zip(of_block, ends - np.array(room) / 2, strict=True))
        panels = part.subplots(1, len(measures), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, measures, strict=True):
            scale = near(frame[frame["measure"] == name])
            axes.set_xlim(*scale)
            name_rows(axes, list(of_block.values()), list(places.values()))
            axes.tick_params(axis="y", labelsize=8.5)
            _panel(axes, block[block["measure"] == name], name, places, TITLE // len(measures))
        embolden(panels[0], block.drop_duplicates("label")["method"])
        panels[0].set_ylim(ends[-1], 0)
    faces = TONES | {NOT_SIGNIFICANT: PAPER}
    handles = [
        key(word, color=colour, marker="o", markerfacecolor=faces[word])
        for word, colour in TONES.items()
        if word in set(frame["verdict"])
    ]
    legend_below(figure, handles, len(handles))
    return figure


def near(rows: pd.DataFrame) -> tuple[float, float]:
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
    axes.axvline(0, color=INK, linewidth=1, zorder=2)
    rows = rows.assign(
        y=rows["label"].map(places),
        value=rows["percent"],
        low=rows["percent_low"],
        high=rows["percent_high"],
        colour=rows["verdict"].map(TONES),
        marker=rows["method"].map(marker),
        filled=rows["verdict"] != NOT_SIGNIFICANT,
    )
    inside = rows["percent"].between(low, high)
    forest(axes, rows[inside])
    for row in rows[np.isfinite(rows["percent"]) & ~inside].itertuples():
        beyond = row.percent > high
        text = f"{row.percent:+.0f} % →" if beyond else f"← {row.percent:+.0f} %".replace("-", "−")
        axes.text(
            *(0.99 if beyond else 0.01, row.y, text),
            transform=axes.get_yaxis_transform(),
            ha="right" if beyond else "left",
            va="center",
            color=row.colour,
            fontsize=8,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )
    axes.set_title("\n".join([measure.header, *textwrap.wrap(measure.where, width)]))
    axes.set_xlabel(textwrap.fill(f"%; {'lower' if measure.lower_is_better else 'higher'} is better", width + 6))


def _names(block: pd.DataFrame) -> dict[str, str]:
    """{label: what stands beside its row}: the method, in how many seeds, and what sets a variant apart."""
    distinct = _distinct(block)
    result = {}
    for row in block.drop_duplicates("label").itertuples():
        seeds = f"{row.seeds} seed{'s' * (row.seeds != 1)}" if row.seeds else "no seed in common"
        head = f"{row.method} ({row.kind}; {seeds})" if row.kind else f"{row.method} ({seeds})"
        result[row.label] = "\n".join([head, *textwrap.wrap(", ".join(distinct[row.label]), LONGEST)])
    return result


def _distinct(block: pd.DataFrame) -> dict[str, list[str]]:
    """{label: its settings}, less those that more than half of a method's rows share, which say nothing of a row."""
    rival = block[["against", "against_method", "against_settings"]].set_axis(["label", "method", "settings"], axis=1)
    rows = pd.concat([block[["label", "method", "settings"]], rival]).drop_duplicates()
    rows["settings"] = rows["settings"].map(json.loads)
    result = {}
    for label, method, own in rows.itertuples(index=False):
        family = list(rows.loc[rows["method"] == method, "settings"])
        rare = [setting for setting in own if sum(setting in others for others in family) <= len(family) / 2]
        result[label] = rare if len(family) > 1 else []
    return result
