"""The report's tables: each a view for people and a frame of unrounded values."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bench.cost import CostModel
from bench.statistics import NOT_SIGNIFICANT
from reports import timings
from reports.comparison import LABELS, Budget, Comparison
from reports.document import (
    ABSENT,
    Cell,
    Column,
    Show,
    Table,
    between,
    decimals,
    labels_in_words,
    masks_column,
    network_name,
    number,
    numbers,
)
from reports.measures import BY_NAME, MEASURES, RegionalMeasure

COMPARED = ("sad", "mse", "grad", "mad_unknown", "mad_boundary")
PEER_NOTE = "another's model, trained on other data"
P99_FROM = 1000  # calls: fewer leave less than ten above the 99th percentile
SEEN_FROM_MLB = {"better": "mlb worse", "worse": "mlb better", NOT_SIGNIFICANT: NOT_SIGNIFICANT}
OPTIONAL = {
    "peak_mb": numbers("memory", "peak_mb", 0, "MB, peak"),
    "compile_s": numbers("cold", "compile_s", 1, "s", "preparing"),
    "compile_cached_s": numbers("cached", "compile_cached_s", 1, "s", "preparing"),
    "energy_j": numbers("energy", "energy_j", 2, "J per image"),
    "clock_mhz": numbers("clock", "clock_mhz", 0, "MHz"),
    "max_difference": Column(
        "differs by",
        lambda row: ABSENT if pd.isna(row["max_difference"]) else Cell(f"{row['max_difference']:.1g}"),
        True,
    ),
}


def by_cell(frame: pd.DataFrame, by: str = "measure") -> list[dict[str, Any]]:
    """A record a cell: its own columns, and under each of its measures that measure's row, as a dictionary."""
    return [
        part.iloc[0].to_dict() | part.set_index(by).to_dict("index") for _, part in frame.groupby("cell", sort=False)
    ]


def method_column(header: str = "method") -> Column:
    """The method's label, and below it what sets it apart from the contenders."""

    def show(row: Mapping[str, Any]) -> Cell:
        kind = row["kind"] if "kind" in row else kind_of(row)
        return Cell(str(row["label"]), kind, "muted" if kind else "")

    return Column(header, show)


def measure_column(measure: RegionalMeasure, show: Callable[[dict[str, Any]], Cell], arrow: bool = True) -> Column:
    """What `show` makes of a measure's row of a record of `by_cell`; a dash if it has none."""
    header = f"{measure.header} {measure.arrow}" if arrow else measure.header

    def of_measure(row: dict[str, Any]) -> Cell:
        return show(row[measure.name]) if measure.name in row else ABSENT

    return Column(header, of_measure, True, measure.unit, measure.where)


def best_of(frame: pd.DataFrame, by: str, measure: RegionalMeasure) -> dict[Any, float]:
    """The best mean of each group, not counting controls and predictions made elsewhere."""
    means = frame[~(frame["control"] | frame["external"]).astype(bool)].groupby(by)["mean"]
    return (means.min() if measure.lower_is_better else means.max()).to_dict()


def mean_cell(row: Mapping[str, Any], places: int, best: float | None, alone: str = "") -> Cell:
    """A mean with its interval, or `alone` without one; bold if it is `best`, which no control can be."""
    note = between(row["low"], row["high"], places) or alone
    return Cell(number(row["mean"], places), note, "best" if row["mean"] == best and not kind_of(row) else "")


def methods(comparison: Comparison, budget: Budget, cost: CostModel) -> Table:
    """Every method at one budget, by the variant that stands for it: means, intervals, and SAD's spread over seeds."""
    frame = comparison.shown()
    frame = frame[frame["cell"].isin(comparison.at(budget))]
    seeds = bool((frame["seeds"] > 1).any())
    places = places_of(comparison)

    def price(row: Mapping[str, Any]) -> Cell:
        digits = 1 if cost.is_time else 0
        return Cell(number(cost.shown(row["cost"]), digits), "not known" if row["external"] else "")

    def spread(row: Mapping[str, Any]) -> Cell:
        deviation = row.get("sad", {}).get("seed_sd", math.nan)
        note = f"± {number(deviation, places['sad'])}" if math.isfinite(deviation) else ""
        return Cell("–" if row["external"] else f"{row['seeds']}", note)

    def column(measure: RegionalMeasure) -> Column:
        best = best_of(frame[frame["measure"] == measure.name], "measure", measure).get(measure.name)
        return measure_column(measure, lambda row: mean_cell(row, places[measure.name], best))

    columns = [method_column(), numbers("mattes"), masks_column(), Column("cost", price, True, cost.display_unit)]
    columns += [column(measure) for measure in MEASURES if measure.name in set(frame["measure"])]
    columns += [Column("seeds", spread, True, "± sd of SAD")] if seeds else []
    caption = (
        f"means over images{' of seed-averaged values' * seeds}"
        f"{', with 95 % bootstrap intervals over images' * (len(comparison.images) > 1)}. Bold: the best of a column, not "
        "counting controls and predictions made elsewhere."
    )
    frame = plain(frame).assign(cost_unit=cost.unit)
    name, title = f"methods{comparison.slug}-{budget.slug}", f"{budget}, {comparison.where}"
    return Table(name, caption, columns, frame, by_cell(frame), title=title)


