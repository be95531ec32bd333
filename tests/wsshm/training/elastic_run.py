"""A run on one or two workers of the cluster that RAY_ADDRESS names: `python -m tests.wsshm.training.elastic_run FOLDER`.

A process of its own, since the test's main thread adds and removes nodes meanwhile. FOLDER/reports.txt has a line for
each epoch that was reported: how many workers there were.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from ray.train import ScalingConfig, UserCallback

import wsshm.training.ray_train
from tests.wsshm import tiny
from wsshm.training.run import train

EPOCHS, EPOCH_STEPS = 40, 8  # enough for Ray to look for workers while it trains
LOOK_EVERY_S = 2.0  # Ray's own is a minute


class Workers(UserCallback):
    """Runs where Ray Train's controller does."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        with open(self.file, "a") as file:
            print(len(metrics), file=file)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    wsshm.training.ray_train.ScalingConfig = functools.partial(  # type: ignore[misc, assignment]
        ScalingConfig, elastic_resize_monitor_interval_s=LOOK_EVERY_S
    )
    config = tiny.config(
        tiny.make(folder / "data"), "joint", workers=[1, 2], steps=EPOCHS * EPOCH_STEPS, epoch_steps=EPOCH_STEPS
    )
    train(tiny.planned(config), folder / "stages", callbacks=[Workers(folder / "reports.txt")])
