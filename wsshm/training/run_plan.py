"""One run, known once: what goes, whole, from the sweep that planned it to its trial and on to its workers.

Ray Train's controller unpickles it as well, and needs neither torch nor timm: this module stays light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsshm.config import RunConfig
from wsshm.errors import UserError
from wsshm.methods.stage import Stage

if TYPE_CHECKING:
    from wsshm.data.sources import Sources


@dataclass(frozen=True)
class AddressedStage:
    """A stage, its address (16 hex digits), and that of the labels made ahead that it reads, if it does."""

    stage: Stage
    address: str
    labels: str | None = None


@dataclass(frozen=True)
class RunPlan:
    """A run: its resolved configuration, its identity, its stages in order, and how many labels they learn from.

    `masks_by_grade` has no grade without a mask, and is empty where the method uses none.
    `label` is how progress lines call it. `beside`: a plan's `also` asks for it, not its space.
    """

    config: RunConfig
    run_id: str
    stages: tuple[AddressedStage, ...]
    data_fingerprint: str
    mattes: int
    masks_by_grade: dict[str, int]
    label: str = ""
    beside: bool = False

    @property
    def masks(self) -> int:
        """Masks of whatever grade."""
        return sum(self.masks_by_grade.values())

    @property
    def sources(self) -> Sources:
        """Its manifests, opened once in a process. UserError unless they are those that it was planned with."""
        from wsshm.data.sources import open_sources

        sources = open_sources(self.config.data)
        if sources.fingerprint != self.data_fingerprint:
            raise UserError(
                f"the data of run {self.run_id} is not what it was when the run was planned, or not the same on every"
                " node; rerun the command once all nodes see the same files"
            )
        return sources

    def named(self, stage: str | None) -> AddressedStage:
        """A stage by its name."""
        return next(entry for entry in self.stages if entry.stage.name == stage)
