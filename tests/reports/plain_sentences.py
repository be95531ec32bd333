"""The sentences below the answers, and what holds these back, taken apart: every claim is computed again from the rows.

By plain pandas. A sentence that no pattern here knows is an error: what is said is what is checked. The stores that these
checks are for have one network and no variants, so that a cell is a method and its labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.statistics import mean_interval, simultaneous
from bench.store import Store

Labels = tuple[int, int]
Cell = tuple[str, int, int]
BUDGET = r"[\d,]+ mattes \+ [\d,]+ masks"
ON = r"(?:On (?P<on>[^,]+), )?"
VALUE = (
    r"(?P<mean>[\d.,]+) thousand pixels"
    r"(?:, 95 % interval (?P<low>\S+) to (?P<high>\S+?)|, from one image, so without an interval)"
)
WORDS = {
    "better than": "worse",
    "worse than": "better",
    "not significantly different from": "no significant difference",
}


def labels(text: str) -> Labels:
    mattes, masks = re.findall(r"[\d,]+(?= m)", text)
    return int(mattes.replace(",", "")), int(masks.replace(",", ""))


def named(text: str) -> set[str]:
    """The names of `a, b and c`, without what stands in brackets."""
    return {name.partition(" (")[0] for name in re.split(r", | and ", text)}


def value(text: str) -> float:
    return float(text.replace("−", "-").replace("+", "").replace(",", ""))


def close(text: str, expected: float) -> bool:
    """Whether a number as it is shown is that value, rounded."""
    places = len(text.partition(".")[2])
    assert places <= 4, f"{text} has more decimals than anybody reads"
    return abs(value(text) - expected) <= 0.5001 * 10.0**-places + 1e-9


@dataclass
class Plain:
    """The rows of one test set: per cell and seed every image's value; cells of which a value is lost have none."""

    images: int
    sad: dict[Cell, dict[int, np.ndarray]]
    edge: dict[Cell, dict[int, np.ndarray]]

    @classmethod
    def of(cls, store: Store, dataset: str) -> Plain:
        runs = store.read("runs").set_index("run_id")
        runs = runs[runs["status"] == "finished"]
        scores = store.read("scores")
        scores = scores[(scores["dataset"] == dataset) & scores["run_id"].isin(runs.index)]
        found = []
        for region, column, scale in (("whole", "sad", 1.0), ("boundary", "mad", 1e3)):
            part = scores[scores["region"] == region]
            table = part.pivot_table(column, "image", "run_id", aggfunc="first", dropna=False) * scale
            cells: dict[Cell, dict[int, np.ndarray]] = {}
            for run_id in table:
                run = runs.loc[run_id]
                cell = (str(run["method"]), int(run["mattes"]), int(run["masks"]))
                cells.setdefault(cell, {})[int(run["seed"])] = table[run_id].to_numpy()
            found.append({c: s for c, s in cells.items() if not any(np.isnan(v).any() for v in s.values())})
        return cls(scores["image"].nunique(), *found)

    def budgets(self) -> list[Labels]:
        used = {cell[1:] for cell in self.every if cell[0] != "oracle"} or {cell[1:] for cell in self.every}
        both = {pair for pair in used if min(pair) > 0}
        return sorted(both or used, reverse=True)

    @property
    def every(self) -> set[Cell]:
        return self.sad.keys() | self.edge.keys()

    def pays(self, budget: Labels, cell: Cell) -> bool:
        method, mattes, masks = cell
        if method == "oracle":
            return mattes + masks in (sum(budget), budget[1])
        return (mattes, masks) != (0, 0) and mattes in (0, budget[0]) and masks in (0, budget[1])

    def rivals(self, budget: Labels) -> dict[Cell, float]:
        cells = [cell for cell in self.sad if self.pays(budget, cell) and cell[0] not in ("mlb_masklabel", "oracle")]
        return {cell: float(self.average(self.sad[cell]).mean()) for cell in cells}

    def winners(self, budget: Labels) -> set[str]:
        rivals = self.rivals(budget)
        return {cell[0] for cell, mean in rivals.items() if mean == min(rivals.values())}

    @staticmethod
    def average(seeds: dict[int, np.ndarray]) -> np.ndarray:
        return np.mean(list(seeds.values()), axis=0)

    def pairs(self, values: dict[Cell, dict[int, np.ndarray]]) -> list[tuple[Labels, Cell, Cell]]:
        """All differences of a measure: every cell of a budget minus its mlb, and smaller budgets' mlb minus the largest's."""
        references = {budget: ("mlb", *budget) for budget in self.budgets() if ("mlb", *budget) in self.every}
        if not references:
            return []
        first = next(iter(references.values()))
        wanted = []
        for budget, mlb in references.items():
            wanted += [(budget, cell, mlb) for cell in self.every if cell != mlb and self.pays(budget, cell)]
            wanted += [(budget, mlb, first)] if mlb != first else []
        return [(budget, a, b) for budget, a, b in wanted if a in values and b in values]

    def verdicts(self, values: dict[Cell, dict[int, np.ndarray]]) -> dict[tuple[Labels, Cell, Cell], tuple]:
        """Of each difference its mean, interval and what that says of the first cell; all hold together."""
        pairs = self.pairs(values)
        columns = []
        for _, a, b in pairs:
            common = values[a].keys() & values[b].keys()
            sides = [{s: v for s, v in values[cell].items() if s in (common or values[cell])} for cell in (a, b)]
            columns.append(self.average(sides[0]) - self.average(sides[1]))
        if not pairs:
            return {}
        found = simultaneous(np.column_stack(columns))
        said = ["better" if i.high < 0 else "worse" if i.low > 0 else "no significant difference" for i in found]
        return {pair: (i.mean, i.low, i.high, word) for pair, i, word in zip(pairs, found, said, strict=True)}


