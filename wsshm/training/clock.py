"""Seconds that a device spends in parts of a program."""

from __future__ import annotations

import time
from typing import Any

import torch


class Clock:
    """The seconds spent in `with` blocks on a device: a GPU's by its own events, for which nobody waits."""

    def __init__(self, device: torch.device) -> None:
        self.gpu = device.type == "cuda"
        self.spent: list[tuple[Any, Any]] = []

    def __enter__(self) -> None:
        self.spent.append((self._now(), None))

    def __exit__(self, *_: object) -> None:
        self.spent[-1] = (self.spent[-1][0], self._now())

    def _now(self) -> Any:
        if not self.gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def each(self) -> list[float]:
        """The seconds of every block since it was last asked, on a GPU once they are over."""
        if self.gpu and self.spent:
            self.spent[-1][1].synchronize()
        between = [begin.elapsed_time(end) / 1000 if self.gpu else end - begin for begin, end in self.spent]
        self.spent.clear()
        return between

    def seconds(self) -> float:
        """Their sum."""
        return sum(self.each())
