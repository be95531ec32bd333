"""Every method against the best baseline of each setting, on test sets like the training pictures and unlike them.

The best baseline is chosen by its validation SAD, the mean over its seeds, so that no test set has a say in it; of a
method's variants in a setting the one that is best on validation stands for it. A method that can be taught by its own
average or by a stage before it is two rows, as that is two recipes. Controls are shown, and never the best of anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bench.store import document as as_document
from reports import settings
from reports.against import differences
from reports.averages import seeds_of
from reports.comparison import Budget, Comparison, validation
from reports.document import listed, network_name
from reports.load import ADDED, Frames, flatten, load, variant_label
from reports.measures import WITH_FURTHER, RegionalMeasure
from reports.per_image import measures
from reports.settings import Setting, Settings
from wsshm.errors import UserError, nearest
from wsshm.methods import OWN_AVERAGE, described, is_unread

BASELINE = "best baseline"  # the kind of its row, which has no difference
FIRST = ("setting", "iou", "role", "label")
Key = tuple[str, float, float, str]  # a cell in whatever comparison: its label in the store, and its labels


@dataclass(frozen=True)
class Chosen:
    """The runs that stand in one row of a setting, and their SAD on validation, the mean over seeds; NaN if unknown."""

    method: str
    taught: str | None
    key: Key
    val_sad: float


@dataclass(frozen=True)
class Judged:
    """A setting with its best baseline.

    `frame` has a row for each row of the table and role of test set that the setting has: the columns of
    `reports.against`, beside `role`, `method`, `taught` (by a `stage` or its own `average`; None for methods without the
    choice), `control`, `val_sad` and the ground and network. The baseline's own row has no difference.
    """

    setting: Setting
    budget: Budget
    recipe: str
    network: str
    baseline: Chosen
    candidates: list[Chosen]
    frame: pd.DataFrame

    @property
    def against(self) -> str:
        return self.baseline.key[0]


@dataclass(frozen=True)
class Gains:
    """What `wsshm report gains` shows."""

    measure: RegionalMeasure
    baselines: tuple[str, ...]
    rival: str | None
    judged: list[Judged]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row for each setting, role and method, in the order of the table, with its name as `label`."""
        parts = [
            each.frame.assign(setting=each.setting.name, iou=each.setting.masks.iou, against=each.against)
            for each in self.judged
        ]
        frame = pd.concat(parts, ignore_index=True)
        several = frame.groupby("method")["taught"].agg(lambda own: len(set(own.dropna())) > 1)
        frame["label"] = [
            variant_label(method, {OWN_AVERAGE: taught} if several[method] and taught else {})
            for method, taught in zip(frame["method"], frame["taught"], strict=True)
        ]
        return frame[["setting", "iou", "role", "label", *(name for name in frame if name not in FIRST)]]

    @property
    def labels(self) -> list[str]:
        """The rows of the table: methods in their order, a method's recipes by name."""
        rows = self.frame[["label", "method"]].drop_duplicates()
        order = [(described(row.method).order, row.method, row.label) for row in rows.itertuples()]
        return [label for *_, label in sorted(order)]


def gains(file: Path, measure: RegionalMeasure) -> Gains:
    """Read the file of settings and their stores, and compare. UserError where a setting cannot be judged."""
    asked = settings.read(file)
    stores = {root: load(root) for root in dict.fromkeys(each.store for each in asked.settings)}
    judged = [_judged(stores[each.store], each, asked, measure) for each in asked.settings]
    return Gains(measure, asked.baselines, asked.rival, judged)


def measure_of(name: str, region: str | None) -> RegionalMeasure:
    """The one measure of a name, in a region if that is given. UserError for an unknown one."""
    if region is None:
        found = measures(name, None, (), WITH_FURTHER)
    else:
        there = measures(None, region, (), WITH_FURTHER)
        found = [each for each in there if name.strip().lower() in (each.column, each.name)]
        if not found:
            raise UserError(
                f"there is no measure {name!r} of the region {region}; {nearest(name, [each.column for each in there])}"
            )
    if len(found) > 1:
        raise UserError(f"a table of gains is of one measure; name one of {listed([each.name for each in found])}")
    return found[0]


