"""Under what the results were made: hardware, versions, commits, data, prices; and the runs behind every row."""

from __future__ import annotations

import pandas as pd

from bench.cost import CostModel
from bench.statistics import ROUNDS
from bench.store import document as as_document
from reports.document import Column, Section, Table, counted, grades_in, texts
from reports.load import Frames
from reports.sections import PageSection, register

VALUES = 12  # of one fact that the page shows


def section(frames: Frames, cost: CostModel) -> Section:
    """A table of facts with their numbers of rows, and the prices with their sources."""
    result = Section("provenance", "Provenance")
    result.text = [
        f"{counted(len(frames.runs), 'run')}, {len(frames.scores):,} score rows of finished runs, "
        f"{counted(len(frames.speed), 'timing')}. Intervals: {ROUNDS:,} rounds of a seeded bootstrap over images. The "
        "runs behind every mean stand in tables/cells.csv, column run_ids.",
        cost.describe(grades_in(frames.runs["grades"].unique())),
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
    records: list[dict] = []
    for name, part in frame.groupby("fact", sort=False):
        most = part.sort_values("count", ascending=False, kind="stable").head(VALUES).sort_index()
        own = most.assign(fact=[name, *[""] * (len(most) - 1)]).to_dict("records")
        if len(part) > VALUES:
            own.append({"fact": "", "value": f"and {len(part) - VALUES} more, in the CSV", "count": None, "of": ""})
        records += own
    columns = [texts("fact"), texts("value", tone=_tone)]
    columns += [Column("count", lambda row: "" if row["count"] is None else f"{row['count']:,}", True), texts("of")]
    caption = "Under what these results were made."
    return Table("provenance", caption, columns, frame, records, sortable=False)


def _tone(row: dict) -> str:
    return "muted" if row["count"] is None else "worse" if "(uncommitted" in row["value"] else ""


def _versions(text: str) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(as_document(text).items()) if version)


register(PageSection("provenance", 150, lambda given: section(given.frames, given.cost)))
