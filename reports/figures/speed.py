"""Frame rate against error: what can be had at the frame rate one must hold.

A panel holds only what was timed alike: scope, device, engine, precision, layout, size, all at batch 1; and only what
was trained alike: one method with one number of labels, each network by its own run. A rate stands beside an error only
where it was timed at the input that was scored; other sizes have panels of rates alone. Area shows parameters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import timings
from reports.comparison import REFERENCE, Comparison
from reports.document import shortened
from reports.figures.forest import forest, name_rows
from reports.figures.labels import name_apart
from reports.figures.style import INK, MUTED, WIDTH, Point, apart, fit_y, key, log_axis
from reports.load import settings
from reports.measures import BY_NAME
from reports.pareto import front

MEASURE = "sad"
PANELS = 4
NAMED = 12  # more timed-only backbones than this stay unnamed ticks: the table names them
FRONT_NAMED, OTHERS_NAMED = 14, 6  # of a crowded panel
CROWDED = 60  # networks: more are drawn smaller
TIMED_ROWS = 40  # of a panel without errors
ON_FRONT, BEHIND = "#0072b2", "#8fa9bf"
COLUMNS = [
    *("panel", "scope", "setting", "kind", "network", "model", "architecture", "backbone", "label", "mattes", "masks"),
    *("seeds", "params", "fps", "fps_low", "fps_high", "mean", "low", "high", "on_front"),
]


@dataclass(frozen=True)
class Shared:
    """What networks are compared by: one method, in one variant, with the same numbers of labels."""

    method: str
    label: str
    mattes: float
    masks: float
    settings: str  # what sets the variant apart; empty if the method has only one

    def __str__(self) -> str:
        return f"{self.method} with {self.mattes:,.0f} mattes + {self.masks:,.0f} masks"


def shared(comparisons: list[Comparison]) -> Shared | None:
    """The variant and labels that most networks of one ground were trained with; of equals mlb, then the most labels,
    then the variant that stands for the method in the tables.

    Not each network's best variant: one was searched over and another not.
    """
    every = _cells(comparisons)
    if every.empty:
        return None
    groups = every.groupby(["method", "label", "mattes", "masks"], sort=False)
    counts, stands = groups["network"].nunique(), groups["shown"].sum()
    most = [key for key, count in counts.items() if count == counts.max()]
    best = max(most, key=lambda key: (key[0] == REFERENCE, key[2], key[3], stands[key], key[1]))
    method, label, mattes, masks = best
    variant = every.loc[every["label"] == label, "variant"].iloc[0]
    return Shared(method, label, mattes, masks, ", ".join(settings(variant)))


def _cells(comparisons: list[Comparison]) -> pd.DataFrame:
    """The contenders' cells with known labels, `network` being the comparison's place in the list."""
    if not comparisons:
        return pd.DataFrame()
    every = pd.concat([comparison.cells for comparison in comparisons], keys=range(len(comparisons)), names=["network"])
    every = every[(every["measure"] == MEASURE) & every["mattes"].notna() & ~every["control"]]
    return every.reset_index("network").reset_index(drop=True)


def data(comparisons: list[Comparison], speed: pd.DataFrame) -> pd.DataFrame:
    """One row per network trained as `shared` says, and per model that was only timed, in each panel of equal conditions.

    `comparisons` are those of one ground. A network takes its frame rate from a timing of its own run, else from that
    of its architecture and backbone. `kind` is `trained` (rate and error of one input), `timed` (no run was trained with
    it) or `apart`: a trained network timed at another size than its error was measured at, whose row has no error.
    Panels of the scored input come first. Empty where nothing was timed at batch 1.
    """
    timed = timings.usable(speed)
    if timed.empty:
        return pd.DataFrame(columns=COLUMNS)
    timed = timings.with_conditions(timed).sort_values("started", kind="stable")
    cells = trained(comparisons)
    protocol = comparisons[0].ground["protocol"] if comparisons else ""
    matching = set(timed.loc[timings.matches(timed, protocol), "panel"]) if cells else set()
    panels = [
        (panel not in matching, -len(part), setting, scope != "model only", part)
        for (panel, setting, scope), part in timed.groupby(["panel", "setting", "scope"])
    ]
    rows: list[dict] = []
    for elsewhere, *_, part in sorted(panels, key=lambda panel: panel[:-1])[:PANELS]:
        own = part[part["run_id"].notna()].drop_duplicates("run_id", keep="last").set_index("run_id")
        # A timing that belongs to no run goes before one that belongs to another network's.
        general = part.assign(of_run=part["run_id"].notna()).sort_values("of_run", ascending=False, kind="stable")
        general = general.drop_duplicates(["architecture", "backbone"], keep="last")
        by_network = general.set_index(["architecture", "backbone"])
        found = []
        for cell in () if elsewhere else cells:
            runs = [run for run in cell["run_ids"] if run in own.index]
            key = (cell["architecture"], cell["backbone"])
            if runs or key in by_network.index:
                timing = own.loc[runs[-1]] if runs else by_network.loc[key]
                found.append({**cell, "kind": "trained", "model": timing["model"], "params": timing["params"]})
                found[-1] |= timings.rates(timing)
        best = set(front([[-row["fps"], row["mean"]] for row in found]).tolist())
        found = [row | {"on_front": place in best} for place, row in enumerate(found)]
        seen = {(row["architecture"], row["backbone"]) for row in cells}
        for row in general.to_dict("records"):
            known = (row["architecture"], row["backbone"]) in seen
            if elsewhere or not known:
                names = {key: row[key] for key in ("architecture", "backbone", "model", "params")}
                kind = {"kind": "apart" if known else "timed", "network": row["model"], "on_front": False}
                found.append(names | kind | timings.rates(row))
        rows += [{**row, **{key: part[key].iloc[0] for key in ("panel", "scope", "setting")}} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def trained(comparisons: list[Comparison]) -> list[dict]:
    """The cell of every network that was trained as `shared` says; `comparison` is its place in the list."""
    chosen, every = shared(comparisons), _cells(comparisons)
    if chosen is None:
        return []
    networks = [comparison.network for comparison in comparisons]
    architectures = Counter(network["architecture"] for network in networks)
    usual = max(architectures, key=lambda name: architectures[name])
    weights = Counter((network["architecture"], network["backbone"]) for network in networks)
    own = every[(every["label"] == chosen.label) & (every["mattes"] == chosen.mattes)]
    own = own[own["masks"] == chosen.masks].drop_duplicates("network")
    kept = ("label", "mattes", "masks", "seeds", "mean", "low", "high", "run_ids")
    rows = []
    for cell in own.to_dict("records"):
        network = networks[cell["network"]]
        name = network["backbone"]
        if network["architecture"] != usual:
            name = f"{network['architecture']}/{name}"
        if weights[network["architecture"], network["backbone"]] > 1:
            name += f" ({shortened(network['weights'], 16)})"
        rows.append({**network, **{key: cell[key] for key in kept}, "network": name, "comparison": cell["network"]})
    return rows


def draw(frame: pd.DataFrame) -> Figure:
    """The figure of `data`'s frame: a panel for everything that was timed alike, the Pareto front as a step."""
    panels = list(frame.groupby("panel", sort=False))
    heights = [
        4.0 if (part["kind"] == "trained").any() else 1.0 + 0.24 * min(len(part), TIMED_ROWS) for _, part in panels
    ]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    figure.get_layout_engine().set(h_pad=0.12)  # type: ignore[union-attr, call-arg]
    most = float(frame["params"].max())
    waiting = []
    for axes, (name, part) in zip(grid[:, 0], panels, strict=True):
        trained, timed = part[part["kind"] == "trained"], part[part["kind"] != "trained"]
        axes.set_title(name)
        axes.set_xlabel("frames per second (logarithmic), more is better")
        if len(trained):
            low, high = part["fps_low"].min(), part["fps_high"].max()
            axes.set_xlim(low / (high / low) ** 0.06 / 1.02, high * (high / low) ** 0.2 * 1.02)
            log_axis(axes)
            _trained_panel(axes, trained, most)
            waiting.append((axes, trained, timed))
        else:
            _timed_panel(axes, timed)
    if waiting and np.isfinite(most):
        _sizes(figure, most)
    if waiting:
        figure.draw_without_rendering()
    for axes, trained, timed in waiting:  # names come last, when it is known where everything is
        _ticks(axes, timed, len(trained) <= NAMED)
        chosen = named(trained)
        points = [Point(row.fps, row.mean, row.network, INK) for row in chosen.itertuples()]
        bold = tuple(trained.loc[trained["on_front"].astype(bool), "network"])
        name_apart(axes, points, trained[["fps", "mean"]].to_numpy(), size=8, bold=bold)
    return figure


