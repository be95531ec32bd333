"""Where a stage's result lies: under an address made from everything that changes its numbers.

Runs that need the same stage (a shared teacher) find it there; the first to ask trains it, the others wait. A claim
whose owner died is taken over, and the training goes on from the owner's last checkpoint. All of it may lie on a disk,
a mount that nodes share, or an object store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsshm.claims import Claim
from wsshm.config import EXECUTION_KEYS, RunConfig
from wsshm.data.sources import Sources, available
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage
from wsshm.models.weights import identity
from wsshm.storage import Location

RECIPE_VERSION = "1"
"""Part of every hash: raised whenever a change of code changes what a configuration trains to."""

LABELS_VERSION = "2"
"""The same for stages that read labels made ahead, and for these labels."""

AVERAGE_VERSION = "2"
"""The same for stages whose natural pictures are labelled by the student's average alone (`mean_teacher`)."""

RESULT, STATE = "stage.json", "state.json"


@dataclass(frozen=True)
class AddressedStage:
    """A stage and its address (16 hex digits)."""

    stage: Stage
    address: str


def addressed_stages(config: RunConfig, sources: Sources) -> list[AddressedStage]:
    """A run's stages with their addresses. `config.model.weights` must be resolved already.

    The address covers the stage itself, the model, the optimisation, the label budget and data it draws on, and the
    addresses of the stages it builds on; not paths, worker counts or devices.
    """
    optimisation = {
        key: value
        for key, value in config.train.model_dump().items()
        if key not in EXECUTION_KEYS and key not in ("steps", "teacher_steps")
    }
    mattes, masks = available(config.budget, sources)
    known: dict[str, str] = {}
    result = []
    for stage in stages_of(config):
        recipe = {
            "recipe_version": RECIPE_VERSION,
            "stage": stage.recipe(),
            "model": config.model.model_dump() | {"weights": identity(config.model.weights)},
            "optimisation": optimisation,
            "size": config.data.size,
            "mattes": [sources.mattes.fingerprint, sources.backgrounds.fingerprint, mattes]
            if stage.uses_mattes
            else None,
            "masks": [sources.masks.fingerprint, masks] if stage.uses_photos else None,
            "val": sources.val.fingerprint,
            "upstream": [known[name] for name in (stage.start, stage.teacher) if name],
        }
        if stage.reads_labels:
            recipe["labels"] = LABELS_VERSION
        if stage.photo_label == "average":
            recipe["average"] = AVERAGE_VERSION
        known[stage.name] = digest(recipe)
        result.append(AddressedStage(stage, known[stage.name]))
    return result


def run_id_of(config: RunConfig, sources: Sources) -> str:
    """A run's identity (16 hex digits): its method, its stages, and what it is tested on."""
    return digest(
        {
            "recipe_version": RECIPE_VERSION,
            "method": config.method.name,
            "stages": [stage.address for stage in addressed_stages(config, sources)],
            "test": {name: manifest.fingerprint for name, manifest in sources.test.items()},
        }
    )


def digest(document: Any) -> str:
    """sha256 of a document's canonical JSON, first 16 hex digits."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=list).encode()).hexdigest()[:16]


class StageFolder:
    """One stage's place under `root`: `final/` (the trained model and its history) and, until then, `state-STEP/`.

    `scratch` is a local folder for copies of what lies on an object store.
    """

    def __init__(self, root: Location | Path, address: str, scratch: Path | None = None) -> None:
        self.place = Location.of(root) / address
        self.final = self.place / "final"
        self.claim = Claim(self.place / "claim.json")
        self.scratch = scratch

    @property
    def done(self) -> bool:
        """Whether the stage is trained."""
        return (self.final / RESULT).is_file()

    def result(self) -> dict[str, Any]:
        """What was written beside the model: the stage's description, its history and how long it took."""
        return json.loads((self.final / RESULT).read_text())

    def model(self) -> Path:
        """A local folder with the trained model."""
        return self.final.fetched(self.scratch)

    def states(self) -> list[Location]:
        """Whole training states, the oldest first. More than one only where a writer died between two."""
        return [s for s in self.place.listing() if s.name.startswith("state-") and (s / STATE).is_file()]

    def state_progress(self) -> dict[str, Any] | None:
        """How far a half-trained stage is: `step`, `seconds`, `history`; None where nothing is kept."""
        states = self.states()
        return json.loads((states[-1] / STATE).read_text()) if states else None

    @contextlib.contextmanager
    def new_state(self, step: int) -> Iterator[Path]:
        """A local folder that becomes the training state after `step`; the states before it go."""
        new = self.place / f"state-{step:08d}"
        with new.new_folder(last=STATE) as folder:
            yield folder
        for state in self.place.listing():
            if state.name.startswith("state-") and state.name != new.name:
                state.delete()

    def clear_states(self) -> None:
        """Remove all training states, whole or not."""
        for state in self.place.listing():
            if state.name.startswith("state-"):
                state.delete()
        if self.place.local:  # what killed writers left
            for leftover in self.place.local.glob(".state-*"):
                shutil.rmtree(leftover, ignore_errors=True)
