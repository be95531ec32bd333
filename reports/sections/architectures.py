"""Architectures over the same backbone: errors side by side and, on the same images, their paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.statistics import simultaneous, verdict
from reports import selection
from reports.comparison import BY_NAME, Comparison
from reports.document import Cell, Column, Picture, Section, Table, between, counted, decimals, number, shortened
from reports.figures.style import GRID, INK, OTHER_COLOURS, WIDTH

MEASURE = "sad"
ROWS = 20
COLOURS = ("#0072b2", *OTHER_COLOURS)
MARKERS = "osD^vP"
RUN = "python -m sweeps run backbones --set 'space.model.architecture=[...]'"


@dataclass(frozen=True)
class Pair:
    """One method with the same labels, weights and backbone under two architectures or more."""

    name: str
    label: str
    backbone: str
    cells: dict[str, tuple[Comparison, pd.Series]]  # by architecture


def section(comparisons: list[Comparison]) -> Section:
    """Everything of the first ground that was trained over one backbone with several architectures."""
    result = Section(
        "architectures", "Architectures", missing=f"No backbone was trained with several architectures; {RUN}"
    )
    group = selection.by_ground(comparisons)[0] if comparisons else []
    found = pairs(group)
    if not found:
        return result
    frame = data(group[0].network["architecture"], found)
    shown = frame[frame["name"].isin(frame["name"].drop_duplicates().head(ROWS))]
    several = sorted(set(frame["architecture"]))
    caption = (
        f"Dots are means over {group[0].pictures}, bars 95 % bootstrap intervals; a row is one method with the same "
        "labels, first weights and backbone."
    )
    if len(shown) < len(frame):
        caption += f" {ROWS} of {counted(frame['name'].nunique(), 'row')}; the rest is in the table's CSV."
    result.text = [f"{len(several)} architectures: {', '.join(several)}. Only what shares all else is compared."]
    result.blocks.append(Picture("architectures", group[0].ground["dataset"], caption, draw(shown), frame))
    result.blocks.append(_table(frame))
    return result


def pairs(group: list[Comparison]) -> list[Pair]:
    """What was trained with several architectures, those with most seeds first."""
    found: dict[tuple, dict[str, tuple[Comparison, pd.Series]]] = {}
    for comparison in group:
        cells = comparison.cells
        for _, cell in cells[(cells["measure"] == MEASURE) & ~cells["external"].astype(bool)].iterrows():
            key = (
                comparison.network["backbone"],
                comparison.network["weights"],
                cell["label"],
                _number(cell["mattes"]),
                _number(cell["masks"]),
            )
            found.setdefault(key, {})[comparison.network["architecture"]] = comparison, cell
    several = {key: cells_of for key, cells_of in found.items() if len(cells_of) > 1}
    variants: dict[str, set[str]] = {}
    for _, _, label, _, _ in several:
        variants.setdefault(label.partition(",")[0], set()).add(label)
    result = []
    for (backbone, _, label, mattes, masks), cells_of in several.items():
        method = label.partition(",")[0]
        name = method if len(variants[method]) == 1 else label
        result.append(Pair(f"{backbone}, {name}, {mattes} + {masks}", label, backbone, cells_of))
    return sorted(result, key=lambda pair: -min(cell["seeds"] for _, cell in pair.cells.values()))


def data(usual: str, found: list[Pair]) -> pd.DataFrame:
    """One row per pair and architecture: mean with interval, seeds, and the paired difference to `usual` (else the first).

    Differences are of seed-averaged values on the images that both have; their intervals hold for all rows together.
    """
    rows: list[dict[str, Any]] = []
    waiting: dict[tuple[str, ...], list[tuple[dict[str, Any], pd.Series]]] = {}
    for pair in found:
        names = sorted(pair.cells, key=lambda name: (name != usual, name))
        first = _per_image(*pair.cells[names[0]])
        for name in names:
            cell = pair.cells[name][1]
            row: dict[str, Any] = {
                "name": pair.name,
                "label": pair.label,
                "backbone": pair.backbone,
                "architecture": name,
            }
            row |= {key: cell[key] for key in ("seeds", "mean", "low", "high")}
            row |= {"against": None, "difference": np.nan, "difference_low": np.nan, "difference_high": np.nan}
            rows.append(row | {"verdict": None})
            gap = (_per_image(*pair.cells[name]) - first).dropna()
            if name != names[0] and len(gap):
                rows[-1]["against"] = names[0]
                waiting.setdefault(tuple(gap.index), []).append((rows[-1], gap))
    for group in waiting.values():  # one draw of images serves all that were scored on the same ones
        intervals = simultaneous(np.column_stack([gap for _, gap in group]))
        for (row, _), interval in zip(group, intervals, strict=True):
            row |= {"difference": interval.mean, "difference_low": interval.low, "difference_high": interval.high}
            row["verdict"] = verdict(interval)
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a row a pair, a dot an architecture."""
    names = list(dict.fromkeys(frame["name"]))[::-1]
    architectures = sorted(set(frame["architecture"]))
    figure = Figure(figsize=(WIDTH, 1.1 + 0.38 * len(names)), layout="constrained")
    axes = figure.subplots()
    for y, name in enumerate(names):
        axes.axhline(y, color=GRID, linewidth=0.8, zorder=1)
        for row in frame[frame["name"] == name].itertuples():
            index = architectures.index(row.architecture)
            place = y + 0.2 * ((len(architectures) - 1) / 2 - index)
            colour = COLOURS[index % len(COLOURS)]
            if np.isfinite(row.low):
                axes.plot([row.low, row.high], [place] * 2, color=colour, zorder=2)
            axes.plot(row.mean, place, MARKERS[index % len(MARKERS)], color=colour, markersize=6.5, zorder=3)
    axes.set_yticks(range(len(names)), [shortened(name, 52) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"{BY_NAME[MEASURE].title}; lower is better")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], label=name, linestyle="")
        for i, name in enumerate(architectures)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), labelcolor=INK, fontsize=8.5)
    return figure