def named(trained: pd.DataFrame) -> pd.DataFrame:
    """Which networks of a panel get their names: all of a few, the front and some others of many, else the front."""
    on_front = trained["on_front"].astype(bool)
    best, others = trained[on_front].sort_values("fps"), trained[~on_front].sort_values("mean")
    if len(best) > FRONT_NAMED:
        best = best.iloc[np.unique(np.linspace(0, len(best) - 1, FRONT_NAMED).round().astype(int))]
    room = 0 if len(trained) > CROWDED else OTHERS_NAMED
    if len(trained) <= FRONT_NAMED + OTHERS_NAMED:
        room = len(others)
    return pd.concat([best, others.head(max(0, room))])


def _area(params: float, most: float) -> float:
    """Area of a dot in square points, in proportion to parameters but never too small to be seen; 40 if not known."""
    return max(9.0, 240 * params / most) if np.isfinite(params) else 40.0


def _trained_panel(axes: Axes, trained: pd.DataFrame, most: float) -> None:
    on_front = trained["on_front"].astype(bool)
    best = trained[on_front].sort_values("fps")
    if len(best):
        axes.step(best["fps"], best["mean"], where="pre", color=ON_FRONT, linewidth=1.3, zorder=2)
    crowded = len(trained) > CROWDED
    for part, colour, alpha, order in ((trained[~on_front], BEHIND, 0.75, 3), (best, ON_FRONT, 1.0, 4)):
        width = 0.9 if part is best else 0.8 if len(trained) <= FRONT_NAMED + OTHERS_NAMED else 0.5
        shade = 0.6 if part is best else 0.35
        known = part[np.isfinite(part["low"].astype(float))]
        axes.vlines(known["fps"], known["low"], known["high"], color=colour, linewidth=width, alpha=shade, zorder=order)
        axes.hlines(part["mean"], part["fps_low"], part["fps_high"], color=colour, linewidth=width, alpha=shade)
        axes.scatter(
            *(part["fps"], part["mean"]),
            s=[_area(params, most) * (0.4 if crowded else 1.0) for params in part["params"].astype(float)],
            color=colour,
            alpha=alpha,
            edgecolor=INK if part is best else "none",
            linewidth=0.9,
            zorder=order + 2,
        )
    ends = trained[["mean", "low", "high"]].astype(float)
    log = fit_y(axes, ends.min(axis=None), ends.max(axis=None))
    axes.set_ylabel(BY_NAME[MEASURE].axis("logarithmic" if log else ""))


