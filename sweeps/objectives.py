"""What runs are held against each other by: their last errors on the validation set, and a network's latency."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from bench.store import Store


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
        run_id: _last(rows, [name.partition(":")[0] for name in runs[run_id]])
        for run_id, rows in epochs.groupby("run_id")
        if run_id in runs.index
    }


def _last(rows: pd.DataFrame, stages: list[str]) -> dict[str, float]:
    stage = max(rows["stage"].unique(), key=stages.index)
    rows = rows[rows["stage"] == stage]
    rows = rows[rows["epoch"] == rows["epoch"].max()]
    return dict(zip(rows["key"], rows["value"], strict=True))


def latencies(
    speed: pd.DataFrame, device: str, height: int, width: int, batch: int, precision: str
) -> dict[str, float]:
    """Median milliseconds of each backbone's network alone at one setting, of those that were timed on `device`."""
    rows = speed[
        (speed["status"] == "ok")
        & (speed["scope"] == "model")
        & (speed["device"] == device)
        & (speed["height"] == height)
        & (speed["width"] == width)
        & (speed["batch"] == batch)
        & (speed["precision"] == precision)
    ]
    return dict(zip(rows["backbone"], rows["p50_ms"], strict=True))
