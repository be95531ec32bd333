"""The whole report: sections from the store's frames, written as a page, Markdown, figures and tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.cost import CostModel
from bench.statistics import ROUNDS
from reports import summary, tables, write
from reports.comparison import Comparison, compare
from reports.document import Picture, Section
from reports.figures import cost as cost_figure
from reports.figures import curves, qualitative, speed
from reports.figures import methods as methods_figure
from reports.figures.style import theme
from reports.load import Frames, load

RUN = "python -m sweeps run quickstart"
TIME = "python -m bench speed --sizes 512"


def build(store_root: str | Path, out: Path, cost: CostModel | None = None) -> Path:
    """Build the report of the store at `store_root` in the folder `out`; returns the path of its index.html.

    Costs are recomputed from each run's labels with `cost` (default: published annotation times). The same store gives
    the same bytes; files of an earlier report in `out` are replaced, others are left alone. Raises UserError where
    there is no store or nothing in it, before anything is written.
    """
    frames = load(store_root)
    prices = cost or CostModel()
    with theme():
        return write.report(sections(frames, prices), _subtitle(frames), Path(out))


def sections(frames: Frames, cost: CostModel) -> list[Section]:
    """All sections in the order of the page; those without data hold the command that would fill them."""
    comparisons = compare(frames, cost) if len(frames.scores) else []
    return [
        Section("summary", "Summary", text=summary.sentences(comparisons, frames.runs, frames.speed, cost)),
        _methods(frames, comparisons, cost),
        _cost(comparisons, cost),
        _speed(frames, comparisons),
        _curves(frames, comparisons),
        _qualitative(frames, comparisons),
        _failures(frames),
        _provenance(frames, comparisons, cost),
    ]


def _subtitle(frames: Frames) -> str:
    """When the newest row was made: the page itself carries no time, so that a rebuild changes nothing."""
    times = pd.concat([frames.runs["finished"], frames.speed["started"]]).dropna()
    made = f"results up to {times.max():%Y-%m-%d %H:%M} UTC" if len(times) else "results without a date"
    plans = ", ".join(sorted(frames.runs["plan"].dropna().unique()))
    return f"Plan {plans}, {made}" if plans else made[0].upper() + made[1:]


def _methods(frames: Frames, comparisons: list[Comparison], cost: CostModel) -> Section:
    section = Section(
        "methods", "Methods compared", notes=list(frames.notes), missing=f"No finished run was scored; {RUN}"
    )
    if not comparisons:
        return section
    section.text = [
        "All numbers were measured here, by this suite, with its own reading of each method and equal optimiser steps "
        "for all; none is taken from a paper. mlb is Matte Label Blending. Controls answer a question and are no "
        "contenders: mlb_masklabel is mlb in all but the label inside the band, which stays the mask; oracle is given "
        "true mattes of the natural pictures."
    ]
    if len(comparisons) > 1:
        section.text.append(
            "Results on different data, protocols, versions of the measures or networks stand in tables of their own "
            "and are never averaged together."
        )
    for comparison in comparisons:
        section.notes += [f"{comparison.title}: {note}" if len(comparisons) > 1 else note for note in comparison.notes]
        frame = methods_figure.data(comparison)
        if len(frame):
            caption = f"Dots are means over {comparison.pictures}, bars 95 % bootstrap intervals. {_seeds(comparison)}"
            section.blocks.append(
                Picture(f"methods{comparison.slug}", comparison.title, caption, methods_figure.draw(frame), frame)
            )
        for budget in comparison.budgets:
            section.blocks.append(tables.methods(comparison, budget, cost))
            if (differences := tables.differences(comparison, budget)) is not None:
                section.blocks.append(differences)
    return section


def _cost(comparisons: list[Comparison], cost: CostModel) -> Section:
    section = Section("cost", "Error against annotation cost", missing=f"No finished run was scored; {RUN}")
    for comparison in comparisons:
        frame = cost_figure.data(comparison, cost)
        if frame.empty:
            continue
        caption = (
            f"SAD over {comparison.pictures} against the cost of every label that any stage of a method used; bands "
            f"and bars are 95 % bootstrap intervals. {_seeds(comparison)} Methods with one number of labels are points."
        )
        section.blocks.append(
            Picture(f"cost{comparison.slug}", comparison.title, caption, cost_figure.draw(frame), frame)
        )
    if section.blocks:
        section.text = [f"{cost.describe()} Other prices: --cost matte=23EUR,mask=2EUR."]
    return section


def _speed(frames: Frames, comparisons: list[Comparison]) -> Section:
    section = Section("speed", "Frame rate against error", missing=f"Nothing was timed; {TIME}")
    if frames.speed.empty:
        return section
    by_ground: dict[tuple[str, ...], list[Comparison]] = {}
    for comparison in comparisons:
        by_ground.setdefault(tuple(comparison.ground.values()), []).append(comparison)
    for index, group in enumerate(by_ground.values() or [[]]):
        frame = speed.data(group, frames.speed)
        if frame.empty:
            continue
        parts = []
        if (frame["kind"] == "trained").any():
            parts.append(
                f"Error as scored on {group[0].ground['dataset']} (protocol {group[0].ground['protocol']}), frame rate "
                "as timed under the conditions named above each panel, batch 1; bars are 95 % intervals. Outlined, and "
                "joined by steps: the Pareto front, where none is both faster and more accurate; controls do "
                "not compete."
            )
        if (frame["kind"] == "timed").any():
            parts.append(
                "Dotted lines, and panels without errors, are models that were timed but that no finished run was "
                "trained with."
            )
        title = group[0].ground["dataset"] if group else "timed models"
        name = f"speed-{index + 1}" if index else "speed"
        section.blocks.append(Picture(name, title, " ".join(parts), speed.draw(frame), frame))
    section.blocks.append(tables.speed(frames.speed))
    return section


def _curves(frames: Frames, comparisons: list[Comparison]) -> Section:
    section = Section("curves", "Learning curves", missing=f"No finished run wrote its epochs; {RUN}")
    for comparison in comparisons:
        for budget in comparison.budgets:
            frame = curves.data(comparison, budget, frames.runs, frames.epochs)
            if frame.empty:
                continue
            caption = (
                "One line a run. A loss is comparable only within one stage and method: each has labels of its "
                "own; val_ measures are the same for all."
            )
            name = f"curves{comparison.slug}-{budget.slug}"
            section.blocks.append(Picture(name, f"{comparison.title}, {budget}", caption, curves.draw(frame), frame))
    return section


def _qualitative(frames: Frames, comparisons: list[Comparison]) -> Section:
    section = Section("qualitative", "What it looks like", missing=f"No finished run kept sample pictures; {RUN}")
    for comparison in comparisons:
        budget = comparison.budgets[0]
        frame = qualitative.data(comparison, budget, frames.runs, frames.scores, frames.samples)
        if frame.empty:
            continue
        caption = (
            f"{budget}, the run with the lowest seed of each method. Teacher matte and blended label are those that "
            "mlb made for the picture. SAD in thousands of pixels."
        )
        figure = qualitative.draw(frame)
        section.blocks.append(
            Picture(f"qualitative{comparison.slug}", comparison.title, caption, figure, frame, photographic=True)
        )
    return section


def _failures(frames: Frames) -> Section:
    section = Section("failures", "Failures")
    table = tables.failures(frames.runs)
    if table.rows:
        section.blocks = [table]
    else:
        section.text = ["Every run in the store finished."] if len(frames.runs) else []
        section.missing = f"There are no runs in the store; {RUN}"
    return section


def _provenance(frames: Frames, comparisons: list[Comparison], cost: CostModel) -> Section:
    section = Section("provenance", "Provenance")
    section.text = [
        f"{len(frames.runs)} runs, {len(frames.scores):,} score rows of finished runs, {len(frames.speed)} timings. "
        f"Intervals: {ROUNDS:,} rounds of a seeded bootstrap over images.",
        cost.describe(),
    ]
    if frames.runs["git_dirty"].fillna(False).astype(bool).any():
        section.notes.append(
            "Some runs were made from a checkout with uncommitted changes: they cannot be repeated exactly."
        )
    section.blocks = [tables.provenance(frames.runs, frames.scores, frames.speed)]
    section.blocks += [tables.run_ids(comparison) for comparison in comparisons]
    return section


def _seeds(comparison: Comparison) -> str:
    counts = sorted(set(comparison.cells["seeds"]))
    if counts == [1]:
        return "One seed each, so the spread over seeds is not known."
    return f"Means of {' to '.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seeds."
