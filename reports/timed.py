"""Where the seconds of a report go: `python -m reports.timed STORE OUT` builds it and prints them as JSON.

What is drawn is timed apart from what is read, compared, laid out in tables and written.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import resource
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from reports import figures, page, sections, write
from reports.figures import style


class Clock:
    """Seconds of each stage without those of stages inside it, and the memory's peak (MB) when it ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}
        self._inside = [0.0]

    def timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed(*arguments: Any, **options: Any) -> Any:
            self._inside.append(0.0)
            began = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                took = time.perf_counter() - began
                self.seconds[stage] = self.seconds.get(stage, 0.0) + took - self._inside.pop()
                self.peak_mb[stage] = _peak_mb()
                self._inside[-1] += took

        return timed

    def watch(self, module: ModuleType, name: str, stage: str) -> None:
        setattr(module, name, self.timed(stage, getattr(module, name)))


def _peak_mb() -> float:
    try:  # of this program; what getrusage says may be of the one that started it
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def main(store: str, out: str) -> None:
    clock = Clock()
    for name in ("load", "compare"):
        clock.watch(page, name, name)
    clock.watch(page, "sections", "tables")
    clock.watch(write, "report", "write")
    clock.watch(style, "png_svg_pdf", "figures")
    for package in (figures, sections):
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name in [name for name in vars(module) if name.startswith("draw")]:
                clock.watch(module, name, "figures")
    clock.timed("rest", page.build)(store, Path(out))
    print(json.dumps({"seconds": clock.seconds, "peak_mb": clock.peak_mb}))


if __name__ == "__main__":
    main(*sys.argv[1:])
