"""A ranking per ground of all cells of all networks."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pandas as pd

from bench.cost import CostModel
from bench.statistics import NOT_SIGNIFICANT
from reports import timings
from reports.comparison import LABELS, Comparison, by_ground, ground_titles, scored
from reports.document import Column, Table, decimals, interval_column, masks_column, number, numbers, texts
from reports.load import NETWORK, Frames
from reports.measures import BY_NAME, MEASURES
from reports.per_image import of_cells, paired_differences
from wsshm.errors import UserError, nearest

SHOWN = ("sad", "mse", "mad", "grad", "conn")
OTHERS = ("cost", "fps", "params", "mattes", "masks", "seeds", "method", "architecture", "backbone")
RISING = ("fps",)  # columns apart from measures whose largest value is the best
TIED = "="


@dataclass(frozen=True)
class Board:
    """One ground's ranking: `frame` has a row a cell, `notes` say what could not be ranked.

    Columns: rank (none of others' models, which stand where their errors would), tied (no significant difference to the
    ranked row above), peer (another's model), method, label (with its variant), variant (JSON),
    control, architecture, backbone, weights, mattes, masks, cost and cost_unit, each measure, interval_of (the sorted measure,
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

    Rows are compared with the one above image by image; only cells that were scored on the same images are ranked
    together. Frame rates are of one condition, the one under which most models were timed. `comparisons` are those of the
    frames, where they were made already. Raises UserError for an
    unknown column, and where no finished run was scored.
    """
    key = sort.lower()
    if key not in BY_NAME and key not in OTHERS:
        raise UserError(f"there is no column {sort!r} to sort by; {nearest(key, (*BY_NAME, *OTHERS))}")
    groups = by_ground(scored(frames, cost) if comparisons is None else comparisons)
    titles = ground_titles(groups)
    return [_board(frames, group, title, key) for group, title in zip(groups, titles, strict=True)]


def table(board: Board, top: int | None, cost: CostModel, name: str = "leaderboard") -> Table:
    """The first `top` rows of a ranking (all by default)."""
    frame = board.frame.head(top) if top else board.frame
    shown = list(dict.fromkeys([*SHOWN, *([board.sort] if board.sort in BY_NAME else [])]))
    shown = [measure for measure in shown if frame[measure].notna().any()]
    places = {measure: max(1, decimals(frame[measure])) for measure in shown}
    measured = board.sort if board.sort in BY_NAME else "sad"

    def place(row: dict) -> str:
        return "–" if pd.isna(row["rank"]) else f"{row['rank']}{f' {TIED}' if row['tied'] else ''}"

    columns = [
        Column("rank", place, True),
        Column("method", _named),
        *(texts("architecture"), texts("backbone"), numbers("mattes"), masks_column()),
        Column("cost", lambda row: number(cost.shown(row["cost"]), 1 if cost.is_time else 0), True, cost.display_unit),
    ]
    for measure in shown:
        about, digits = BY_NAME[measure], places[measure]
        columns.append(numbers(f"{about.header}{_of(about.region)} {about.arrow}", measure, digits, about.unit))
        if measure == measured:
            columns.append(interval_column("95 % interval", digits))
    columns += [numbers("seeds"), numbers("FPS ↑", "fps", None), numbers("params", "params", 2, "10⁶", scale=1e-6)]
    columns.append(texts("commit", "commits"))
    by = _by(board.sort)
    tied = f"; {TIED} marks those not significantly different from the row above by {by}" if frame["tied"].any() else ""
    caption = (
        f"{len(frame)} of {len(board.frame)} rows by {by}{tied}. Means over images of seed-averaged values; a single image "
        f"has no interval. {board.condition}"
    )
    frame = frame.reset_index(drop=True).assign(cost_unit=cost.unit)
    return Table(name, " ".join([caption, *board.notes]), columns, frame, title=board.title)


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
    timed, condition = _timed(frames.speed, comparisons[0].ground["protocol"])
    every_timing = pd.concat([part for part in (frames.speed, frames.peer_speed) if len(part)] or [frames.speed])
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
                {"index": index, **{key: head[key] for key in ("peer", "method", "label", "control")}, **network}
                | {"variant": json.dumps(head["variant"])}
                | {key: head[key] for key in (*LABELS, "cost")}
                | {measure.name: by_measure["mean"].get(measure.name, math.nan) for measure in MEASURES}
                | {"interval_of": measured}
                | {key: own.get(key, math.nan) for key in ("low", "high", "seed_sd", "images")}
                | {"seeds": head["seeds"], **_rates(timed, every_timing, network, head["run_ids"])}
                | {"run_ids": run_ids, "commits": _commits(commits.reindex(head["run_ids"]))}
            )
    frame = _sorted(pd.DataFrame(rows), sort)
    own = frame[~frame["peer"]]
    ranks = {at: position for position, (at, value) in enumerate(own[sort].items(), 1) if pd.notna(value)}
    tied = dict(zip(own.index, _tied(own, values, sort), strict=True))
    frame.insert(0, "tied", [tied.get(at, False) for at in frame.index])
    frame.insert(0, "rank", pd.array([ranks.get(at) for at in frame.index], "Int64"))
    if frame["peer"].any():
        notes.append("Without a rank: other people's models, trained on other data; they stand where their errors are.")
    return Board(title, frame.drop(columns="index"), sort, condition, notes)


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    falls = sort in RISING or (sort in BY_NAME and not BY_NAME[sort].lower_is_better)
    by = [sort, *(name for name in ("sad", "method", "backbone", "mattes", "masks") if name != sort)]
    return frame.sort_values(by, ascending=[not falls, *[True] * (len(by) - 1)], kind="stable").reset_index(drop=True)


def _named(row: dict) -> str:
    kind = "other's model" if row["peer"] else "control" if row["control"] else ""
    return f"{row['label']} ({kind})" if kind else row["label"]


def _tied(frame: pd.DataFrame, values: dict[int, pd.Series], sort: str) -> list[bool]:
    """Whether each row is level with the one above: by paired intervals, or by those of the frame rates."""
    if frame.empty:
        return []
    if sort == "fps":
        return [False, *(frame["fps_high"].to_numpy()[1:] >= frame["fps_low"].to_numpy()[:-1])]
    if sort not in BY_NAME:
        return [False, *(frame[sort].to_numpy()[1:] == frame[sort].to_numpy()[:-1])]
    sides = [values.get(index, pd.Series(dtype=float)) for index in frame["index"]]
    found = paired_differences(list(zip(sides[1:], sides[:-1], strict=True)))
    return [False, *(found["verdict"] == NOT_SIGNIFICANT)]


def _timed(speed: pd.DataFrame, protocol: str) -> tuple[pd.DataFrame, str]:
    """Timings at batch 1 of the input that was scored, under the condition that most models were timed under, the network
    alone before end to end, and PyTorch in fp32, which errors are of, before other engines and precisions; and that
    condition, or why nothing is left."""
    timed = timings.usable(speed).sort_values("started")
    if timed.empty:
        return timed, timings.unused(speed) or "Nothing was timed at batch 1."
    own = timed[timings.matches(timed, protocol)]
    if own.empty:
        return own, f"No FPS: timed at {timings.sizes(timed)}, not at the input that was scored (protocol {protocol})."
    own = timings.with_conditions(own)
    counts = own.groupby(["scope", "engine", "precision", "panel"])["model"].nunique()
    *_, best = max(
        counts.index, key=lambda key: (counts[key], key[0] == "model only", key[1:3] == ("eager", "fp32"), key[3])
    )
    return own[own["panel"] == best], f"FPS: {best}, batch 1."


def _rates(timed: pd.DataFrame, every: pd.DataFrame, network: dict[str, str], run_ids: list[str]) -> dict[str, float]:
    """A cell's frame rate: that of its own runs where they were timed, else that of its architecture and backbone.

    Parameters are known from `every` timing, of whatever size.
    """
    last, any_size = (_timing(part, network, run_ids) for part in (timed, every))
    known = any_size is not None and pd.notna(any_size["params"])
    params = {"params": float(any_size["params"]) if known else math.nan}  # type: ignore[index]
    known_rates = dict.fromkeys(("fps", "fps_low", "fps_high"), math.nan) if last is None else timings.rates(last)
    return known_rates | params


def _timing(timed: pd.DataFrame, network: dict[str, str], run_ids: list[str]) -> pd.Series | None:
    own = timed[timed["run_id"].isin(run_ids)]
    alike = (timed["architecture"] == network["architecture"]) & (timed["backbone"] == network["backbone"])
    found = own if len(own) else timed[alike & timed["run_id"].isna()]
    return None if found.empty else found.iloc[-1]


def _commits(commits: pd.Series) -> str:
    return " ".join(sorted({str(commit)[:8] for commit in commits.dropna()})) or "unknown"


def _by(sort: str) -> str:
    measure = BY_NAME.get(sort)
    return f"{measure.header}{_of(measure.region)}" if measure else sort if sort != "fps" else "FPS"


def _of(region: str) -> str:
    return "" if region == "whole" else f" {region}"
