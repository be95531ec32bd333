"""What holds the answers back: a few sentences from the rows, on what intervals do not cover."""

from __future__ import annotations

import re

import pandas as pd

from reports import choice, printed, timings
from reports.comparison import GROUNDS, Comparison
from reports.document import Section, counted, listed
from reports.load import Frames, as_document, flatten
from reports.sections import PageSection, register

MOST = 4
FEW_IMAGES = 30  # fewer make a percentile bootstrap's intervals too narrow
SHORT = 20_000  # steps: a third of what the plan `paper` takes
EXACT = "exact"


def sentences(comparisons: list[Comparison], frames: Frames) -> list[str]:
    """What holds back answers from these comparisons, the gravest first, `MOST` at most; of runs without rows nothing."""
    mains = [group[0] for group in choice.groups(comparisons, frames.runs)[:GROUNDS]]
    found = [
        *_few_images(mains),
        *_seeds(mains),
        *_truth(mains),
        *_training(mains, frames.runs),
        *_device(frames.speed),
    ]
    return found[:MOST] if mains else []


def _few_images(mains: list[Comparison]) -> list[str]:
    said = []
    if few := [comparison.pictures for comparison in mains if 1 < len(comparison.images) < FEW_IMAGES]:
        what = "All of this" if len(few) == len(mains) else "A part of this"
        said.append(f"{what} is from {listed(few)} only: intervals from so few images tend to be too narrow.")
    if single := [comparison.ground["dataset"] for comparison in mains if len(comparison.images) == 1]:
        said.append(f"Of {listed(single)} one image was scored: without an interval, no difference has a verdict.")
    return said


def _seeds(mains: list[Comparison]) -> list[str]:
    own = [heads.loc[heads["shown"] & ~heads["external"], "seeds"] for heads in (main.heads for main in mains)]
    seeds = [count for counts in own for count in counts]
    once = seeds.count(1)
    if once and once == len(seeds):
        return [
            "Every method was trained with one seed only: the intervals cover the choice of images, not that of the "
            "seed, so small differences may be reversed with another seed."
        ]
    if once:
        return [
            f"{once} of {len(seeds)} means are of one seed only: their intervals cover the choice of images, not that of "
            "the seed."
        ]
    return []


def _truth(mains: list[Comparison]) -> list[str]:
    """Test pictures that are drawn, and truths that are not exact."""
    said = []
    names = [comparison.ground["dataset"] for comparison in mains]
    if names and all(name.startswith(printed.EMBEDDED) for name in names):
        said.append(
            "Every test picture is drawn (the embedded data set): photos may rank methods and networks otherwise."
        )
    for truth in dict.fromkeys(own.ground["truth"] for own in mains if own.ground["truth"] != EXACT):
        sets = dict.fromkeys(own.ground["dataset"] for own in mains if own.ground["truth"] == truth)
        what = "mattes but masks" if truth == "mask" else f"exact but {truth}"
        said.append(
            f"The truth of {listed(sets)} is not {what}: a method that errs as it does looks better than it is."
        )
    return said


def _training(mains: list[Comparison], runs: pd.DataFrame) -> list[str]:
    """How short trainings were, and at which size."""
    ids = {run_id for main in mains for own in main.heads.loc[~main.heads["external"], "run_ids"] for run_id in own}
    own = runs[runs["run_id"].isin(ids)]
    steps = sorted(int(count) for count in own["steps"].dropna().unique())
    if not steps or steps[-1] >= SHORT:
        return []
    sizes = {flatten(as_document(text)).get("data.size") for text in own["config"]}
    known = sorted(size for size in sizes if isinstance(size, int))
    at = f" at {_span(known)} px" if known else ""
    return [
        f"Training was short ({_span(steps)} steps{at}), and every method is this suite's own reading of it: longer training,"
        " or the authors' own code, may rank them otherwise."
    ]


def _device(speed: pd.DataFrame) -> list[str]:
    """That no GPU was timed."""
    devices = [str(name) for name in timings.usable(speed)["device"].dropna().unique()]
    if not devices or not all(re.search(r", \d+ threads?$", name) for name in devices):
        return []
    what = listed(devices) if len(devices) == 1 else counted(len(devices), "CPU")
    return [f"Frame rates are of a CPU alone ({what}): on another device another network may be the one to ship."]


def _span(values: list[int]) -> str:
    return " to ".join(f"{value:,}" for value in dict.fromkeys([values[0], values[-1]]))


register(
    PageSection(
        "limits",
        8,
        lambda given: Section(
            "limits", "What holds these answers back", sentences(given.comparisons, given.frames), points=True
        ),
    )
)
