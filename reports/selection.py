"""What of many comparisons a page can show: the main network of each ground, and a few that hold several methods."""

from __future__ import annotations

import pandas as pd

from reports.comparison import Comparison

GROUNDS = 3  # test sets and protocols that are shown in full
OTHERS = 2  # further networks that are shown with their methods


def by_ground(comparisons: list[Comparison]) -> list[list[Comparison]]:
    """The comparisons of each ground, in their order: the network with most runs comes first."""
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(tuple(comparison.ground.values()), []).append(comparison)
    return list(groups.values())


def main(comparisons: list[Comparison]) -> list[Comparison]:
    """The main network of each of the first `GROUNDS` grounds."""
    return [group[0] for group in by_ground(comparisons)[:GROUNDS]]


def others(comparisons: list[Comparison]) -> list[Comparison]:
    """Further networks of the first ground with several methods, those with most methods first."""
    rest = [comparison for group in by_ground(comparisons)[:1] for comparison in group[1:]]
    several = [comparison for comparison in rest if len(labels(comparison)) > 1]
    return sorted(several, key=lambda comparison: -len(labels(comparison)))[:OTHERS]


def shown(comparison: Comparison) -> pd.DataFrame:
    """The cells whose variant stands for its method, with the method's name as their `label`."""
    kept = comparison.cells[comparison.cells["shown"].astype(bool)]
    return kept.assign(label=kept["method"], variant_label=kept["label"])


def every(comparison: Comparison) -> pd.DataFrame:
    """All cells, with the method's name and what sets the variant apart as their `label`."""
    return comparison.cells.assign(variant_label=comparison.cells["label"])


def labels(comparison: Comparison) -> list[str]:
    """This suite's methods that are shown, in the order of tables."""
    cells = shown(comparison)
    return list(dict.fromkeys(cells.loc[~cells["external"].astype(bool), "label"]))
