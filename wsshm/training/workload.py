"""How much work a run is: in steps at full size, which progress and its ETA go by, and in epochs."""

from __future__ import annotations

import math

from wsshm.config import RunConfig
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage


def work_of(stage: Stage, config: RunConfig, steps: int | None = None) -> float:
    """A stage's work up to a step, in steps at full size; a step at half size is 1/4, a teacher's pass 1/3."""
    steps = stage.steps if steps is None else steps
    halved = min(steps, math.ceil(config.train.half_resolution * stage.steps))
    return (steps - halved + halved / 4) * (3 + stage.passes) / 3


def run_work(config: RunConfig) -> float:
    """A whole run's work, in steps at full size."""
    return sum(work_of(stage, config) for stage in stages_of(config))


def epochs_of(steps: int, config: RunConfig) -> int:
    """Epochs that a stage's steps come to; the last one may be short."""
    return math.ceil(steps / config.train.epoch_steps)


def comparable(stages: list[Stage]) -> list[Stage]:
    """The stages by whose errors runs may be compared while they train.

    Not those that only prepare (a teacher): another run may have found it trained.
    """
    return [stage for stage in stages if stage.uses_photos or stage is stages[-1]]


def epochs_before(stages: list[Stage], config: RunConfig) -> dict[str, int]:
    """For each comparable stage, by name, the epochs of the comparable stages before it."""
    before, found = 0, {}
    for stage in comparable(stages):
        found[stage.name] = before
        before += epochs_of(stage.steps, config)
    return found


def comparable_epochs(config: RunConfig) -> int:
    """Epochs of all of a run's comparable stages: what early stopping counts."""
    return sum(epochs_of(stage.steps, config) for stage in comparable(stages_of(config)))
