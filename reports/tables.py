"""The report's tables: each a view for people and a frame of unrounded values."""

from __future__ import annotations

import math

import pandas as pd

from bench.cost import CostModel
from reports.comparison import BY_NAME, MEASURES, REGIONS, Budget, Comparison
from reports.document import Cell, Column, Table, between, decimals, number
from reports.load import as_document

COMPARED = ("sad", "mse", "grad", "mad_unknown", "mad_boundary")
P99_FROM = 1000  # calls: fewer leave less than ten above the 99th percentile
TONES = {"better": "worse", "worse": "better", "not told apart": "even"}  # of a row against mlb, seen from mlb
SEEN_FROM_MLB = {"better": "mlb worse", "worse": "mlb better", "not told apart": "not told apart"}


def methods(comparison: Comparison, budget: Budget, cost: CostModel) -> Table:
    """Every method at one budget: each measure's mean and interval, and SAD's spread over seeds."""
    frame = comparison.cells[comparison.cells["cell"].isin(comparison.at(budget))]
    shown = [measure for measure in MEASURES if measure.name in set(frame["measure"])]
    seeds = bool((frame["seeds"] > 1).any())
    places = _places(comparison)
    best = {}
    for measure in shown:
        own = frame[(frame["measure"] == measure.name) & ~frame["control"]]["mean"]
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
            Cell(head["label"], "control" if head["control"] else "", "muted" if head["control"] else ""),
            Cell(f"{head['mattes']:,.0f}"),
            Cell(f"{head['masks']:,.0f}"),
            Cell(number(cost.shown(head["cost"]), 1 if cost.is_time else 0)),
        ]
        values = part.set_index("measure")
        for measure in shown:
            if measure.name not in values.index:
                row.append(Cell("–", tone="muted"))
                continue
            value, digits = values.loc[measure.name], places[measure.name]
            winner = not head["control"] and value["mean"] == best[measure.name]
            row.append(
                Cell(
                    number(value["mean"], digits),
                    between(value["low"], value["high"], digits),
                    "best" if winner else "",
                )
            )
        if seeds:
            spread = values["seed_sd"].get("sad", math.nan)
            row.append(Cell(f"{head['seeds']}", f"± {number(spread, places['sad'])}" if math.isfinite(spread) else ""))
        rows.append(row)
    caption = (
        f"{budget}, {comparison.pictures}: means over images"
        + (" of seed-averaged values" if seeds else "")
        + ", below them 95 % bootstrap intervals over images. Bold: the best of a column, controls apart."
    )
    return Table(
        f"methods{comparison.slug}-{budget.slug}", caption, columns, rows, _plain(frame).assign(cost_unit=cost.unit)
    )


def differences(comparison: Comparison, budget: Budget) -> Table | None:
    """Every method minus `mlb` at one budget, with verdicts; None where there is no `mlb` or nothing beside it."""
    reference = comparison.reference(budget)
    frame = comparison.differences
    frame = frame[
        (frame["mattes"] == budget.mattes) & (frame["masks"] == budget.masks) & (frame["against"] == reference)
    ]
    frame = frame[frame["measure"].isin(COMPARED)]
    if frame.empty:
        return None
    shown = [BY_NAME[name] for name in COMPARED if name in set(frame["measure"])]
    places = _places(comparison)
    columns = [Column("method minus mlb", False)]
    columns += [Column(measure.header, True, REGIONS[measure.region], measure.unit) for measure in shown]
    controls = set(comparison.cells.loc[comparison.cells["control"], "cell"])
    rows = []
    for cell, part in frame.groupby("cell", sort=False):
        values = part.set_index("measure")
        head = Cell(part["label"].iloc[0], "control" if cell in controls else "", "muted" if cell in controls else "")
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
        f"{budget}: paired differences to mlb, image by image, with 95 % bootstrap intervals. Above zero mlb's error "
        "is the smaller one. An interval that leaves out zero is a verdict; none is corrected for the number of "
        "comparisons."
    )
    return Table(f"differences{comparison.slug}-{budget.slug}", caption, columns, rows, frame.reset_index(drop=True))


def speed(frame: pd.DataFrame) -> Table:
    """Everything that was timed, one line per model and condition; model-only and end-to-end times apart."""
    order = ["failed", "scope", "device", "engine", "precision", "height", "width", "batch", "model"]
    frame = frame.assign(failed=frame["status"] != "ok").sort_values(
        order, kind="stable", ascending=[True, False, *[True] * 7]
    )
    frame = frame.drop(columns=["failed", "samples_ms"]).reset_index(drop=True)
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
        "GMACs and latency are those of one call. Below the median its 95 % interval. FPS is 1000 / p50 at batch 1; "
        f"images/s is taken over the whole timed block. p99 is shown from {P99_FROM:,} calls on. Model only leaves out "
        "reading, resizing and copying; end to end counts them."
    )
    rows = [
        _timing(row, percentiles, {key: places for key, (_, _, places) in present.items()})
        for row in frame.to_dict("records")
    ]
    return Table("speed", caption, columns, rows, frame)


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


