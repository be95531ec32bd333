"""Learning curves of the main network."""

from __future__ import annotations

from reports.comparison import Comparison, main_networks
from reports.document import Picture, Section, counted
from reports.figures import curves
from reports.load import Frames
from reports.sections import PageSection, register
from reports.sections.methods import unscored

BUDGETS = 1  # with learning curves


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """The main network's curves at its largest budget; all epochs are in the store."""
    result = Section("curves", "Learning curves", missing=unscored(frames, "There are no epochs", "epochs"))
    for comparison in main_networks(comparisons)[:1]:
        for budget in comparison.budgets:
            frame = curves.data(comparison, budget, frames.runs, frames.epochs)
            if frame.empty:
                continue
            caption = (
                f"One line per run, {counted(frame['run_id'].nunique(), 'run')}. A loss can be compared only within one "
                "stage of one method, as others are trained on other labels; validation errors can be compared throughout."
            )
            left = len(comparison.budgets) - 1
            if left:
                caption += f" Runs of {counted(left, 'other label budget')} are not drawn."
            name = f"curves{comparison.slug}-{budget.slug}"
            result.blocks.append(Picture(name, f"{comparison.title}, {budget}", caption, curves.draw(frame), frame))
            if len(result.blocks) >= BUDGETS:
                break
    return result


register(PageSection("curves", 100, lambda given: section(given.frames, given.comparisons)))
