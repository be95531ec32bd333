"""A search over a method's settings: what matters, the objective against every key, and the best to be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml

from reports.comparison import Budget, Comparison
from reports.document import (
    Block,
    Cell,
    Column,
    Listing,
    Picture,
    Section,
    Table,
    between,
    counted,
    decimals,
    listed,
    number,
)
from reports.figures import blending as figure
from reports.importance import FEWEST_RUNS, Importance, importances, words
from reports.load import Frames

FEWEST = 4  # variants that make a search
BEST = 10
RUN = "python -m sweeps run blending"


@dataclass(frozen=True)
class Search:
    """Variants of one method with the same labels and network.

    `frame`: a row per variant with the dotted `keys` that differ, val_sad, sad with low and high, seeds and run_ids.
    """

    comparison: Comparison
    method: str
    budget: Budget
    keys: list[str]
    frame: pd.DataFrame


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """The largest search of the store; others are named."""
    result = Section("blending", "Blending search", missing=f"No method was searched in several variants; {RUN}")
    found = searches(comparisons)
    if not found:
        return result
    search = found[0]
    known = search.frame[np.isfinite(search.frame["val_sad"])].reset_index(drop=True)
    result.text = [_about(search, known, frames)]
    if known.empty:
        result.text.append("No variant has a validation error, so none can be told to be the best.")
        return result
    shares = _importance(result, search, known)
    keys = [one.key for one in shares] or search.keys
    result.blocks.append(_slices(search, known, keys))
    result.blocks += _best(search, known, keys, frames.runs)
    for other in found[1:4]:
        title = f"{other.method} with {other.budget} on {other.comparison.title}"
        result.text.append(f"Also searched, in tables/cells.csv: {title} ({counted(len(other.frame), 'variant')}).")
    return result


def searches(comparisons: list[Comparison]) -> list[Search]:
    """Every method, network and budget that was trained in at least `FEWEST` variants, the largest search first."""
    found = []
    for comparison in comparisons:
        cells = comparison.cells[comparison.cells["measure"] == "sad"]
        for (method, mattes, masks), part in cells.groupby(["method", "mattes", "masks"], sort=False):
            if len(part) < FEWEST:
                continue
            values = pd.DataFrame(list(part["variant"]), index=part.index, dtype=object)
            keys = [key for key in values if len(set(words(values[key]))) > 1]
            if keys:
                shown = ["cell", "val_sad", "mean", "low", "high", "seeds", "run_ids"]
                frame = pd.concat([part[shown].rename(columns={"mean": "sad"}), values[keys]], axis=1)
                found.append(
                    Search(comparison, str(method), Budget(int(mattes), int(masks)), keys, frame.reset_index(drop=True))
                )
    return sorted(found, key=lambda search: -len(search.frame))


def _about(search: Search, known: pd.DataFrame, frames: Frames) -> str:
    runs = sum(map(len, search.frame["run_ids"]))
    text = (
        f"{counted(len(search.frame), 'variant')} of {search.method} with {search.budget} on {search.comparison.title} "
        f"({counted(runs, 'finished run')}) differ in {counted(len(search.keys), 'key')}: {listed(search.keys)}. The "
        "objective is the SAD on the validation set at the end of each run; the test set chose nothing, and its SAD is "
        "shown apart."
    )
    labels = frames.runs["method"].eq(search.method) & frames.runs["mattes"].eq(search.budget.mattes)
    labels &= frames.runs["masks"].eq(search.budget.masks)
    labels &= frames.runs["backbone"].eq(search.comparison.network["backbone"])
    stopped = int((labels & frames.runs["status"].eq("stopped")).sum())
    if stopped:
        text += f" {counted(stopped, 'run')} stopped early {'is' if stopped == 1 else 'are'} left out."
    if len(known) < len(search.frame):
        text += f" {counted(len(search.frame) - len(known), 'variant')} without a validation error left out."
    if (search.frame["seeds"] == 1).all():
        text += " One seed each: the best may owe its place to its seed, so repeat it with several."
    return text


def _importance(result: Section, search: Search, known: pd.DataFrame) -> list[Importance]:
    if len(known) < FEWEST_RUNS:
        result.text.append(
            f"{counted(len(known), 'variant')}: too few to say which key matters (at least {FEWEST_RUNS} are needed)."
        )
        return []
    found = importances(known[search.keys], known["val_sad"])
    told = [one.key for one in found if one.told]
    rest = [one.key for one in found if not one.told]
    said = f"{listed(told)} {'matters' if len(told) == 1 else 'matter'} more than chance would have it" if told else ""
    none = f"{listed(rest)} cannot be told from chance with so few runs" if rest else ""
    result.text.append(f"{'; '.join(filter(None, (said, none)))}.")
    frame = figure.importance_data(found)
    caption = (
        f"Main effects over {counted(len(known), 'variant')}: the share of the variance of the ranks of validation SAD "
        "that a parabola in a number's rank, or a choice's mean ranks, explains, adjusted for the number of terms. "
        "Lines: 95 % bootstrap intervals over runs. Dashed: what all keys without influence stay below in 95 of 100 "
        "shuffles. Interactions are in no key's share, and a search tries good regions more often than others."
    )
    result.blocks.append(Picture("blending-importance", "What matters", caption, figure.draw_importance(frame), frame))
    return found


def _slices(search: Search, known: pd.DataFrame, keys: list[str]) -> Picture:
    frame = known[["cell", "val_sad", "sad", "low", "high", "seeds", *keys]].copy()
    drawing = figure.draw_slices(frame, keys)
    for key in keys:
        frame[key] = frame[key].astype(float) if figure.is_numeric(frame[key]) else words(frame[key])
    caption = (
        f"Validation SAD of {counted(len(known), 'variant')} against each key, the most important first; lines are the "
        "means of choices, the star is the best by validation. Other keys vary along, so a slice is no proof."
    )
    if len(keys) > figure.PANELS:
        caption += f" {len(keys) - figure.PANELS} further keys are in the table."
    return Picture("blending-slices", "Slices", caption, drawing, frame)


def _best(search: Search, known: pd.DataFrame, keys: list[str], runs: pd.DataFrame) -> list[Block]:
    ranked = known.sort_values("val_sad", kind="stable").reset_index(drop=True)
    top = ranked.head(BEST)
    places = max(2, decimals(pd.concat([top["val_sad"], top["sad"]])))
    columns = [Column("", True), Column("run", False), Column("SAD ↓", group="validation", unit="10³ px")]
    columns += [Column("SAD ↓", group="test", unit="10³ px")]
    columns += [Column(key.rsplit(".", 1)[-1], figure.is_numeric(known[key])) for key in keys]
    rows = []
    for index, row in enumerate(top.to_dict("records")):
        cells = [
            Cell(str(index + 1)),
            Cell(row["run_ids"][0], f"and {row['seeds'] - 1} more" if row["seeds"] > 1 else ""),
        ]
        cells.append(Cell(number(row["val_sad"], places), tone="best" if index == 0 else ""))
        cells.append(Cell(number(row["sad"], places), between(row["low"], row["high"], places)))
        rows.append(cells + [Cell(_short(row[key])) for key in keys])
    caption = (
        f"The best {len(top)} of {len(ranked)} by validation, with 95 % bootstrap intervals of their test SAD over "
        "images. All of them are in the CSV."
    )
    frame = ranked.assign(run_ids=ranked["run_ids"].map(" ".join), **{key: words(ranked[key]) for key in keys})
    run_id = top["run_ids"].iloc[0][0]
    return [
        Table("blending-best", caption, columns, rows, frame),
        _to_repeat(search, ranked.iloc[0], keys, runs, run_id),
    ]


def _to_repeat(search: Search, best: pd.Series, keys: list[str], runs: pd.DataFrame, run_id: str) -> Listing:
    base: dict[str, Any] = {"model": {}, "method": {"name": search.method}}
    base["model"] = {key: search.comparison.network[key] for key in ("architecture", "backbone")}
    for key in sorted(keys):
        place = base
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        value = best[key]
        if value is None or value == value:  # null is a value as well; what is no number is no key of that run
            place[last] = value.item() if isinstance(value, np.generic) else value
    document = {
        "base": base,
        "budgets": [{"mattes": search.budget.mattes, "masks": search.budget.masks}],
        "seeds": [0, 1, 2],
    }
    plans = runs.loc[runs["run_id"] == run_id, "plan"].dropna()
    plan = plans.iloc[0] if len(plans) else "PLAN"
    caption = (
        "The best by validation as a part of a plan, with three seeds; keys that are not named keep the plan's values. "
        f"The whole configuration: python -m sweeps show {plan} --store STORE --run {run_id}"
    )
    return Listing("blending-best.yaml", caption, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _short(value: object) -> str:
    if value is None or value != value:
        return "unset"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