def _per_image(comparison: Comparison, cell: pd.Series) -> pd.Series:
    """Seed-averaged values by image; an image that one of the seeds lacks has none."""
    return comparison.values(BY_NAME[MEASURE])[cell["run_ids"]].mean(axis=1, skipna=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if pd.notna(value) else "?"


def _table(frame: pd.DataFrame) -> Table:
    places = decimals(frame["mean"])
    columns = [Column("backbone, method, mattes + masks", False), Column("architecture", False), Column("seeds")]
    columns += [Column("SAD ↓", unit="10³ px"), Column("difference", unit="10³ px"), Column("verdict", False)]
    tones = {"better": "better", "worse": "worse", "not told apart": "even"}
    rows, last = [], None
    for row in frame.head(2 * ROWS).to_dict("records"):
        known = isinstance(row["verdict"], str)
        gap = between(row["difference_low"], row["difference_high"], places, sign=True) if known else ""
        rows.append(
            [
                Cell(row["name"] if row["name"] != last else ""),
                Cell(row["architecture"]),
                Cell(str(row["seeds"])),
                Cell(number(row["mean"], places), between(row["low"], row["high"], places)),
                Cell(number(row["difference"], places, sign=True), gap) if known else Cell(""),
                Cell(
                    f"{row['verdict']}",
                    f"than {row['against']}" if row["verdict"] != "not told apart" else "",
                    tones[row["verdict"]],
                )
                if known
                else Cell(""),
            ]
        )
        last = row["name"]
    caption = (
        "Paired differences to the row's first architecture, image by image, each of its own seeds' mean, with "
        "intervals that hold for all rows together with 95 %."
    )
    return Table("architectures", caption, columns, rows, frame, sortable=False)
