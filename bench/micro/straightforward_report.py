"""A report's numbers as a notebook would get them: pandas throughout, and a bootstrap round by round.

What `bench micro report` holds our own against: `python -m bench.micro.straightforward_report STORE COLUMNS` prints the
seconds and the memory as JSON. The bootstrap runs on COLUMNS means only, for it takes minutes on each network.
"""

from __future__ import annotations

import json
import resource
import sys
import time
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


def columns(runs: pd.DataFrame, scores: pd.DataFrame) -> list[np.ndarray]:
    """Seed-averaged values image by image of every cell and measure, and the differences to each network's `mlb`."""
    runs = runs[runs["status"] == "finished"]
    of_runs = ["run_id", "method", "mattes", "masks", "seed", "data_fingerprint", "recipe_version", *NETWORK]
    joined = scores.merge(runs[of_runs], on="run_id")
    found: list[np.ndarray] = []
    for _, part in joined.groupby(GROUND + NETWORK):
        for region, measure in MEASURES:
            rows = part[part["region"] == region]
            if rows.empty:
                continue
            cells = rows.pivot_table(measure, ["method", "mattes", "masks"], "image")
            found += list(cells.to_numpy())
            for (_, mattes, masks), reference in cells.loc[["mlb"]].iterrows():
                for (method, own_mattes, own_masks), values in cells.iterrows():
                    if method != "mlb" and own_mattes in (0, mattes) and own_masks in (0, masks):
                        found.append(values.to_numpy() - reference.to_numpy())
    return found


def interval(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The percentile interval of a mean, round by round."""
    return np.quantile([rng.choice(values, len(values)).mean() for _ in range(ROUNDS)], [0.025, 0.975])


def main(root: str, count: str) -> None:
    times = [time.perf_counter()]
    runs, scores, _, _ = load(Path(root))
    times.append(time.perf_counter())
    found = columns(runs, scores)
    times.append(time.perf_counter())
    rng = np.random.default_rng(0)
    for values in found[: int(count)]:
        interval(values, rng)
    times.append(time.perf_counter())
    load_s, group_s, bootstrap_s = np.diff(times).tolist()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    timed = {"columns": len(found), "timed": min(int(count), len(found)), "bootstrap_s": bootstrap_s}
    print(json.dumps({"load_s": load_s, "group_s": group_s, **timed, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main(*sys.argv[1:])
