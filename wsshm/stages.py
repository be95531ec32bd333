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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsshm.config import EXECUTION_KEYS, RunConfig
from wsshm.data.sources import Sources
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage

RECIPE_VERSION = "1"
"""Part of every hash: raised whenever a change of code changes what a configuration trains to."""

HEARTBEAT_S = 5.0
STALE_S = 60.0
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
    known: dict[str, str] = {}
    result = []
    for stage in stages_of(config):
        recipe = {
            "recipe_version": RECIPE_VERSION,
            "stage": asdict(stage) | {"blend": stage.blend.model_dump() if stage.blend else None},
            "model": config.model.model_dump(),
            "optimisation": optimisation,
            "size": config.data.size,
            "mattes": [sources.mattes.fingerprint, sources.backgrounds.fingerprint, config.budget.mattes]
            if stage.uses_mattes
            else None,
            "masks": [sources.masks.fingerprint, config.budget.masks] if stage.uses_photos else None,
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
        owner = {"host": socket.gethostname(), "pid": os.getpid()}
        for _ in range(2):
            try:
                with open(self.claim_file, "x") as file:
                    json.dump(owner, file)
                return True
            except FileExistsError:
                if not self._abandoned():
                    return False
                # Renaming first makes sure that only one of several waiting processes takes over.
                grave = self.claim_file.with_name(f"claim.{os.getpid()}.{time.time_ns()}")
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.claim_file, grave)
                    grave.unlink()
        return False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep a claim fresh while the block runs, and give it up at its end."""
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
            self.claim_file.unlink(missing_ok=True)

    def _abandoned(self) -> bool:
        try:
            owner = json.loads(self.claim_file.read_text())
            age = time.time() - self.claim_file.stat().st_mtime
        except FileNotFoundError:
            return True
        except ValueError:  # being written right now, or its writer died in the middle
            return time.time() - self.claim_file.stat().st_mtime > STALE_S
        if owner["host"] == socket.gethostname() and not _alive(owner["pid"]):
            return True
        return age > STALE_S


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
