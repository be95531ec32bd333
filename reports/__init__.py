"""Reports: the store in, tables and figures out. In a notebook:

    import reports

    report = reports.open("runs/quickstart/store", cost="matte=23EUR,mask=2EUR")
    report.methods()                    # pandas frames: one row per cell and measure, with its interval
    report.leaderboard(sort="fps")
    report.slices("hair", "photos.parquet")
    report.figure("methods")            # a matplotlib figure; report.figures() lists their names

Importing this package is quick: pandas, pyarrow and matplotlib are imported when a report is asked for something.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.cost import CostModel
    from reports.notebook import Report


def open(store: str | Path, cost: CostModel | str | None = None) -> Report:
    """The report of a store, a local path or a URI: pandas frames and matplotlib figures, each made when asked for.

    `cost` is a price of labels, as `matte=23EUR,mask=2EUR`; by default published annotation times. Raises UserError for
    a faulty price at once, and where there is no store when it is first read.
    """
    from reports.notebook import Report

    return Report(store, cost)
