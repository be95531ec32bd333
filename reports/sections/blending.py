"""A search over a method's settings: what matters, the objective against every key, and the best settings to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml

from reports import printed
from reports.comparison import LABELS, Budget, Comparison
from reports.document import Block, Cell, Column, Listing, Picture, Section, Table, counted, decimals, listed, numbers
from reports.figures import blending as figure
from reports.importance import FEWEST_RUNS, Importance, importances, words
from reports.load import Frames
from reports.sections import PageSection, register

FEWEST = 4  # variants that make a search
BEST = 10
BOTH = "train a method that uses mattes and masks, such as mlb"


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
    missing = printed.missing("No method was searched in several variants", printed.fill("blending", frames), BOTH)
    result = Section("blending", "Blending search", missing=missing)
    found = searches(comparisons)
    if not found:
        return result
    search = found[0]
    known = search.frame[np.isfinite(search.frame["val_sad"])].reset_index(drop=True)
    result.text = [_about(search, known, frames)]
    if known.empty:
        result.text.append("No variant has a validation error, so the best one is unknown.")
        return result
    shares = _importance(result, search, known)
    keys = [one.key for one in shares] or search.keys
    result.blocks.append(_slices(search, known, keys))
    result.blocks += _best(search, known, keys, frames)
    for other in found[1:4]:
        title = f"{other.method} with {other.budget} on {other.comparison.title}"
        result.text.append(f"Also searched, in tables/cells.csv: {title} ({counted(len(other.frame), 'variant')}).")
    return result


def searches(comparisons: list[Comparison]) -> list[Search]:
    """Every method, network and budget that was trained in at least `FEWEST` variants, the largest search first."""
    found = []
    for comparison in comparisons:
        cells = comparison.cells[comparison.cells["measure"] == "sad"]
        for (method, mattes, masks, grades), part in cells.groupby(["method", *LABELS], sort=False):
            if len(part) < FEWEST:
                continue
            values = pd.DataFrame(list(part["variant"]), index=part.index, dtype=object)
            keys = [key for key in values if len(set(words(values[key]))) > 1]
            if keys:
                shown = ["cell", "val_sad", "mean", "low", "high", "seeds", "run_ids"]
                frame = pd.concat([part[shown].rename(columns={"mean": "sad"}), values[keys]], axis=1)
                budget = Budget(int(mattes), int(masks), grades)
                found.append(Search(comparison, str(method), budget, keys, frame.reset_index(drop=True)))
    return sorted(found, key=lambda search: -len(search.frame))


def _about(search: Search, known: pd.DataFrame, frames: Frames) -> str:
    runs = sum(map(len, search.frame["run_ids"]))
    text = (
        f"{counted(len(search.frame), 'variant')} of {search.method} with {search.budget} on {search.comparison.title} "
        f"({counted(runs, 'finished run')}) differ in {counted(len(search.keys), 'key')}: {listed(search.keys)}. The "
        "objective is the SAD on the validation set at the end of each run; the test set chose nothing, and its SAD is "
        "shown apart."
    )
    same = {"method": search.method, "status": "stopped"} | {name: getattr(search.budget, name) for name in LABELS}
    same |= {key: search.comparison.network[key] for key in ("architecture", "backbone")}
    if stopped := int(np.logical_and.reduce([frames.runs[key].eq(value) for key, value in same.items()]).sum()):
        text += f" {counted(stopped, 'run')} stopped early {'is' if stopped == 1 else 'are'} left out."
    if len(known) < len(search.frame):
        text += f" {counted(len(search.frame) - len(known), 'variant')} without a validation error left out."
    if (search.frame["seeds"] == 1).all():
        text += " One seed each: the best may be due to its seed, so repeat it with several seeds."
    return text


def _importance(result: Section, search: Search, known: pd.DataFrame) -> list[Importance]:
    if len(known) < FEWEST_RUNS:
        result.text.append(
            f"{counted(len(known), 'variant')}: too few to say which key matters (at least {FEWEST_RUNS} are needed)."
        )
        return []
    found = importances(known[search.keys], known["val_sad"])
    clear = [one.key for one in found if one.significant]
    rest = [one.key for one in found if not one.significant]
    said = [f"{listed(clear)} {'matters' if len(clear) == 1 else 'matter'} more than chance would explain"] * bool(
        clear
    )
    said += [f"{listed(rest)} cannot be distinguished from chance with so few runs"] * bool(rest)
    result.text.append(f"{'; '.join(said)}.")
    frame = figure.importance_data(found)
    caption = (
        f"Main effects over {counted(len(known), 'variant')}: the share of the variance of the ranks of validation SAD "
        "that a parabola in a number's rank, or a choice's mean ranks, explains, adjusted for the number of terms. "
        "Lines: 95 % bootstrap intervals over runs. Dashed: what all keys without influence stay below in 95 of 100 "
        "shuffles. Interactions are not included in any key's share, and a search samples good regions more often."
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
        "means of choices, the star is the best by validation. Other keys vary too, so a slice proves nothing."
    )
    if len(keys) > figure.PANELS:
        caption += f" {len(keys) - figure.PANELS} further keys are in the table."
    return Picture("blending-slices", "Slices", caption, drawing, frame)


def _best(search: Search, known: pd.DataFrame, keys: list[str], frames: Frames) -> list[Block]:
    ranked = known.sort_values("val_sad", kind="stable").reset_index(drop=True)
    top = ranked.head(BEST)
    places = max(2, decimals(pd.concat([top["val_sad"], top["sad"]])))

    def setting(key: str) -> Column:
        return Column(key.rsplit(".", 1)[-1], lambda row: _short(row[key]), figure.is_numeric(known[key]))

    columns = [
        numbers("", "place"),
        Column("run", lambda row: Cell(row["run_ids"][0], f"and {row['seeds'] - 1} more" if row["seeds"] > 1 else "")),
        numbers("SAD ↓", "val_sad", places, "10³ px", "validation", tone=lambda row: "best" * (row["place"] == 1)),
        numbers("SAD ↓", "sad", places, "10³ px", "test", ("low", "high")),
        *map(setting, keys),
    ]
    records = top.assign(place=range(1, len(top) + 1)).to_dict("records")
    caption = (
        f"The best {len(top)} of {len(ranked)} by validation, with 95 % bootstrap intervals of their test SAD over "
        "images. All of them are in the CSV."
    )
    frame = ranked.assign(run_ids=ranked["run_ids"].map(" ".join), **{key: words(ranked[key]) for key in keys})
    run_id = top["run_ids"].iloc[0][0]
    return [
        Table("blending-best", caption, columns, frame, records),
        _to_repeat(search, ranked.iloc[0], keys, frames, run_id),
    ]


def _to_repeat(search: Search, best: pd.Series, keys: list[str], frames: Frames, run_id: str) -> Listing:
    model = {key: search.comparison.network[key] for key in ("architecture", "backbone")}
    base: dict[str, Any] = {"model": model, "method": {"name": search.method}}
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
        "budgets": [search.budget.asked],
        "seeds": [0, 1, 2],
    }
    caption = "The best by validation as a part of a plan, with three seeds; other keys keep the plan's values. "
    command = printed.whole(frames, run_id)
    caption += f"The whole configuration: `{command}`" if command else "The whole configuration is in the store's runs."
    return Listing("blending-best.yaml", caption, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _short(value: object) -> str:
    if value is None or value != value:
        return "default"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


register(PageSection("blending", 50, lambda given: section(given.frames, given.comparisons)))
