"""Runs with masks of several grades, drawn from known laws, for tests of the planner: no number here was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tests.reports.simulated_runs import LAWS, MASKS, MATTES, Truth
from wsshm.grades import DEFAULT, text_of

Cell = tuple[int, dict[str, int]]
GRID: tuple[Cell, ...] = tuple((m, {DEFAULT: s}) for m in MATTES for s in MASKS)


@dataclass(frozen=True)
class Kinds:
    """A true law over kinds: that of `base` over effective masks, and what a grade's floor is above the default's.

    `worth` is how many of the default grade's masks one of a grade makes up for, `above` how much higher its floor is.
    """

    worth: Mapping[str, float]
    above: Mapping[str, float] = field(default_factory=dict)
    base: str | Truth = "sum"

    def __call__(self, mattes: Any, masks: Mapping[str, Any]) -> np.ndarray:
        law = LAWS[self.base] if isinstance(self.base, str) else self.base
        counts = {grade: np.asarray(count, np.float64) for grade, count in masks.items()}
        total = np.asarray(sum(counts.values()))
        effective = sum(count * self.worth.get(grade, 1.0) for grade, count in counts.items())
        above = sum(count * self.above.get(grade, 0.0) for grade, count in counts.items())
        without = min([0.0, *self.above.values()])
        floor = np.where(total > 0, above / np.maximum(total, 1), without)
        return law(np.asarray(mattes, np.float64), effective) + floor


def cells_of(grade: str, mattes: Sequence[int] = (10, 80), masks: Sequence[int] = (100, 1000)) -> list[Cell]:
    """Every combination of so many mattes and so many masks of a grade."""
    return [(m, {grade: s}) for m in mattes for s in masks]


def simulated(
    truth: Kinds,
    further: Iterable[Cell],
    rng: int | Sequence[int] = 0,
    grid: Iterable[Cell] = GRID,
    seeds: int = 3,
    noise: float = 0.03,
    seed_noise: float = 0.02,
) -> pd.DataFrame:
    """One row per run: mattes, masks, grades, seed, sad; the noises as in `simulated_runs`."""
    generator = np.random.default_rng(rng)
    of_seed = generator.normal(0, seed_noise, seeds)
    rows = []
    for mattes, masks in [*grid, *further]:
        sad = float(truth(mattes, masks))
        for seed in range(seeds):
            value = sad * np.exp(of_seed[seed] + generator.normal(0, noise))
            rows.append((mattes, sum(masks.values()), text_of(masks), seed, value))
    return pd.DataFrame(rows, columns=["mattes", "masks", "grades", "seed", "sad"])
