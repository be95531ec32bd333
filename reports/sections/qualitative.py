"""The sheet of sample pictures of the main networks."""

from __future__ import annotations

from reports.comparison import Comparison, main_networks
from reports.document import Picture, Section
from reports.figures import qualitative
from reports.load import Frames
from reports.sections import PageSection, register
from reports.sections.methods import unscored


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """Photo, mask, teacher matte, blended label, mattes, truth and error, of each ground's main network."""
    result = Section(
        "qualitative", "What it looks like", missing=unscored(frames, "There are no sample pictures", "samples")
    )
    for comparison in main_networks(comparisons):
        samples = frames.pictures(comparison.shown()["run_ids"].explode())
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


register(PageSection("qualitative", 27, lambda given: section(given.frames, given.comparisons)))
