"""Backbones by frame rate and error: the Pareto front, the best of the rest, and all that was timed."""

from __future__ import annotations

import math

import pandas as pd

from reports import selection, tables
from reports.comparison import Comparison
from reports.document import Cell, Column, Picture, Section, Table, between, counted, decimals, number
from reports.figures import speed as figure
from reports.load import Frames

BEST = 12  # networks behind the front that the table shows, by their error
TIMINGS = 30  # rows of the table of timings
TIME = "python -m bench speed --sizes 512"


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """The figure and tables of every ground; timings alone where nothing was trained."""
    result = Section("speed", "Backbones: frame rate against error", missing=f"Nothing was timed; {TIME}")
    if frames.speed.empty:
        return result
    groups = selection.by_ground(comparisons)
    usable = [group for group in groups if figure.shared(group) is not None] or groups[:1] or [[]]
    front: set[str] = set()
    for index, group in enumerate(usable[: selection.GROUNDS]):
        frame = figure.data(group, frames.speed)
        if frame.empty or (index and not (frame["kind"] == "trained").any()):
            continue
        name = f"-{index + 1}" if index else ""
        result.blocks.append(_picture(f"speed{name}", group, frame))
        trained = frame[frame["kind"] == "trained"]
        if len(set(trained["network"])) > 1:
            result.blocks.append(_front_table(f"backbones{name}", trained))
        front |= set(trained.loc[trained["on_front"].astype(bool), "backbone"])
    result.blocks.append(tables.speed(frames.speed, TIMINGS, front))
    return result


def _picture(name: str, group: list[Comparison], frame: pd.DataFrame) -> Picture:
    trained, timed = (frame[frame["kind"] == kind] for kind in ("trained", "timed"))
    parts, title = [], "timed models"
    chosen = figure.shared(group)
    if chosen is not None and len(trained):
        ground = group[0].ground
        title = f"{ground['dataset']}, {chosen}"
        networks = trained["network"].nunique()
        seeds = sorted(set(trained["seeds"]))
        parts.append(
            f"{counted(networks, 'network')} trained as {chosen}{_variant(chosen)}, scored on {ground['dataset']} (protocol "
            f"{ground['protocol']}), {f'{seeds[0]:.0f} to ' if len(seeds) > 1 else ''}"
            f"{counted(int(seeds[-1]), 'seed')} each; frame rate as timed under the conditions above each "
            "panel, batch 1. Bars are 95 % intervals, of the error over images and of the median time. Joined by steps: the "
            "Pareto front, where none is both faster and more accurate. The area of a dot is in proportion to parameters."
        )
        if left := len(group) - networks:
            parts.append(
                f"{counted(left, 'network')} without these labels or a timing {'is' if left == 1 else 'are'} left out."
            )
        if networks > figure.FRONT_NAMED + figure.OTHERS_NAMED:
            others = "" if networks > figure.CROWDED else " and the most accurate behind it"
            parts.append(f"Named: the front (bold){others}, where there is room.")
    if len(timed):
        parts.append(
            "Dotted lines or short marks on the axis, and panels without errors, are models that were timed but that "
            "no finished run was trained with."
        )
    return Picture(name, title, " ".join(parts), figure.draw(frame), frame)


def _variant(chosen: figure.Shared) -> str:
    """The variant, where the method has several."""
    _, comma, settings = chosen.label.partition(", ")
    return f" ({settings})" if comma else ""


def _front_table(name: str, trained: pd.DataFrame) -> Table:
    """A row per network that is on a front, or among the most accurate behind; the frame holds all."""
    panels = list(dict.fromkeys(trained["panel"]))
    once = trained.drop_duplicates("network").set_index("network").sort_values("mean", kind="stable")
    on_front = trained[trained["on_front"].astype(bool)]
    best = once.index[once.index.isin(on_front["network"])]
    behind = once.index[~once.index.isin(on_front["network"])][:BEST]
    columns = [Column("network", False), Column("SAD ↓", unit="10³ px"), Column("params", unit="10⁶"), Column("seeds")]
    columns += [Column(f"FPS ↑, {figure.split(panel)[0]}", group=figure.split(panel)[1]) for panel in panels]
    places = decimals(trained["mean"])
    rates = {panel: part.set_index("network") for panel, part in trained.groupby("panel", sort=False)}
    digits = {panel: decimals(part["fps"]) for panel, part in rates.items()}
    fronts = set(zip(on_front["panel"], on_front["network"], strict=True))
    rows = []
    for network in once.index[once.index.isin([*best, *behind])]:
        row = once.loc[network]
        cells = [
            Cell(network),
            Cell(number(row["mean"], places), between(row["low"], row["high"], places)),
            Cell(number(row["params"] / 1e6 if pd.notna(row["params"]) else math.nan, 1)),
            Cell(f"{row['seeds']:.0f}"),
        ]
        for panel in panels:
            if network not in rates[panel].index:
                cells.append(Cell("–", tone="muted"))
                continue
            rate = rates[panel].loc[network]
            interval = between(rate["fps_low"], rate["fps_high"], digits[panel])
            cells.append(
                Cell(number(rate["fps"], digits[panel]), interval, "best" if (panel, network) in fronts else "")
            )
        rows.append(cells)
    caption = "Bold: on the Pareto front of that column's conditions. Below means and medians, their 95 % intervals."
    if len(rows) < len(once):
        caption += (
            f" {len(rows)} of {counted(len(once), 'network')}: all that are on a front, and the most accurate behind; "
            "the rest is in the CSV."
        )
    return Table(name, caption, columns, rows, trained.reset_index(drop=True))