def _judged(frames: Frames, setting: Setting, asked: Settings, measure: RegionalMeasure) -> Judged:
    comparisons = settings.comparisons(frames, setting, measure)
    first = next(iter(comparisons.values()))
    budget = settings.budget(first, setting)
    chosen = _chosen(first, budget, frames)
    candidates = [each for each in chosen if each.method in asked.baselines]
    baseline = _best(candidates, setting, asked.baselines, budget)
    seed_of = seeds_of(frames.runs.set_index("run_id"))
    parts = []
    for role, comparison in comparisons.items():
        heads, values = _heads(comparison, chosen), comparison.values(measure)
        of = f"of {measure.header} ({measure.where}) on {comparison.ground['dataset']}"
        there = heads[heads["key"] == baseline.key]
        base = values.dropna(how="all").reindex(columns=[run_id for ids in there["run_ids"] for run_id in ids])
        if base.empty or base.isna().any(axis=None):
            raise UserError(f"{baseline.key[0]}, the best baseline of the setting {setting.name!r}, lacks values {of}")
        reference = there.iloc[0]
        rows = differences(values, heads, reference["cell"], measure, seed_of)
        if rows.empty:
            raise UserError(f"nothing beside {baseline.key[0]} has a value {of} in the setting {setting.name!r}")
        own = reference[["cell", "label", "method", "seeds"]].to_dict() | {"kind": BASELINE, "measure": measure.name}
        own |= {"mean": base.mean(axis=None), "images": len(base)}
        rows = pd.concat([pd.DataFrame([own]), rows], ignore_index=True)
        rows = rows.rename(columns={"label": "variant"}).join(heads[["taught", "control", "val_sad"]], on="cell")
        rows = rows.assign(role=role, **comparison.ground, **comparison.network)
        rows = rows.assign(mattes=budget.mattes, masks=budget.masks, grades=budget.grades)
        parts.append(rows.drop(columns=["cell", "settings"]))
    network = network_name(f"{first.network['architecture']} over {first.network['backbone']}")
    recipe = first.ground["recipe_version"]
    return Judged(setting, budget, recipe, network, baseline, candidates, pd.concat(parts, ignore_index=True))


def _chosen(comparison: Comparison, budget: Budget, frames: Frames) -> list[Chosen]:
    """Of each method and way of being taught the variant that is best on validation, among what the budget pays for."""
    configs = frames.runs.set_index("run_id")["config"]
    known = validation(frames)
    heads = comparison.heads
    heads = heads[heads.index.isin(comparison.at(budget)) & ~heads["external"]]
    best: dict[tuple[str, str | None], Chosen] = {}
    for head in heads.to_dict("records"):
        # As one seed without a validation error leaves the others' mean no fair one, it counts as unknown.
        val_sad = float(known.reindex(head["run_ids"]).mean(skipna=False))
        row = Chosen(head["method"], _taught(head["method"], configs[head["run_ids"][0]]), _key(head), val_sad)
        place = (row.method, row.taught)
        if place not in best or (not best[place].val_sad <= row.val_sad and np.isfinite(row.val_sad)):
            best[place] = row
    return list(best.values())


def _taught(method: str, config: str) -> str | None:
    """By what a run's blended label is made: a `stage` before it or its own `average`; None where a method has no choice."""
    if is_unread(method, OWN_AVERAGE):
        return None
    return str(flatten(as_document(config)).get(OWN_AVERAGE, ADDED[OWN_AVERAGE]))


def _best(candidates: list[Chosen], setting: Setting, baselines: Iterable[str], budget: Budget) -> Chosen:
    if not candidates:
        raise UserError(
            f"the setting {setting.name!r} has no scored run of {listed(baselines)} with {budget} in {setting.store};"
            " train one of them, or name another in baselines"
        )
    if unknown := [each.key[0] for each in candidates if not np.isfinite(each.val_sad)]:
        raise UserError(
            f"the best baseline of the setting {setting.name!r} cannot be chosen, as runs of {listed(unknown)} in"
            f" {setting.store} have no validation error (val_sad of the table epochs); train them again, or leave"
            f" {'it' if len(unknown) == 1 else 'them'} out of baselines"
        )
    return min(candidates, key=lambda each: each.val_sad)


def _heads(comparison: Comparison, chosen: list[Chosen]) -> pd.DataFrame:
    """The comparison's cells of these rows, with the `key`, how they were `taught`, and `val_sad`."""
    of_key = {each.key: each for each in chosen}
    heads = comparison.heads
    heads = heads.assign(key=pd.Series([_key(head) for head in heads.to_dict("records")], heads.index, object))
    heads = heads[heads["key"].isin(of_key)]
    own = [of_key[key] for key in heads["key"]]
    return heads.assign(taught=[each.taught for each in own], val_sad=[each.val_sad for each in own])


def _key(head: dict) -> Key:
    return head["label"], head["mattes"], head["masks"], head["grades"]
