"""What methods gain over a setting's best baseline, over how exact its masks are: a panel for each role of test set."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.statistics import NOT_SIGNIFICANT
from reports.document import counted, listed, number
from reports.figures.against import near
from reports.figures.style import BLUE, INK, MUTED, OTHER_COLOURS, PAPER, WIDTH, apart, key, legend_below
from reports.measures import WITH_FURTHER

LOOKS = ((BLUE, "o"), (OTHER_COLOURS[0], "s"), (INK, "^"), (OTHER_COLOURS[2], "D"))  # of the series, in their order
PANELS = {"like": "test pictures like the training ones", "unlike": "test pictures unlike them"}
ASIDE, GAP, MARGIN = 0.018, 0.075, 0.07  # in panels' widths: between series of a setting, between settings, at the ends
KEY = 124  # letters in a line of the key of settings
VISIBLY = 0.001  # of IoU
NARROWEST = 0.05  # of IoU that an axis spans
HEIGHT, LINE = 3.9, 0.175  # inches: of the panels, of a line of the key of settings


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of the frame of `reports.gains_table.drawn`."""
    settings = frame.drop_duplicates("setting").sort_values("iou", kind="stable")
    names = dict(zip(settings["setting"], string.ascii_uppercase, strict=False))
    looks = dict(zip(dict.fromkeys(frame["series"]), LOOKS, strict=False))
    said = {name: textwrap.wrap(_about(frame[frame["setting"] == name]), KEY) for name in names}
    lines = sum(map(len, said.values())) + 1
    below = LINE * lines
    figure = Figure(figsize=(WIDTH, HEIGHT + below), layout="constrained")
    above, listing = figure.subfigures(2, 1, squeeze=False, height_ratios=[HEIGHT, below])[:, 0]
    roles = [role for role in PANELS if role in set(frame["role"])]
    panels = above.subplots(1, len(roles), squeeze=False, sharey=True)[0]
    places, span = _places(settings)
    for axes, role in zip(panels, roles, strict=True):
        part = frame[frame["role"] == role]
        axes.set_ylim(*near(_gains(frame)))
        axes.set_xlim(*span)
        _panel(axes, part, looks, places)
        _name(axes, {names[name]: places[name] for name in dict.fromkeys(part["setting"])})
        sets = list(dict.fromkeys(part["dataset"]))
        axes.set_title(f"{PANELS[role]}:\n{sets[0] if len(sets) == 1 else counted(len(sets), 'test set')}", pad=16)
    moved = any(
        abs(places[name] - iou) > VISIBLY for name, iou in zip(settings["setting"], settings["iou"], strict=True)
    )
    note = "\n(settings of nearly the same IoU are moved apart; the key has the numbers)" if moved else ""
    above.supxlabel(f"IoU of the masks with the true person, from coarse to exact →{note}", fontsize=9.5)
    _scale(panels[0], frame["measure"].iloc[0])
    place = 0.5
    for name, letter in names.items():
        listing.text(0.02, 1 - place / lines, letter, fontsize=8.5, fontweight="bold", va="center")
        for line in said[name]:
            listing.text(0.045, 1 - place / lines, line, fontsize=8.5, va="center")
            place += 1
    entries = [key(name, color=colour, marker=mark, markersize=6) for name, (colour, mark) in looks.items()]
    if (frame["verdict"] == NOT_SIGNIFICANT).any():
        entries.append(key(NOT_SIGNIFICANT, color=MUTED, marker="o", markersize=6, markerfacecolor=PAPER))
    legend_below(figure, entries)
    return figure


def _places(settings: pd.DataFrame) -> tuple[dict[str, float], tuple[float, float]]:
    """Where on the axis each setting stands, moved aside where two have nearly the same IoU, and the axis' limits."""
    width = max(float(np.ptp(settings["iou"])), NARROWEST)
    moved = apart(list(settings["iou"]), GAP * width)
    middle, half = (moved[0] + moved[-1]) / 2, max(moved[-1] - moved[0], NARROWEST) / 2
    ends = middle - half - MARGIN * width, middle + half + MARGIN * width
    return dict(zip(settings["setting"], moved, strict=True)), ends


def _gains(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with gains in place of differences."""
    return rows.drop(columns=["percent", "percent_low", "percent_high"]).rename(
        columns={"gain": "percent", "gain_low": "percent_low", "gain_high": "percent_high"}
    )


def _panel(axes: Axes, rows: pd.DataFrame, looks: Mapping[str, tuple[str, str]], places: Mapping[str, float]) -> None:
    """A mark for each row with its interval, its series beside one another; one far off is a number at the edge."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    axes.axhline(0, color=INK, linewidth=1, zorder=2)
    for row in rows.itertuples():
        colour, mark = looks[row.series]
        step = list(looks).index(row.series) - (len(looks) - 1) / 2
        x = places[row.setting] + step * ASIDE * (right - left)
        if not low <= row.gain <= high:
            beyond = row.gain > high
            said = f"{number(row.percent, 0, sign=True)} %"
            axes.annotate(
                f"↑ {said}" if beyond else f"↓ {said}",
                (x, 0.98 if beyond else 0.02),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="center",
                va="top" if beyond else "bottom",
                color=colour,
                fontsize=8,
            )
            continue
        if np.isfinite(row.gain_low):
            axes.plot([x, x], [row.gain_low, row.gain_high], color=colour, solid_capstyle="butt", zorder=3)
        face = PAPER if row.verdict == NOT_SIGNIFICANT else colour
        axes.plot(x, row.gain, mark, color=colour, markerfacecolor=face, markeredgewidth=1.5, markersize=6, zorder=4)


def _name(axes: Axes, letters: Mapping[str, float]) -> None:
    """Each setting's letter above its place."""
    for letter, x in letters.items():
        axes.annotate(
            letter,
            (x, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=9,
            fontweight="bold",
        )


def _scale(axes: Axes, name: str) -> None:
    """Say of the heights what they mean: `10 % less`, up being better."""
    measure = WITH_FURTHER[name]
    up, down = ("less", "more") if measure.lower_is_better else ("more", "less")

    def said(value: float, _: object) -> str:
        return f"{number(abs(value), 0)} % {up if value > 0 else down}" if abs(value) > 1e-9 else "as much"

    axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(said))
    axes.set_ylabel(f"{measure.header} ({measure.where}) beside\nthe best baseline's; up is better")


def _about(rows: pd.DataFrame) -> str:
    """What the key says of a setting."""
    first = rows.iloc[0]
    fewest, most = int(rows["seeds"].min()), int(rows["seeds"].max())
    seeds = counted(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    others = list(dict.fromkeys(rows.loc[rows["series"] != rows["label"], "label"]))
    best = f"; best other {listed(others)}" if others else ""
    return f"{first['setting']}: masks of IoU {first['iou']:.3f}, beside {first['against']} over {seeds}{best}"
