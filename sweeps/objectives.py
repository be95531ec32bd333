"""What runs are compared by: their last errors on the validation set, and a network's latency."""

from __future__ import annotations

import json
from collections.abc import Collection

import pandas as pd

from bench.engines import ENGINES
from bench.settings import LAYOUTS
from bench.store import Store, stages_in
from wsshm.config import RunConfig, parse
from wsshm.methods import stages_of
from wsshm.training.workload import epochs_before


def last_errors(store: Store, run_ids: Collection[str] | None = None) -> dict[str, dict[str, float]]:
    """Each run's `val_*` at the last epoch of the last stage that it came to."""
    if not store.exists():
        return {}
    runs = store.read("runs", ["run_id", "stages"]).set_index("run_id")["stages"].dropna()
    epochs = store.read("epochs")
    epochs = epochs[epochs["key"].str.startswith("val_")]
    if run_ids is not None:
        epochs = epochs[epochs["run_id"].isin(set(run_ids))]
    return {
        run_id: _last(rows, list(stages_in(runs[run_id])))
        for run_id, rows in epochs.groupby("run_id")
        if run_id in runs.index
    }


def learned(store: Store, run_ids: Collection[str], objective: str) -> dict[str, list[tuple[int, float]]]:
    """Each run's `objective` by epochs, counted as early stopping counts them; only runs that finished or were stopped."""
    if not store.exists():
        return {}
    runs = store.read("runs", ["run_id", "status", "config"])
    runs = runs[runs["run_id"].isin(set(run_ids)) & runs["status"].isin(["finished", "stopped"])]
    epochs = store.read("epochs")
    epochs = epochs[epochs["key"] == objective]
    found = {}
    for run_id, text in runs[["run_id", "config"]].itertuples(index=False):
        config = parse(json.loads(text), RunConfig)
        before = epochs_before(stages_of(config), config)
        rows = epochs[(epochs["run_id"] == run_id) & epochs["stage"].isin(list(before))]
        points = zip(rows["stage"], rows["epoch"], rows["value"], strict=True)
        found[run_id] = sorted((before[stage] + int(epoch), float(value)) for stage, epoch, value in points)
    return found


def _last(rows: pd.DataFrame, stages: list[str]) -> dict[str, float]:
    stage = max(rows["stage"].unique(), key=stages.index)
    rows = rows[rows["stage"] == stage]
    rows = rows[rows["epoch"] == rows["epoch"].max()]
    return dict(zip(rows["key"], rows["value"], strict=True))


def latencies(
    speed: pd.DataFrame, device: str, height: int, width: int, batch: int, precision: str, engine: str
) -> dict[str, float]:
    """Median milliseconds of each backbone's network alone at one setting, of those that were timed on `device`.

    A time that is unstable (too few calls, a busy machine) counts only while there is no better one.
    """
    setting = {"scope": "model", "device": device, "height": height, "width": width, "batch": batch}
    setting |= {"precision": precision, "engine": engine, "layout": ENGINES.get(engine).layout or LAYOUTS[0]}
    rows = speed[speed["status"].isin(["ok", "unstable"]) & speed["p50_ms"].notna()]
    for key, value in setting.items():
        rows = rows[rows[key] == value]
    rows = rows.sort_values("status", ascending=False, kind="stable")  # unstable first, ok last
    return dict(zip(rows["backbone"], rows["p50_ms"], strict=True))
