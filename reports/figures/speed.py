"""Frame rate against error: what can be had at the frame rate one must hold.

A panel holds only what was timed alike: scope, device, engine, precision, layout, size, all at batch 1; and only what
was trained alike: one method with one number of labels, each network by its own run. Area shows parameters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.comparison import BY_NAME, REFERENCE, Comparison
from reports.document import shortened
from reports.figures.labels import name_apart
from reports.figures.style import INK, MUTED, WIDTH, Point, apart, fit_y, log_axis
from reports.pareto import front

MEASURE = "sad"
CONDITIONS = ("scope", "device", "engine", "precision", "layout", "height", "width")
PANELS = 4
NAMED = 12  # more timed-only backbones than this stay unnamed ticks: the table names them
FRONT_NAMED, OTHERS_NAMED = 14, 6  # of a crowded panel
CROWDED = 60  # networks: more are drawn smaller
TIMED_ROWS = 40  # of a panel without errors
ON_FRONT, BEHIND = "#0072b2", "#8fa9bf"
COLUMNS = [
    *("panel", "kind", "network", "model", "architecture", "backbone", "label", "mattes", "masks", "seeds", "params"),
    *("fps", "fps_low", "fps_high", "mean", "low", "high", "on_front"),
]


@dataclass(frozen=True)
class Shared:
    """What networks are compared by: one method, in one variant, with the same numbers of labels."""

    method: str
    label: str
    mattes: float
    masks: float

    def __str__(self) -> str:
        return f"{self.method} with {self.mattes:,.0f} mattes + {self.masks:,.0f} masks"


def shared(comparisons: list[Comparison]) -> Shared | None:
    """The variant and labels that most networks of one ground were trained with; of equals mlb, then the most labels.

    Not each network's best variant: one was searched over and another not.
    """
    every = _cells(comparisons)
    counts = every.groupby(["method", "label", "mattes", "masks"], sort=False)["network"].nunique()
    if counts.empty:
        return None
    most = [key for key, count in counts.items() if count == counts.max()]
    return Shared(*max(most, key=lambda key: (key[0] == REFERENCE, key[2], key[3], key[1])))


def _cells(comparisons: list[Comparison]) -> pd.DataFrame:
    """The contenders' cells with known labels, `network` being the comparison's place in the list."""
    if not comparisons:
        return pd.DataFrame(columns=["method", "label", "mattes", "masks", "network"])
    every = pd.concat([comparison.cells for comparison in comparisons], keys=range(len(comparisons)), names=["network"])
    every = every[(every["measure"] == MEASURE) & every["mattes"].notna() & ~every["control"].astype(bool)]
    return every.reset_index("network").reset_index(drop=True)


def data(comparisons: list[Comparison], speed: pd.DataFrame) -> pd.DataFrame:
    """One row per network trained as `shared` says, and per model that was only timed, in each panel of equal conditions.

    `comparisons` are those of one ground. A network takes its frame rate from a timing of its own run, else from that
    of its architecture and backbone. Empty where nothing was timed at batch 1.
    """
    timed = speed[(speed["status"] == "ok") & speed["fps"].notna() & (speed["batch"] == 1)].copy()
    if timed.empty:
        return pd.DataFrame(columns=COLUMNS)
    timed["panel"] = conditions(timed)
    timed = timed.sort_values("started", kind="stable")
    counts = timed["panel"].value_counts(sort=False)
    largest = sorted(counts.index, key=lambda panel: (-counts[panel], split(panel)[1], split(panel)[0] != "model only"))
    trained = _trained(comparisons)
    rows: list[dict] = []
    for panel in largest[:PANELS]:
        part = timed[timed["panel"] == panel]
        own = part[part["run_id"].notna()].drop_duplicates("run_id", keep="last").set_index("run_id")
        # A timing that belongs to no run goes before one that belongs to another network's.
        general = part.assign(of_run=part["run_id"].notna()).sort_values("of_run", ascending=False, kind="stable")
        general = general.drop_duplicates(["architecture", "backbone"], keep="last")
        by_network = general.set_index(["architecture", "backbone"])
        found = []
        for cell in trained:
            runs = [run for run in cell["run_ids"] if run in own.index]
            key = (cell["architecture"], cell["backbone"])
            if runs or key in by_network.index:
                timing = own.loc[runs[-1]] if runs else by_network.loc[key]
                found.append({**cell, "kind": "trained", **_rates(timing)})
        seen = {(row["architecture"], row["backbone"]) for row in trained}
        rest = general[[key not in seen for key in zip(general["architecture"], general["backbone"], strict=True)]]
        found = _with_front(found)
        found += [
            {"kind": "timed", "network": row["model"], "on_front": False, **_rates(row)}
            | {key: row[key] for key in ("architecture", "backbone")}
            for row in rest.to_dict("records")
        ]
        rows += [{"panel": panel, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def conditions(timed: pd.DataFrame) -> list[str]:
    """What two timings must share to be put side by side, as text, of every row."""
    parts = timed[list(CONDITIONS)].drop_duplicates()
    texts = {tuple(row): condition(pd.Series(dict(zip(CONDITIONS, row, strict=True)))) for row in _tuples(parts)}
    return [texts[row] for row in _tuples(timed[list(CONDITIONS)])]


def condition(row: pd.Series) -> str:
    """The same of one row."""
    scope = "model only" if row["scope"] == "model" else "end to end"
    size = f"{row['width']:.0f}×{row['height']:.0f}"
    parts = [scope, row["device"], row["engine"], row["precision"], row["layout"], size]
    return ", ".join(str(part) for part in parts if pd.notna(part))


def split(panel: str) -> tuple[str, str]:
    """A panel's scope and its other conditions."""
    scope, _, rest = panel.partition(", ")
    return scope, rest