class Checker:
    """Checks sentences against a store; `seen` are the kinds of sentences that came up."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.runs = store.read("runs")
        finished = set(self.runs.loc[self.runs["status"] == "finished", "run_id"])
        scores = store.read("scores")
        names = list(dict.fromkeys(scores.loc[scores["run_id"].isin(finished), "dataset"]))
        self.sets = {name: Plain.of(store, name) for name in names}
        self.seen: set[str] = set()
        self.about: set[str] = set()  # the test sets that sentences were about

    def check(self, sentence: str) -> None:
        """Raise AssertionError where a sentence is unknown or says what is not so."""
        for name, (pattern, judge) in KINDS.items():
            if match := re.fullmatch(pattern, sentence):
                self.seen.add(name)
                judge(self, match)
                return
        raise AssertionError(f"nobody checks: {sentence}")

    def of(self, match: re.Match[str]) -> Plain:
        name = match["on"] or next(iter(self.sets))
        assert match["on"] or len(self.sets) == 1, f"not said on which test set: {match[0]}"
        self.about.add(name)
        return self.sets[name]

    def counts(self, match: re.Match[str]) -> None:
        finished = int((self.runs["status"] == "finished").sum())
        assert int(match["done"]) == finished
        assert int(match["not"] or 0) == len(self.runs) - finished

    def lowest(self, match: re.Match[str]) -> None:
        plain, budget = self.of(match), labels(match["budget"])
        assert budget == plain.budgets()[0]
        rivals = plain.rivals(budget)
        assert int(match["count"]) == len({cell[0] for cell in rivals})
        assert named(match["names"]) == plain.winners(budget)
        best = min(rivals, key=lambda cell: rivals[cell])
        assert close(match["mean"], rivals[best])
        if plain.images > 1:
            interval = mean_interval(plain.average(plain.sad[best]))
            assert abs(value(match["low"]) - interval.low) < 2e-2 * interval.mean
            assert abs(value(match["high"]) - interval.high) < 2e-2 * interval.mean
        hours = (690 * budget[0] + 79.2 * budget[1]) / 3600
        assert close(match["price"].partition(" h")[0], hours) or "h" not in match["price"]

    def judged(self, match: re.Match[str]) -> None:
        plain, budget = self.of(match), labels(match["budget"])
        values = plain.sad if match["what"].startswith("SAD") else plain.edge
        found = plain.verdicts(values)
        expected = {
            (cell[0], word) for (at, cell, mlb), (*_, word) in found.items() if at == budget and mlb == ("mlb", *budget)
        }
        said = set()
        for part in match["groups"].split("; "):
            [beginning] = [text for text in WORDS if part.startswith(text + " ")]
            said |= {(name, WORDS[beginning]) for name in named(part.removeprefix(beginning + " "))}
        assert said == expected
        if match["corrected"]:
            counts = [len(plain.pairs(one)) for one in (plain.sad, plain.edge)]
            assert {int(number) for number in re.findall(r"\d+", match["corrected"])} <= set(counts)

    def changes(self, match: re.Match[str]) -> None:
        plain, largest = self.of(match), labels(match["budget"])
        assert largest == plain.budgets()[0]
        found = plain.verdicts(plain.sad)
        parts = match["changes"].split("; ")
        for part in parts:
            if "more budget" in part:
                continue
            one = re.fullmatch(rf"(\S+)(?: \((\S+) to (\S+)\))? with ({BUDGET})(?:, (.+))?", part)
            assert one, part
            mean, low, high, word = found[labels(one[4]), ("mlb", *labels(one[4])), ("mlb", *largest)]
            assert close(one[1], mean)
            if plain.images > 1:
                assert one[5] == word
                assert abs(value(one[2]) - low) < 0.02 * (high - low) + 2e-3
                assert abs(value(one[3]) - high) < 0.02 * (high - low) + 2e-3
        assert len([part for part in parts if "more budget" not in part]) <= 4

    def elsewhere(self, match: re.Match[str]) -> None:
        plain = self.of(match)
        largest, *others = plain.budgets()
        rivals = {cell[0] for cell in plain.rivals(largest)}
        several = [b for b in others if len({cell[0] for cell in plain.rivals(b)}) > 1]
        listed = [labels(text) for text in re.findall(BUDGET, match["budgets"])]
        more = re.search(r"(\d+) others?", match["budgets"])
        assert set(listed) <= set(several)
        assert len(listed) + int(more[1] if more else 0) == len(several)
        for budget in several:
            assert plain.winners(budget) == named(match["names"])
            absent = rivals - {cell[0] for cell in plain.rivals(budget)}
            assert absent == (named(match["absent"]) if match["absent"] else set())
        if match["too"]:
            assert plain.winners(largest) == named(match["names"])

    def divided(self, match: re.Match[str]) -> None:
        plain = self.of(match)
        largest, *others = plain.budgets()
        every = {cell[0] for cell in plain.rivals(largest)}
        several = [b for b in others if len({cell[0] for cell in plain.rivals(b)}) > 1]
        assert int(match["total"]) == len(several)
        counted = {names: int(count) for names, count in re.findall(r"(\w+(?: and \w+)*?) \((\d+)\)", match["winners"])}
        expected = pd.Series([" and ".join(sorted(plain.winners(b))) for b in several]).value_counts()
        assert sorted(counted.values()) == sorted(expected)
        assert all(expected[name] == count for name, count in counted.items() if name in expected)
        lacking = sum(bool(every - {cell[0] for cell in plain.rivals(b)}) for b in several)
        assert int(match["lacking"] or 0) == lacking

    def seeds(self, match: re.Match[str]) -> None:
        cells = [plain.sad.get(cell) or plain.edge[cell] for plain in self.sets.values() for cell in plain.every]
        once = sum(len(by_seed) == 1 for by_seed in cells)
        if match["once"]:
            assert (int(match["once"]), int(match["of"])) == (once, len(cells))
            assert 0 < once < len(cells)
        else:
            assert once == len(cells)

    def few(self, match: re.Match[str]) -> None:
        small = {name: plain.images for name, plain in self.sets.items() if 1 < plain.images < 30}
        said = re.findall(r"(\d+) images of ([^ ,]+)", match["sets"])
        assert {name: int(count) for count, name in said} == small
        assert (match["part"] == "All of this") == (len(small) == len(self.sets))

    def single(self, match: re.Match[str]) -> None:
        assert {name for name, plain in self.sets.items() if plain.images == 1} == named(match["sets"])

    def training(self, match: re.Match[str]) -> None:
        finished = self.runs[self.runs["status"] == "finished"]
        assert {int(match["steps"])} == set(finished["steps"])


Judge = Callable[[Checker, re.Match[str]], None]
KINDS: dict[str, tuple[str, Judge]] = {
    "counts": (r"(?P<done>\d+) runs? finished(?:, none failed|; (?P<not>\d+) did not, see Failures)\.", Checker.counts),
    "lowest": (
        rf"{ON}[Ww]ith (?P<budget>{BUDGET}) \((?P<price>[^)]*)\), (?P<names>.+?) (?:has|share) the lowest SAD of "
        rf"(?P<count>\d+) methods \({VALUE}\)\.",
        Checker.lowest,
    ),
    "judged": (
        rf"{ON}[Bb]y (?P<what>SAD on the whole image|MAD on the fractional pixels), mlb with (?P<budget>{BUDGET}) is "
        r"(?P<groups>[^.]+)\.(?: These verdicts are corrected for the (?P<corrected>.+) that (?:are|is) looked at\.)?",
        Checker.judged,
    ),
    "changes": (
        rf"{ON}[Cc]hange in the SAD of mlb from (?P<budget>{BUDGET}) to other label budgets, in thousand pixels: "
        r"(?P<changes>.+)\.",
        Checker.changes,
    ),
    "elsewhere": (
        rf"{ON}[Ww]ith (?P<budgets>{BUDGET}[^a-z]*(?:(?:,| and) (?:{BUDGET}|\d+ others?))*)(?P<too> too)?"
        r"(?:, where (?P<absent>[^.]+?) ha(?:s|ve) no result)?, (?P<names>[^.]+?) (?:has|share) the lowest SAD\.",
        Checker.elsewhere,
    ),
    "divided": (
        rf"{ON}[Aa]t (?P<total>\d+) further budgets the lowest SAD is that of (?P<winners>[^;]+?)"
        r"(?:; at (?P<lacking>\d+) of them not every method has a result)?\.",
        Checker.divided,
    ),
    "seeds": (
        r"(?:Every method was trained with one seed only: .+|(?P<once>\d+) of (?P<of>\d+) means are of one seed only: .+)",
        Checker.seeds,
    ),
    "few": (r"(?P<part>All of this|A part of this) is from (?P<sets>.+) only: .+", Checker.few),
    "training": (
        r"Training was short \((?P<steps>\d+) steps at 128 px\), and every method is this suite's own reading of it: .+",
        Checker.training,
    ),
    "single": (r"Of (?P<sets>.+) one image was scored: .+", Checker.single),
}
