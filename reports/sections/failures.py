"""Runs that did not finish: how many by kind, and why."""

from __future__ import annotations

import pandas as pd

from bench.store import FINISHED
from reports import printed
from reports.comparison import LABELS
from reports.document import Column, Section, Table, counted, masks_column, numbers, shortened, texts
from reports.load import Frames
from reports.sections import PageSection, register

ROWS = 30
LETTERS = 160  # of an error
KIND_LETTERS = 90


def section(frames: Frames) -> Section:
    """Counts by kind of error, then single runs; full texts are in the CSV."""
    missing = printed.missing("There are no runs in the store", printed.fill("quickstart", frames))
    result = Section("failures", "Failures", missing=missing)
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
    head, colon, _ = lines[0].partition(": ")
    return shortened(lines[0] if colon and head.isidentifier() else head, KIND_LETTERS)


def _kinds(failed: pd.DataFrame) -> Table:
    named = failed.assign(kind=failed["error"].map(kind), status=failed["status"].fillna("unknown"))
    groups = named.groupby(["status", "kind"], sort=True)
    frame = groups.agg(runs=("run_id", "size"), backbones=("backbone", "nunique"), methods=("method", "nunique"))
    frame = frame.reset_index().sort_values("runs", ascending=False, kind="stable").reset_index(drop=True)
    columns = [texts("status", tone=_tone), texts("error", "kind"), *map(numbers, ("runs", "methods", "backbones"))]
    caption = "Runs that did not finish, by status and the beginning of the error."
    return Table("failures-by-kind", caption, columns, frame, frame.head(ROWS).to_dict("records"))


def _single(failed: pd.DataFrame) -> Table:
    kept = ["run_id", "method", "label", "architecture", "backbone", *LABELS, "seed", "status", "error"]
    frame = failed[kept].reset_index(drop=True)
    columns = [texts("run", "run_id"), texts("method"), texts("backbone")]
    columns += [
        numbers("mattes"),
        masks_column(),
        numbers("seed"),
        texts("status", tone=_tone),
        Column("error", _error),
    ]
    order = {"failed": 0, "oom": 1, "stopped": 2}
    shown = frame.assign(order=frame["status"].map(order).fillna(3)).sort_values("order", kind="stable").head(ROWS)
    caption = f"{len(shown)} of {counted(len(frame), 'run')} that did not finish; errors in full are in the CSV."
    return Table("failures", caption, columns, frame, shown.to_dict("records"))


def _tone(row: dict) -> str:
    return "even" if row["status"] == "stopped" else "worse"


def _error(row: dict) -> str:
    return shortened(row["error"], LETTERS) if pd.notna(row["error"]) else ""


register(PageSection("failures", 120, lambda given: section(given.frames)))
