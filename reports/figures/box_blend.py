"""How to blend, for a box: how much the error of every method is above or below that of the chosen one."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from reports.choice import Choice
from reports.comparison import method_order
from reports.document import shortened
from reports.figures.box import TEXT, canvas
from reports.figures.forest import name_rows
from reports.figures.style import INK, MUTED, PAPER, colours, key, marker

ROWS = 7  # methods: of more, those with the lowest errors
SETS = 2
LONGEST = 18  # letters of a name
COLUMNS = ["set", "dataset", "label", "mean", "percent", "low", "high", "verdict"]


def data(choice: Choice, elsewhere: list[Choice]) -> pd.DataFrame:
    """The rows of `Choice` on the test set that was chosen by (`set` 0) and on others, with the chosen method's own."""
    parts = []
    for place, each in enumerate([choice, *elsewhere]):
        own = {"label": each.head["method"], "mean": each.head["mean"], "percent": 0.0}
        rows = pd.concat([pd.DataFrame([own]), each.rows], ignore_index=True)
        parts.append(rows.assign(set=place, dataset=each.comparison.ground["dataset"]))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a row for each method, filled dots for the first test set, hollow ones for the second."""
    first = frame[frame["set"] == 0].sort_values("mean", kind="stable")
    labels = list(dict.fromkeys(first["label"].head(ROWS)))[::-1]
    sets = min(SETS, frame["set"].nunique())
    height = 0.62 + len(labels) * (0.2 + 0.06 * sets) + 0.2 * (sets > 1)
    figure, axes = canvas(height)
    colour = colours(method_order(labels))
    name_rows(axes, [shortened(name, LONGEST) for name in labels])
    axes.axvline(0, color=INK, linewidth=0.9, zorder=2)
    for row in frame[frame["label"].isin(labels) & (frame["set"] < sets)].itertuples():
        y = labels.index(row.label) + (0.17 if row.set == 0 else -0.17) * (sets > 1)
        own = colour[row.label]
        if pd.notna(row.low):
            axes.plot([row.low, row.high], [y, y], color=own, linewidth=1.6, solid_capstyle="butt", zorder=3)
        face = own if row.set == 0 else PAPER
        axes.plot(row.percent, y, marker(row.label), color=own, markerfacecolor=face, markersize=5.5, zorder=4)
    axes.margins(x=0.06)
    axes.set_xlabel(f"error above that of {shortened(str(first.loc[first['percent'] == 0, 'label'].iloc[0]), 20)}, %")
    if sets > 1:
        named = _told_apart(*frame.drop_duplicates("set").sort_values("set")["dataset"].head(SETS))
        looks = {"marker": "o", "linestyle": "", "color": MUTED, "markersize": 5}
        entries = [key(shortened(named[0], 22), **looks), key(shortened(named[1], 22), markerfacecolor=PAPER, **looks)]
        figure.legend(handles=entries, loc="outside upper center", ncols=2, fontsize=TEXT - 0.5, handletextpad=0.2)
    return figure


def _told_apart(first: str, second: str) -> tuple[str, str]:
    """Two test sets' names without the folder or data set that both are of, else without what a file's name repeats."""
    (of, _, name), (other_of, _, other) = (each.removesuffix(".parquet").rpartition("/") for each in (first, second))
    if name != other and (
        of == other_of or all(folder in ("", own) for folder, own in ((of, name), (other_of, other)))
    ):
        return name, other
    return first, second
