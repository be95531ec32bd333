"""What other numbers or grades of labels change: `mlb` beside `mlb`, paired image by image."""

from __future__ import annotations

from reports import tables
from reports.comparison import REFERENCE, Comparison
from reports.document import between, counted, number

NAMED = 4  # budgets in the sentence: more are counted


def changes(comparison: Comparison) -> list[str]:
    """How `mlb` with other labels differs from `mlb` with the most; another variant than that is named."""
    largest, *others = comparison.budgets
    first = comparison.reference(largest)
    if first is None:
        return []
    places = tables.places_of(comparison).get("sad", 0)
    changes = []
    for budget in others:
        own = comparison.beside(budget, first, measure="sad")
        for row in own[own["cell"] == comparison.reference(budget)].itertuples():
            interval = between(row.low, row.high, places, sign=True)
            change = number(row.mean, places, sign=True) + (f" ({interval})" if interval else "")
            variant = "" if row.label == comparison.heads["label"][first] else f" as {row.label}"
            verdict = f", {row.verdict}" if interval else ""
            changes.append(f"{change} with {budget}{variant}{verdict}")
    if not changes:
        return []
    more = f"; {counted(len(changes) - NAMED, 'more budget')} in the tables" if len(changes) > NAMED else ""
    text = f"change in the SAD of {REFERENCE} from {largest} to other label budgets, in thousand pixels"
    return [f"{text}: {'; '.join(changes[:NAMED])}{more}."]
