"""OUT/slots.json: the cluster's room for workers while a sweep runs, for `status`, which only reads files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ray

from sweeps.cluster import Room
from sweeps.place import Place
from sweeps.settle import Settled

EVERY_S, REMOTE_EVERY_S = 10.0, 60.0


@dataclass
class Slots:
    """Tells of places for workers: in use (by anybody), free, and asked for by the runs that are left."""

    place: Place
    room: Room
    todo: int
    settled: Settled
    ended_before: int = field(init=False)
    told: float = -REMOTE_EVERY_S

    def __post_init__(self) -> None:
        self.ended_before = self.settled.ended

    def tell(self, nodes: Iterable[dict[str, Any]]) -> None:
        """Rewrite the file when it is due."""
        now = time.monotonic()
        if now - self.told >= (EVERY_S if self.place.out.local else REMOTE_EVERY_S):
            self.told = now
            free = ray.available_resources()
            self.place.slots.write_text(json.dumps(self.counted([node["Resources"] for node in nodes], free)))

    def counted(self, nodes: list[dict[str, float]], free: dict[str, float]) -> dict[str, int]:
        """`nodes`, and slots of the largest worker: `total`, `used`, `free`, `asked` for."""
        ask = max(self.room.asks, key=lambda each: [amount for _, amount in each.worker])
        total = ask.places(nodes)
        unused = min(total, ask.places([free]))
        left = max(0, self.todo - (self.settled.ended - self.ended_before))
        asked = min(left, self.room.at_once) * ask.fewest
        return {"nodes": len(nodes), "total": total, "used": total - unused, "free": unused, "asked": asked}
