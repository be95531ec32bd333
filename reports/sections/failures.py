"""Runs that did not finish: how many by kind, and why."""

from __future__ import annotations

import pandas as pd

from bench.store import FINISHED
from reports.document import Attached, Cell, Column, Section, Table, counted, number, shortened
from reports.load import Frames

ROWS = 30
LETTERS = 160  # of an error
KIND_LETTERS = 90
RUN = "python -m sweeps run quickstart"


def section(frames: Frames) -> Section:
    """Counts by kind of error, then single runs; full texts are in the CSV."""
    result = Section("failures", "Failures", missing=f"There are no runs in the store; {RUN}")
    runs = frames.runs
    if runs.empty:
        return result
    failed = runs[runs["status"] != FINISHED]
    if failed.empty:
        result.text = ["Every run in the store finished."]
        return result
    result.text = [f"{len(failed):,} of {counted(len(runs), 'run')} did not finish. No row of these enters a mean."]
    result.blocks.append(_kinds(failed))
    result.blocks.append(_single(failed))
    return result


def kind(error: object) -> str:
    """The first line of an error up to its first colon that ends a name, without the numbers that differ from run to run."""
    lines = str(error).strip().splitlines() if isinstance(error, str) else []
    if not lines:
        return "no reason was recorded"
    head, colon, rest = lines[0].partition(": ")
    if colon and head.isidentifier():
        return shortened(f"{head}: {rest}", KIND_LETTERS)
    return shortened(head, KIND_LETTERS)


def _kinds(failed: pd.DataFrame) -> Table:
    named = failed.assign(kind=failed["error"].map(kind), status=failed["status"].fillna("unknown"))
    groups = named.groupby(["status", "kind"], sort=True)
    frame = groups.agg(runs=("run_id", "size"), backbones=("backbone", "nunique"), methods=("method", "nunique"))
    frame = frame.reset_index().sort_values("runs", ascending=False, kind="stable").reset_index(drop=True)
    columns = [Column("status", False), Column("error", False), Column("runs"), Column("methods"), Column("backbones")]
    rows = [
        [
            Cell(row["status"], tone="even" if row["status"] == "stopped" else "worse"),
            Cell(row["kind"]),
            *(Cell(f"{row[key]:,}") for key in ("runs", "methods", "backbones")),
        ]
        for row in frame.head(ROWS).to_dict("records")
    ]
    return Table(
        "failures-by-kind", "Runs that did not finish, by status and the beginning of the error.", columns, rows, frame
    )


def _single(failed: pd.DataFrame) -> Table | Attached:
    kept = ["run_id", "method", "label", "architecture", "backbone", "mattes", "masks", "seed", "status", "error"]
    frame = failed[kept].reset_index(drop=True)
    columns = [Column(name, False) for name in ("run", "method", "backbone")]
    columns += [Column("mattes"), Column("masks"), Column("seed"), Column("status", False), Column("error", False)]
    order = {"failed": 0, "oom": 1, "stopped": 2}
    shown = frame.assign(order=frame["status"].map(order).fillna(3)).sort_values("order", kind="stable").head(ROWS)
    rows = [
        [Cell(_text(row[key])) for key in ("run_id", "method", "backbone")]
        + [
            Cell(number(float(row[key]) if pd.notna(row[key]) else float("nan"), 0))
            for key in ("mattes", "masks", "seed")
        ]
        + [
            Cell(_text(row["status"]), tone="even" if row["status"] == "stopped" else "worse"),
            Cell(shortened(_text(row["error"]), LETTERS)),
        ]
        for row in shown.to_dict("records")
    ]
    caption = f"{len(rows)} of {counted(len(frame), 'run')} that did not finish; errors in full are in the CSV."
    return Table("failures", caption, columns, rows, frame)


def _text(value: object) -> str:
    return str(value) if pd.notna(value) else ""