def variants(comparison: Comparison, budgets: Collection[Budget]) -> str:
    """Which of a method's variants stands for it at these budgets, in sentences that each begin with a space."""
    cells = {cell for budget in budgets for cell in comparison.at(budget)}
    once = comparison.heads[comparison.heads["cell"].isin(cells)]
    said = []
    for (method, *labels), part in once.groupby(["method", *LABELS], sort=False):
        if len(part) > 1 and part["shown"].any():
            own = part[part["shown"]]
            by = ("the best", " by validation") if own["val_sad"].notna().all() else ("the first", "")
            how = f"is {by[0]} of {len(part)} variants{by[1]}"
            at = labels_in_words(*labels)
            said.append(f" {method} with {at} {how}: {own['label'].iloc[0]}.")
    return "".join(said)


def differences(comparison: Comparison, budget: Budget) -> Table | None:
    """Every method minus `mlb` at one budget, with verdicts; None where there is no `mlb` or nothing beside it."""
    frame = comparison.beside(budget, comparison.reference(budget))
    heads = comparison.heads
    frame = frame[frame["measure"].isin(COMPARED) & frame["cell"].isin(heads.index[heads["shown"]])]
    if frame.empty:
        return None
    frame = frame.assign(label=frame["cell"].map(heads["method"])).reset_index(drop=True)
    places = places_of(comparison)

    def column(measure: RegionalMeasure) -> Column:
        digits = places[measure.name]

        def show(row: Mapping[str, Any]) -> Cell:
            interval = between(row["low"], row["high"], digits, sign=True)
            note = f"{interval}; {SEEN_FROM_MLB[row['verdict']]}" if interval else "one image: no verdict"
            tone = {"better": "worse", "worse": "better"}.get(row["verdict"], "even")  # of mlb beside the row
            return Cell(number(row["mean"], digits, sign=True), note, tone)

        return measure_column(measure, show, arrow=False)

    columns = [method_column("method minus mlb")]
    columns += [column(BY_NAME[name]) for name in COMPARED if name in set(frame["measure"])]
    caption = (
        f"{budget}: paired differences to mlb, image by image, with 95 % intervals that hold jointly for all "
        "differences of a measure. Above zero, mlb's error is the smaller one. An interval that excludes zero is a verdict, "
        "and so corrected for the number of comparisons."
    )
    records = by_cell(frame.join(heads[["control", "external", "peer"]], on="cell"))
    return Table(f"differences{comparison.slug}-{budget.slug}", caption, columns, frame, records)


def speed(frame: pd.DataFrame, most: int = 0, first: Collection[str] = ()) -> Table:
    """Everything that was timed, one line per model and condition; model-only and end-to-end times apart.

    With `most`, no more lines than that: those of the backbones in `first`, then the fastest, and some that failed.
    """
    order = ["failed", "scope", "device", "engine", "precision", "height", "width", "batch", "model"]
    frame = frame.assign(failed=frame["status"] != "ok").sort_values(
        order, kind="stable", ascending=[True, False, *[True] * 7]
    )
    frame = frame.drop(columns=["failed", "samples_ms"], errors="ignore").reset_index(drop=True)
    ok = frame[frame["status"] == "ok"]
    percentiles = ["p50_ms", "p90_ms", "p95_ms", *(["p99_ms"] if (ok["n"] >= P99_FROM).any() else [])]
    measured = [_latency(key) for key in percentiles]
    measured += [numbers("FPS ↑", "fps", None), numbers("images/s ↑", "images_per_s", None)]
    measured += [column for key, column in OPTIONAL.items() if frame[key].notna().any()]
    measured += [Column("calls", _calls, True)]
    # What all rows share is said once.
    said = {"device": frame["device"], "layout": frame["layout"]}
    said |= {"size": frame.apply(_size, axis=1) + " px", "batch": frame["batch"].map("batch {:.0f}".format)}
    shared = {key: str(own.iloc[0]) for key, own in said.items() if len(set(own)) == 1}
    columns = [
        Column("model", _model),
        Column("conditions", partial(_conditions, shared=shared)),
        *([] if "size" in shared else [Column("size", _size, True, "px")]),
        *([] if "batch" in shared else [numbers("batch")]),
        numbers("params", "params", 2, "10⁶", scale=1e-6),
        numbers("GMACs", "gmacs", 2),
        *(replace(column, show=_unless_failed(column.show)) for column in measured),
    ]
    caption = (
        "GMACs and latency are those of one call. Below the median its 95 % interval. Where several processes were timed, "
        "percentiles are the geometric means of theirs, and it is the t interval over the processes' medians (on "
        "logarithms); of one process it is over its calls, and another process differs by a few percent more. Two runs "
        "agree where their intervals overlap. "
        f"{_prepared(frame)}FPS is 1000 / p50 at "
        f"batch 1; images/s is taken over the whole timed block. p99 is shown from {P99_FROM:,} calls on. Model only "
        "leaves out reading, resizing and copying; end to end counts them."
    )
    if shared:
        caption += f" All rows: {', '.join(shared.values())}."
    shown = frame
    if most and len(frame) > most:
        shown = frame.iloc[_chosen(frame, most, first)]
        caption += (
            f" {len(shown)} of {len(frame):,} rows: of each condition networks on a front first, then the "
            "fastest, and what could not be timed; all are in the CSV."
        )
    return Table("speed", caption, columns, frame, shown.to_dict("records"))


