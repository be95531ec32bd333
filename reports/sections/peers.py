"""Other people's models beside the runs: errors on the same images, licences, how they are fed, how fast they are."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.store import FINISHED, document
from reports import tables
from reports.comparison import Comparison, by_ground, ground_titles
from reports.document import Cell, Column, Section, Table, counted, labels_in_words, texts
from reports.load import Frames, is_peer
from reports.measures import BY_NAME, MEASURES, RegionalMeasure
from reports.sections import PageSection, register

OF_RUNS = 3  # rows of ours beside them, those with the lowest SAD (of masks: the highest IoU)
BY = ("sad", "iou")  # by the first of these that was measured
TIMINGS = 40
COMMERCIAL = {True: "commercial use allowed", False: "non-commercial", None: "commercial use not stated"}


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """A table of errors for every test set, one of what the models are, and one of their times."""
    result = Section(
        "peers",
        "Other people's models",
        missing="No model of other people was measured. `wsshm bench accuracy --help` says how their files are scored",
    )
    runs = frames.runs[is_peer(frames.runs["run_id"]) & (frames.runs["status"] == FINISHED).to_numpy()]
    if runs.empty and frames.peer_speed.empty:
        return result
    result.text = [
        "For reference: these networks were trained by others, on other data and with labels that nobody counted here, so "
        "that they have no cost, no method and no seeds. They were scored here on the same images by the same measures, "
        "each at its own input rule. None is paired with a run, and none gets a verdict."
    ]
    groups = by_ground([each for each in comparisons if each.heads["peer"].any()])
    for index, (group, title) in enumerate(zip(groups, ground_titles(groups), strict=True)):
        result.blocks.append(_errors(f"peers{f'-{index + 1}' if index else ''}", group, title))
    if len(runs):
        result.blocks.append(_described(runs))
    if len(frames.peer_speed):
        table = tables.speed(frames.peer_speed, TIMINGS)
        about = (
            "Model only is the network at the size that it makes of a picture, end to end a picture of the size named, with "
            "resizing there and back; a recurrent network goes on from the frame before. "
        )
        result.blocks.append(Table("peers-speed", about + table.about, table.columns, table.frame, table.records))
    return result


def data(group: list[Comparison]) -> pd.DataFrame:
    """The cells of others' models on one ground, then the best of ours, network by network: a row a cell and measure.

    `network` is empty of others' models. Of ours those come that stand for their method, no controls.
    """
    theirs = group[0].cells[group[0].cells["peer"]].assign(network="", place=-1)
    own = pd.concat([each.shown().assign(network=each.network["backbone"], place=at) for at, each in enumerate(group)])
    own = own[~own["external"].astype(bool) & ~own["control"].astype(bool)]
    by = next((name for name in BY if name in set(own["measure"])), None)
    ranked = own[own["measure"] == by].sort_values("mean", ascending=by != "iou", kind="stable").head(OF_RUNS)
    best = [
        own[(own["place"] == place) & (own["cell"] == cell)]
        for place, cell in zip(ranked["place"], ranked["cell"], strict=True)
    ]
    return pd.concat([theirs, *best], ignore_index=True)


def _errors(name: str, group: list[Comparison], title: str) -> Table:
    frame = data(group)
    places = tables.places_of(group[0])
    frame["row"] = frame["place"].astype(str) + " " + frame["cell"].astype(str)
    records = [
        part.iloc[0].to_dict() | part.set_index("measure").to_dict("index")
        for _, part in frame.groupby("row", sort=False)
    ]

    def who(row: dict[str, Any]) -> Cell:
        if row["peer"]:
            return Cell(row["label"], "", "muted")
        labels = labels_in_words(row["mattes"], row["masks"], row["grades"])
        return Cell(row["label"], f"ours: {row['network']}, {labels}, {counted(int(row['seeds']), 'seed')}")

    def measured(measure: RegionalMeasure) -> Column:
        digits = places.get(measure.name, 3)
        return tables.measure_column(measure, lambda row: tables.mean_cell(row, digits, None))

    columns = [Column("model", who), *(measured(each) for each in MEASURES if each.name in set(frame["measure"]))]
    several = len(group[0].images) > 1
    beside = "" if frame["peer"].all() else f" Below them, of our own runs, those with the best {_by(frame)}."
    caption = (
        f"other people's models, means over {group[0].pictures}"
        f"{', with 95 % bootstrap intervals over images' if several else ''}.{beside}"
    )
    shown = tables.plain(frame).drop(columns=["row", "place"])
    return Table(name, caption, columns, shown, records, sortable=False, title=title)


def _by(frame: pd.DataFrame) -> str:
    return BY_NAME[next(name for name in BY if name in set(frame["measure"]))].header


def _described(runs: pd.DataFrame) -> Table:
    """What each model is, its licence, and the file that was run."""
    rows = []
    for run in runs.itertuples():
        told = document(run.config).get("peer", {})
        licence = told.get("licence") or {}
        rows.append(
            {
                "model": run.method,
                **{key: _text(told.get(key)) for key in ("title", "kind", "paper", "source", "protocol", "given")},
                "licence of code": _text(licence.get("code")),
                "licence of weights": _text(licence.get("weights")),
                "commercial": licence.get("commercial"),
                "sha256": _text(told.get("given_sha256")),
                "as described": told.get("sha256") in (None, told.get("given_sha256")),
            }
        )
    frame = pd.DataFrame(rows)

    def licence_of(row: dict[str, Any]) -> Cell:
        limited = row["commercial"] is False
        return Cell(row["licence of weights"], COMMERCIAL[row["commercial"]], "worse" if limited else "")

    def file(row: dict[str, Any]) -> Cell:
        other = "" if row["as described"] else "; not the file that its description names"
        return Cell(row["given"], f"sha256 {row['sha256'][:12]}…{other}", "" if row["as described"] else "worse")

    columns = [
        Column("model", lambda row: Cell(row["model"], row["title"])),
        *(texts("what", "kind"), texts("input", "protocol")),
        *(Column("licence of weights", licence_of), Column("file", file), texts("paper")),
    ]
    return Table("peers-described", "What they are, and the files that were run.", columns, frame)


def _text(value: object) -> str:
    return "" if value is None else str(value)


register(PageSection("peers", 75, lambda given: section(given.frames, given.comparisons)))
