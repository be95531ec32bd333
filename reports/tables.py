"""The report's tables: each a view for people and a frame of unrounded values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.cost import CostModel
from reports import selection
from reports.comparison import BY_NAME, MEASURES, REGIONS, Budget, Comparison
from reports.document import Cell, Column, Table, between, decimals, number

COMPARED = ("sad", "mse", "grad", "mad_unknown", "mad_boundary")
P99_FROM = 1000  # calls: fewer leave less than ten above the 99th percentile
TONES = {"better": "worse", "worse": "better", "not told apart": "even"}  # of a row against mlb, seen from mlb
SEEN_FROM_MLB = {"better": "mlb worse", "worse": "mlb better", "not told apart": "not told apart"}


def methods(comparison: Comparison, budget: Budget, cost: CostModel) -> Table:
    """Every method at one budget, by the variant that stands for it: means, intervals, and SAD's spread over seeds."""
    frame = selection.shown(comparison)
    frame = frame[frame["cell"].isin(comparison.at(budget))]
    shown = [measure for measure in MEASURES if measure.name in set(frame["measure"])]
    seeds = bool((frame["seeds"] > 1).any())
    places = _places(comparison)
    best = {}
    for measure in shown:
        own = frame[(frame["measure"] == measure.name) & ~frame["control"] & ~frame["external"]]["mean"]
        best[measure.name] = own.min() if measure.lower_is_better else own.max()
    columns = [Column("method", False), Column("mattes"), Column("masks"), Column("cost", unit=cost.display_unit)]
    columns += [
        Column(f"{measure.header} {measure.arrow}", True, REGIONS[measure.region], measure.unit) for measure in shown
    ]
    columns += [Column("seeds", unit="± sd of SAD")] if seeds else []
    rows = []
    for _, part in frame.groupby("cell", sort=False):
        head = part.iloc[0]
        row = [
            Cell(head["label"], kind_of(head), "muted" if kind_of(head) else ""),
            Cell(number(head["mattes"], 0)),
            Cell(number(head["masks"], 0)),
            Cell(number(cost.shown(head["cost"]), 1 if cost.is_time else 0), "not known" if head["external"] else ""),
        ]
        values = part.set_index("measure")
        for measure in shown:
            if measure.name not in values.index:
                row.append(Cell("–", tone="muted"))
                continue
            value, digits = values.loc[measure.name], places[measure.name]
            winner = not kind_of(head) and value["mean"] == best[measure.name]
            row.append(
                Cell(
                    number(value["mean"], digits),
                    between(value["low"], value["high"], digits),
                    "best" if winner else "",
                )
            )
        if seeds:
            spread = values["seed_sd"].get("sad", math.nan)
            row.append(
                Cell(
                    "–" if head["external"] else f"{head['seeds']}",
                    f"± {number(spread, places['sad'])}" if math.isfinite(spread) else "",
                )
            )
        rows.append(row)
    caption = (
        f"{budget}, {comparison.where}: means over images"
        + (" of seed-averaged values" if seeds else "")
        + ", with 95 % bootstrap intervals over images. Bold: the best of a column, controls and predictions made "
        "elsewhere apart."
    )
    return Table(
        f"methods{comparison.slug}-{budget.slug}", caption, columns, rows, plain(frame).assign(cost_unit=cost.unit)
    )


