"""Do the test sets agree? The verdicts against `mlb` on every test set and truth, and where they differ."""

from __future__ import annotations

import pandas as pd

from reports.agreement import IN_FULL, from_comparisons, in_words, of_same_runs
from reports.comparison import Comparison
from reports.document import Section, Table, counted, listed
from reports.load import Frames
from reports.sections import PageSection, register
from reports.sections.methods import unscored

ABOUT = (
    "every method minus mlb, in percent of mlb's mean, with 95 % intervals and verdicts on the method named. They are those "
    "of Methods compared: on each test set they hold jointly for all its differences of a measure, and of a method's variants "
    "the one that is best on validation stands for it."
)
NO_CONTRADICTION = (
    "A significant difference on one test set does not contradict that there is none on another: intervals are over each test "
    "set's own images, and fewer of them, or a smaller difference, leave zero inside. Opposite verdicts do contradict each "
    "other."
)


def section(frames: Frames, comparisons: list[Comparison]) -> Section:
    """Sentences that name the methods whose verdicts differ between test sets, over the table that they are made from."""
    result = Section("agreement", "Do the test sets agree?", missing=_missing(frames, comparisons))
    found = from_comparisons(comparisons)
    if not found:
        return result
    named = listed(f"{own} ({found[0].about_sets[own]})" for own in found[0].sets)
    result.text = [
        f"The same runs were scored on {len(found[0].sets)} test sets: {named}.",
        *in_words(found),
        NO_CONTRADICTION,
    ]
    tables = [own.table(f"agreement-{number}", ABOUT) for number, own in enumerate(found[:IN_FULL], 1)]
    if left := found[IN_FULL:]:
        frame = pd.concat([own.frame for own in left], ignore_index=True)
        places = counted(len(left), "further budget or network", "further budgets or networks")
        about = f"Verdicts on every test set at {places}."
        tables.append(Table("agreement-further", about, (), frame, attached=True))
    result.blocks = [*tables]
    return result


def _missing(frames: Frames, comparisons: list[Comparison]) -> str:
    if not comparisons:
        return unscored(frames)
    if not of_same_runs(comparisons):
        titles = listed(dict.fromkeys(each.ground["dataset"] for each in comparisons), 4)
        return (
            f"Every run was scored on one test set ({titles}), so there is no second one to agree with; name more under"
            " data.test of the plan, or score finished models on another (`wsshm bench accuracy --help`)"
        )
    return (
        "On no two test sets that runs share is there anything beside mlb to compare with it;"
        " `wsshm report table --help` says how to compare with another method (--against)"
    )


register(PageSection("agreement", 25, lambda given: section(given.frames, given.comparisons)))
