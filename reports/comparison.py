"""Methods against each other: means with intervals, paired differences to `mlb`, spread over seeds.

A `cell` is what is averaged: the runs of one method (and variant) with the same labels, which differ in their seed.
Seeds are averaged first, image by image; the interval is the bootstrap's over images. A budget (mattes, masks) holds
every cell that can be had for it, so that `seg_only` stands beside `mlb` at each of its numbers of mattes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cost import CostModel
from bench.statistics import Interval, mean_intervals, verdict
from reports.load import CONTROLS, REFERENCE, Frames, differing, grounds, networks


@dataclass(frozen=True)
class Measure:
    """One column of the comparison: `column` of the scores in `region`, times `scale`."""

    name: str
    header: str
    column: str
    region: str
    scale: float = 1.0
    unit: str = ""
    lower_is_better: bool = True

    @property
    def arrow(self) -> str:
        return "↓" if self.lower_is_better else "↑"

    @property
    def title(self) -> str:
        return f"{self.header} ({self.unit})" if self.unit else self.header


REGIONS = {"whole": "whole image", "unknown": "unknown region", "boundary": "fractional pixels"}
MEASURES = (
    Measure("sad", "SAD", "sad", "whole", unit="10³ px"),
    Measure("mse", "MSE", "mse", "whole", 1e3, "10⁻³"),
    Measure("mad", "MAD", "mad", "whole", 1e3, "10⁻³"),
    Measure("grad", "Grad", "grad", "whole"),
    Measure("conn", "Conn", "conn", "whole", unit="10³ px"),
    Measure("iou", "IoU", "iou", "whole", lower_is_better=False),
    Measure("sad_unknown", "SAD", "sad", "unknown", unit="10³ px"),
    Measure("mad_unknown", "MAD", "mad", "unknown", 1e3, "10⁻³"),
    Measure("mad_boundary", "MAD", "mad", "boundary", 1e3, "10⁻³"),
)
BY_NAME = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True, order=True)
class Budget:
    """How many labels of each kind there are."""

    mattes: int
    masks: int

    def __str__(self) -> str:
        return f"{self.mattes:,} mattes + {self.masks:,} masks"

    @property
    def slug(self) -> str:
        return f"{self.mattes}-mattes-{self.masks}-masks"


@dataclass
class Comparison:
    """All cells of one ground and network.

    `cells`: one row per cell and measure: cell, method, label, control, mattes, masks, cost, seeds, run_ids, measure,
    mean, low, high, seed_sd (of the seeds' means; NaN for one), images. `differences`: per budget, cell and measure the
    paired difference to that budget's `mlb` (its cell is `against`), and per smaller `mlb` budget to the largest.
    Values are in the measure's unit, costs in the cost model's.
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

    @property
    def pictures(self) -> str:
        """On what the means are taken, in words."""
        count = len(self.images)
        return f"{count} {'image' if count == 1 else 'images'} of {self.ground['dataset']}"

    def at(self, budget: Budget) -> list[int]:
        """The cells that `budget` pays for, in the order of `cells`."""
        once = self.cells.drop_duplicates("cell")
        return [int(row.cell) for row in once.itertuples() if affordable(row.method, row.mattes, row.masks, budget)]

    def reference(self, budget: Budget) -> int | None:
        """The `mlb` cell of a budget; of several variants the one whose first run was written first."""
        own = self.cells[(self.cells["method"] == REFERENCE) & self.cells["cell"].isin(self.at(budget))]
        full = own[(own["mattes"] == budget.mattes) & (own["masks"] == budget.masks)]
        return None if full.empty else int(full["cell"].iloc[0])


def affordable(method: str, mattes: float, masks: float, budget: Budget) -> bool:
    """Whether a cell's labels are those of `budget`, or those of its labels that the method uses.

    The oracle has a true matte where others have a mask.
    """
    if method == "oracle":
        return mattes + masks in (budget.mattes + budget.masks, budget.masks)
    if mattes == masks == 0:
        return False
    return mattes in (0, budget.mattes) and masks in (0, budget.masks)


def budgets_of(cells: pd.DataFrame) -> list[Budget]:
    """The budgets that some method used both labels of, the largest first; without any, every pair of labels."""
    pairs = cells.loc[cells["method"] != "oracle", ["mattes", "masks"]].drop_duplicates()
    both = pairs[(pairs["mattes"] > 0) & (pairs["masks"] > 0)]
    used = both if len(both) else pairs
    if used.empty:
        used = cells[["mattes", "masks"]].drop_duplicates()
    return sorted((Budget(int(row.mattes), int(row.masks)) for row in used.itertuples()), reverse=True)


def compare(frames: Frames, cost: CostModel) -> list[Comparison]:
    """A comparison for every ground and network of the store's finished runs, the one with most runs first."""
    result: list[Comparison] = []
    parts = grounds(frames.scores)
    for (ground, part), title in zip(parts, differing([key for key, _ in parts], "dataset"), strict=True):
        inner = networks(part)
        names = differing([key for key, _ in inner], "backbone")
        for (network, scores), name in zip(inner, names, strict=True):
            full = f"{title}, {name}" if len(inner) > 1 else title
            slug = f"-{len(result) + 1}" if result else ""
            comparison = _compare(ground, network, scores, full, slug, cost)
            if len(comparison.cells):  # none where scores hold no value at all
                result.append(comparison)
    return result


def _compare(
    ground: dict[str, str], network: dict[str, str], scores: pd.DataFrame, title: str, slug: str, cost: CostModel
) -> Comparison:
    notes: list[str] = []
    scores, images = _same_images(scores, notes)
    keys = scores[["method", "label", "mattes", "masks", "seed", "run_id"]].drop_duplicates("run_id")
    cells = [
        {
            **dict(zip(("method", "label", "mattes", "masks"), key, strict=True)),
            "cost": cost.of(key[2], key[3]),
            "control": key[0] in CONTROLS,
            "seeds": part["seed"].nunique(),
            "run_ids": list(part["run_id"]),
        }
        for key, part in keys.groupby(["method", "label", "mattes", "masks"], sort=False)
    ]
    order = method_order([str(cell["label"]) for cell in cells])
    cells.sort(key=lambda cell: (order.index(cell["label"]), -cell["mattes"], -cell["masks"]))
    plan = pd.DataFrame([{"cell": index, **cell} for index, cell in enumerate(cells)])
    comparison = Comparison(
        ground, network, title, slug, plan.assign(measure=""), pd.DataFrame(), budgets_of(plan), images, notes
    )
    pairs = _pairs(comparison)
    rows: list[dict] = []
    differences: list[dict] = []
    waiting: dict[bytes, list[tuple[dict, NDArray[np.float64]]]] = {}
    for measure in MEASURES:
        columns = _per_image(scores, measure, cells, images, notes)
        for cell, (values, valid, seed_sd) in columns.items():
            row = {"cell": cell, **cells[cell], "measure": measure.name, "seed_sd": seed_sd, "images": int(valid.sum())}
            rows.append(row)
            waiting.setdefault(valid.tobytes(), []).append((row, values))
        for pair in pairs:
            if pair["cell"] in columns and pair["against"] in columns:
                row = {**pair, "measure": measure.name, "label": cells[pair["cell"]]["label"]}
                differences.append(row)
                values, valid, _ = columns[pair["cell"]]
                waiting[valid.tobytes()].append((row, values - columns[pair["against"]][0]))
    for group in waiting.values():  # one draw of images serves all that were scored on the same ones
        intervals = mean_intervals(np.column_stack([values for _, values in group]))
        for (row, _), interval in zip(group, intervals, strict=True):
            row |= {"mean": interval.mean, "low": interval.low, "high": interval.high}
    for row in differences:
        interval = Interval(row["mean"], row["low"], row["high"])
        row["verdict"] = verdict(interval, BY_NAME[row["measure"]].lower_is_better)
    comparison.cells = pd.DataFrame(rows)
    comparison.differences = pd.DataFrame(differences, columns=DIFFERENCE_COLUMNS)
    return comparison


DIFFERENCE_COLUMNS = ["mattes", "masks", "cell", "against", "label", "measure", "mean", "low", "high", "verdict"]


def _pairs(comparison: Comparison) -> list[dict]:
    """Which cells are compared: each of a budget with its `mlb`, and `mlb` of smaller budgets with the largest."""
    pairs: list[dict] = []
    first = next((found for budget in comparison.budgets if (found := comparison.reference(budget)) is not None), None)
    for budget in comparison.budgets:
        reference = comparison.reference(budget)
        if reference is None:
            continue
        others = [cell for cell in comparison.at(budget) if cell != reference]
        pairs += [
            {"mattes": budget.mattes, "masks": budget.masks, "cell": cell, "against": reference} for cell in others
        ]
        if first not in (None, reference):
            pairs.append({"mattes": budget.mattes, "masks": budget.masks, "cell": reference, "against": first})
    return pairs


def _same_images(scores: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The scores on the images that most runs share; runs without some of them are left out, and named."""
    sets = scores.groupby("run_id", sort=False)["image"].agg(frozenset)
    counts = sets.value_counts()
    images = max(counts.index, key=lambda images: (counts[images], len(images), sorted(images)))
    lacking = [(run, len(images - own)) for run, own in sets.items() if images - own]
    for run, missing in lacking:
        notes.append(f"Run {run} is left out: it was not scored on {missing} of {len(images)} images.")
    extra = set().union(*sets) - images
    if extra:
        notes.append(f"{len(extra)} images that most runs were not scored on are left out.")
    kept = scores[scores["image"].isin(images) & ~scores["run_id"].isin([run for run, _ in lacking])]
    return kept, sorted(images)


def _per_image(
    scores: pd.DataFrame, measure: Measure, cells: list[dict], images: list[str], notes: list[str]
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.bool_], float]]:
    """Of each cell that has this measure: seed-averaged values of the valid images, those images, the seeds' spread.

    An image without a fractional pixel has no value for anyone and is passed over; a cell that lacks a value others
    have gets none.
    """
    part = scores[(scores["region"] == measure.region) & scores[measure.column].notna()]
    if part.empty:
        return {}
    table = part.pivot_table(measure.column, "image", "run_id").reindex(images) * measure.scale
    valid = table.notna().any(axis=1).to_numpy()
    result = {}
    for index, cell in enumerate(cells):
        runs = table.reindex(columns=cell["run_ids"]).to_numpy()[valid]
        if np.isnan(runs).any():
            absent = int(np.isnan(runs).any(axis=1).sum())
            notes.append(
                f"{cell['label']} at {cell['mattes']:.0f} mattes and {cell['masks']:.0f} masks has no {measure.header} "
                f"({REGIONS[measure.region]}) on {absent} images, so that its mean is left out."
            )
            continue
        spread = float(np.std(runs.mean(axis=0), ddof=1)) if runs.shape[1] > 1 else float("nan")
        result[index] = runs.mean(axis=1), valid, spread
    return result


def method_order(labels: list[str]) -> list[str]:
    """Labels in the order of tables and legends: baselines, `mlb`, then controls; others before `mlb` by name."""
    ranks = {"matte_only": 0, "seg_only": 1, "joint": 2, "matte_then_seg": 3, "mlb": 5, "mlb_masklabel": 6, "oracle": 7}
    return sorted(set(labels), key=lambda label: (ranks.get(label.split(",")[0], 4), label))
