"""Under what the results were made: hardware, versions, commits, data, prices; and the runs behind every row."""

from __future__ import annotations

import pandas as pd

from bench.cost import CostModel
from bench.statistics import ROUNDS
from reports.document import Cell, Column, Section, Table, counted
from reports.load import Frames, as_document

VALUES = 12  # of one fact that the page shows


def section(frames: Frames, cost: CostModel) -> Section:
    """A table of facts with their numbers of rows, and the prices with their sources."""
    result = Section("provenance", "Provenance")
    result.text = [
        f"{counted(len(frames.runs), 'run')}, {len(frames.scores):,} score rows of finished runs, "
        f"{counted(len(frames.speed), 'timing')}. Intervals: {ROUNDS:,} rounds of a seeded bootstrap over images. The "
        "runs behind every mean stand in tables/cells.csv, column run_ids.",
        cost.describe(),
    ]
    if frames.runs["git_dirty"].fillna(False).astype(bool).any():
        result.notes.append(
            "Some runs were made from a checkout with uncommitted changes: they cannot be repeated exactly."
        )
    result.blocks = [_facts(frames.runs, frames.scores, frames.speed)]
    return result


def _facts(runs: pd.DataFrame, scores: pd.DataFrame, speed: pd.DataFrame) -> Table:
    commits = runs["git_commit"].fillna("unknown").astype(str).str[:12]
    commits += runs["git_dirty"].map(lambda dirty: " (uncommitted changes)" if dirty is True else "").astype(str)
    versions = pd.concat([runs["versions"], speed["versions"]], ignore_index=True)
    facts: list[tuple[str, str, int, str]] = []
    for name, values, what in (
        ("trained on", runs["device"], "runs"),
        ("timed on", speed["device"], "timings"),
        ("commit", commits, "runs"),
        ("data fingerprint", runs["data_fingerprint"], "runs"),
        ("recipe version", runs["recipe_version"], "runs"),
        ("first weights", runs["weights"], "runs"),
        ("metric version", scores["metric_version"], "score rows"),
        ("protocol", scores["protocol"], "score rows"),
        ("convention", scores["convention"], "score rows"),
        ("truth", scores["truth"], "score rows"),
        ("versions", versions, "runs and timings"),
    ):
        counts = values.value_counts(sort=False)  # of categories in millions of rows: counted before they are texts
        counts.index = counts.index.astype(str)
        if name == "versions":  # a few distinct texts: read each once
            counts = counts.groupby(counts.index.map(_versions)).sum()
        facts += [(name, value, int(count), what) for value, count in sorted(counts.items()) if value and count]
    frame = pd.DataFrame(facts, columns=["fact", "value", "count", "of"])
    rows: list[list[Cell]] = []
    for name, part in frame.groupby("fact", sort=False):
        most = part.sort_values("count", ascending=False, kind="stable").head(VALUES).sort_index()
        for index, row in enumerate(most.to_dict("records")):
            dirty = "worse" if "(uncommitted" in row["value"] else ""
            head = Cell(str(name) if index == 0 else "")
            rows.append([head, Cell(row["value"], tone=dirty), Cell(f"{row['count']:,}"), Cell(row["of"])])
        if len(part) > VALUES:
            rows.append(
                [Cell(""), Cell(f"and {len(part) - VALUES} more, in the CSV", tone="muted"), Cell(""), Cell("")]
            )
    columns = [Column("fact", False), Column("value", False), Column("count"), Column("of", False)]
    return Table("provenance", "Under what these results were made.", columns, rows, frame, sortable=False)


def _versions(text: str) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(as_document(text).items()) if version)
