"""Claims: who may do a piece of work now, told by a small file beside it, on shared storage of any kind.

An owner beats (renews the file) while it works. A claim whose owner is dead is taken over: at once where the owner's
process can be asked after, otherwise once it has not beaten for a minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from wsshm.files.location import Location
from wsshm.files.sealed import Damaged, parsed

HEARTBEAT_S = 5.0
REMOTE_HEARTBEAT_S = 15.0
STALE_S = 60.0
SUSPENDED_S = 600.0
POLL_S, REMOTE_POLL_S = 1.0, 5.0
SETTLE_S = 1.0
"""An object store has no exclusive create here: a claim counts if it still stands this long after it was written."""


class Claim:
    """A claim, kept in the file at `place`.

    On an object store two that ask within the same instants may both believe that they hold it, and so may an owner
    that was suspended past its time and the one that took over: what is done under a claim must come to the same
    (training a stage twice costs time, and changes nothing).
    """

    def __init__(self, place: Location) -> None:
        self.place = place
        self.text: str | None = None
        self.seen: tuple[tuple[str, float], float] | None = None

    @property
    def poll_s(self) -> float:
        """How long to wait before asking again."""
        return POLL_S if self.place.local else REMOTE_POLL_S

    def try_take(self) -> bool:
        """Whether this process holds the claim now. False while another one that is alive does."""
        pid = os.getpid()
        owner = Owner(socket.gethostname(), pid, _process_space(), _began(pid), time.time(), uuid.uuid4().hex)
        mine = json.dumps(asdict(owner))
        taken = self._try_local(mine) if self.place.local else self._try_remote(mine)
        self.text = mine if taken else None
        return taken

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep this process's claim fresh while the block runs, and give it up at its end."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_S if self.place.local else REMOTE_HEARTBEAT_S):
                with contextlib.suppress(OSError):
                    self._renew()

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
        with contextlib.suppress(OSError):
            if self.place.read_text() == self.text:
                self.place.delete()
        self.text = None

    def owner(self) -> dict | None:
        """Who holds the claim (host, pid, since), or None where nobody who is alive does."""
        try:
            owner = parsed(self.place.read_bytes(), self.place, Owner)
            silent = time.time() - self.place.modified()
        except (OSError, Damaged):
            return None
        alive = _alive(owner.pid, owner.began) if owner.here() else silent <= STALE_S
        return asdict(owner) if alive else None

    def on_this_machine(self) -> bool:
        """Whether the owner's process can be looked up here."""
        try:
            return parsed(self.place.read_bytes(), self.place, Owner).here()
        except (OSError, Damaged):
            return False

    def _renew(self) -> None:
        if not self.text or self.place.read_text() != self.text:
            return  # another has taken it over
        if self.place.local:
            os.utime(self.place.local)
        else:
            self.place.write_text(self.text)

    def _try_local(self, mine: str) -> bool:
        file = Path(self.place.path)
        file.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                with open(file, "x") as claim:
                    claim.write(mine)
                return True
            except FileExistsError:
                if self._abandoned() is None or not self._bury(file):
                    return False
        return False

    def _try_remote(self, mine: str) -> bool:
        if self._abandoned() is None:
            return False
        self.place.write_text(mine)
        time.sleep(SETTLE_S)
        try:
            return self.place.read_text() == mine
        except FileNotFoundError:
            return False

    def _abandoned(self) -> str | None:
        """The claim's text if its owner is gone ("" if there is none), else None."""
        try:
            content = self.place.read_bytes()
            written = self.place.modified()
        except FileNotFoundError:
            return ""
        text = content.decode(errors="replace")
        try:
            owner = parsed(content, self.place, Owner)
        except Damaged:  # being written right now, or its writer died in the middle
            owner = None
        if owner is None or not owner.here():
            return text if self._silent(text, written) > STALE_S else None
        # Here the process itself can be looked up.
        return None if _alive(owner.pid, owner.began) else text

    def _silent(self, text: str, written: float) -> float:
        """For how many seconds the owner has given no sign of life.

        By this process's clock since it first saw the claim so: the storage's may be another. Only a claim that is much
        older than that would take to find out is believed to be.
        """
        now = time.monotonic()
        if self.seen is None or self.seen[0] != (text, written):
            self.seen = ((text, written), now)
        age = time.time() - written
        return age if age > SUSPENDED_S else now - self.seen[1]

    def _bury(self, file: Path) -> bool:
        """Take a dead owner's claim away; False where another process is at it, or was faster.

        One at a time, under a lock file: of two that judged the same claim dead the second must not take away what the
        first has made in its place.
        """
        lock = file.with_name(f"{file.name}.lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            with contextlib.suppress(OSError):  # its maker died within the microseconds that it is held for
                if time.time() - lock.stat().st_mtime > STALE_S:
                    lock.unlink()
            return False
        try:
            if self._abandoned() is None:
                return False
            file.unlink(missing_ok=True)
            return True
        finally:
            lock.unlink(missing_ok=True)


@dataclass(frozen=True)
class Owner:
    """The document of a claim: whose it is, and since when (s since 1970)."""

    host: str
    pid: Annotated[int, Field(gt=0, lt=1 << 31)]
    processes: str = ""
    began: str | None = None
    since: float = 0.0
    token: str = ""

    def here(self) -> bool:
        """Whether the process can be looked up on this machine."""
        return (self.host, self.processes) == (socket.gethostname(), _process_space())


def _process_space() -> str:
    """What process numbers count in: containers on one host may share its name and not its processes."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the machine did: a number is given to others again, this is not.

    None if the system does not tell, "" if there is no such process, or a killed one whose parent has not looked.
    """
    if not Path("/proc/self/stat").exists():
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _alive(pid: int, began: str | None) -> bool:
    now = _began(pid)
    if now is not None:
        return now != "" and began in (None, now)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
