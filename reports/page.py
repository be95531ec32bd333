"""The whole report: sections from the store's frames, written as a page, Markdown, figures and tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bench.cost import CostModel
from reports import write
from reports.comparison import compare
from reports.document import Section, listed
from reports.figures.style import theme
from reports.load import Frames, load
from reports.sections import Given, made
from wsshm.data.manifest import Manifest

PLANS = 6  # named in the subtitle


def build(
    store_root: str | Path,
    out: Path,
    cost: CostModel | None = None,
    manifest: Path | str | None = None,
    budget: float | None = None,
    target_fps: float | None = None,
    warn: Callable[[str], None] | None = None,
) -> Path:
    """Build the report of the store at `store_root` in the folder `out`; returns the path of its index.html.

    Costs are recomputed from each run's labels with `cost` (default: published annotation times). `manifest` is that of
    the test pictures, whose attributes slice the errors; `budget`, in the unit of `cost`, is what is left to spend on
    labels; where the store cannot fill what these two ask for, `warn` is called with a sentence. `target_fps` is the frame
    rate to be held. The same store gives the same bytes; files of an earlier report in `out` are replaced, others are left
    alone. Raises UserError where there is no store or nothing in it, or where `out` lies in it, before anything is
    written.
    """
    write.check_outside(out, store_root)
    pictures = None if manifest is None else Manifest.read(manifest)
    frames = load(store_root)
    with theme():
        page = sections(frames, cost or CostModel(), pictures, budget, target_fps)
        asked = {"slices": manifest is not None, "planner": budget is not None}
        for section in page:
            if warn and asked.get(section.key) and not section.filled:
                warn(f"The report has no section {section.title!r}: {section.missing}")
        return write.report(page, _subtitle(frames), Path(out))


def sections(
    frames: Frames,
    cost: CostModel,
    manifest: Manifest | None = None,
    budget: float | None = None,
    target_fps: float | None = None,
) -> list[Section]:
    """All sections in the order of the page; those without data hold the command that would fill them."""
    return made(Given(frames, compare(frames, cost), cost, manifest, budget, target_fps))


def _subtitle(frames: Frames) -> str:
    """When the newest row was made: the page itself carries no time, so that a rebuild changes nothing."""
    times = pd.concat([frames.runs["finished"], frames.speed["started"]]).dropna()
    made = f"results up to {times.max():%Y-%m-%d %H:%M} UTC" if len(times) else "results without a date"
    plans = sorted(frames.runs["plan"].dropna().unique())
    which = "Plan" if len(plans) == 1 else "Plans"
    return f"{which} {listed(plans, PLANS)}, {made}" if plans else made[0].upper() + made[1:]
