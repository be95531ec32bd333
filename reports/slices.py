"""Tables by an attribute of the pictures: hair, skin, framing, people, or whatever a manifest says of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.statistics import mean_intervals
from reports import selection
from reports.comparison import Budget, Comparison
from reports.document import Cell, Column, Section, Table, between, decimals, number
from reports.measures import BY_NAME, REGIONS, Measure
from reports.per_image import of_cells
from reports.tables import kind_of
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError, nearest

ASKED_FIRST = ("hair", "skin", "framing", "people")
MOST_VALUES = 20  # an attribute with more is a number or a name, and no slice
ON_PAGE = 12  # values of an attribute that the page still shows a table of
ABSENT = "not given"
MOST_ABSENT = 0.5  # of the images: the manifest is another set's
COMMAND = "python -m reports build STORE --out DIR --manifest M.parquet"


def attributes(manifest: Manifest) -> dict[str, dict[str, str]]:
    """{attribute: {picture's id: value}}, domain and source among them where the manifest says them."""
    found: dict[str, dict[str, str]] = {}
    for sample in manifest.samples:
        columns = {"domain": sample.domain, "source": sample.source}
        for name, value in ({k: v for k, v in columns.items() if v} | sample.attributes).items():
            found.setdefault(name, {})[sample.id] = value
    return found


def checked(manifest: Manifest, path: Path, names: str) -> list[str]:
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
    comparison: Comparison, budget: Budget, values: dict[str, str], name: str, measure: Measure
) -> Table | None:
    """One measure of every method at a budget, by the pictures' `values` of the attribute `name`.

    Means over the images of a slice of seed-averaged values, with 95 % bootstrap intervals over these images. Images
    that `values` does not name are a slice of their own. None where most are not named, or nothing was measured.
    """
    heads = selection.shown(comparison).drop_duplicates("cell").set_index("cell")
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
                | {key: head[key] for key in ("method", "label", "control", "external", "mattes", "masks", "seeds")}
                | {"mean": interval.mean, "low": interval.low, "high": interval.high}
            )
    frame = pd.DataFrame(rows).assign(budget=str(budget), **comparison.ground, **comparison.network)
    return _table(frame, comparison, budget, name, measure)


def tables(comparisons: list[Comparison], manifest: Manifest, by: list[str], measures: list[Measure]) -> list[Table]:
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


def section(comparisons: list[Comparison], manifest: Manifest | None) -> Section:
    """The page's part: SAD by hair, skin, framing and people (else by the first attributes that there are).

    For the first comparison, at its largest budget, and attributes of few values.
    """
    result = Section("slices", "By attribute", missing=f"No manifest says what the test pictures show; {COMMAND}")
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
            f"Most scored pictures are not in the manifest that was given, or it says nothing of them; {COMMAND}"
        )
    return result


def _table(frame: pd.DataFrame, comparison: Comparison, budget: Budget, name: str, measure: Measure) -> Table:
    slices = frame.drop_duplicates("value")[["value", "images"]].itertuples(index=False)
    columns = [Column("method", False)]
    columns += [
        Column(f"{value} ({count:,} {'image' if count == 1 else 'images'})", True, name, measure.unit)
        for value, count in slices
    ]
    places = max(1, decimals(frame["mean"]))
    contenders = frame[~(frame["control"] | frame["external"]).astype(bool)].groupby("value")["mean"]
    best = contenders.min() if measure.lower_is_better else contenders.max()
    rows = []
    for _, part in frame.groupby("cell", sort=False):
        kind = kind_of(part.iloc[0])
        row = [Cell(str(part["label"].iloc[0]), kind, "muted" if kind else "")]
        for value in part.to_dict("records"):
            first = not kind and value["mean"] == best.get(value["value"])
            note = between(value["low"], value["high"], places) or "one image"
            row.append(Cell(number(value["mean"], places), note, "best" if first else ""))
        rows.append(row)
    caption = (
        f"{measure.header} ({REGIONS.get(measure.region, measure.region)}) by {name}, {comparison.title}, {budget}: means over "
        "the images of each slice, with 95 % bootstrap intervals over these images. Bold: the best of a slice, controls "
        "and predictions made elsewhere apart."
    )
    slug = "".join(character if character.isalnum() else "-" for character in name)
    return Table(f"slices{comparison.slug}-{slug}-{measure.name}-{budget.slug}", caption, columns, rows, frame)


def _natural(value: str) -> tuple[bool, float, str]:
    """Numbers by their size, then words by the alphabet."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value
