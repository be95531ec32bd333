"""Runs over a grid of labels, drawn from known laws, for tests of the planner: no number here was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.graded import column_of
from bench.store import Store
from tests.reports.example_store import run_row
from wsshm.grades import GRADES, from_text

Truth = Callable[[np.ndarray, np.ndarray], np.ndarray]

# The first three are laws that the planner knows, up to offsets of the counts; the others are not.
LAWS: dict[str, Truth] = {
    "sum": lambda m, s: 0.4 + 2.0 * (m + 1) ** -0.6 + 6.0 * (s + 1) ** -0.5,
    "slow sum": lambda m, s: 0.1 + 1.0 * (m + 1) ** -0.25 + 2.0 * (s + 1) ** -0.3,
    "product": lambda m, s: 0.3 + 12.0 * (m + 3) ** -0.4 * (s + 10) ** -0.35,
    "offsets": lambda m, s: 0.5 + 8.0 * (m + 20) ** -0.8 + 40.0 * (s + 150) ** -0.8,
    "exponential": lambda m, s: 0.4 + 0.5 * np.exp(-m / 30) + 0.6 * np.exp(-s / 400),
    "logarithm": lambda m, s: 2.5 - 0.15 * np.log(m + 1) - 0.12 * np.log(s + 1),
    "substitutes": lambda m, s: 0.3 + 20.0 * (12 * m + s + 30) ** -0.5,
}
MATTES, MASKS = (10, 20, 40, 80), (100, 300, 1000)


def simulated(
    truth: str | Truth,
    rng: int | Sequence[int] = 0,
    mattes: Sequence[int] = MATTES,
    masks: Sequence[int] = MASKS,
    seeds: int = 3,
    noise: float = 0.03,
    seed_noise: float = 0.02,
) -> pd.DataFrame:
    """One row per run; `noise` and `seed_noise` are relative, of a run and of all runs of a seed."""
    law = LAWS[truth] if isinstance(truth, str) else truth
    generator = np.random.default_rng(rng)
    of_seed = generator.normal(0, seed_noise, seeds)
    rows = [
        (m, s, seed, float(law(np.float64(m), np.float64(s))) * np.exp(of_seed[seed] + generator.normal(0, noise)))
        for m in mattes
        for s in masks
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["mattes", "masks", "seed", "sad"])


def fill(root: Path, runs: pd.DataFrame, images: int = 6, method: str = "mlb") -> Store:
    """A store in which each run's mean SAD over the images of `procedural/test` is that of `runs`.

    Masks are of the default grade, or of those in a column `grades` of `runs`.
    """
    store = Store(root)
    hardness = np.linspace(0.5, 1.5, images)
    rows, scores = [], []
    for run in runs.itertuples():
        row = run_row(method, int(run.mattes), int(run.masks), int(run.seed))
        if grades := getattr(run, "grades", ""):
            counts = from_text(grades, 0)
            row |= {column_of(grade): int(counts.get(grade, 0)) for grade in GRADES}
            row |= {"run_id": f"{row['run_id']}-{grades}"}
        rows.append(row)
        for dataset, scale in (("procedural/test", 1.0), ("other/test", 3.0)):
            shared = {
                "run_id": row["run_id"],
                "dataset": dataset,
                "protocol": "whole-128",
                "convention": "p3m",
                "truth": "exact",
                "metric_version": "1",
            }
            kept = images if dataset == "procedural/test" else images - 1
            for index, own in enumerate(hardness[:kept]):
                scores.append({**shared, "image": f"{index:03d}", "region": "whole", "sad": run.sad * own * scale})
                scores.append({**shared, "image": f"{index:03d}", "region": "unknown", "sad": run.sad * own / 2})
    store.write("runs", rows)
    store.write("scores", scores)
    return store
