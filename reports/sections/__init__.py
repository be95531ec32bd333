"""The sections of the page, one file each: from the store's frames to text, tables and figures.

To add a section, register it in a file that `WSSHM_PLUGINS` names (see `wsshm.plugins`), or put that file into this
folder under the section's name; no other file changes:

    from reports.document import Section
    from reports.sections import Given, PageSection, register

    def section(given: Given) -> Section:
        hours = given.frames.runs["train_s"].sum() / 3600
        return Section("hours", "Hours of training", text=[f"All runs took {hours:.1f} hours."])

    register(PageSection("hours", 135, section))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bench.cost import CostModel
from reports.comparison import Comparison
from reports.document import Section
from reports.load import Frames
from reports.planner import Purchase, purchase
from wsshm.data.manifest import Manifest
from wsshm.registry import Registry


@dataclass(frozen=True)
class Given:
    """What sections are made from: the store's frames, what was compared, and what the command was given."""

    frames: Frames
    comparisons: list[Comparison]
    cost: CostModel
    manifest: Manifest | None = None
    budget: float | None = None
    target_fps: float | None = None

    @cached_property
    def purchase(self) -> Purchase:
        """Which labels to buy: fitted once, for all that say so."""
        return purchase(self.frames, self.comparisons, self.cost, self.budget)


@dataclass(frozen=True)
class PageSection:
    """A section of the page; `place` orders them, ours by tens."""

    name: str
    place: int
    make: Callable[[Given], Section]


SECTIONS: Registry[PageSection] = Registry("section", "reports.sections")
register = SECTIONS.register


def made(given: Given) -> list[Section]:
    """All sections in the order of the page; those without data hold the command that would fill them."""
    return [each.make(given) for each in sorted(SECTIONS.entries(), key=lambda each: (each.place, each.name))]