def _prepared(frame: pd.DataFrame) -> str:
    """What the columns of engines mean, as far as there are any."""
    said = ""
    if frame["compile_s"].notna().any():
        said += (
            "Preparing is exporting, compiling and the first call: cold, and with what an earlier process left (a graph, "
            "a compiler's cache). "
        )
    if frame["max_difference"].notna().any():
        said += "The mattes of every engine and precision differ from those of PyTorch in fp32 by at most as much as stated. "
    return said


def _chosen(frame: pd.DataFrame, most: int, first: Collection[str]) -> list[int]:
    """Positions of the timings that stand for all, in the frame's order; a quarter of them may have failed.

    Every condition has as many: one that is slow as a whole is not crowded out.
    """
    ok = (frame["status"] == "ok").to_numpy()
    failed = np.flatnonzero(~ok)[: most // 4]
    order = np.lexsort((frame["p50_ms"].fillna(np.inf), ~frame["backbone"].isin(first).to_numpy(), ~ok))
    alike = ["scope", "device", "engine", "precision", "layout", "height", "width", "batch"]
    rank = frame.iloc[order].groupby(alike, dropna=False).cumcount().to_numpy()
    order = order[np.lexsort((np.arange(len(order)), rank, ~ok[order]))]
    return sorted({*order[: most - len(failed)].tolist(), *failed.tolist()})


def _model(row: Mapping[str, Any]) -> Cell:
    if row["status"] == "ok":
        return Cell(network_name(row["model"]))
    why = f"{row['status']}: {row['reason']}" if pd.notna(row["reason"]) else row["status"]
    return Cell(network_name(row["model"]), why, "worse")


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['width']:.0f}×{row['height']:.0f}"


def _conditions(row: Mapping[str, Any], shared: Collection[str]) -> Cell:
    ways = [key for key in ("engine", "precision", "layout") if key not in shared and pd.notna(row[key])]
    conditions = ", ".join(str(row[key]) for key in ways)
    return Cell(timings.scope(row), conditions if "device" in shared else f"{conditions}; {row['device']}")


def _calls(row: Mapping[str, Any]) -> Cell:
    if pd.isna(row["n"]):
        return ABSENT
    processes = row["processes"]
    said = "" if pd.isna(processes) else "in 1 process" if processes == 1 else f"in {processes:.0f} processes"
    return Cell(f"{row['n']:,.0f}", said)


def _latency(key: str) -> Column:
    """A percentile in ms, with as many decimals as the median; below the median its interval."""

    def show(row: Mapping[str, Any]) -> Cell:
        if key == "p99_ms" and row["n"] < P99_FROM:
            return ABSENT
        interval = ("median_low_ms", "median_high_ms") if key == "p50_ms" else None
        return numbers("", key, decimals([row["p50_ms"]]), interval=interval).cell(row)

    return Column(f"{key.removesuffix('_ms')} ↓", show, True, "ms", "latency")


def _unless_failed(show: Show) -> Show:
    return lambda row: show(row) if row["status"] == "ok" else ABSENT


def places_of(comparison: Comparison) -> dict[str, int]:
    """Decimals of each measure, the same in all tables of a comparison."""
    return {str(name): max(1, decimals(part)) for name, part in comparison.cells.groupby("measure")["mean"]}


def kind_of(row: Mapping[str, Any] | pd.Series) -> str:
    """What sets a row apart from the contenders."""
    if row.get("peer"):
        return PEER_NOTE
    return "made elsewhere" if row["external"] else "control" if row["control"] else ""


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells as a flat table: lists and mappings as text."""
    variants = ["; ".join(f"{key}={value}" for key, value in sorted(own.items())) for own in frame["variant"]]
    return frame.assign(run_ids=frame["run_ids"].map(" ".join), variant=variants).reset_index(drop=True)
