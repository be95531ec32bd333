"""Comparison of methods: means with intervals, paired differences to `mlb`, spread over seeds.

A `cell` is what is averaged: the runs of one method (and variant) with the same labels, which differ in their seed.
Seeds are averaged first, image by image; the interval is the bootstrap's over images. A budget (mattes, masks) holds
every cell that can be had for it, so that `seg_only` stands beside `mlb` at each of its numbers of mattes. Verdicts are
corrected for many comparisons: the intervals of all differences of one measure of one `Comparison` hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from bench.cost import CostModel
from bench.store import stages_in
from reports.averages import Pair, averaged, seeds_of
from reports.document import counted, labels_in_words
from reports.load import REFERENCE, Frames, differing, is_peer
from reports.matrices import Grid, Part, grid, parts
from reports.measures import RegionalMeasure
from wsshm.errors import UserError
from wsshm.grades import from_text, shortest
from wsshm.methods import described

OF_CELLS = [
    *("cell", "method", "label", "variant", "mattes", "masks", "grades", "cost", "control", "external"),
    *("peer", "seeds", "run_ids", "val_sad"),
]
OF_RUNS = ["method", "label", "variant", "external", "mattes", "masks", "grades", "seed"]
LABELS = ["mattes", "masks", "grades"]  # what a cell was given, as columns
GROUNDS = 3  # test sets and protocols that a page shows in full
OTHERS = 2  # further networks that it shows with their methods
SAME_SCORING = ("dataset", "convention", "truth", "metric_version")  # what predictions made elsewhere share with runs


@dataclass(frozen=True, order=True)
class Budget:
    """How many labels of each kind there are; `UNKNOWN_BUDGET` for predictions made elsewhere.

    `masks` counts those of all grades; `grades` says how many are of which (`wsshm.grades.text_of`), and nothing where all
    are of the default one.
    """

    mattes: int
    masks: int
    grades: str = ""

    def __str__(self) -> str:
        return labels_in_words(self.mattes, self.masks, self.grades) if self.known else "labels not known"

    @property
    def known(self) -> bool:
        return self.mattes >= 0

    @property
    def slug(self) -> str:
        by_grade = "".join(f"-{count:.0f}-{grade}" for grade, count in from_text(self.grades, 0).items())
        return f"{self.mattes}-mattes-{self.masks}-masks{by_grade}" if self.known else "labels-not-known"

    @property
    def by_grade(self) -> dict[str, float]:
        """Masks by grade."""
        return from_text(self.grades, self.masks)

    @property
    def asked(self) -> dict[str, Any]:
        """It as a plan's `budgets` take it."""
        return {"mattes": self.mattes, "masks": shortest({grade: int(n) for grade, n in self.by_grade.items()})}


UNKNOWN_BUDGET = Budget(-1, -1)


@dataclass
class Comparison:
    """All cells of one ground and network.

    `cells`: one row per cell and measure: cell, method, label, variant (the dotted configuration keys that vary within
    the method, {} where none), control, external (made elsewhere: mattes, masks and cost NaN), peer (external: another's
    model, trained on other data), mattes, masks, grades (as `Budget`), cost, seeds, run_ids, val_sad (mean over seeds of the
    last validation SAD of the last stage, NaN where unknown), shown (this variant stands for its method with these labels:
    the one with the lowest val_sad, so that the test set chooses none), measure, mean, low, high, seed_sd (of the seeds'
    means; NaN for one), images.

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
    notes: list[str]
    grid: Grid = field(repr=False)

    @property
    def images(self) -> list[str]:
        """The images that were scored."""
        return self.grid.images

    @property
    def pictures(self) -> str:
        """The images that the means are taken over, in words."""
        return f"{counted(len(self.images), 'image')} of {self.ground['dataset']}"

    @property
    def where(self) -> str:
        """The same, with what distinguishes this comparison from others: the network, the protocol."""
        return f"{counted(len(self.images), 'image')} of {self.title}"

    @cached_property
    def heads(self) -> pd.DataFrame:
        """A row per cell, by its number: what `cells` says of it whatever the measure."""
        return self.cells.drop_duplicates("cell").set_index("cell", drop=False)

    def of(self, measure: str, own: bool = False) -> pd.DataFrame:
        """The cells' rows of one measure; with `own` without predictions made elsewhere, whose labels nobody knows."""
        rows = self.cells[self.cells["measure"] == measure]
        return rows[~rows["external"]] if own else rows

    def shown(self, measure: str = "", own: bool = False) -> pd.DataFrame:
        """The cells (as `of`, if a measure is named) whose variant stands for its method, with its name as their `label`."""
        kept = self.of(measure, own) if measure else self.cells
        kept = kept[kept["shown"]]
        return kept.assign(label=kept["method"], variant_label=kept["label"])

    def at(self, budget: Budget) -> list[int]:
        """The cells that `budget` pays for, in the order of `cells`; predictions made elsewhere stand beside any."""
        return _affordable_cells(self.heads, budget)

    def reference(self, budget: Budget) -> int | None:
        """The `mlb` cell of a budget; of several variants the one that is shown."""
        return _reference(self.heads, budget)

    def beside(self, budget: Budget, reference: int | None, **wanted: object) -> pd.DataFrame:
        """The rows of `differences` at a budget to a reference cell, with these values of further columns."""
        labels = {name: getattr(budget, name) for name in LABELS}
        wanted |= labels | {"against": -1 if reference is None else reference}
        return self.differences[
            np.logical_and.reduce([self.differences[key] == value for key, value in wanted.items()])
        ]

    def values(self, measure: RegionalMeasure) -> pd.DataFrame:
        """Every image's value in the measure's unit: a row per image, a column per run; NaN if missing."""
        values = self.grid.matrix(measure.column, measure.region, measure.scale)
        return pd.DataFrame(values.T, index=self.images, columns=self.grid.run_ids)