def differences(comparison: Comparison, budget: Budget) -> Table | None:
    """Every method minus `mlb` at one budget, with verdicts; None where there is no `mlb` or nothing beside it."""
    reference = comparison.reference(budget)
    frame = comparison.differences
    frame = frame[
        (frame["mattes"] == budget.mattes) & (frame["masks"] == budget.masks) & (frame["against"] == reference)
    ]
    names = selection.shown(comparison).drop_duplicates("cell").set_index("cell")["label"]
    frame = frame[frame["measure"].isin(COMPARED) & frame["cell"].isin(names.index)]
    if frame.empty:
        return None
    frame = frame.assign(label=frame["cell"].map(names))
    shown = [BY_NAME[name] for name in COMPARED if name in set(frame["measure"])]
    places = _places(comparison)
    columns = [Column("method minus mlb", False)]
    columns += [Column(measure.header, True, REGIONS[measure.region], measure.unit) for measure in shown]
    kinds = {row["cell"]: kind_of(row) for row in comparison.cells.drop_duplicates("cell").to_dict("records")}
    rows = []
    for cell, part in frame.groupby("cell", sort=False):
        values = part.set_index("measure")
        head = Cell(part["label"].iloc[0], kinds[cell], "muted" if kinds[cell] else "")
        row = [head]
        for measure in shown:
            if measure.name not in values.index:
                row.append(Cell("–", tone="muted"))
                continue
            value, digits = values.loc[measure.name], places[measure.name]
            interval = between(value["low"], value["high"], digits, sign=True)
            verdict = SEEN_FROM_MLB[value["verdict"]]
            note = f"{interval}; {verdict}" if interval else verdict
            row.append(Cell(number(value["mean"], digits, sign=True), note, TONES[value["verdict"]]))
        rows.append(row)
    caption = (
        f"{budget}: paired differences to mlb, image by image, with intervals that hold for all differences "
        "of a measure together with 95 %. Above zero mlb's error is the smaller one. An interval that leaves out zero is a "
        "verdict, and so corrected for the number of comparisons."
    )
    return Table(f"differences{comparison.slug}-{budget.slug}", caption, columns, rows, frame.reset_index(drop=True))


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
    optional = {
        "peak_mb": ("memory", "MB, peak", 0),
        "compile_s": ("compile", "s", 1),
        "energy_j": ("energy", "J per image", 2),
    }
    present = {key: shown for key, shown in optional.items() if frame[key].notna().any()}
    columns = [Column("model", False), Column("conditions", False), Column("size", unit="px"), Column("batch")]
    columns += [Column("params", unit="10⁶"), Column("GMACs")]
    columns += [Column(f"{key.removesuffix('_ms')} ↓", group="latency", unit="ms") for key in percentiles]
    columns += [Column("FPS ↑"), Column("images/s ↑"), *(Column(name, unit=unit) for name, unit, _ in present.values())]
    columns += [Column("calls")]
    caption = (
        "GMACs and latency are those of one call. Below the median its 95 % interval, over the calls of one process: two "
        "processes differ by some percent more, so that a whole may come out faster than a part of it. FPS is 1000 / p50 at "
        f"batch 1; images/s is taken over the whole timed block. p99 is shown from {P99_FROM:,} calls on. Model only "
        "leaves out reading, resizing and copying; end to end counts them."
    )
    shown = frame
    if most and len(frame) > most:
        shown = frame.iloc[_chosen(frame, most, first)]
        caption += (
            f" {len(shown)} of {len(frame):,} rows: of each condition networks on a front first, then the "
            "fastest, and what could not be timed; all are in the CSV."
        )
    rows = [
        _timing(row, percentiles, {key: places for key, (_, _, places) in present.items()})
        for row in shown.to_dict("records")
    ]
    return Table("speed", caption, columns, rows, frame)


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


def _timing(row: dict, percentiles: list[str], optional: dict[str, int]) -> list[Cell]:
    scope = "model only" if row["scope"] == "model" else "end to end"
    conditions = ", ".join(str(row[key]) for key in ("engine", "precision", "layout") if pd.notna(row[key]))
    failed = row["status"] != "ok"
    why = f"{row['status']}: {row['reason']}" if pd.notna(row["reason"]) else str(row["status"])
    cells = [
        Cell(row["model"], why if failed else "", "worse" if failed else ""),
        Cell(scope, f"{conditions}; {row['device']}"),
        Cell(f"{row['width']:.0f}×{row['height']:.0f}"),
        Cell(f"{row['batch']:.0f}"),
        Cell(number(_float(row["params"]) / 1e6, 2)),
        Cell(number(_float(row["gmacs"]), 2)),
    ]
    if failed:
        return cells + [Cell("–", tone="muted")] * (len(percentiles) + 2 + len(optional) + 1)
    places = decimals([_float(row["p50_ms"])])
    for key in percentiles:
        known = key != "p99_ms" or row["n"] >= P99_FROM
        interval = (
            between(_float(row["median_low_ms"]), _float(row["median_high_ms"]), places) if key == "p50_ms" else ""
        )
        cells.append(Cell(number(_float(row[key]), places), interval) if known else Cell("–", tone="muted"))
    cells += [Cell(number(_float(row[key]), decimals([_float(row[key])]))) for key in ("fps", "images_per_s")]
    cells += [Cell(number(_float(row[key]), digits)) for key, digits in optional.items()]
    return [*cells, Cell(f"{row['n']:,.0f}")]


def _places(comparison: Comparison) -> dict[str, int]:
    """Decimals of each measure, the same in all tables of a comparison."""
    return {str(name): max(1, decimals(part)) for name, part in comparison.cells.groupby("measure")["mean"]}


def kind_of(row: Mapping[str, Any] | pd.Series) -> str:
    """What sets a row apart from the contenders."""
    return "made elsewhere" if row["external"] else "control" if row["control"] else ""


def _float(value: object) -> float:
    return float(value) if pd.notna(value) else math.nan  # type: ignore[arg-type]


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells as a flat table: lists and mappings as text."""
    texts = {"run_ids": frame["run_ids"].map(" ".join), "variant": frame["variant"].map(_assignments)}
    return frame.assign(**texts).reset_index(drop=True)


def _assignments(variant: dict[str, object]) -> str:
    return "; ".join(f"{key}={value}" for key, value in sorted(variant.items()))
