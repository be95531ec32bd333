"""A report's numbers as a good notebook would get them: pandas, and all rounds of a bootstrap as one matrix product.

The baseline of `wsshm bench micro report`: `python -m bench.micro.vectorised_report STORE` prints the seconds and the
memory as JSON. Its intervals of differences are those of each alone; ours hold for all of a measure together.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from bench.statistics import ROUNDS
from bench.store import KEYS

GROUND = ["dataset", "protocol", "convention", "truth", "metric_version", "data_fingerprint", "recipe_version"]
NETWORK = ["architecture", "backbone", "weights"]
MEASURES = [("whole", name) for name in ("sad", "mse", "mad", "grad", "conn", "iou")]
MEASURES += [("unknown", "sad"), ("unknown", "mad"), ("boundary", "mad")]


def load(root: Path) -> tuple[pd.DataFrame, ...]:
    """Every table but the pictures: all files, one row a key."""
    tables = []
    for name in ("runs", "scores", "speed", "epochs"):
        table = pd.concat([pd.read_parquet(file) for file in sorted((root / name).glob("*.parquet"))])
        tables.append(table.drop_duplicates(list(KEYS[name]), keep="last"))
    return tuple(tables)


def columns(runs: pd.DataFrame, scores: pd.DataFrame) -> Iterator[np.ndarray]:
    """Seed-averaged values (cells, images) of every network and measure, and the differences to its `mlb`."""
    runs = runs[runs["status"] == "finished"]
    of_runs = ["run_id", "method", "mattes", "masks", "seed", "data_fingerprint", "recipe_version", *NETWORK]
    joined = scores.merge(runs[of_runs], on="run_id")
    for _, part in joined.groupby(GROUND + NETWORK):
        for region, measure in MEASURES:
            rows = part[part["region"] == region]
            if rows.empty:
                continue
            cells = rows.pivot_table(measure, ["method", "mattes", "masks"], "image")
            found = [cells.to_numpy()]
            for (_, mattes, masks), reference in cells.loc[["mlb"]].iterrows():
                for (method, own_mattes, own_masks), values in cells.iterrows():
                    if method != "mlb" and own_mattes in (0, mattes) and own_masks in (0, masks):
                        found.append((values - reference).to_numpy()[None])
            yield np.concatenate(found)


def intervals(values: np.ndarray) -> np.ndarray:
    """The percentile intervals (2, cells) of the means of `values` (cells, images)."""
    interval: np.ndarray = np.quantile(_weights(values.shape[1]) @ values.T, [0.025, 0.975], axis=0)
    return interval


@lru_cache(maxsize=1)
def _weights(images: int) -> np.ndarray:
    return np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), ROUNDS) / images


def main(root: str) -> None:
    times = [time.perf_counter()]
    runs, scores, _, _ = load(Path(root))
    times.append(time.perf_counter())
    for values in columns(runs, scores):
        intervals(values)
    times.append(time.perf_counter())
    load_s, compare_s = np.diff(times).tolist()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    print(json.dumps({"load_s": load_s, "compare_s": compare_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main(*sys.argv[1:])