Grounded = TypeVar("Grounded", Comparison, Part)


def affordable(method: str, mattes: float, masks: float, budget: Budget, grades: str = "") -> bool:
    """Whether a cell's labels are those of `budget`, or those of its labels that the method uses.

    `grades` are the cell's, as `Budget` has them. An oracle has a true matte where others have a mask. Labels that nobody
    knows (NaN) fit anywhere.
    """
    if np.isnan(mattes):
        return True
    if described(method).true_mattes:
        return mattes + masks in (budget.mattes + budget.masks, budget.masks)
    if mattes == masks == 0:
        return False
    return mattes in (0, budget.mattes) and (masks == 0 or (masks, grades) == (budget.masks, budget.grades))


def budgets_of(cells: pd.DataFrame) -> list[Budget]:
    """The budgets that some method used both labels of, the largest first; without any, every pair of labels."""
    known = cells[cells["mattes"].notna()]
    oracle = known["method"].map(lambda method: described(method).true_mattes).astype(bool)
    pairs = known.loc[~oracle, LABELS].drop_duplicates()
    both = pairs[(pairs["mattes"] > 0) & (pairs["masks"] > 0)]
    used = both if len(both) else pairs
    if used.empty:
        used = known[LABELS].drop_duplicates()
    found = sorted((Budget(int(row.mattes), int(row.masks), row.grades) for row in used.itertuples()), reverse=True)
    return found or [UNKNOWN_BUDGET]


def compare(frames: Frames, cost: CostModel) -> list[Comparison]:
    """A comparison for every ground and network of the store's finished runs, the one with most runs first.

    Predictions made elsewhere stand beside the runs that were scored on the same images by the same measures, whatever
    the protocol, which nobody knows of them; others are compared among themselves, after all runs.
    """
    runs = frames.runs.set_index("run_id")[OF_RUNS].assign(val_sad=validation(frames))
    runs = runs.astype(dict.fromkeys(("method", "label"), object))  # read one by one, which Arrow's texts are slow at
    groups, seeds = list(_grids(frames)), seeds_of(runs)
    titles = dict(_titles([part for part, _, _ in groups]))
    result: list[Comparison] = []
    for part, grid_, notes in groups:
        plan = _plan(runs.loc[grid_.run_ids], cost)
        budgets = budgets_of(plan)
        cells, differences = averaged(plan, seeds, grid_, _pairs(plan, budgets), notes)
        if len(cells):  # none where scores hold no value at all
            own = part.ground, part.network, titles[id(part)], f"-{len(result) + 1}" if result else ""
            result.append(Comparison(*own, cells, differences, budgets, notes, grid_))
    return result


def scored(frames: Frames, cost: CostModel) -> list[Comparison]:
    """The same, for a command that shows nothing else. Raises UserError where no finished run was scored."""
    if frames.scores.empty:
        raise UserError(
            f"no finished run in {frames.root} was scored; rerun the command that made its runs, and see `wsshm sweep status"
            " --help`"
        )
    return compare(frames, cost)


