"""OUT/runs.json: the runs of a sweep that are known beforehand, for commands that look at it without opening its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sweeps.place import Place
from wsshm.config import RunConfig, parse
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage


@dataclass(frozen=True)
class KnownRun:
    """A run as its sweep wrote it down: `stages` are addresses by name."""

    label: str
    config: dict[str, Any]
    stages: dict[str, str]

    def addressed(self) -> tuple[RunConfig, list[tuple[Stage, str]]]:
        """Its configuration, and its stages in order with their addresses."""
        config: RunConfig = parse(self.config)
        return config, [(stage, self.stages[stage.name]) for stage in stages_of(config)]


def read_planned(place: Place) -> dict[str, KnownRun] | None:
    """The runs by id, without those that a search draws as it goes; None where the sweep has not come to write them."""
    try:
        document = json.loads(place.planned.read_text())
    except FileNotFoundError:
        return None
    return {run_id: KnownRun(run["label"], run["config"], run["stages"]) for run_id, run in document.items()}
