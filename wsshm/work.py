"""How much work a run is, in steps at full size: what progress and its ETA go by."""

from __future__ import annotations

import math

from wsshm.config import RunConfig
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage


def work_of(stage: Stage, config: RunConfig, steps: int | None = None) -> float:
    """A stage's work up to a step, in steps at full size; a step at half size is 1/4, a teacher's pass 1/3."""
    steps = stage.steps if steps is None else steps
    halved = min(steps, math.ceil(config.train.half_resolution * stage.steps))
    return (steps - halved + halved / 4) * (4 / 3 if stage.teacher else 1.0)


def run_work(config: RunConfig) -> float:
    """A whole run's work, in steps at full size."""
    return sum(work_of(stage, config) for stage in stages_of(config))