def _sizes(figure: Figure, most: float) -> None:
    """A key to the dots' areas, below the panels."""
    steps: list[float] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    reach = next((step for step in steps if step * 1e6 >= most), most / 1e6)  # the largest dot lies within the key
    shown = [*[step for step in steps if step < reach][-3:], reach]
    look = {"marker": "o", "linestyle": "", "color": BEHIND, "markeredgewidth": 0}
    handles = [key(f"{step:.3g} · 10⁶ parameters", markersize=_area(step * 1e6, most) ** 0.5, **look) for step in shown]
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, ncols=len(handles), handletextpad=0.6)


def _timed_panel(axes: Axes, timed: pd.DataFrame) -> None:
    """Without any error to set them against, models in the order of their frame rates."""
    timed = timed.sort_values("fps").tail(TIMED_ROWS)
    name_rows(axes, [shortened(name, 40) for name in timed["network"]], lines=False)
    dots = timed.assign(
        y=range(len(timed)), value=timed["fps"], low=timed["fps_low"], high=timed["fps_high"], colour=INK
    )
    forest(axes, dots, size=5)
    axes.set_xlim(timed["fps_low"].min() * 0.9, timed["fps_high"].max() * 1.1)
    log_axis(axes)


def _ticks(axes: Axes, timed: pd.DataFrame, room: bool) -> None:
    """Frame rates of what was only timed: named lines where there is room, else short marks on the axis."""
    if not room or len(timed) > NAMED:
        axes.vlines(timed["fps"], 0, 0.03, transform=axes.get_xaxis_transform(), color=MUTED, linewidth=1.0, zorder=0)
        return
    for fps in timed["fps"]:
        axes.axvline(fps, color=MUTED, linewidth=1.1, linestyle=(0, (1, 2)), zorder=0)
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [to_axes.transform((fps, 0))[0] - 0.012 for fps in timed["fps"]]
    for name, x in zip(timed["network"], apart(wanted, 0.021), strict=True):
        text = f"{shortened(name, 28)} (timed only)"  # no longer than a panel is high
        axes.text(
            x, 0.02, text, transform=axes.transAxes, rotation=90, ha="center", va="bottom", fontsize=8.5, color=MUTED
        )
