"""The gains over the best baselines as a table and as sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.statistics import NOT_SIGNIFICANT
from reports.document import ABSENT, Cell, Column, Table, between, counted, listed, number, tone_of
from reports.gains import BASELINE, Gains, Judged
from reports.load import REFERENCE
from reports.measures import RegionalMeasure
from reports.tables import method_column
from reports.terminal import width
from wsshm.errors import UserError
from wsshm.files.tables import csv_text
from wsshm.files.tables import markdown_cell as escaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "gains"
ON = {"like": "On pictures like the training ones", "unlike": "On pictures unlike the training ones"}
OTHER = "best other method on validation"
NARROWEST = 26  # letters in a line of a column's head
WIDEST = 100  # characters of a terminal
BROADEST = 6  # columns of numbers in a page's table


def tables(found: Gains, widest: int | None = WIDEST) -> list[Table]:
    """The table, in as many parts, each of whole settings, as `widest` characters need; one without a width."""
    if widest is None:
        return [_table(found, found.judged)]
    parts: list[list[Judged]] = []
    for each in found.judged:
        if parts and width(_table(found, [*parts[-1], each])) <= widest:
            parts[-1].append(each)
        else:
            parts.append([each])
    return [_table(found, part, f"-{place}" if place > 1 else "") for place, part in enumerate(parts, 1)]


def sentences(found: Gains) -> list[str]:
    """For each setting who the best baseline is, and which methods are significantly better than it on which test sets."""
    return [f"{_about(each)} {_verdict(found, each)}" for each in found.judged]


def markdown(found: Gains) -> str:
    """The whole table, what it means, and the sentences; a broad table as one for each role of test set."""
    from reports.write import markdown_table  # brings matplotlib

    [table] = tables(found, None)
    shown = [markdown_table(table)]
    if len(table.columns) > 1 + BROADEST:
        shown = []
        for role in dict.fromkeys(role for each in found.judged for role in each.setting.tests.named):
            part = [each for each in found.judged if role in each.setting.tests.named]
            shown += [f"**{ON[role]}**", markdown_table(_table(found, part, role=role))]
    said = [f"- {escaped(sentence)}" for sentence in sentences(found)]
    return "\n\n".join([*shown, escaped(table.caption), "\n".join(said)])


def drawn(found: Gains) -> pd.DataFrame:
    """What the figure shows: in each setting and role the rows of `mlb`, of the rival and of the best other on validation.

    The rows of `Gains.frame` with `series` (the row's label, or `OTHER`) and `gain`, `gain_low`, `gain_high`: the difference
    in percent so that more is better. Raises UserError where there is nothing but baselines and controls.
    """
    frame = found.frame
    rows = frame[~frame["control"].astype(bool) & ~frame["method"].isin(found.baselines) & frame["percent"].notna()]
    by_name = rows["method"].isin([REFERENCE, found.rival])
    own = rows[by_name].sort_values("method", key=lambda methods: methods != REFERENCE, kind="stable")
    others = rows[~by_name & rows["val_sad"].notna()].sort_values("val_sad", kind="stable")
    best = others.drop_duplicates("setting")[["setting", "label"]]
    rows = pd.concat([own.assign(series=own["label"]), others.merge(best).assign(series=OTHER)], ignore_index=True)
    if rows.empty:
        raise UserError(f"no setting has runs of {REFERENCE} or of another method than baselines and controls to draw")
    rows = rows.assign(order=rows["setting"].map([each.setting.name for each in found.judged].index))
    rows = rows.sort_values(["order", "role"], kind="stable").drop(columns="order").reset_index(drop=True)
    low, high = "percent_low", "percent_high"
    if found.measure.lower_is_better:
        return rows.assign(gain=-rows["percent"], gain_low=-rows[high], gain_high=-rows[low])
    return rows.assign(gain=rows["percent"], gain_low=rows[low], gain_high=rows[high])


def figure(found: Gains) -> Figure:
    """The figure of the gains."""
    from reports.figures.gains import draw  # only now: tables need no matplotlib

    return draw(drawn(found))


def write(found: Gains, out: Path) -> None:
    """Write the table with its sentences, the figure, and what both are made of, into a folder; all or nothing."""
    from reports.figures.style import png_svg_pdf, theme
    from reports.write import check_outside, put

    for each in found.judged:
        check_outside(out, each.setting.store)
    files = {f"{NAME}.csv": csv_text(found.frame).encode(), f"{NAME}.md": f"{markdown(found)}\n".encode()}
    with theme():
        files |= {f"{NAME}{ending}": content for ending, content in png_svg_pdf(figure(found)).items()}
    files[f"{NAME}-figure.csv"] = csv_text(drawn(found)).encode()
    put(out, files, "the table of gains")


def _table(found: Gains, part: list[Judged], suffix: str = "", role: str | None = None) -> Table:
    """Methods by settings and roles, or in one `role`; a row without any value there is left out."""
    names = [each.setting.name for each in part]
    kept = found.frame["setting"].isin(names) & (found.frame["role"].eq(role) if role else True)
    frame = found.frame[kept].reset_index(drop=True)
    rows = frame.set_index(["label", "setting", "role"]).to_dict("index")
    labels = [label for label in found.labels if label in set(frame["label"])]
    controls = set(frame.loc[frame["control"].astype(bool), "label"])
    columns = [method_column()]
    for each in part:
        for of in [role] if role else each.setting.tests.named:
            head = _head(each, None if role else of)
            columns.append(Column(head, _shown(rows, each.setting.name, of, found.measure), True))
    better = "below" if found.measure.lower_is_better else "above"
    sets = {role: listed(dict.fromkeys(own["dataset"])) for role, own in found.frame.groupby("role", sort=False)}
    caption = (
        f"every method minus the best baseline of its setting, image by image, in percent of that one's mean; {better} 0 is"
        f" better. Of {listed(found.baselines)} the best is the one with the lowest SAD on validation (mean over seeds). The"
        " 95 % intervals hold for all methods of a column together; they cover the choice of images, and in how many seeds"
        " the difference has the same sign says how far training's chance matters. A number without a word is no"
        " significant difference; controls are no contenders. Test sets: "
        + "; ".join(f"{role} the training pictures, {names}" for role, names in sets.items())
        + "."
    )
    title = f"{found.measure.header}, {found.measure.where}, in {counted(len(part), 'setting')}"
    records = [{"label": label, "kind": "control" if label in controls else ""} for label in labels]
    return Table(f"{NAME}{suffix}", caption, columns, frame, records, title=title)


def _head(each: Judged, role: str | None) -> str:
    """What stands above a column, in lines as narrow as its numbers."""
    said = f"{each.setting.name}, IoU {each.setting.masks.iou:.3f};"
    longest = max(map(len, said.split()))
    roles = [f"{role};"] if role else []
    return "\n".join([*textwrap.wrap(said, max(NARROWEST, longest)), *roles, f"minus {each.baseline.method}"])


def _shown(rows: dict[Any, Any], setting: str, role: str, measure: RegionalMeasure) -> Callable[[Any], Cell]:
    """What a column shows of a row: the difference with its verdict, its interval and its seeds; a dash where it has none."""

    def show(record: Any) -> Cell:
        row = rows.get((record["label"], setting, role))
        if row is None or not np.isfinite(row["mean"]):
            return ABSENT
        seeds = counted(row["seeds"], "seed")
        if row["kind"] == BASELINE:
            return Cell(BASELINE, ", ".join([f"{number(row['mean'], 3)} {measure.unit}".strip(), seeds]), "muted")
        if not np.isfinite(row["percent"]):
            return ABSENT
        if row["seeds"] != 1:
            seeds = f"{row['agreeing']:.0f} of {seeds}" if row["seeds"] else "no seed shared"
        said = number(row["percent"], 1, sign=True)
        word = "" if row["verdict"] == NOT_SIGNIFICANT else f" {row['verdict']}"
        interval = between(row["percent_low"], row["percent_high"], 1, sign=True)
        return Cell(said + word, ", ".join(filter(None, [interval, seeds])), tone_of(row["verdict"]))

    return show


def _about(each: Judged) -> str:
    """A setting, and who is its best baseline."""
    first, *others = sorted(each.candidates, key=lambda one: one.val_sad)
    rest = ", ".join(f"{one.key[0]} {number(one.val_sad, 3)}" for one in others) or "no other was trained"
    return (
        f"{each.setting.name}: {each.budget}, masks of IoU {each.setting.masks.iou:.3f}, {each.network}, recipe"
        f" {each.recipe}. The best baseline on validation is {first.key[0]} (SAD {number(first.val_sad, 3)}; {rest})."
    )


def _verdict(found: Gains, each: Judged) -> str:
    """Which methods are significantly better than the best baseline, and on which test sets; controls are not asked."""
    frame = found.frame[found.frame["setting"] == each.setting.name]
    rows = frame[~frame["control"].astype(bool) & (frame["kind"] != BASELINE) & frame["percent"].notna()]
    sets = each.setting.tests.named
    better: dict[str, list[str]] = {}
    others = 0
    for label in found.labels:
        own = rows[rows["label"] == label].set_index("role")["verdict"]
        on = [name for role, name in sets.items() if own.get(role) == "better"]
        if on:
            alone = "" if len(sets) == 1 else " alone" if len(own) == 2 else ", the only one that it was scored on"
            better.setdefault("on both test sets" if len(on) == 2 else f"on {on[0]}{alone}", []).append(label)
        else:
            others += len(own) > 0
    if not better:
        where = "either test set" if len(sets) == 2 else next(iter(sets.values()))
        return f"No method is significantly better than it on {where}."
    said = [f"{where}: {'; '.join(better[where])}." for where in sorted(better, key=lambda where: "both" not in where)]
    rest = f" {counted(others, 'other')} {'is' if others == 1 else 'are'} not." if others else ""
    return f"Significantly better than it {' '.join([said[0], *(one[0].upper() + one[1:] for one in said[1:])])}{rest}"
