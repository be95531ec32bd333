"""In which order a sweep's runs begin: stages that several need first, and the runs that wait for one last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from wsshm.files.location import Location
from wsshm.training.run_plan import RunPlan
from wsshm.training.stages import StageFolder
from wsshm.training.workload import work_of

ASKED = 1 / 3
"""The work of labelling a picture, by that of training on it."""


def in_order(runs: Sequence[RunPlan], stages: Location) -> list[RunPlan]:
    """Runs in the order in which they begin, by what is not in `stages` yet."""
    needed = Counter(entry.address for run in runs for entry in run.stages)
    done = {address for address, users in needed.items() if users > 1 and StageFolder(stages, address).done}
    return [runs[position] for position in shared_first([tuple(_missing(run, done)) for run in runs])]


def _missing(run: RunPlan, done: set[str]) -> Iterator[tuple[str, float]]:
    for entry in run.stages:
        if entry.address not in done:
            if entry.labels:
                yield entry.labels, ASKED * run.masks / run.config.train.batch
            yield entry.address, work_of(entry.stage, run.config)


def shared_first(runs: Sequence[Iterable[tuple[str, float]]]) -> list[int]:
    """The order in which runs begin, as positions in `runs`; each is its missing stages (and labels made ahead), as
    (address, work) in order.

    First who trains what others need too, the most needed foremost; then who needs nothing of others; then who needs
    what an earlier run trains, by the work until that is there.
    """
    stages = [dict(run) for run in runs]
    needed = Counter(address for run in stages for address in run)
    there: dict[str, float] = {}  # the work until a stage is trained, were every run to begin as soon as it can
    keys = []
    for position, run in enumerate(stages):
        begins = now = max((there[address] for address in run if address in there), default=0.0)
        for address, work in run.items():
            if address not in there:
                now += work
                there[address] = now
        keys.append((begins, -max((needed[address] for address in run), default=0), position))
    return [position for _, _, position in sorted(keys)]
