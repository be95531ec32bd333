"""What is timed of a peer. This side needs neither torch nor an engine; `timing.py` is the side that does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from bench.peers import RUNS, Description, Given
from bench.peers.files import check_file, digest
from wsshm.config import parse
from wsshm.errors import UserError, nearest

SCOPES = ("model", "end_to_end")


@dataclass(frozen=True)
class PeerSpec:
    """One setting of a peer: a picture of `height` x `width` px, one at a time, on the CPU.

    Of scope `model` the row has the network's own input instead, which the description makes of such a picture.
    """

    name: str
    document: dict[str, Any]
    file: str
    sha256: str
    height: int
    width: int
    scope: str = "model"
    device: str = "cpu"
    batch: int = 1
    engine: str = ""
    """What runs the file; by default the usual one of its format."""

    def __post_init__(self) -> None:
        if not self.engine:
            object.__setattr__(self, "engine", self.usual)

    @cached_property
    def description(self) -> Description:
        """How the file is fed and read."""
        described: Description = parse(self.document, Description, self.name)
        return described

    @property
    def model(self) -> str:
        """The name under which reports list it."""
        return self.name

    @property
    def usual(self) -> str:
        """The engine that a file of this format is usually run by."""
        return RUNS[self.description.format][0]

    @property
    def request(self) -> dict[str, Any]:
        """What the process that times is asked."""
        return {"peer": asdict(self)}

    @property
    def cell(self) -> str:
        """What is timed in one process, here each setting."""
        return json.dumps(asdict(self))

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of its row that are known before it is timed."""
        told = self.description
        return {
            "run_id": told.run_id(self.sha256),
            "model": self.name,
            "architecture": self.name,
            "backbone": None,
            "precision": told.precision,
            "layout": "nchw" if told.input.layout == "NCHW" else "channels_last",
            **{name: getattr(self, name) for name in ("device", "engine", "batch", "height", "width", "scope")},
        }


def expand_peers(
    given: Iterable[Given], sizes: Iterable[tuple[int, int]], scopes: Iterable[str], engines: Iterable[str] = ()
) -> list[PeerSpec]:
    """Every peer at every size, (height, width) in px, and scope; a network of one size is timed alone only once.

    Each in those of `engines` that can run its file, or in the usual one of its format where none can. Raises UserError
    for a file that is not there.
    """
    sizes, scopes, engines = list(sizes), list(scopes), list(engines)
    for scope in scopes:
        if scope not in SCOPES:
            raise UserError(f"the scope {scope!r} cannot be timed; {nearest(scope, SCOPES)}")
    specs = []
    for one in given:
        check_file(one.file)
        told, sha256 = one.peer.description, digest(one.file)
        document = told.model_dump(mode="json")
        able = RUNS[told.format]
        for engine, scope in itertools.product([name for name in able if name in engines] or able[:1], scopes):
            fixed = told.input.size.fixed if scope == "model" else None
            for height, width in dict.fromkeys(fixed or size for size in sizes):
                spec = PeerSpec(one.peer.name, document, str(one.file), sha256, height, width, scope, engine=engine)
                specs.append(spec)
    return specs
