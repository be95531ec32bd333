"""What lies in OUT already and of what it was made, so that a rerun goes on where the run before it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsshm.files.sealed import Damaged, opened, sealed
from wsshm.files.whole import write_whole
from wsshm.prediction.inputs import Input

NAME = "predicted.json"
SAVED_EVERY_S = 2.0


@dataclass
class Entry:
    """Of what one input's outputs were made: a digest of model and options, the input's size in bytes and time.

    `problem` is a sentence where the input could only be done in part.
    """

    made_by: str
    input: str
    size: int
    modified_ns: int
    outputs: list[str]
    problem: str = ""


@dataclass
class _Saved:
    entries: dict[str, Entry] = field(default_factory=dict)


class Record:
    """The entries of a folder by the names that outputs begin with, kept in `OUT/predicted.json`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._saved_at = time.monotonic()
        self._changed = False
        try:
            self._entries = opened((out / NAME).read_bytes(), out / NAME, _Saved)[0].entries
        except (FileNotFoundError, NotADirectoryError, Damaged):  # then all is made again
            self._entries = {}

    def kept(self, one: Input, base: Path, made_by: str, outputs: list[Path]) -> Entry | None:
        """The entry of an input whose outputs are all there, made by the same model and options of the same file."""
        entry = self._entries.get(self._key(base))
        if entry is None or entry != self._entry(one, made_by, outputs, entry.problem):
            return None
        return entry if all(path.exists() for path in outputs) else None

    def add(self, one: Input, base: Path, made_by: str, outputs: list[Path], problem: str = "") -> None:
        """Note what was written, and save that now and then."""
        self._entries[self._key(base)] = self._entry(one, made_by, outputs, problem)
        self._changed = True
        if time.monotonic() - self._saved_at > SAVED_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the file if anything was added."""
        if self._changed:
            write_whole(self.out / NAME, sealed(asdict(_Saved(self._entries))))
            self._changed, self._saved_at = False, time.monotonic()

    def _key(self, base: Path) -> str:
        return base.relative_to(self.out).as_posix()

    def _entry(self, one: Input, made_by: str, outputs: list[Path], problem: str) -> Entry:
        found = one.path.stat()
        names = [path.relative_to(self.out).as_posix() for path in outputs]
        return Entry(made_by, str(one.path.absolute()), found.st_size, found.st_mtime_ns, names, problem)


def digest(**parts: Any) -> str:
    """A short hash of named things, by their text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
