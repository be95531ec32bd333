"""How fast a model is: each setting timed in fresh processes, as rows of the store's table `speed`.

Two scopes, never mixed: `model` is a tensor on the device in, a matte on the device out; `end_to_end` is 8-bit pictures
in memory in, mattes as numpy arrays at the pictures' size out. Random weights and pictures: speed depends on neither.
Every network is timed in several processes, all networks in turn, so that a machine that drifts favours none.
This side needs no torch; `bench.timing` is the side that does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench import provenance
from bench.peers.speed import PeerSpec
from bench.pooling import pooled, too_wide
from bench.settings import Protocol, SpeedSpec, protocol_for
from bench.store import Store
from wsshm.console import own_process, track
from wsshm.errors import UserError

log = logging.getLogger(__name__)

PROCESSES = 3
"""Of each setting; with fewer the interval over processes says little."""
FURTHER = 2
"""More processes of a setting: in place of those during which the machine was busy, or where they differ too much."""
LONGEST = 900
"""Seconds that one process may take, preparing and timing."""
KNOWN = ("params", "gmacs", "max_difference")
"""Columns that a process tells even where nothing was timed."""


def speed_table(
    specs: Sequence[SpeedSpec | PeerSpec],
    threads: int | None = None,
    protocol: Protocol | None = None,
    store: Store | None = None,
    processes: int = PROCESSES,
    calibration: str | None = None,
) -> list[dict[str, Any]]:
    """Time all settings, each in `processes` fresh processes; each row is written to `store` as soon as it is known.

    All settings come in turn before the first one's next process. A process during which the machine was busy is
    replaced by a further one, and where processes differ too much for a useful interval further ones are added, up to
    `FURTHER` in all; where that is not enough, the row is `unstable`. `calibration` is a
    manifest whose validation photos int8 is calibrated on, by default photos of the embedded set.

    Lack of memory gives the status `oom`, what the machine or the engine cannot run `unavailable`, an engine whose mattes
    are not eager's `wrong`, each with its reason and not timed. Raises UserError for what the user gave wrong, such as an
    unknown backbone or an absent GPU, before anything is timed. `threads` is the number of CPU threads, by default torch's
    own choice.
    """
    if processes < 1:
        raise UserError(f"a setting is timed in at least 1 process, not {processes}")
    cells: dict[str, Cell] = {}
    with TemporaryDirectory(prefix="wsshm-speed-") as scratch:
        for number, spec in enumerate(specs):
            folder = Path(scratch) / str(number)
            cells.setdefault(spec.cell, Cell(folder, protocol or protocol_for(spec), processes)).specs.append(spec)
        for cell in _in_turn(list(cells.values()), specs, threads, processes, calibration):
            if cell.complete:
                rows = list(cell.rows().values())
                for told in {row["reason"]: row for row in rows if row["status"] != "ok"}.values():
                    what = f"{told['model']}, {told['engine']}, {told['precision']}, {told['width']} x {told['height']}"
                    log.warning("%s: %s (%s)", what, told["status"], told["reason"])
                if store is not None:
                    store.write("speed", rows)
    return [cells[spec.cell].rows()[spec.scope] for spec in specs]


def _in_turn(
    cells: list[Cell],
    specs: Sequence[SpeedSpec | PeerSpec],
    threads: int | None,
    processes: int,
    calibration: str | None,
) -> Iterator[Cell]:
    """The cells, each once it has been timed in a further process. Every round of all has a Python of its own."""
    number = 0
    while waiting := [cell for cell in cells if not cell.complete]:
        with _Timer(threads, calibration) as timer:
            if not number:
                timer.check(specs)
            number += 1
            told = f"of {processes}" if number <= processes else "where the others were disturbed or differ"
            for cell in track(waiting, len(waiting), f"timing models, process {number} {told}"):
                cell.add(timer)
                yield cell


def measure(spec: SpeedSpec | PeerSpec, threads: int | None = None, protocol: Protocol | None = None) -> dict[str, Any]:
    """Time one setting in one process, as `speed_table`: a row whose interval is over that process's calls."""
    return speed_table([spec], threads, protocol, processes=1)[0]


