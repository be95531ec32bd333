"""Whether test sets agree: the verdicts on the same runs, side by side for every test set and every truth of one.

Rows of several test sets never enter one mean, so each has tables of its own; a verdict that holds on one and not on
another is seen only where they stand beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics import NOT_SIGNIFICANT
from reports.comparison import Comparison
from reports.document import ABSENT, Cell, Column, Show, Table, between, counted, listed, number, tone_of
from reports.load import GROUND, NETWORK, differing
from reports.measures import WITH_FURTHER
from reports.tables import kind_of, method_column

MEASURES = ("sad", "sad_unknown")
IN_FULL = 2  # budgets and networks that are spoken of one by one
WITHOUT_MATTES = "iou"  # what test sets of masks are compared by, beside those of mattes
SAME_RUNS = (*NETWORK, "data_fingerprint", "recipe_version")  # what runs that several test sets share have in common
BETTER, WORSE = "better", "worse"
IN_WORDS = {BETTER: "better", WORSE: "worse", NOT_SIGNIFICANT: "not significantly different"}


@dataclass(frozen=True)
class Agreement:
    """The verdicts on every method (or variant) against `reference` at one budget, of runs of one network.

    `sets` are the names of the test sets, with what else tells them apart (truth, protocol) where one name is not enough.
    `frame` has a row for each measure, method and test set: label, kind, measure, set, images, percent (of the reference's
    mean), percent_low, percent_high, verdict (on the method; absent for a single image), and the columns of the ground and
    the network.
    """

    reference: str
    budget: str
    network: str
    sets: tuple[str, ...]
    frame: pd.DataFrame

    @cached_property
    def about_sets(self) -> dict[str, str]:
        """How many images each test set has, and what the truth is: `96 images, truth exact`."""
        own = self.frame.groupby("set").agg(images=("images", "max"), truth=("truth", "first"))
        return {row.Index: f"{counted(int(row.images), 'image')}, truth {row.truth}" for row in own.itertuples()}

    @cached_property
    def pairs(self) -> list[dict[str, Any]]:
        """A record for each measure and method: its rows by test set, and `agree`; that is None with less than two verdicts."""
        made = []
        keys = ["measure", "label"]
        again = self.frame.groupby([*keys, "set"]).cumcount()  # a budget may hold two cells of `oracle`
        for (measure, label, _), part in self.frame.groupby([*keys, again], sort=False):
            by_set = part.set_index("set", drop=False).to_dict("index")
            verdicts = {name: row["verdict"] for name, row in by_set.items() if pd.notna(row["verdict"])}
            agree = len(set(verdicts.values())) == 1 if len(verdicts) > 1 else None
            head = {"label": label, "kind": part["kind"].iloc[0], "measure": measure}
            made.append(head | {"by_set": by_set, "verdicts": verdicts, "agree": agree})
        return made

    def sentences(self) -> list[str]:
        """One for each measure: which methods' verdicts differ between test sets, and how; or that none do."""
        said = []
        for name in dict.fromkeys(self.frame["measure"]):
            compared = [pair for pair in self.pairs if pair["measure"] == name and pair["agree"] is not None]
            if not compared:
                continue
            apart = sorted((pair for pair in compared if not pair["agree"]), key=lambda pair: not _opposite(pair))
            measure = WITH_FURTHER[name]
            by = f"By {measure.header} on the {measure.where},"
            of = f"{counted(len(compared), 'method')} compared with {self.reference}"
            if apart:
                which = f"verdicts on {len(apart)} of {of} differ between test sets"
                said.append(f"{by} {which}: {'; '.join(_how(apart))}.")
            else:
                said.append(f"{by} no verdict on {of} differs between test sets.")
        return said

    def table(self, name: str, about: str) -> Table:
        """A row for each method and measure, a column for each test set."""
        columns = [method_column(f"minus {self.reference}"), Column("measure", _measure)]
        columns += [Column(own, _of_set(own), True, self.about_sets[own]) for own in self.sets]
        columns.append(Column("verdicts", _agree))
        return Table(name, about, columns, self.frame, self.pairs, title=f"{self.budget}, {self.network}")


def from_comparisons(comparisons: Iterable[Comparison]) -> list[Agreement]:
    """The verdicts of the page, against its `mlb`; the largest budget of the network with most runs comes first.

    By SAD over the whole image and in the unknown region, and by IoU where a test set has masks alone.
    """
    found = []
    for group in of_same_runs(comparisons):
        mattes = all(len(each.of("sad")) for each in group)
        measures = [*MEASURES] if mattes else [*MEASURES, WITHOUT_MATTES]
        found += [rows for each in group for rows in _differences(each, measures)]
    return gathered(found)


