"""What is timed of a peer. This side needs neither torch nor an engine; `timing.py` is the side that does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from bench.peers import ENGINES, Description, Given
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
    def request(self) -> dict[str, Any]:
        """What the process that times is asked."""
        return {"peer": asdict(self)}

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of its row that are known before it is timed."""
        told = self.description
        return {
            "run_id": told.run_id(self.sha256),
            "model": self.name,
            "architecture": self.name,
            "backbone": None,
            "engine": ENGINES[told.format],
            "precision": told.precision,
            "layout": "nchw" if told.input.layout == "NCHW" else "channels_last",
            **{name: getattr(self, name) for name in ("device", "batch", "height", "width", "scope")},
        }


def expand_peers(given: Iterable[Given], sizes: Iterable[tuple[int, int]], scopes: Iterable[str]) -> list[PeerSpec]:
    """Every peer at every size, (height, width) in px, and scope; a network of one size is timed alone only once.

    Raises UserError for a file that is not there.
    """
    sizes, scopes = list(sizes), list(scopes)
    for scope in scopes:
        if scope not in SCOPES:
            raise UserError(f"the scope {scope!r} cannot be timed; {nearest(scope, SCOPES)}")
    specs = []
    for one in given:
        check_file(one.file)
        told, sha256 = one.peer.description, digest(one.file)
        document = told.model_dump(mode="json")
        for scope in scopes:
            fixed = told.input.size.fixed if scope == "model" else None
            for height, width in dict.fromkeys(fixed or size for size in sizes):
                specs.append(PeerSpec(one.peer.name, document, str(one.file), sha256, height, width, scope))
    return specs
