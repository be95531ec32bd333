"""Tables by an attribute of the pictures: hair, skin, framing, people, or whatever a manifest says of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.statistics import mean_intervals
from reports.comparison import LABELS, Budget, Comparison
from reports.document import Column, Table, counted, decimals, slug
from reports.measures import RegionalMeasure
from reports.per_image import of_cells
from reports.tables import best_of, by_cell, mean_cell, method_column
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError, nearest

MOST_VALUES = 20  # an attribute with more is a number or a name, and no slice
ABSENT = "not given"
MOST_ABSENT = 0.5  # of the images: the manifest is another set's


def attributes(manifest: Manifest) -> dict[str, dict[str, str]]:
    """{attribute: {picture's id: value}}, domain and source among them where the manifest says them."""
    found: dict[str, dict[str, str]] = {}
    for sample in manifest.samples:
        columns = {"domain": sample.domain, "source": sample.source}
        for name, value in ({k: v for k, v in columns.items() if v} | sample.attributes).items():
            found.setdefault(name, {})[sample.id] = value
    return found


def checked(manifest: Manifest, path: Path | str, names: str) -> list[str]:
    """Attributes of a comma-separated list; UserError naming those that there are for one that there is not."""
    known = attributes(manifest)
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in known:
            remedy = nearest(name, known) if known else "it gives its pictures none"
            raise UserError(f"the manifest {path} has no attribute {name!r}; {remedy}")
        if (count := len(set(known[name].values()))) > MOST_VALUES:
            raise UserError(
                f"the attribute {name!r} of {path} has {count} values, too many to slice by; choose one with at most"
                f" {MOST_VALUES}"
            )
    return chosen


def by_attribute(
    comparison: Comparison, budget: Budget, values: dict[str, str], name: str, measure: RegionalMeasure
) -> Table | None:
    """One measure of every method at a budget, by the pictures' `values` of the attribute `name`.

    Means over the images of a slice of seed-averaged values, with 95 % bootstrap intervals over these images. Images
    that `values` does not name are a slice of their own. None where most are not named, or nothing was measured.
    """
    heads = comparison.heads[comparison.heads["shown"]].assign(label=lambda heads: heads["method"])
    table = of_cells(comparison, measure)
    table = table[[cell for cell in comparison.at(budget) if cell in heads.index and cell in table]]
    slices = pd.Series([values.get(str(image), ABSENT) for image in table.index], index=table.index, dtype=object)
    if table.empty or (slices == ABSENT).mean() > MOST_ABSENT:
        return None
    rows: list[dict] = []
    for value in sorted(slices.unique(), key=lambda value: (value == ABSENT, _natural(value))):
        part = table[slices == value]
        for cell, interval in zip(part.columns, mean_intervals(part.to_numpy()), strict=True):
            head = heads.loc[cell]
            rows.append(
                {"attribute": name, "value": value, "images": len(part), "cell": cell, "measure": measure.name}
                | {key: head[key] for key in ("method", "label", "control", "external", *LABELS, "seeds")}
                | {"mean": interval.mean, "low": interval.low, "high": interval.high}
            )
    frame = pd.DataFrame(rows).assign(budget=str(budget), **comparison.ground, **comparison.network)
    of_slices = frame.drop_duplicates("value")[["value", "images"]].itertuples(index=False)
    places = max(1, decimals(frame["mean"]))
    best = best_of(frame, "value", measure)

    def column(value: str, count: int) -> Column:
        header = f"{value} ({counted(count, 'image')})"
        return Column(
            header, lambda row: mean_cell(row[value], places, best.get(value), "one image"), True, measure.unit, name
        )

    columns = [method_column(), *(column(*each) for each in of_slices)]
    title = f"{measure.header} ({measure.where}) by {name}, {comparison.title}, {budget}"
    caption = (
        "means over the images of each slice, with 95 % bootstrap intervals over these images. Bold: the best of a slice, "
        "controls and predictions made elsewhere apart."
    )
    name = f"slices{comparison.slug}-{slug(name)}-{measure.name}-{budget.slug}"
    return Table(name, caption, columns, frame, by_cell(frame, "value"), title=title)


def tables(
    comparisons: list[Comparison], manifest: Manifest, by: list[str], measures: list[RegionalMeasure]
) -> list[Table]:
    """A table for each comparison, budget, attribute and measure. Raises UserError for another set's manifest."""
    known = attributes(manifest)
    made = [
        by_attribute(comparison, budget, known[name], name, measure)
        for comparison in comparisons
        for budget in comparison.budgets
        for name in by
        for measure in measures
    ]
    found = [table for table in made if table is not None]
    if not found:
        ids = {sample.id for sample in manifest.samples}
        images = max(
            (comparison.images for comparison in comparisons), key=lambda images: len(ids.intersection(images))
        )
        most = f"{len(ids.intersection(images)) or 'none'} of the {len(images)} scored images"
        raise UserError(
            f"{most} are in the manifest in {manifest.root}, or have these attributes; give the manifest of the test set"
            " that the store's scores are of"
        )
    return found


def _natural(value: str) -> tuple[bool, float, str]:
    """Numbers by their size, then words by the alphabet."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value
