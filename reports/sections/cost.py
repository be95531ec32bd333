"""Error against annotation cost: which labels bought which accuracy, at the prices given and at others."""

from __future__ import annotations

from bench.cost import CostModel
from reports import printed
from reports.comparison import Comparison, main_networks
from reports.document import Picture, Section, grades_in
from reports.figures import cost as figure
from reports.load import Frames
from reports.sections import PageSection, register
from reports.sections.methods import seeds, unscored


def section(frames: Frames, comparisons: list[Comparison], cost: CostModel) -> Section:
    """The main networks' errors against the cost of their labels; one figure more for other ratios of the prices."""
    what = "All scored runs have labels of the same cost"
    missing = printed.missing(what, printed.fill("quickstart", frames)) if comparisons else unscored(frames, what)
    result = Section("cost", "Accuracy against annotation cost", missing=missing)
    for comparison in main_networks(comparisons):
        frame = figure.data(comparison, cost)
        if frame["cost"].nunique() < 2:
            continue
        caption = (
            f"Mean error on {comparison.pictures} against the cost of all labels used by any stage of a method; bands "
            f"and bars are 95 % bootstrap intervals. {seeds(comparison)} Lines join the budgets at which no cheaper "
            "labels of the same method gave a lower error; other budgets are pale points. Dotted lines: full supervision, "
            "or one kind of label alone, with all its labels."
        )
        result.blocks.append(Picture(f"cost{comparison.slug}", comparison.title, caption, figure.draw(frame), frame))
        if frame[["label", "cost"]].drop_duplicates()["label"].duplicated().any() and not comparison.slug:
            result.blocks.append(_ratios(comparison, cost))
    if result.blocks:
        ratios = any(block.name.startswith("cost-ratios") for block in result.blocks)
        result.text = [
            cost.describe(grades_in(grades for each in comparisons for grades in each.cells["grades"].unique()))
            + ("" if cost.is_given else " Other prices can be given, such as --cost matte=23EUR,mask=2EUR."),
            "How many times as much a matte costs as a mask is uncertain: published figures suggest about 6 to 12, and no "
            "academic source for the time of one matte was found. The prices used here have a ratio of "
            f"{cost.matte / cost.mask:.3g}{'; the second figure shows other ratios' if ratios else ''}.",
        ]
    return result


def _ratios(comparison: Comparison, cost: CostModel) -> Picture:
    frame = figure.by_ratio(comparison, cost)
    caption = (
        "The same errors for other ratios of a matte's price to a mask's; the price of a mask is the same throughout. A "
        "ranking of methods that is the same in every panel does not depend on the prices."
    )
    title = f"{comparison.title}, other ratios of the prices"
    return Picture(f"cost-ratios{comparison.slug}", title, caption, figure.draw_ratios(frame), frame)


register(PageSection("cost", 30, lambda given: section(given.frames, given.comparisons, given.cost)))
