"""Architectures over the same backbone: errors side by side and, on the same images, their paired differences."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from bench.statistics import NOT_SIGNIFICANT
from reports.comparison import LABELS, Comparison, by_ground
from reports.document import (
    Cell,
    Column,
    Picture,
    Section,
    Table,
    counted,
    decimals,
    labels_in_short,
    numbers,
    shortened,
    texts,
    tone_of,
)
from reports.figures.forest import forest, name_rows
from reports.figures.style import BLUE, OTHER_COLOURS, WIDTH, key, legend_below
from reports.measures import BY_NAME
from reports.per_image import paired_differences
from reports.sections import PageSection, register

MEASURE = "sad"
ROWS = 20
COLOURS = (BLUE, *OTHER_COLOURS)
MARKERS = "osD^vP"
SHOWN = ["name", "label", "backbone", "architecture", "seeds", "mean", "low", "high", "against"]


def section(comparisons: list[Comparison]) -> Section:
    """Everything of the first ground that was trained over one backbone with several architectures."""
    result = Section(
        "architectures",
        "Architectures",
        missing="No backbone was trained with several architectures: train one with another",
    )
    group = by_ground(comparisons)[0] if comparisons else []
    frame = data(group) if group else pd.DataFrame()
    if frame.empty:
        return result
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


def data(group: list[Comparison]) -> pd.DataFrame:
    """One row per architecture of each method that was trained with several, over one backbone with the same labels.

    Its mean with interval, seeds, and the paired difference to the usual architecture (else the first): of seed-averaged
    values on the images that both have; the intervals hold for all rows together. Those with most seeds come first.
    """
    alike = ["backbone", "weights", "label", *LABELS]
    cells = [each.of(MEASURE, own=True).assign(**each.network, place=place) for place, each in enumerate(group)]
    rows = pd.concat(cells).drop_duplicates([*alike, "architecture"], keep="last")
    rows = rows[rows.groupby(alike)["architecture"].transform("size") > 1]
    if rows.empty:
        return rows
    rows = rows.assign(
        family=rows.groupby(alike, sort=False).ngroup(),
        fewest=-rows.groupby(alike)["seeds"].transform("min"),
        unusual=rows["architecture"] != group[0].network["architecture"],
    )
    rows = rows.sort_values(["fewest", "family", "unusual", "architecture"], kind="stable").reset_index(drop=True)
    several = rows.groupby("method")["label"].transform("nunique") > 1
    labels = [labels_in_short(row.mattes, row.masks, row.grades) for row in rows.itertuples()]
    rows["name"] = rows["backbone"] + ", " + rows["label"].where(several, rows["method"]) + ", " + labels
    values = [each.values(BY_NAME[MEASURE]) for each in group]
    sides = [values[row.place][row.run_ids].mean(axis=1, skipna=False) for row in rows.itertuples()]
    first = rows.index.to_series().groupby(rows["family"]).transform("min")
    pairs = [
        (side, sides[at] if at != place else side.iloc[:0])
        for place, side, at in zip(first.index, sides, first, strict=True)
    ]
    rows["against"] = rows["architecture"].loc[first].reset_index(drop=True).where(first != first.index, None)
    found = paired_differences(pairs).rename(columns={"low": "difference_low", "high": "difference_high"})
    return rows[SHOWN].join(found[["difference", "difference_low", "difference_high", "verdict"]])


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a row a pair, a dot an architecture."""
    names = list(dict.fromkeys(frame["name"]))[::-1]
    architectures = sorted(set(frame["architecture"]))
    figure = Figure(figsize=(WIDTH, 1.1 + 0.38 * len(names)), layout="constrained")
    axes = figure.subplots()
    index = frame["architecture"].map(architectures.index)
    dots = frame.assign(
        y=frame["name"].map(names.index) + 0.2 * ((len(architectures) - 1) / 2 - index),
        value=frame["mean"],
        colour=[COLOURS[place % len(COLOURS)] for place in index],
        marker=[MARKERS[place % len(MARKERS)] for place in index],
    )
    name_rows(axes, [shortened(name, 52) for name in names])
    forest(axes, dots)
    axes.set_xlabel(BY_NAME[MEASURE].axis())
    looks = dots.drop_duplicates("architecture").sort_values("architecture").itertuples()
    handles = [key(row.architecture, color=row.colour, marker=row.marker, linestyle="") for row in looks]
    legend_below(figure, handles, min(6, len(handles)))
    return figure


def _table(frame: pd.DataFrame) -> Table:
    places = decimals(frame["mean"])
    shown = frame.head(2 * ROWS)
    shown = shown.assign(name=shown["name"].where(~shown["name"].duplicated(), ""))
    interval = ("difference_low", "difference_high")
    difference = numbers("difference", places=places, unit="10³ px", interval=interval, sign=True)
    columns = [
        *(texts("backbone, method, mattes + masks", "name"), texts("architecture"), numbers("seeds")),
        numbers("SAD ↓", "mean", places, "10³ px", interval=("low", "high")),
        replace(difference, show=lambda row: "" if pd.isna(row["verdict"]) else difference.show(row)),
        Column("verdict", _verdict),
    ]
    caption = (
        "Paired differences to the row's first architecture, image by image, each of its own seeds' mean, with "
        "intervals that hold for all rows together with 95 %."
    )
    return Table("architectures", caption, columns, frame, shown.to_dict("records"), sortable=False)


def _verdict(row: dict) -> Cell:
    if pd.isna(row["verdict"]):
        return Cell("")
    than = f"than {row['against']}" if row["verdict"] != NOT_SIGNIFICANT else ""
    return Cell(row["verdict"], than, tone_of(row["verdict"]))


register(PageSection("architectures", 70, lambda given: section(given.comparisons)))
