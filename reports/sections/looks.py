"""Learning curves and the qualitative sheet of the main networks."""

from __future__ import annotations

from reports import selection
from reports.comparison import Comparison
from reports.document import Picture, Section, counted
from reports.figures import curves, qualitative
from reports.load import Frames
from reports.sections.methods import RUN

BUDGETS = 1  # with learning curves


def learning_curves(frames: Frames, comparisons: list[Comparison]) -> Section:
    """The main network's curves at its largest budget; all epochs are in the store."""
    result = Section("curves", "Learning curves", missing=f"No finished run wrote its epochs; {RUN}")
    for comparison in selection.main(comparisons)[:1]:
        for budget in comparison.budgets:
            frame = curves.data(comparison, budget, frames.runs, frames.epochs)
            if frame.empty:
                continue
            caption = (
                f"One line a run, {counted(frame['run_id'].nunique(), 'run')}. A loss is comparable only within one "
                "stage and method: each has labels of its own; val_ measures are the same for all."
            )
            left = len(comparison.budgets) - 1
            if left:
                caption += f" The runs of {counted(left, 'other budget')} are not drawn."
            name = f"curves{comparison.slug}-{budget.slug}"
            result.blocks.append(Picture(name, f"{comparison.title}, {budget}", caption, curves.draw(frame), frame))
            if len(result.blocks) >= BUDGETS:
                break
    return result


def sheet(frames: Frames, comparisons: list[Comparison]) -> Section:
    """Photo, mask, teacher matte, blended label, mattes, truth and error, of each ground's main network."""
    result = Section("qualitative", "What it looks like", missing=f"No finished run kept sample pictures; {RUN}")
    for comparison in selection.main(comparisons):
        samples = frames.pictures(selection.shown(comparison)["run_ids"].explode())
        for budget in comparison.budgets:
            frame = qualitative.data(comparison, budget, frames.runs, samples)
            if frame.empty:
                continue
            caption = (
                f"{budget}, the run with the lowest seed of each method; pictures as the runs kept them, none chosen by its "
                "error. Teacher matte and blended label are those that "
                "mlb made for the picture. SAD in thousands of pixels. The error map is |matte - truth| from black (none) "
                "to pale yellow (1), by its square root, so that small errors are seen."
            )
            figure = qualitative.draw(frame)
            result.blocks.append(
                Picture(f"qualitative{comparison.slug}", comparison.title, caption, figure, frame, photographic=True)
            )
            break
    return result