def gathered(frames: Iterable[pd.DataFrame]) -> list[Agreement]:
    """The same of tables of differences, each of one test set, such as those of `reports.against`.

    Budgets and networks that were scored on a single test set have no part in it.
    """
    rows = [frame for frame in frames if len(frame)]
    if not rows:
        return []
    every = pd.concat(rows, ignore_index=True)
    every["verdict"] = every["verdict"].where(np.isfinite(every["percent_low"].astype(float)))
    made = []
    for _, part in every.groupby([*SAME_RUNS, "budget", "against"], sort=False, dropna=False):
        grounds = part[list(GROUND)].drop_duplicates().to_dict("records")
        if len(grounds) > 1:
            names = [ground["dataset"] for ground in grounds]
            titles = names if len(set(names)) == len(names) else differing(grounds, "dataset")
            title_of = {tuple(ground.values()): title for ground, title in zip(grounds, titles, strict=True)}
            sets = [title_of[own] for own in part[list(GROUND)].itertuples(index=False, name=None)]
            head = str(part["against"].iloc[0]), str(part["budget"].iloc[0]), str(part["backbone"].iloc[0])
            made.append(Agreement(*head, tuple(titles), part.assign(set=sets).reset_index(drop=True)))
    return made


def in_words(found: list[Agreement], most: int = IN_FULL) -> list[str]:
    """The sentences of the first `most` agreements, and one that counts what the others come to."""
    said = []
    for each in found[:most]:
        where = f"{each.budget}, {each.network}: " if len(found) > 1 else ""
        said += [f"{where}{sentence}" for sentence in each.sentences()]
    pairs = [pair for each in found[most:] for pair in each.pairs if pair["agree"] is not None]
    if pairs:
        places = counted(len(found) - most, "further budget or network", "further budgets or networks")
        apart, cases = sum(not pair["agree"] for pair in pairs), counted(len(pairs), "case")
        said.append(f"At {places}, verdicts differ between test sets in {apart} of {cases}.")
    return said


def of_same_runs(comparisons: Iterable[Comparison]) -> list[list[Comparison]]:
    """The comparisons by what they are of, where it was scored on several grounds: the same data and network."""
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for each in comparisons:
        known = each.ground | each.network
        groups.setdefault(tuple(known[name] for name in SAME_RUNS), []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def _differences(comparison: Comparison, measures: list[str]) -> Iterator[pd.DataFrame]:
    """The rows of `Comparison.differences` to the `mlb` of each budget, in percent of its mean."""
    heads = comparison.heads
    shown = heads[heads["shown"]]
    for budget in comparison.budgets:
        reference = comparison.reference(budget)
        rows = comparison.beside(budget, reference)
        rows = rows[rows["measure"].isin(measures) & rows["cell"].isin(shown.index)]
        if rows.empty:
            continue
        against = comparison.cells[comparison.cells["cell"] == reference].set_index("measure")
        mean = rows["measure"].map(against["mean"]).replace(0, np.nan)
        images = rows["measure"].map(against["images"])
        kinds = [kind_of(shown.loc[cell]) for cell in rows["cell"]]
        made = rows.assign(label=rows["cell"].map(shown["method"]), kind=kinds, images=images)
        percents = {"percent": "mean", "percent_low": "low", "percent_high": "high"}
        made = made.assign(**{name: 100 * rows[of] / mean for name, of in percents.items()})
        made["measure"] = pd.Categorical(made["measure"], measures)
        made = made.sort_values(["measure"], kind="stable").astype({"measure": object})
        made = made[["label", "kind", "measure", "images", *percents, "verdict"]]
        yield made.assign(
            against=against["method"].iloc[0], budget=str(budget), **comparison.ground, **comparison.network
        )


def _opposite(pair: dict[str, Any]) -> bool:
    return {BETTER, WORSE} <= set(pair["verdicts"].values())


def _how(apart: list[dict[str, Any]]) -> Iterator[str]:
    """`joint and mlb are better on a and not significantly different on b`: a text for all whose verdicts are the same."""
    alike: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = {}
    for pair in apart:
        alike.setdefault(tuple(pair["verdicts"].items()), []).append(pair)
    for verdicts, pairs in alike.items():
        sets = {verdict: [title for title, own in verdicts if own == verdict] for verdict in IN_WORDS}
        said = listed(f"{IN_WORDS[verdict]} on {listed(titles)}" for verdict, titles in sets.items() if titles)
        verb = "is" if len(pairs) == 1 else "are"
        opposite = " (opposite verdicts)" if _opposite(pairs[0]) else ""
        yield f"{listed(pair['label'] for pair in pairs)} {verb} {said}{opposite}"


def _measure(pair: dict[str, Any]) -> Cell:
    measure = WITH_FURTHER[pair["measure"]]
    return Cell(measure.header, measure.where)


def _of_set(title: str) -> Show:
    def show(pair: dict[str, Any]) -> Cell:
        row = pair["by_set"].get(title)
        if row is None or not np.isfinite(row["percent"]):
            return ABSENT
        interval = between(row["percent_low"], row["percent_high"], 1, sign=True)
        note = f"{interval}; {row['verdict']}" if interval else "one image: no verdict"
        return Cell(f"{number(row['percent'], 1, sign=True)} %", note, tone_of(row["verdict"]))

    return show


def _agree(pair: dict[str, Any]) -> Cell:
    if pair["agree"] is None:
        return ABSENT
    return (
        Cell("agree", tone="muted") if pair["agree"] else Cell("opposite" if _opposite(pair) else "differ", tone="best")
    )
