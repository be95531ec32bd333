"""How much memory a run takes, and how many runs the memory of this machine holds."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import psutil

from wsshm.config import RunConfig
from wsshm.errors import UserError

RUN_BYTES, WORKER_BYTES, LOADER_BYTES = 1.5e9, 0.5e9, 0.3e9
"""What a run's own processes take, each of its workers beside the pictures of a step, and each of their loaders.

Proportional set sizes while two runs of quickstart trained: 7.0 GB in all, 1.25 GB a worker, 1.5 GB beside it; at 192 px
two runs took about 10 GB.
"""

PIXEL_BYTES = 4000.0
"""What a step keeps for each pixel of a worker's share of the batch, with the default backbone."""

log = logging.getLogger(__name__)


def of_run(config: RunConfig) -> float:
    """An estimate of the bytes that a run's processes take of a machine's memory, on as few workers as it may have."""
    options, workers = config.train, config.train.worker_counts[0]
    loaders = LOADER_BYTES * options.loader_workers * workers
    if options.gpus_per_worker:  # the pictures of a step are on the GPU
        return RUN_BYTES + WORKER_BYTES * workers + loaders
    step = options.batch / options.accumulate * config.data.size**2
    return RUN_BYTES + WORKER_BYTES * workers + loaders + PIXEL_BYTES * step


def limited(runs: int, needed: float) -> int:
    """How many of `runs`, each taking `needed` bytes, the free memory holds. UserError if not even one."""
    free = free_bytes()
    room = int(free / needed)
    if runs and room < 1:
        raise UserError(
            f"a run needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; close other programs, or"
            " lower base.train.batch or base.data.size"
        )
    if room < runs:
        log.warning(
            "%.1f GB of memory are free and a run takes about %.1f GB: %d instead of %d runs at a time",
            free / 1e9,
            needed / 1e9,
            room,
            runs,
        )
    return min(runs, room)


def free_bytes() -> float:
    """Bytes that new processes can use on this machine, or in this container."""
    limits = [float(psutil.virtual_memory().available)]
    with contextlib.suppress(OSError, ValueError):  # "max" where a container has no limit
        group = Path("/sys/fs/cgroup")
        limits.append(float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return min(limits)
