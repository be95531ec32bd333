"""Methods against each other: means with intervals, paired differences to `mlb`, spread over seeds.

A `cell` is what is averaged: the runs of one method (and variant) with the same labels, which differ in their seed.
Seeds are averaged first, image by image; the interval is the bootstrap's over images. A budget (mattes, masks) holds
every cell that can be had for it, so that `seg_only` stands beside `mlb` at each of its numbers of mattes. Verdicts are
corrected for many comparisons: the intervals of all differences of one measure of one `Comparison` hold together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.cost import CostModel
from reports.averages import Pair, averaged
from reports.load import CONTROLS, REFERENCE, Frames, differing
from reports.matrices import Grid, Part, grid, parts
from reports.measures import BY_NAME, MEASURES, REGIONS, Measure

__all__ = [
    "BY_NAME",
    "MEASURES",
    "REGIONS",
    "UNKNOWN",
    "Budget",
    "Comparison",
    "Measure",
    "affordable",
    "budgets_of",
    "compare",
    "method_order",
    "validation",
]
OF_RUNS = ["method", "label", "variant", "external", "mattes", "masks", "seed"]
SAME_SCORING = ("dataset", "convention", "truth", "metric_version")  # what predictions made elsewhere share with runs


@dataclass(frozen=True, order=True)
class Budget:
    """How many labels of each kind there are; `UNKNOWN` for predictions made elsewhere."""

    mattes: int
    masks: int

    def __str__(self) -> str:
        return f"{self.mattes:,} mattes + {self.masks:,} masks" if self.known else "labels not known"

    @property
    def known(self) -> bool:
        return self.mattes >= 0

    @property
    def slug(self) -> str:
        return f"{self.mattes}-mattes-{self.masks}-masks" if self.known else "labels-not-known"


UNKNOWN = Budget(-1, -1)


@dataclass
class Comparison:
    """All cells of one ground and network.

    `cells`: one row per cell and measure: cell, method, label, variant (the dotted configuration keys that vary within
    the method, {} where none), control, external (predictions made elsewhere: mattes, masks and cost NaN), mattes,
    masks, cost, seeds, run_ids, val_sad (mean over seeds of the last validation SAD of the last stage, NaN where
    unknown), shown (this variant stands for its method with these labels: the one with the lowest val_sad, so that the
    test set chooses none), measure, mean, low, high, seed_sd (of the seeds' means; NaN for one), images.

    `differences`: per budget, cell and measure the paired difference to that budget's `mlb` (its cell is `against`),
    and per smaller `mlb` budget to the largest; between cells of different seeds it is taken over those that both have,
    if any. Its intervals hold for all differences of one measure together (`bench.statistics.simultaneous`), and so
    are the verdicts corrected for many comparisons. Values are in the measure's unit, costs in the cost model's.
    """

    ground: dict[str, str]
    network: dict[str, str]
    title: str
    slug: str
    cells: pd.DataFrame
    differences: pd.DataFrame
    budgets: list[Budget]
    images: list[str]
    notes: list[str] = field(default_factory=list)
    grid: Grid | None = field(default=None, repr=False)
    _at: dict[Budget, list[int]] = field(default_factory=dict, init=False, repr=False)
    _references: dict[Budget, int | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def pictures(self) -> str:
        """On what the means are taken, in words."""
        return f"{self._images()} of {self.ground['dataset']}"

    @property
    def where(self) -> str:
        """The same with what tells this comparison from the others: the network, the protocol."""
        return f"{self._images()} of {self.title}"

    def _images(self) -> str:
        count = len(self.images)
        return f"{count} {'image' if count == 1 else 'images'}"

    def at(self, budget: Budget) -> list[int]:
        """The cells that `budget` pays for, in the order of `cells`; predictions made elsewhere stand beside any."""
        if budget not in self._at:
            self._at[budget] = _affordable_cells(self.cells.drop_duplicates("cell"), budget)
        return self._at[budget]

    def reference(self, budget: Budget) -> int | None:
        """The `mlb` cell of a budget; of several variants the one that is shown."""
        if budget not in self._references:
            self._references[budget] = _reference(self.cells, budget)
        return self._references[budget]

    def values(self, measure: Measure) -> pd.DataFrame:
        """Every image's value in the measure's unit: a row an image, a column a run; NaN where there is none."""
        if self.grid is None:
            return pd.DataFrame(index=self.images)
        values = self.grid.matrix(measure.column, measure.region, measure.scale)
        return pd.DataFrame(values.T, index=self.images, columns=self.grid.run_ids)


def affordable(method: str, mattes: float, masks: float, budget: Budget) -> bool:
    """Whether a cell's labels are those of `budget`, or those of its labels that the method uses.

    The oracle has a true matte where others have a mask. Labels that nobody knows (NaN) fit anywhere.
    """
    if np.isnan(mattes):
        return True
    if method == "oracle":
        return mattes + masks in (budget.mattes + budget.masks, budget.masks)
    if mattes == masks == 0:
        return False
    return mattes in (0, budget.mattes) and masks in (0, budget.masks)


def budgets_of(cells: pd.DataFrame) -> list[Budget]:
    """The budgets that some method used both labels of, the largest first; without any, every pair of labels."""
    known = cells[cells["mattes"].notna()]
    pairs = known.loc[known["method"] != "oracle", ["mattes", "masks"]].drop_duplicates()
    both = pairs[(pairs["mattes"] > 0) & (pairs["masks"] > 0)]
    used = both if len(both) else pairs
    if used.empty:
        used = known[["mattes", "masks"]].drop_duplicates()
    found = sorted((Budget(int(row.mattes), int(row.masks)) for row in used.itertuples()), reverse=True)
    return found or [UNKNOWN]


def compare(frames: Frames, cost: CostModel) -> list[Comparison]:
    """A comparison for every ground and network of the store's finished runs, the one with most runs first.

    Predictions made elsewhere stand beside the runs that were scored on the same images by the same measures, whatever
    the protocol, which nobody knows of them; others are compared among themselves, after all runs.
    """
    runs = frames.runs.set_index("run_id")[OF_RUNS].assign(val_sad=validation(frames))
    runs = runs.astype(dict.fromkeys(("method", "label"), object))  # read one by one, which Arrow's texts are slow at
    groups = list(_grids(frames))
    titles = dict(_titles([part for part, _, _ in groups]))
    result: list[Comparison] = []
    for part, scored, notes in groups:
        slug = f"-{len(result) + 1}" if result else ""
        comparison = _compare(part, scored, runs.loc[scored.run_ids], titles[id(part)], slug, cost, notes)
        if len(comparison.cells):  # none where scores hold no value at all
            result.append(comparison)
    return result


def validation(frames: Frames) -> pd.Series:
    """Each run's last validation SAD of its last stage, by run_id; the stage is the last of `runs.stages` if known."""
    rows = frames.epochs[(frames.epochs["key"] == "val_sad") & frames.epochs["value"].notna()]
    rows = rows[["run_id", "stage", "epoch", "value"]].reset_index(drop=True)
    place = {
        (run_id, name.partition(":")[0]): position
        for run_id, stages in zip(frames.runs["run_id"], frames.runs["stages"], strict=True)
        if isinstance(stages, list | np.ndarray)
        for position, name in enumerate(stages)
    }
    written = rows.groupby(["run_id", "stage"], sort=False).ngroup()
    known = [place.get(key, -1) for key in zip(rows["run_id"], rows["stage"], strict=True)]
    last = rows.assign(known=known, written=written).sort_values(["known", "written", "epoch"], kind="stable")
    return last.drop_duplicates("run_id", keep="last").set_index("run_id")["value"]


def _grids(frames: Frames) -> Iterator[tuple[Part, Grid, list[str]]]:
    """Every part with the runs that are compared in it, and notes on what was left out."""
    found = parts(frames)
    own, foreign = ([part for part in found if part.external is outside] for outside in (False, True))
    joined: set[str] = set()
    for part in own:
        notes: list[str] = []
        scored = grid(part, (), notes)
        for other in foreign:
            if _scored_alike(part, other):
                scored = scored.beside(other)
        joined |= set(scored.run_ids)
        yield part, scored, notes
    for part in foreign:
        if not joined.issuperset(part.run_ids):
            notes = []
            if any(_scored_alike(part, other) for other in own):
                notes.append("These predictions stand apart, as they lack images that the runs of this suite have.")
            yield part, grid(part, joined, notes), notes


def _scored_alike(a: Part, b: Part) -> bool:
    return all(a.ground[key] == b.ground[key] for key in SAME_SCORING)


def _titles(found: list[Part]) -> Iterator[tuple[int, str]]:
    """A title for each part, by its id."""
    grounds: dict[tuple[str, ...], list[Part]] = {}
    for part in found:
        grounds.setdefault(tuple(part.ground.values()), []).append(part)
    titles = differing([group[0].ground for group in grounds.values()], "dataset")
    for title, group in zip(titles, grounds.values(), strict=True):
        for part, name in zip(group, differing([part.network for part in group], "backbone"), strict=True):
            yield id(part), f"{title}, {name}" if len(group) > 1 else title


def _compare(
    part: Part, scored: Grid, runs: pd.DataFrame, title: str, slug: str, cost: CostModel, notes: list[str]
) -> Comparison:
    plan = _plan(runs, cost)
    budgets = budgets_of(plan)
    cells, differences = averaged(plan, runs["seed"].to_dict(), scored, _pairs(plan, budgets), notes)
    return Comparison(
        ground=part.ground,
        network=part.network,
        title=title,
        slug=slug,
        cells=cells,
        differences=differences,
        budgets=budgets,
        images=scored.images,
        notes=notes,
        grid=scored,
    )


def _plan(runs: pd.DataFrame, cost: CostModel) -> pd.DataFrame:
    """One row per cell, without its numbers. `runs` are those that were scored, in the order of writing."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in runs.reset_index(names="run_id").to_dict("records"):
        labels = () if row["external"] else (row["mattes"], row["masks"])
        groups.setdefault((row["method"], row["label"], *labels), []).append(row)
    cells: list[dict[str, Any]] = []
    for rows in groups.values():
        first = rows[0]
        validated = [row["val_sad"] for row in rows if pd.notna(row["val_sad"])]
        cells.append(
            {
                **{key: first[key] for key in ("method", "label", "variant", "mattes", "masks")},
                "cost": cost.of(first["mattes"], first["masks"]),
                "control": first["method"] in CONTROLS and not first["external"],
                "external": bool(first["external"]),
                "seeds": max(1, len({row["seed"] for row in rows if pd.notna(row["seed"])})),
                "run_ids": [row["run_id"] for row in rows],
                "val_sad": float(np.mean(validated)) if validated else float("nan"),
            }
        )
    order = {label: rank for rank, label in enumerate(method_order([cell["label"] for cell in cells]))}
    cells.sort(
        key=lambda cell: (
            *(cell["external"], order[cell["label"]]),
            *((0, 0) if cell["external"] else (-cell["mattes"], -cell["masks"])),
        )
    )
    plan = pd.DataFrame(cells).astype(dict.fromkeys(("method", "label"), object))
    plan.insert(0, "cell", range(len(plan)))
    best = plan.sort_values("val_sad", kind="stable", na_position="last").drop_duplicates(["method", "mattes", "masks"])
    return plan.assign(shown=plan["cell"].isin(best["cell"]))


def _affordable_cells(plan: pd.DataFrame, budget: Budget) -> list[int]:
    rows = zip(*(plan[name] for name in ("cell", "method", "mattes", "masks")), strict=True)
    return [int(cell) for cell, method, mattes, masks in rows if affordable(method, mattes, masks, budget)]


def _reference(plan: pd.DataFrame, budget: Budget) -> int | None:
    own = plan["shown"] & (plan["method"] == REFERENCE) & ~plan["external"]
    own = plan[own & (plan["mattes"] == budget.mattes) & (plan["masks"] == budget.masks)]
    return None if own.empty else int(own["cell"].iloc[0])


def _pairs(plan: pd.DataFrame, budgets: list[Budget]) -> list[Pair]:
    """Which cells are compared: each of a budget with its `mlb`, and `mlb` of smaller budgets with the largest."""
    pairs: list[Pair] = []
    references = {budget: _reference(plan, budget) for budget in budgets}
    first = next((found for found in references.values() if found is not None), None)
    for budget, reference in references.items():
        if reference is None:
            continue
        others = [cell for cell in _affordable_cells(plan, budget) if cell != reference]
        pairs += [Pair(budget.mattes, budget.masks, cell, reference) for cell in others]
        if first not in (None, reference):
            pairs.append(Pair(budget.mattes, budget.masks, reference, first))
    return pairs


def method_order(labels: list[str]) -> list[str]:
    """Labels in the order of tables and legends: baselines, `mlb`, then controls; others before `mlb` by name."""
    ranks = {"matte_only": 0, "seg_only": 1, "joint": 2, "matte_then_seg": 3, "mlb": 5, "mlb_masklabel": 6, "oracle": 7}
    return sorted(set(labels), key=lambda label: (ranks.get(label.split(",")[0], 4), label))