def _tuples(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None))


def _trained(comparisons: list[Comparison]) -> list[dict]:
    """The cell of every network that was trained as `shared` says."""
    chosen, every = shared(comparisons), _cells(comparisons)
    if chosen is None:
        return []
    networks = [comparison.network for comparison in comparisons]
    architectures = Counter(network["architecture"] for network in networks)
    usual = max(architectures, key=lambda name: architectures[name])
    origins: dict[tuple[str, str], set[str]] = {}
    for network in networks:
        origins.setdefault((network["architecture"], network["backbone"]), set()).add(network["weights"])
    own = every[(every["label"] == chosen.label) & (every["mattes"] == chosen.mattes)]
    own = own[own["masks"] == chosen.masks].drop_duplicates("network")
    kept = ("label", "mattes", "masks", "seeds", "mean", "low", "high", "run_ids")
    rows = []
    for cell in own.to_dict("records"):
        network = networks[cell["network"]]
        name = network["backbone"]
        if network["architecture"] != usual:
            name = f"{network['architecture']}/{name}"
        if len(origins[network["architecture"], network["backbone"]]) > 1:
            name += f" ({shortened(network['weights'], 16)})"
        rows.append({**network, **{key: cell[key] for key in kept}, "network": name})
    return rows


def _rates(row: pd.Series) -> dict[str, object]:
    slow, fast = (row[key] if pd.notna(row[key]) else row["p50_ms"] for key in ("median_high_ms", "median_low_ms"))
    ends = {"fps_low": 1000 / slow, "fps_high": 1000 / fast} if slow and fast else {}
    return {"model": row["model"], "params": row["params"], "fps": row["fps"], **ends}


def _with_front(rows: list[dict]) -> list[dict]:
    best = set(front([[-row["fps"], row["mean"]] for row in rows]).tolist())
    return [{**row, "on_front": index in best} for index, row in enumerate(rows)]


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
        trained, timed = part[part["kind"] == "trained"], part[part["kind"] == "timed"]
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
    axes.set_ylabel(f"{BY_NAME[MEASURE].title}{', logarithmic' if log else ''}; lower is better")


def _sizes(figure: Figure, most: float) -> None:
    """A key to the dots' areas, below the panels."""
    steps: list[float] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    reach = next((step for step in steps if step * 1e6 >= most), most / 1e6)  # the largest dot lies within the key
    shown = [*[step for step in steps if step < reach][-3:], reach]
    handles = [
        Line2D(
            [], [], marker="o", linestyle="", color=BEHIND, markersize=_area(step * 1e6, most) ** 0.5, markeredgewidth=0
        )
        for step in shown
    ]
    texts = [f"{step:.3g} · 10⁶ parameters" for step in shown]
    figure.legend(handles, texts, loc="outside lower center", fontsize=8, ncols=len(handles), handletextpad=0.6)


def _timed_panel(axes: Axes, timed: pd.DataFrame) -> None:
    """Without any error to set them against, models in the order of their frame rates."""
    timed = timed.sort_values("fps").tail(TIMED_ROWS)
    axes.hlines(range(len(timed)), timed["fps_low"], timed["fps_high"], color=MUTED, linewidth=1.8)
    axes.plot(timed["fps"], range(len(timed)), "o", color=INK, markersize=5, linestyle="")
    axes.set_yticks(range(len(timed)), [shortened(name, 40) for name in timed["network"]])
    axes.set_ylim(-0.6, len(timed) - 0.4)
    axes.set_xlim(timed["fps_low"].min() * 0.9, timed["fps_high"].max() * 1.1)
    log_axis(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


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
        text = f"{shortened(name, 40)} (timed, not trained)"
        axes.text(
            x, 0.02, text, transform=axes.transAxes, rotation=90, ha="center", va="bottom", fontsize=8.5, color=MUTED
        )
