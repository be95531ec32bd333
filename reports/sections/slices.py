"""Errors by what the pictures show: SAD by the attributes of a manifest."""

from __future__ import annotations

from reports import printed
from reports.comparison import Comparison
from reports.document import Section
from reports.measures import BY_NAME
from reports.sections import PageSection, register
from reports.slices import attributes, by_attribute
from wsshm.data.manifest import Manifest

ASKED_FIRST = ("hair", "skin", "framing", "people")
ON_PAGE = 12  # values of an attribute that the page still shows a table of
HOW = "give the manifest of the test pictures by --manifest (`wsshm report build --help`)"


def section(comparisons: list[Comparison], manifest: Manifest | None, command: str = "") -> Section:
    """The page's part: SAD by hair, skin, framing and people (else by the first attributes that there are).

    For the first comparison, at its largest budget, and attributes of few values.
    """
    result = Section(
        "slices", "By attribute", missing=printed.missing("No manifest says what the test pictures show", command, HOW)
    )
    if manifest is None or not comparisons:
        return result
    comparison, known = comparisons[0], attributes(manifest)
    several = {name: values for name, values in known.items() if 1 < len(set(values.values())) <= ON_PAGE}
    chosen = [name for name in ASKED_FIRST if name in several] or sorted(several)[: len(ASKED_FIRST)]
    for name in chosen:
        table = by_attribute(comparison, comparison.budgets[0], known[name], name, BY_NAME["sad"])
        if table is not None:
            result.blocks.append(table)
    if result.blocks:
        result.text = [
            f"What the errors are made of, on {comparison.title}: SAD by what the manifest says of each picture. A slice of "
            "few images has a wide interval, and the more slices one looks at the more of them differ by chance."
        ]
    else:
        result.missing = (
            f"Most scored pictures are not in the manifest that was given, or it says nothing of them: {HOW}"
        )
    return result


register(
    PageSection(
        "slices", 90, lambda given: section(given.comparisons, given.manifest, printed.with_pictures(given.frames))
    )
)