def validation(frames: Frames) -> pd.Series:
    """Each run's last validation SAD of its last stage, by run_id; the stage is the last of `runs.stages` if known."""
    rows = frames.epochs[(frames.epochs["key"] == "val_sad") & frames.epochs["value"].notna()]
    rows = rows[["run_id", "stage", "epoch", "value"]].reset_index(drop=True)
    place = {
        (run_id, name): position
        for run_id, stages in zip(frames.runs["run_id"], frames.runs["stages"], strict=True)
        if isinstance(stages, list | np.ndarray)
        for position, name in enumerate(stages_in(stages))
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
    groups = by_ground(found)
    for title, group in zip(ground_titles(groups), groups, strict=True):
        for part, name in zip(group, differing([part.network for part in group], "backbone"), strict=True):
            yield id(part), f"{title}, {name}" if len(group) > 1 else title


def _plan(runs: pd.DataFrame, cost: CostModel) -> pd.DataFrame:
    """One row per cell, without its numbers. `runs` are those that were scored, in the order of writing."""
    groups = runs.reset_index(names="run_id").groupby(["method", "label", *LABELS], sort=False, dropna=False)
    plan = groups.agg(
        variant=("variant", lambda own: own.iloc[0]),
        external=("external", "first"),
        peer=("run_id", lambda own: bool(is_peer(own).all())),
        seeds=("seed", "nunique"),
        run_ids=("run_id", list),
        val_sad=("val_sad", "mean"),
    ).reset_index()
    known = [described(method) for method in plan["method"]]
    plan = plan.assign(
        cost=[cost.of(row.mattes, from_text(row.grades, row.masks)) for row in plan.itertuples()],
        control=np.array([method.control for method in known], bool) & ~plan["external"],
        seeds=plan["seeds"].clip(lower=1),
        order=[method.order for method in known],
    )
    order = ["external", "order", "label", *LABELS]
    plan = plan.sort_values(order, ascending=[True] * 3 + [False] * 3, kind="stable").reset_index(drop=True)
    plan = plan.assign(cell=plan.index)[OF_CELLS].astype(dict.fromkeys(("method", "label"), object))
    best = plan.sort_values("val_sad", kind="stable", na_position="last").drop_duplicates(["method", *LABELS])
    return plan.assign(shown=plan["cell"].isin(best["cell"]))


def _affordable_cells(plan: pd.DataFrame, budget: Budget) -> list[int]:
    rows = zip(*(plan[name] for name in ("cell", "method", *LABELS)), strict=True)
    return [int(cell) for cell, method, mattes, masks, own in rows if affordable(method, mattes, masks, budget, own)]


def _reference(plan: pd.DataFrame, budget: Budget) -> int | None:
    own = plan["shown"] & (plan["method"] == REFERENCE) & ~plan["external"]
    for name in LABELS:
        own &= plan[name] == getattr(budget, name)
    own = plan[own]
    return None if own.empty else int(own["cell"].iloc[0])


def _pairs(plan: pd.DataFrame, budgets: list[Budget]) -> list[Pair]:
    """Which cells are compared: each of a budget with its `mlb`, and `mlb` of smaller budgets with the largest.

    Others' models are compared with none: they stand beside as they are, and their number changes no verdict of ours.
    """
    peers = set(plan.loc[plan["peer"], "cell"])
    pairs: list[Pair] = []
    references = {budget: _reference(plan, budget) for budget in budgets}
    first = next((found for found in references.values() if found is not None), None)
    for budget, reference in references.items():
        if reference is None:
            continue
        others = [cell for cell in _affordable_cells(plan, budget) if cell not in (reference, *peers)]
        pairs += [Pair(budget.mattes, budget.masks, budget.grades, cell, reference) for cell in others]
        if first not in (None, reference):
            pairs.append(Pair(budget.mattes, budget.masks, budget.grades, reference, first))
    return pairs


def method_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order of tables and legends: baselines, `mlb`, then controls; others before `mlb` by name."""
    return sorted(set(methods), key=lambda name: (described(name).order, name))


def by_ground(found: Iterable[Grounded]) -> list[list[Grounded]]:
    """The comparisons (or parts) of each ground, in their order: the network with most runs comes first."""
    groups: dict[tuple[str, ...], list[Grounded]] = {}
    for each in found:
        groups.setdefault(tuple(each.ground.values()), []).append(each)
    return list(groups.values())


def ground_titles(groups: list[list[Grounded]]) -> list[str]:
    """What to call each ground: its data set, and what tells it from the others."""
    return differing([group[0].ground for group in groups], "dataset")


def main_networks(comparisons: list[Comparison]) -> list[Comparison]:
    """The main network of each of the first `GROUNDS` grounds: what a page can show of many comparisons."""
    return [group[0] for group in by_ground(comparisons)[:GROUNDS]]


def other_networks(comparisons: list[Comparison]) -> list[Comparison]:
    """Further networks of the first ground with several methods of this suite, those with most methods first."""
    rest = [comparison for group in by_ground(comparisons)[:1] for comparison in group[1:]]
    counts = {id(each): each.shown()[lambda cells: ~cells["external"]]["method"].nunique() for each in rest}
    several = [each for each in rest if counts[id(each)] > 1]
    return sorted(several, key=lambda each: -counts[id(each)])[:OTHERS]