def failures(runs: pd.DataFrame) -> Table:
    """Runs that did not finish, and why."""
    frame = runs[runs["status"] != "finished"]
    columns = [Column(name, False) for name in ("run", "method", "backbone")]
    columns += [Column("mattes"), Column("masks"), Column("seed"), Column("status", False), Column("error", False)]
    rows = [
        [Cell(_text(row["run_id"])), Cell(row["label"]), Cell(_text(row["backbone"]))]
        + [Cell(number(_float(row[key]), 0)) for key in ("mattes", "masks", "seed")]
        + [
            Cell(_text(row["status"]), tone="worse" if row["status"] != "stopped" else "even"),
            Cell(_text(row["error"])),
        ]
        for row in frame.to_dict("records")
    ]
    kept = ["run_id", "method", "label", "architecture", "backbone", "mattes", "masks", "seed", "status", "error"]
    return Table("failures", "No row of these runs enters a mean.", columns, rows, frame[kept].reset_index(drop=True))


def run_ids(comparison: Comparison) -> Table:
    """Which runs stand behind each row of the comparison."""
    frame = comparison.cells.drop_duplicates("cell")[["label", "mattes", "masks", "seeds", "run_ids"]].reset_index(
        drop=True
    )
    columns = [Column("method", False), Column("mattes"), Column("masks"), Column("seeds"), Column("run ids", False)]
    rows = [
        [
            Cell(row["label"]),
            Cell(f"{row['mattes']:,.0f}"),
            Cell(f"{row['masks']:,.0f}"),
            Cell(str(row["seeds"])),
            Cell(" ".join(row["run_ids"])),
        ]
        for row in frame.to_dict("records")
    ]
    caption = f"Runs behind the rows of {comparison.title}."
    return Table(f"runs{comparison.slug}", caption, columns, rows, frame)


def provenance(runs: pd.DataFrame, scores: pd.DataFrame, speed_rows: pd.DataFrame) -> Table:
    """Under what the results were made: hardware, versions, commits, data; each value with its number of runs."""
    commits = runs["git_commit"].fillna("unknown").astype(str).str[:12]
    commits += runs["git_dirty"].map(lambda dirty: " (uncommitted changes)" if dirty is True else "").astype(str)
    versions = pd.concat([runs["versions"], speed_rows["versions"]], ignore_index=True)
    facts: list[tuple[str, str, int, str]] = []
    for name, values, what in (
        ("trained on", runs["device"], "runs"),
        ("timed on", speed_rows["device"], "timings"),
        ("commit", commits, "runs"),
        ("data fingerprint", runs["data_fingerprint"], "runs"),
        ("recipe version", runs["recipe_version"], "runs"),
        ("first weights", runs["weights"], "runs"),
        ("metric version", scores["metric_version"], "score rows"),
        ("protocol", scores["protocol"], "score rows"),
        ("convention", scores["convention"], "score rows"),
        ("truth", scores["truth"], "score rows"),
        ("versions", versions.map(_versions), "runs and timings"),
    ):
        counts = values.dropna().astype(str).value_counts(sort=False)
        facts += [(name, value, int(count), what) for value, count in sorted(counts.items()) if value]
    frame = pd.DataFrame(facts, columns=["fact", "value", "count", "of"])
    rows = [
        [
            Cell(name if index == 0 or facts[index - 1][0] != name else ""),
            Cell(value, tone="worse" if "(uncommitted" in value else ""),
            Cell(f"{count:,}"),
            Cell(what),
        ]
        for index, (name, value, count, what) in enumerate(facts)
    ]
    columns = [Column("fact", False), Column("value", False), Column("count"), Column("of", False)]
    return Table("provenance", "Under what these results were made.", columns, rows, frame)


def _places(comparison: Comparison) -> dict[str, int]:
    """Decimals of each measure, the same in all tables of a comparison."""
    return {str(name): max(1, decimals(part)) for name, part in comparison.cells.groupby("measure")["mean"]}


def _versions(text: object) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(as_document(text).items()) if version)


def _float(value: object) -> float:
    return float(value) if pd.notna(value) else math.nan  # type: ignore[arg-type]


def _text(value: object) -> str:
    return str(value) if pd.notna(value) else ""


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(run_ids=frame["run_ids"].map(" ".join)).reset_index(drop=True)