@dataclass
class Cell:
    """A network in one setting: what its processes have measured so far of its scopes, and how its rows are made."""

    folder: Path
    protocol: Protocol
    processes: int
    specs: list[SpeedSpec | PeerSpec] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    started: datetime | None = None

    @property
    def complete(self) -> bool:
        """Whether no further process is needed: enough were undisturbed and agree, one failed, or there were too many."""
        if not self.answers:
            return False
        failed, quiet = "blocks" not in self.answers[-1], self._quiet()
        enough = len(quiet) >= self.processes and not any(
            too_wide([median(answer["blocks"][spec.scope]["samples_ms"]) for answer in quiet]) for spec in self.specs
        )
        return failed or enough or len(self.answers) >= self.processes + FURTHER

    def add(self, timer: _Timer) -> None:
        """Time it in one more process. The last one's folder is removed."""
        self.started = self.started or provenance.now()
        self.folder.mkdir(exist_ok=True)
        self.answers.append(timer.timed(self.specs, self.protocol, self.folder))
        if self.complete:
            shutil.rmtree(self.folder)

    def rows(self) -> dict[str, dict[str, Any]]:
        """By scope the rows of the table `speed`."""
        return {spec.scope: self._row(spec) for spec in self.specs}

    def _row(self, spec: SpeedSpec | PeerSpec) -> dict[str, Any]:
        first, last = self.answers[0], self.answers[-1]
        settings = last.get("settings", {})
        commit, dirty = provenance.git_state()
        row = {
            **spec.columns,
            "device": settings.get("device") or provenance.device_name(),
            "versions": json.dumps({**provenance.versions(), **settings, "git_commit": commit, "git_dirty": dirty}),
            "started": self.started,
            **{name: last.get(name) for name in KNOWN},
            **last.get("sizes", {}),
        }
        if "blocks" not in last:
            return {**row, "status": last["status"], "reason": last["reason"]}
        prepared = [answer.get("prepared_s") for answer in self.answers]
        cached = [seconds for seconds in prepared[1:] if seconds is not None]
        used = self._quiet() if len(self._quiet()) >= self.processes else self.answers
        return {
            **row,
            "max_difference": max(
                (answer["max_difference"] for answer in self.answers if answer.get("max_difference") is not None),
                default=None,
            ),
            "compile_s": first.get("prepared_s"),
            "compile_cached_s": median(cached) if cached else None,
            **pooled([answer["blocks"][spec.scope] for answer in used], spec.batch),
        }

    def _quiet(self) -> list[dict[str, Any]]:
        """The processes during which the machine was not busy."""
        return [
            answer
            for answer in self.answers
            if "blocks" in answer and not any(block["busy"] for block in answer["blocks"].values())
        ]


class _Timer:
    """The process `python -m bench.timing`, which has only imported torch and forks a fresh one for each setting."""

    def __init__(self, threads: int | None, calibration: str | None) -> None:
        if threads is not None and threads < 1:
            raise UserError(f"--threads is {threads}; give at least 1")
        self.threads, self.calibration = threads, calibration
        command, environment = own_process("bench.timing")
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # so that an interrupt reaches this process alone, which then ends the group
        )

    def __enter__(self) -> _Timer:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def check(self, specs: Sequence[SpeedSpec | PeerSpec]) -> None:
        """Raise UserError for the first model that cannot be built, file that cannot be run, or device that is not there."""
        self._ask({"check": [asdict(spec) for spec in specs if isinstance(spec, SpeedSpec)]})
        for peer in {(spec.model, spec.file): spec for spec in specs if isinstance(spec, PeerSpec)}.values():
            self._ask(peer.request)

    def timed(self, specs: Sequence[SpeedSpec | PeerSpec], protocol: Protocol, folder: Path) -> dict[str, Any]:
        """What a fresh process measures of settings that differ in their scope alone (see `bench.timing.time_model`)."""
        asked = {"protocol": asdict(protocol), "threads": self.threads, "scopes": [spec.scope for spec in specs]}
        return self._ask({**specs[0].request, **asked, "folder": str(folder), "calibration": self.calibration})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer: dict[str, Any] = (
            json.loads(line) if line else {"failure": f"its process ended with status {self.process.wait()}"}
        )
        if "user_error" in answer:
            raise UserError(answer["user_error"])
        if "failure" in answer:
            raise RuntimeError(f"timing a model failed: {answer['failure']}")
        return answer
