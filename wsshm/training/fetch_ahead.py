"""Fetching the samples of later steps while those of this one are made, for data on an object store or in packs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsshm.training.batches import StepDataset

STEPS = 3
"""How many of a process's next micro-batches are fetched before they are made."""


class FetchAhead:
    """What one process has asked for of a stage's samples.

    Which ones a step needs is known before it comes. Of several loader processes each makes every N-th micro-batch and
    fetches for its own: the node's cache is shared, so that a wrong guess costs a request and no more.
    """

    def __init__(self) -> None:
        self.reached: int | None = None

    def of(self, dataset: StepDataset, indices: list[int]) -> None:
        """Begin to fetch what the micro-batch of these sample numbers needs, and the same slots of later steps."""
        sources = dataset.sources
        if not any(manifest.stored_apart for manifest in (sources.mattes, sources.masks, sources.backgrounds)):
            return
        batch, stride = dataset.config.train.batch, max(1, dataset.config.train.loader_workers)
        step = indices[0] // batch
        first = step if self.reached is None else max(step, self.reached + stride)
        last = min(step + STEPS * stride, dataset.stage.steps - 1)
        for later in range(first, last + 1, stride):
            for index in indices:
                for manifest, sample in dataset.chosen(later * batch + index % batch).of(sources):
                    manifest.prefetch([sample])
            self.reached = later
