"""A store for notebooks: pandas frames and matplotlib figures, the same that the page, its tables and commands show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.cost import CostModel
from reports.comparison import Comparison, compare
from reports.load import Frames, load
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.document import Picture, Section
    from reports.plans import Plan


@dataclass(frozen=True)
class LabelPlan:
    """Which labels to buy: `print` says it in sentences, `table` and `figure()` show it."""

    plans: list[Plan]
    notes: list[str]

    def __str__(self) -> str:
        said = [sentence for plan in self.plans for sentence in plan.sentences()]
        return "\n".join(dict.fromkeys([*said, *self.notes]))

    @property
    def supported(self) -> bool:
        """Whether the runs support an answer; if not, the text says why and which sweep would give one."""
        return all(plan.status == "supported" for plan in self.plans)

    @property
    def table(self) -> pd.DataFrame:
        """The best split at each ratio of prices; where no law could be fitted, only that there is none."""
        from reports.plan_table import table

        return table(self.plans).frame

    def figure(self) -> Figure:
        """Predicted errors over numbers of labels, as on the page. Raises UserError where no law could be fitted."""
        from reports.figures.style import theme
        from reports.planner import picture

        if self.plans[0].answer is None:
            raise UserError(f"there is nothing to draw: {'; '.join(self.plans[0].reasons)}")
        with theme():
            return picture(self.plans).figure


class Report:
    """One store, read once, when something is first asked for. Frames are the caller's own: change them freely.

    Every frame of means names its ground (data set, protocol, convention, truth, versions) and network in columns: rows
    of two grounds, or hardware, are never averaged, and are not to be.
    """

    def __init__(self, store: str | Path, cost: CostModel | str | None = None) -> None:
        self.store = store
        self.prices = CostModel.parse(cost) if isinstance(cost, str) else cost or CostModel()

    def __repr__(self) -> str:
        return f"Report({str(self.store)!r})"

    @property
    def runs(self) -> pd.DataFrame:
        """The table `runs`, those that did not finish among them, with `label`: the method and its variant."""
        return self._frames.runs.copy()

    @property
    def scores(self) -> pd.DataFrame:
        """Scores of finished runs, a row an image and region, with what their runs say of them; unscaled values."""
        return self._frames.scores.copy()

    @property
    def speed(self) -> pd.DataFrame:
        """The table `speed`: a row a model and condition."""
        return self._frames.speed.copy()

    @property
    def notes(self) -> list[str]:
        """What was left out of all means, and why."""
        return [*self._frames.notes, *(f"{c.title}: {note}" for c in self._comparisons for note in c.notes)]

    def methods(self) -> pd.DataFrame:
        """Means with 95 % intervals: a row a cell (method, variant, labels) and measure, in the measure's unit."""
        return _stacked([(comparison, comparison.cells) for comparison in self._comparisons])

    def differences(self) -> pd.DataFrame:
        """Paired differences to `mlb` with verdicts: a row a cell, budget and measure; `against` is mlb's cell."""
        return _stacked([(comparison, comparison.differences) for comparison in self._comparisons])

    def against(self, method: str, measures: str = "sad", variants: bool = False) -> pd.DataFrame:
        """Every method minus `method`, in percent with 95 % intervals: a row a method, budget and test set.

        As `wsshm report table --against` has it, `measures` and `variants` too.
        """
        from reports import against, per_image

        tables = against.tables(self._frames, self._comparisons, method, per_image.measures(measures), variants)
        return pd.concat([table.frame for table in tables], ignore_index=True)

    def cost(self) -> pd.DataFrame:
        """What labels cost and what they came to: a row a cell, by cost, with SAD's mean and interval."""
        frame = self.methods()
        if frame.empty:
            return frame
        kept = frame[frame["measure"] == "sad"].sort_values("cost", kind="stable").reset_index(drop=True)
        return kept.assign(cost_unit=self.prices.unit)

    def speed_table(self) -> pd.DataFrame:
        """The page's table of timings: those that failed last, samples left out."""
        from reports import tables

        return tables.speed(self._frames.speed).frame

    def leaderboard(self, sort: str = "sad") -> pd.DataFrame:
        """Every cell of every network, ranked within its ground, `fps_of` what its rates are of; see `reports.leaderboard`."""
        from reports.leaderboard import boards

        ranked = boards(self._frames, self.prices, sort, self._comparisons)
        return pd.concat(
            [board.frame.assign(ground=board.title, fps_of=board.condition) for board in ranked], ignore_index=True
        )

    def slices(self, by: str, manifest: str | Path, measure: str = "sad") -> pd.DataFrame:
        """A measure by attributes (comma-separated) of a manifest of the test pictures: a row a cell and value."""
        from reports.per_image import measures
        from reports.slices import checked, tables

        opened = Manifest.read(manifest)
        names, chosen = checked(opened, Path(manifest), by), measures(measure)
        made = tables(self._comparisons, opened, names, chosen)
        return pd.concat([table.frame for table in made], ignore_index=True)

    def labels(self, manifest: str | Path, matted: bool = False) -> pd.DataFrame:
        """The masked photos of a manifest, those first that are worth a matte; see `reports.labels`."""
        from reports.labels import rank

        return rank(self.store, Path(manifest), matted=matted).frame

    def plan(
        self,
        budget: str,
        method: str = "mlb",
        have: str = "mattes=0",
        most_mattes: int | None = None,
        most_masks: str = "",
        ratios: str = "",
    ) -> LabelPlan:
        """Which labels to buy with a budget: `60h`, or `5000EUR` where this report's `cost` is money.

        All else is as in `wsshm report plan-budget`: `have="mattes=40,masks=1000"`, `most_masks="polygon=2000,fine=300"`,
        `ratios="5,10,20"`.
        """
        from reports import amounts
        from reports.planner import plans_of

        asked: dict[str, Any] = {
            "have": amounts.owned(have),
            "most_mattes": most_mattes,
            "most_masks": amounts.most_masks(most_masks) if most_masks else None,
            "ratios": amounts.ratios(ratios) if ratios else (),
        }
        return LabelPlan(
            *plans_of(self._frames, amounts.budget(budget, self.prices), self.prices, method=method, **asked)
        )

    def shipping(self, target_fps: float | None = None) -> list[str]:
        """Which network to ship at a frame rate, else up to which rate which one: a sentence a test set."""
        from reports.shipping import advice

        drawn = [picture for name, picture in self._pictures.items() if re.fullmatch(r"speed(-\d+)?", name)]
        return [f"{picture.title}: {sentence}" for picture in drawn for sentence in advice(picture.frame, target_fps)]

    def figures(self) -> dict[str, str]:
        """The page's figures that this store can fill: their names, and what each is of."""
        return {name: self._pictures[name].title for name in sorted(self._pictures)}

    def figure(self, name: str) -> Figure:
        """One of the page's figures, as drawn there. Raises UserError for a name that is not in `figures()`."""
        return self._picture(name).figure

    def figure_data(self, name: str) -> pd.DataFrame:
        """What a figure was drawn from."""
        return self._picture(name).frame.copy()

    @cached_property
    def _frames(self) -> Frames:
        return load(self.store)

    @cached_property
    def _comparisons(self) -> list[Comparison]:
        return compare(self._frames, self.prices)

    @cached_property
    def _pictures(self) -> dict[str, Picture]:
        from reports.figures.style import theme
        from reports.page import sections

        with theme():
            made: list[Section] = sections(self._frames, self.prices)
        return {picture.name: picture for section in made for picture in section.pictures}

    def _picture(self, name: str) -> Picture:
        if name not in self._pictures:
            remedy = nearest(name, self._pictures) if self._pictures else "the store fills none"
            raise UserError(f"there is no figure {name!r}; {remedy}")
        return self._pictures[name]


def _stacked(parts: list[tuple[Comparison, pd.DataFrame]]) -> pd.DataFrame:
    frames = [frame.assign(**comparison.ground, **comparison.network) for comparison, frame in parts if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
