"""Rates of a training for Ray's dashboard (Grafana, Prometheus): pictures a second, seconds a step, memory of the GPU."""

from __future__ import annotations

import sys
import time
from typing import Any

import torch

EVERY_S = 5.0
"""How often values are set: Ray passes them on every ten seconds or so."""

GAUGES = {
    "wsshm_pictures_per_second": "Training samples a second, over all of the run's workers",
    "wsshm_step_seconds": "Mean seconds of an optimiser step",
    "wsshm_gpu_memory_bytes": "Most memory of the GPU that this worker has allocated",
}


class Rates:
    """Sets a run's gauges while it trains in a Ray cluster; elsewhere it does nothing."""

    def __init__(self, run: str, batch: int) -> None:
        self.run, self.batch = run, batch
        self.began, self.steps, self.stage = time.monotonic(), 0, ""
        self.gauges: dict[str, Any] = {}
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            from ray.util.metrics import Gauge

            self.gauges = {
                name: Gauge(name, description=about, tag_keys=("run", "stage")) for name, about in GAUGES.items()
            }

    def step(self, stage: str) -> None:
        """An optimiser step of `stage` is done."""
        if not self.gauges:
            return
        now = time.monotonic()
        if stage != self.stage:  # a stage's first step waits for its loaders
            self.began, self.steps, self.stage = now, 0, stage
            return
        self.steps += 1
        if now - self.began < EVERY_S:
            return
        each = (now - self.began) / self.steps
        values = {"wsshm_pictures_per_second": self.batch / each, "wsshm_step_seconds": each}
        if torch.cuda.is_available():
            values["wsshm_gpu_memory_bytes"] = float(torch.cuda.max_memory_allocated())
        for name, value in values.items():
            self.gauges[name].set(value, tags={"run": self.run, "stage": stage})
        self.began, self.steps = now, 0
