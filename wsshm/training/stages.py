"""Where a stage's result lies: under its address (`wsshm.training.planning`), where all runs that need it find it.

It may be on a disk, a mount that nodes share, or an object store.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, NonNegativeFloat, TypeAdapter

from wsshm.files.claims import Claim
from wsshm.files.location import Location
from wsshm.files.sealed import Damaged, check_files, opened, parsed, sealed
from wsshm.files.whole import write_whole
from wsshm.methods.stage import Stage
from wsshm.models.checkpoint import CARD, STATE, WEIGHTS, ModelCard, Progress, SavedProgress, check_model

RESULT = "stage.json"
T = TypeVar("T")


@dataclass(frozen=True)
class GivenUp:
    """Why a run gave up training a stage, and in which invocation of which sweep; in others it is tried anew."""

    invocation: str
    error: str
    status: str
    mistake: bool


class StageFolder:
    """One stage's place under `root`: `final/` (the trained model and its history) and, until then, `state-STEP/`.

    `scratch` is a local folder for copies of what lies on an object store.
    """

    def __init__(self, root: Location | Path, address: str, scratch: Path | None = None) -> None:
        self.place = Location.of(root) / address
        self.final = self.place / "final"
        self.claim = Claim(self.place / "claim.json")
        self.failed = self.place / "failed.json"
        self.scratch = scratch

    @property
    def done(self) -> bool:
        """Whether the stage was trained; `damage` says whether what is there still is what was written."""
        return (self.final / RESULT).is_file()

    def result(self) -> dict[str, Any]:
        """What was written beside the model: the stage's description, its history and how long it took.

        Raises Damaged where it is no longer what was written.
        """
        return asdict(self._read(self.final / RESULT, _Result)[0])

    def card(self) -> ModelCard:
        """The card of the trained model. Raises Damaged where it is no longer what was written."""
        return self._read(self.final / CARD, ModelCard)[0]

    def model(self) -> Path:
        """A local folder with the trained model."""
        return self.final.fetched(self.scratch)

    def damage(self) -> str:
        """What is wrong with the trained stage, as a clause that names the file; "" where it is as it was written."""
        try:
            folder = self.model()
            check_files(folder, self._read(Location.of(folder) / RESULT, _Result)[1])
            check_model(folder)
        except Damaged as error:
            self.final.forget(self.scratch)
            return str(error)
        return ""

    def states(self) -> list[Location]:
        """Whole training states, the oldest first: the last two."""
        return [s for s in self.place.listing() if s.name.startswith("state-") and (s / STATE).is_file()]

    def state_progress(self) -> dict[str, Any] | None:
        """How far a half-trained stage is: `step`, `seconds`, `history`; None where nothing is kept that can be read."""
        for state in reversed(self.states()):
            with contextlib.suppress(Damaged, FileNotFoundError):  # damaged, or replaced right now
                return asdict(opened((state / STATE).read_bytes(), state / STATE, SavedProgress)[0])
        return None

    @contextlib.contextmanager
    def new_state(self, step: int) -> Iterator[Path]:
        """A local folder that becomes the training state after `step`.

        The whole state before it stays, for when this one is damaged; all others go.
        """
        new = self.place / f"state-{step:08d}"
        with new.new_folder(last=STATE) as folder:
            yield folder
        kept = [state.name for state in self.states() if state.name <= new.name][-2:]
        for state in self.place.listing():
            if state.name.startswith("state-") and state.name not in kept:
                state.delete()

    def give_up(self, why: GivenUp) -> None:
        """Tell the other runs of this invocation that need the stage."""
        self.failed.write_text(json.dumps(asdict(why)))

    def given_up(self, invocation: str) -> GivenUp | None:
        """Why a run of this invocation gave the stage up; None if none has."""
        with contextlib.suppress(FileNotFoundError, Damaged):
            why = parsed(self.failed.read_bytes(), self.failed, GivenUp)
            return why if why.invocation == invocation else None
        return None

    def write_result(self, folder: Path, stage: Stage, progress: Progress) -> None:
        """Write what `result` reads into a folder with the model, with the checksums of its files."""
        description = asdict(stage) | {"blend": stage.blend.model_dump() if stage.blend else None}
        result = _Result(description, progress.seconds, progress.teacher_forward_s, progress.history)
        write_whole(folder / RESULT, sealed(asdict(result), folder, (WEIGHTS, CARD)))

    def clear_states(self) -> None:
        """Remove all training states, whole or not."""
        for state in self.place.listing():
            if state.name.startswith("state-"):
                state.delete()
        if self.place.local:  # what killed writers left
            for leftover in self.place.local.glob(".state-*"):
                shutil.rmtree(leftover, ignore_errors=True)

    def _read(self, file: Location, kind: type[T]) -> tuple[T, dict[str, str]]:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            raise Damaged(f"{file} is missing") from None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise Damaged(f"{file} is {error.strerror}") from None
        return opened(content, file, kind)


def _describes_a_stage(document: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in document.items() if key in Stage.__dataclass_fields__}
    TypeAdapter(Stage).validate_python(known)
    return document


@dataclass(frozen=True)
class _Result:
    """The document of a trained stage."""

    stage: Annotated[dict[str, Any], AfterValidator(_describes_a_stage)]
    seconds: NonNegativeFloat
    teacher_forward_s: NonNegativeFloat
    history: list[dict[str, Any]]
