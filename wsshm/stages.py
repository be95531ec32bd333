"""Where a stage's result lies: under an address made from everything that changes its numbers.

Runs that need the same stage (a shared teacher) find it there; the first to ask trains it, the others wait. A claim
whose owner died is taken over, and the training goes on from the owner's last checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsshm.config import EXECUTION_KEYS, RunConfig
from wsshm.data.sources import Sources, available
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage
from wsshm.models.weights import identity

RECIPE_VERSION = "1"
"""Part of every hash: raised whenever a change of code changes what a configuration trains to."""

HEARTBEAT_S = 5.0
STALE_S = 60.0
SUSPENDED_S = 600.0
RESULT = "stage.json"


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
            "stage": asdict(stage) | {"blend": stage.blend.model_dump() if stage.blend else None},
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
    """One stage's place on disk: `final/` (the trained model and its history) and, until then, `state/`."""

    def __init__(self, root: Path, address: str) -> None:
        self.path = root / address
        self.final = self.path / "final"
        self.state = self.path / "state"
        self.claim_file = self.path / "claim.json"
        self.claim: str | None = None

    @property
    def done(self) -> bool:
        """Whether the stage is trained."""
        return (self.final / RESULT).is_file()

    def result(self) -> dict[str, Any]:
        """What was written beside the model: the stage's description, its history and how long it took."""
        return json.loads((self.final / RESULT).read_text())

    def try_claim(self) -> bool:
        """Whether this process may train the stage now. False while another one that is alive does."""
        self.path.mkdir(parents=True, exist_ok=True)
        mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex})
        for _ in range(2):
            try:
                with open(self.claim_file, "x") as file:
                    file.write(mine)
                self.claim = mine
                return True
            except FileExistsError:
                dead = self._abandoned()
                if dead is None or not self._bury(dead):
                    return False
        return False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep this process's claim fresh while the block runs, and give it up at its end."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_S):
                with contextlib.suppress(OSError):
                    os.utime(self.claim_file)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.release()

    def release(self) -> None:
        """Give up this process's claim; a claim that another has taken over since stays."""
        with contextlib.suppress(FileNotFoundError):
            if self.claim_file.read_text() == self.claim:
                self.claim_file.unlink()
        self.claim = None

    def _abandoned(self) -> str | None:
        """The claim's text where its owner is gone, else None."""
        try:
            text = self.claim_file.read_text()
            age = time.time() - self.claim_file.stat().st_mtime
        except FileNotFoundError:
            return ""
        try:
            owner = json.loads(text)
        except ValueError:  # being written right now, or its writer died in the middle
            return text if age > STALE_S else None
        if owner["host"] != socket.gethostname():
            return text if age > STALE_S else None
        # Here the process itself can be asked; only a number that was given to another process grows this old.
        return text if not _alive(owner["pid"]) or age > SUSPENDED_S else None

    def _bury(self, dead: str) -> bool:
        """Take a dead owner's claim away. False where another process was faster: its claim is left, or put back."""
        grave = self.claim_file.with_name(f"claim.{uuid.uuid4().hex}")
        try:
            os.rename(self.claim_file, grave)
        except FileNotFoundError:
            return True
        try:
            if grave.read_text() == dead:
                return True
            with contextlib.suppress(FileExistsError):
                os.link(grave, self.claim_file)
            return False
        finally:
            grave.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
