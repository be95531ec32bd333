"""Error against annotation cost: which labels bought which accuracy, at the prices given and at others."""

from __future__ import annotations

from bench.cost import CostModel
from reports import selection
from reports.comparison import Comparison
from reports.document import Picture, Section
from reports.figures import cost as figure
from reports.sections.methods import RUN, seeds


def section(comparisons: list[Comparison], cost: CostModel) -> Section:
    """The main networks' errors against the cost of their labels; one figure more for other ratios of the prices."""
    result = Section(
        "cost", "Accuracy against annotation cost", missing=f"Scores of fewer than two prices of labels; {RUN}"
    )
    for comparison in selection.main(comparisons):
        frame = figure.data(comparison, cost)
        if frame["cost"].nunique() < 2:
            continue
        caption = (
            f"Error over {comparison.pictures} against the cost of every label that any stage of a method used; bands "
            f"and bars are 95 % bootstrap intervals. {seeds(comparison)} Lines join what no cheaper labels of the "
            "same method reached; other numbers of labels are pale points. Dotted: what full supervision, or "
            "one kind of label alone, reached with all its labels."
        )
        result.blocks.append(Picture(f"cost{comparison.slug}", comparison.title, caption, figure.draw(frame), frame))
        if frame[["label", "cost"]].drop_duplicates()["label"].duplicated().any() and not comparison.slug:
            result.blocks.append(_ratios(comparison, cost))
    if result.blocks:
        result.text = [
            f"{cost.describe()} Other prices: --cost matte=23EUR,mask=2EUR.",
            "What a matte costs against a mask is uncertain: published figures put the ratio at about 6 to 12, and no "
            f"academic source for the time of one matte was found. The prices used here have a ratio of "
            f"{cost.matte / cost.mask:.3g}; the second figure shows what other ratios would change.",
        ]
        if len(result.blocks) == 1:
            result.text[1] = result.text[1].partition("; the second figure")[0] + "."
    return result


def _ratios(comparison: Comparison, cost: CostModel) -> Picture:
    frame = figure.by_ratio(comparison, cost)
    caption = (
        "The same errors where a matte costs other multiples of a mask, the price of a mask kept. A ranking of methods "
        "at one price that holds in every panel does not hang on the prices."
    )
    title = f"{comparison.title}, other ratios of the prices"
    return Picture(f"cost-ratios{comparison.slug}", title, caption, figure.draw_ratios(frame), frame)
