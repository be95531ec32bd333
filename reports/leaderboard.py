"""Every cell of every network in one ranking per ground."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pandas as pd

from bench.cost import CostModel
from reports.comparison import Comparison, compare
from reports.document import Cell, Column, Table, between, decimals, number
from reports.load import NETWORK, Frames, differing
from reports.measures import BY_NAME, MEASURES
from reports.per_image import of_cells, told_apart
from wsshm.errors import UserError, nearest

SHOWN = ("sad", "mse", "mad", "grad", "conn")
OTHERS = ("cost", "fps", "params", "mattes", "masks", "seeds", "method", "architecture", "backbone")
RISING = ("fps",)  # columns apart from measures whose largest value is the best
TIED = "="


@dataclass(frozen=True)
class Board:
    """One ground's ranking: `frame` has a row a cell, `notes` say what could not be ranked.

    Columns: rank, tied (not told apart from the row above), method, label (with its variant), variant (JSON), control,
    architecture, backbone, weights, mattes, masks, cost and cost_unit, each measure, interval_of (the sorted measure,
    else SAD) and its low, high, images, seeds, seed_sd, fps, fps_low, fps_high, params, run_ids, commits.
    """

    title: str
    frame: pd.DataFrame
    sort: str
    condition: str
    notes: list[str]


def boards(
    frames: Frames, cost: CostModel, sort: str = "sad", comparisons: list[Comparison] | None = None
) -> list[Board]:
    """A ranking for every ground of the store, by `sort`: a measure, or one of `OTHERS`.

    Rows are held against the one above image by image; only cells that were scored on the same images are ranked
    together. Frame rates are of one condition, the one under which most models were timed. `comparisons` are those of the
    frames, where they were made already. Raises UserError for an
    unknown column, and where no finished run was scored.
    """
    key = sort.lower()
    if key not in BY_NAME and key not in OTHERS:
        raise UserError(f"there is no column {sort!r} to sort by; {nearest(key, (*BY_NAME, *OTHERS))}")
    if frames.scores.empty:
        raise UserError(f"no finished run in {frames.root} was scored; run: python -m sweeps run quickstart")
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for comparison in compare(frames, cost) if comparisons is None else comparisons:
        groups.setdefault(tuple(comparison.ground.values()), []).append(comparison)
    titles = differing([group[0].ground for group in groups.values()], "dataset")
    return [_board(frames, group, title, key) for group, title in zip(groups.values(), titles, strict=True)]


def table(board: Board, top: int | None, cost: CostModel, name: str = "leaderboard") -> Table:
    """The first `top` rows of a ranking (all by default)."""
    frame = board.frame.head(top) if top else board.frame
    shown = list(dict.fromkeys([*SHOWN, *([board.sort] if board.sort in BY_NAME else [])]))
    shown = [measure for measure in shown if frame[measure].notna().any()]
    places = {measure: max(1, decimals(frame[measure])) for measure in shown}
    measured = board.sort if board.sort in BY_NAME else "sad"
    columns = [Column("rank"), Column("method", False), Column("architecture", False), Column("backbone", False)]
    columns += [Column("mattes"), Column("masks"), Column("cost", unit=cost.display_unit)]
    for measure in shown:
        about = BY_NAME[measure]
        columns.append(Column(f"{about.header}{_of(about.region)} {about.arrow}", unit=about.unit))
        if measure == measured:
            columns.append(Column("95 % interval"))
    columns += [Column("seeds"), Column("FPS ↑"), Column("params", unit="10⁶"), Column("commit", False)]
    rows = []
    for row, method in zip(frame.to_dict("records"), _names(frame), strict=True):
        cells = [
            Cell(f"{row['rank']}{f' {TIED}' if row['tied'] else ''}" if pd.notna(row["rank"]) else "–"),
            Cell(method),
        ]
        cells += [Cell(row["architecture"]), Cell(row["backbone"])]
        cells += [Cell(number(row[key], 0)) for key in ("mattes", "masks")]
        cells.append(Cell(number(cost.shown(row["cost"]), 1 if cost.is_time else 0)))
        for key in shown:
            cells.append(Cell(number(row[key], places[key])))
            if key == measured:
                cells.append(Cell(between(row["low"], row["high"], places[key]) or "–"))
        cells += [Cell(str(row["seeds"])), Cell(number(row["fps"], decimals([row["fps"]])))]
        cells += [Cell(number(row["params"] / 1e6, 2)), Cell(row["commits"])]
        rows.append(cells)
    by = _by(board.sort)
    caption = f"{board.title}: {len(frame)} of {len(board.frame)} rows by {by}"
    caption += f"; {TIED} marks those not told apart from the row above by {by}. " if frame["tied"].any() else ". "
    caption += "Means over images of seed-averaged values; a single image has no interval."
    caption += f" FPS: {board.condition}, batch 1." if board.condition else " Nothing was timed at batch 1."
    return Table(
        name, " ".join([caption, *board.notes]), columns, rows, frame.reset_index(drop=True).assign(cost_unit=cost.unit)
    )


def _board(frames: Frames, comparisons: list[Comparison], title: str, sort: str) -> Board:
    images = comparisons[0].images
    same = [comparison for comparison in comparisons if comparison.images == images]
    seen: set[str] = set()  # predictions made elsewhere stand beside every network, and are ranked once
    notes = [
        f"Not ranked: {comparison.network['backbone']}, scored on other images ({len(comparison.images)})."
        for comparison in comparisons
        if comparison.images != images
    ]
    measured = sort if sort in BY_NAME else "sad"
    timed, condition = _timed(frames.speed)
    rows: list[dict] = []
    values: dict[int, pd.Series] = {}
    commits = frames.runs.set_index("run_id")["git_commit"]
    for comparison in same:
        per_image = of_cells(comparison, BY_NAME[measured])
        for cell, part in comparison.cells.groupby("cell", sort=False):
            head, by_measure = part.iloc[0], part.set_index("measure")
            run_ids, index = " ".join(head["run_ids"]), len(rows)
            if run_ids in seen:
                continue
            seen.add(run_ids)
            network = dict.fromkeys(NETWORK, "–") if head["external"] else comparison.network
            if cell in per_image:
                values[index] = per_image[cell]
            own = by_measure.loc[measured] if measured in by_measure.index else pd.Series(dtype=float)
            rows.append(
                {
                    "index": index,
                    "method": head["method"],
                    "label": head["label"],
                    "control": head["control"],
                    **network,
                }
                | {"variant": json.dumps(head["variant"])}
                | {key: head[key] for key in ("mattes", "masks", "cost")}
                | {measure.name: by_measure["mean"].get(measure.name, math.nan) for measure in MEASURES}
                | {"interval_of": measured}
                | {key: own.get(key, math.nan) for key in ("low", "high", "seed_sd", "images")}
                | {"seeds": head["seeds"], **_rates(timed, network, head["run_ids"])}
                | {"run_ids": run_ids, "commits": _commits(commits.reindex(head["run_ids"]))}
            )
    frame = _sorted(pd.DataFrame(rows), sort)
    frame.insert(0, "tied", _tied(frame, values, sort))
    frame.insert(0, "rank", [position if pd.notna(v) else None for position, v in enumerate(frame[sort], 1)])
    frame["rank"] = frame["rank"].astype("Int64")
    return Board(title, frame.drop(columns="index"), sort, condition, notes)


def _names(frame: pd.DataFrame) -> list[str]:
    """Methods with what tells their variants apart among these rows."""
    documents = [json.loads(text) for text in frame["variant"]]
    values: dict[tuple[str, str], set[str]] = {}
    for method, document in zip(frame["method"], documents, strict=True):
        for key, value in document.items():
            values.setdefault((method, key), set()).add(json.dumps(value))
    names = []
    for method, control, document in zip(frame["method"], frame["control"], documents, strict=True):
        told = [f"{k.rpartition('.')[2]}={v}" for k, v in document.items() if len(values[method, k]) > 1]
        names.append(", ".join([f"{method} (control)" if control else method, *told]))
    return names


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    falls = sort in RISING or (sort in BY_NAME and not BY_NAME[sort].lower_is_better)
    by = [sort, *(name for name in ("sad", "method", "backbone", "mattes", "masks") if name != sort)]
    return frame.sort_values(by, ascending=[not falls, *[True] * (len(by) - 1)], kind="stable").reset_index(drop=True)


def _tied(frame: pd.DataFrame, values: dict[int, pd.Series], sort: str) -> list[bool]:
    """Whether each row is not told apart from the one above: by paired intervals, or by those of the frame rates."""
    order = frame["index"].tolist()
    if sort == "fps":
        return [False, *(frame["fps_high"].to_numpy()[1:] >= frame["fps_low"].to_numpy()[:-1])]
    if sort not in BY_NAME:
        return [False, *(frame[sort].to_numpy()[1:] == frame[sort].to_numpy()[:-1])]
    places = [place for place in range(1, len(order)) if {order[place], order[place - 1]} <= values.keys()]
    found = told_apart(
        [(values[order[place]] - values[order[place - 1]]).dropna() for place in places], BY_NAME[sort].lower_is_better
    )
    tied = {place for place, said in zip(places, found, strict=True) if said.verdict == "not told apart"}
    return [place in tied for place in range(len(order))]


def _timed(speed: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Timings at batch 1 of the condition that most models were timed under, the network alone before end to end."""
    timed = speed[(speed["status"] == "ok") & speed["fps"].notna() & (speed["batch"] == 1)].sort_values("started")
    if timed.empty:
        return timed, ""
    shared = ["scope", "device", "engine", "precision", "layout", "height", "width"]
    text = [
        ", ".join(
            ["model only" if row["scope"] == "model" else "end to end"]
            + [str(row[key]) for key in ("device", "engine", "precision", "layout") if pd.notna(row[key])]
            + [f"{row['width']:.0f}×{row['height']:.0f}"]
        )
        for row in timed[shared].to_dict("records")
    ]
    timed = timed.assign(condition=text)
    counts = timed.groupby("condition")["model"].nunique()
    best = max(counts.index, key=lambda name: (counts[name], name.startswith("model only"), name))
    return timed[timed["condition"] == best], best


