"""A store for notebooks: pandas frames and matplotlib figures, the same that the page, its tables and commands show."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.cost import CostModel
from reports.comparison import Comparison, compare
from reports.load import Frames, load
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.document import Picture, Section


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
        """Every cell of every network, ranked within its ground; see `reports.leaderboard`."""
        from reports.leaderboard import boards

        ranked = boards(self._frames, self.prices, sort, self._comparisons)
        return pd.concat([board.frame.assign(ground=board.title) for board in ranked], ignore_index=True)

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

    def figures(self) -> list[str]:
        """Names of the page's figures that this store can fill."""
        return sorted(self._pictures)

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
        from reports.document import Picture
        from reports.figures.style import theme
        from reports.page import sections

        with theme():
            made: list[Section] = sections(self._frames, self.prices)
        return {block.name: block for section in made for block in section.blocks if isinstance(block, Picture)}

    def _picture(self, name: str) -> Picture:
        if name not in self._pictures:
            remedy = nearest(name, self._pictures) if self._pictures else "the store fills none"
            raise UserError(f"there is no figure {name!r}; {remedy}")
        return self._pictures[name]


def _stacked(parts: list[tuple[Comparison, pd.DataFrame]]) -> pd.DataFrame:
    frames = [frame.assign(**comparison.ground, **comparison.network) for comparison, frame in parts if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