def _rates(timed: pd.DataFrame, network: dict[str, str], run_ids: list[str]) -> dict[str, float]:
    """A cell's frame rate: that of its own runs where they were timed, else that of its architecture and backbone."""
    own = timed[timed["run_id"].isin(run_ids)]
    alike = (timed["architecture"] == network["architecture"]) & (timed["backbone"] == network["backbone"])
    found = own if len(own) else timed[alike & timed["run_id"].isna()]
    if found.empty:
        return dict.fromkeys(("fps", "fps_low", "fps_high", "params"), math.nan)
    last = found.iloc[-1]
    slow, fast = (last[key] if pd.notna(last[key]) else last["p50_ms"] for key in ("median_high_ms", "median_low_ms"))
    params = float(last["params"]) if pd.notna(last["params"]) else math.nan
    return {"fps": float(last["fps"]), "fps_low": 1000 / slow, "fps_high": 1000 / fast, "params": params}


def _commits(commits: pd.Series) -> str:
    return " ".join(sorted({str(commit)[:8] for commit in commits.dropna()})) or "unknown"


def _by(sort: str) -> str:
    measure = BY_NAME.get(sort)
    return f"{measure.header}{_of(measure.region)}" if measure else sort if sort != "fps" else "FPS"


def _of(region: str) -> str:
    return "" if region == "whole" else f" {region}"
