"""Frame rate against error: what can be had at the frame rate one must hold.

A panel holds only what was timed alike: scope, device and size, all at batch 1; and only what was trained alike: one method
with one number of labels, each network by its own run. A network has a point for each way it was executed (engine,
precision, layout), the fastest of which stands for it. A rate stands beside an error only where it was timed at the input
that was scored; other sizes have panels of rates alone. The error is that of the engine and precision that was timed, where
the network was scored in it, else that of eager PyTorch in fp32. Area shows parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import timings
from reports.comparison import LABELS, REFERENCE, Comparison
from reports.document import labels_in_words, network_name, shortened
from reports.figures import rates
from reports.figures.hover import RADIUS, of_runs, tell, with_interval
from reports.figures.labels import name_apart
from reports.figures.style import INK, MUTED, WIDTH, Point, apart, fit_y, key, legend_below, log_axis
from reports.load import settings
from reports.measures import BY_NAME
from reports.pareto import front

MEASURE = "sad"
PANELS = 4
NAMED = 12  # more timed-only backbones than this stay unnamed ticks: the table names them
FRONT_NAMED, OTHERS_NAMED = 14, 6  # of a crowded panel
CROWDED = 60  # networks: more are drawn smaller
RING = 14  # square points, of a slower way of execution
ON_FRONT, BEHIND, TARGET = "#0072b2", "#8fa9bf", "#d55e00"
RINGS: Any = {
    "marker": "o",
    "linestyle": "",
    "markerfacecolor": "none",
    "markeredgecolor": BEHIND,
    "markersize": RING**0.5,
}
COLUMNS = [
    *("panel", "scope", "setting", "way", "kind", "network", "name", "model", "architecture", "backbone"),
    *("engine", "precision", "layout", "label", "mattes", "masks", "grades"),
    *("seeds", "params", "fps", "fps_low", "fps_high", "fastest", "mean", "low", "high", "error_of"),
    *("on_front", "run_ids"),
]
WAY = ["engine", "precision", "layout"]
EAGER = "eager, fp32"
"""Of errors: what executed the network, unless it was scored as it was timed."""


@dataclass(frozen=True)
class Shared:
    """What networks are compared by: one method, in one variant, with the same numbers of labels."""

    method: str
    label: str
    mattes: float
    masks: float
    grades: str
    settings: str  # what sets the variant apart; empty if the method has only one

    def __str__(self) -> str:
        return f"{self.method} with {labels_in_words(self.mattes, self.masks, self.grades)}"


def shared(comparisons: list[Comparison]) -> Shared | None:
    """The variant and labels that most networks of one ground were trained with; of equals mlb, then the most labels,
    then the variant that stands for the method in the tables.

    Not each network's best variant: one was searched over and another not.
    """
    every = _cells(comparisons)
    if every.empty:
        return None
    groups = every.groupby(["method", "label", *LABELS], sort=False)
    counts, stands = groups["network"].nunique(), groups["shown"].sum()
    most = [key for key, count in counts.items() if count == counts.max()]
    best = max(most, key=lambda key: (key[0] == REFERENCE, key[2], key[3], stands[key], key[1]))
    method, label, mattes, masks, grades = best
    variant = every.loc[every["label"] == label, "variant"].iloc[0]
    return Shared(method, label, mattes, masks, grades, ", ".join(settings(variant)))


def _cells(comparisons: list[Comparison]) -> pd.DataFrame:
    """The contenders' cells with known labels, `network` being the comparison's place in the list."""
    if not comparisons:
        return pd.DataFrame()
    every = pd.concat([comparison.cells for comparison in comparisons], keys=range(len(comparisons)), names=["network"])
    every = every[(every["measure"] == MEASURE) & every["mattes"].notna() & ~every["control"]]
    return every.reset_index("network").reset_index(drop=True)


def data(comparisons: list[Comparison], speed: pd.DataFrame, executed: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per network trained as `shared` says, and per model that was only timed, for each way that it was executed,
    in each panel of equal conditions.

    `comparisons` are those of one ground. A network takes its frame rate from a timing of its own run, else from that
    of its architecture and backbone. `kind` is `trained` (rate and error of one input), `timed` (no run was trained with
    it) or `apart`: a trained network timed at another size than its error was measured at, whose row has no error.
    `name` is the network, with the way where ways differ; `fastest` of a network's ways of one precision.
    Panels of the scored input come first. Empty where nothing was timed at batch 1. `executed` are scores in engines and
    precisions: `error_of` says whether the error is of the timed one, as where all of a network's runs have it (such a mean
    has no interval). `run_ids`, a text, names the runs behind an error, else the run whose weights were timed, if any.
    """
    timed = timings.usable(speed)
    if timed.empty:
        return pd.DataFrame(columns=COLUMNS)
    timed = timings.with_conditions(timed).sort_values("started", kind="stable")
    cells = trained(comparisons)
    protocol = comparisons[0].ground["protocol"] if comparisons else ""
    matching = set(timed.loc[timings.matches(timed, protocol), "place"]) if cells else set()
    panels = [
        (
            place not in matching,
            -part["model"].nunique(),
            str(part["device"].iloc[0]),
            scope != "model only",
            place,
            part,
        )
        for (place, scope), part in timed.groupby(["place", "scope"])
    ]
    frames = [pd.DataFrame(columns=COLUMNS)]
    for elsewhere, *_, part in sorted(panels, key=lambda panel: panel[:-1])[:PANELS]:
        rows = [
            row
            for _, alike in part.groupby("way", sort=False)
            for row in _as_timed(_rows(alike, [] if elsewhere else cells, cells), comparisons, executed)
        ]
        frame = pd.DataFrame(rows, columns=COLUMNS).assign(panel=part["place"].iloc[0], on_front=False)
        frame["name"] = _names(frame)
        frame["run_ids"] = [" ".join(own) if isinstance(own, list) else "" for own in frame["run_ids"]]
        alike = frame.groupby(["network", "architecture", "backbone", "precision"], dropna=False)["fps"]
        frame["fastest"] = frame.index.isin(alike.idxmax())
        points = frame.loc[frame["kind"] == "trained", ["fps", "mean"]].to_numpy(float) * (-1, 1)
        frame.loc[np.flatnonzero(frame["kind"] == "trained")[front(points)], "on_front"] = True
        frames.append(frame)
    return pd.concat(frames[1:] or frames, ignore_index=True)


def _rows(timed: pd.DataFrame, cells: list[dict], known: list[dict]) -> list[dict]:
    """Of timings under one condition: the networks of `cells`, then the models that are none of them."""
    own = timed[timed["run_id"].notna()].drop_duplicates("run_id", keep="last").set_index("run_id")
    # A timing that belongs to no run goes before one that belongs to another network's.
    general = timed.assign(of_run=timed["run_id"].notna()).sort_values("of_run", ascending=False, kind="stable")
    general = general.drop_duplicates(["architecture", "backbone"], keep="last")
    by_network = general.set_index(["architecture", "backbone"])
    conditions = timed[["scope", "setting", "way", *WAY]].iloc[0].to_dict()
    rows = []
    for cell in cells:
        runs = [run for run in cell["run_ids"] if run in own.index]
        key = (cell["architecture"], cell["backbone"])
        if runs or key in by_network.index:
            timing = own.loc[runs[-1]] if runs else by_network.loc[key]
            taken = {"kind": "trained", "model": timing["model"], "params": timing["params"], **timings.rates(timing)}
            rows.append({**cell, **conditions, **taken})
    seen = {(cell["architecture"], cell["backbone"]) for cell in known}
    for row in general.to_dict("records"):
        is_known = (row["architecture"], row["backbone"]) in seen
        if not cells or not is_known:
            kind = {"kind": "apart" if is_known else "timed", "network": network_name(row["model"])}
            names = {key: row[key] for key in ("architecture", "backbone", "model", "params")}
            timed_run = {"run_ids": [row["run_id"]] if pd.notna(row["run_id"]) else []}
            rows.append(names | conditions | kind | timed_run | timings.rates(row))
    return rows


def _names(frame: pd.DataFrame) -> list[str]:
    """Networks' names in one panel, with what tells its ways of execution apart."""
    ways = frame[WAY].drop_duplicates()
    differing = [key for key in WAY if len(set(ways[key])) > 1]
    telling = [key for key in differing if key != "layout"]
    if len(ways) > 1 and (not telling or ways.duplicated(telling).any()):
        telling = differing
    if not telling:
        return list(frame["network"])
    return [f"{row['network']} ({', '.join(str(row[key]) for key in telling)})" for row in frame.to_dict("records")]


def _as_timed(rows: list[dict], comparisons: list[Comparison], executed: pd.DataFrame | None) -> Iterator[dict]:
    """Rows with `error_of`, and the error of the engine and precision that was timed where it is known."""
    for row in rows:
        if row["kind"] != "trained":
            yield row
            continue
        comparison, how = comparisons[row["comparison"]], f"{row['engine']}, {row['precision']}"
        mean = None
        if how != EAGER and executed is not None and len(executed):
            mean = _executed_mean(row, comparison, executed)
        own = {"error_of": EAGER} if mean is None else {"error_of": how, "mean": mean, "low": np.nan, "high": np.nan}
        yield row | own


def _executed_mean(row: dict, comparison: Comparison, executed: pd.DataFrame) -> float | None:
    """The mean error of all of a network's runs in an engine and precision, over the pictures that were compared."""
    ground = comparison.ground
    wanted = {key: row[key] for key in ("engine", "precision")} | {"region": "whole"}
    wanted |= {key: ground[key] for key in ("dataset", "protocol", "convention", "metric_version") if key in ground}
    own = executed[executed["run_id"].isin(row["run_ids"]) & executed["image"].isin(comparison.images)]
    for name, value in wanted.items():
        own = own[own[name] == value]
    values = own[MEASURE].dropna()
    if len(values) != len(row["run_ids"]) * len(comparison.images):
        return None
    return float(values.mean()) * BY_NAME[MEASURE].scale


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
    own = own[(own["masks"] == chosen.masks) & (own["grades"] == chosen.grades)].drop_duplicates("network")
    kept = ("label", *LABELS, "seeds", "mean", "low", "high", "run_ids")
    rows = []
    for cell in own.to_dict("records"):
        network = networks[cell["network"]]
        name = network["backbone"]
        if network["architecture"] != usual:
            name = f"{network_name(network['architecture'])}/{name}"
        if weights[network["architecture"], network["backbone"]] > 1:
            name += f" ({shortened(network['weights'], 16)})"
        rows.append({**network, **{key: cell[key] for key in kept}, "network": name, "comparison": cell["network"]})
    return rows


def draw(frame: pd.DataFrame, target_fps: float | None = None) -> Figure:
    """The figure of `data`'s frame: a panel for everything that was timed alike, the Pareto front as a step.

    A line stands at the frame rate to be held, `target_fps`.
    """
    panels = list(frame.groupby("panel", sort=False))
    heights = [4.0 if (part["kind"] == "trained").any() else rates.height(part) for _, part in panels]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    figure.get_layout_engine().set(h_pad=0.12)  # type: ignore[union-attr, call-arg]
    most = float(frame["params"].max())
    waiting = []
    alone = [part for _, part in panels if not (part["kind"] == "trained").any()]
    looks = rates.looks_of(pd.concat(alone)) if alone else {}
    for axes, (name, part) in zip(grid[:, 0], panels, strict=True):
        trained, timed = part[part["kind"] == "trained"], part[part["kind"] != "trained"]
        dots = trained[trained["fastest"].astype(bool)]
        rings = len(dots) < len(trained)
        axes.set_title(f"{name}; dots: {timings.way(dots.iloc[0])}" if rings and executed_alike(dots) else name)
        axes.set_xlabel("frames per second (logarithmic), more is better")
        if len(trained):
            low, high = part["fps_low"].min(), part["fps_high"].max()
            if target_fps:
                low, high = min(low, target_fps), max(high, target_fps)
            axes.set_xlim(low / (high / low) ** 0.06 / 1.02, high * (high / low) ** 0.2 * 1.02)
            log_axis(axes)
            if target_fps:
                axes.axvline(target_fps, color=TARGET, linewidth=1.2, linestyle="--", zorder=1)
            _trained_panel(axes, trained, most)
            waiting.append((axes, trained, timed))
        else:
            rates.panel(axes, timed, looks)
    below = _sizes(most) if waiting and np.isfinite(most) else []
    if any((~trained["fastest"].astype(bool)).any() for _, trained, _ in waiting):
        below.append(key("executed in a slower way", **RINGS))
    if below or looks:
        legend_below(figure, [*below, *rates.legend(looks)])
    if waiting:
        figure.draw_without_rendering()
    for axes, trained, timed in waiting:  # names come last, when it is known where everything is
        fastest = timed[timed["fastest"].astype(bool)]
        _ticks(axes, fastest, len(trained) <= NAMED)
        for row in trained.to_dict("records"):
            size = _area(row["params"], most) if row["fastest"] else RING
            tell(axes, row["fps"], row["mean"], said(row), max(RADIUS, size**0.5 / 2 + 2))
        for row in fastest.to_dict("records"):
            tell(axes, row["fps"], axes.get_ylim()[0], said(row))
        dots = trained[trained["fastest"].astype(bool)]
        dots = dots.assign(label=dots["network"] if executed_alike(dots) else dots["name"])
        points = [Point(row.fps, row.mean, row.label, INK) for row in named(dots).itertuples(index=False)]
        bold = tuple(dots.loc[dots["on_front"].astype(bool), "label"])
        name_apart(axes, points, trained[["fps", "mean"]].to_numpy(), size=8, bold=bold)
    return figure


def executed_alike(dots: pd.DataFrame) -> bool:
    """Whether all networks are shown as executed in one way, which their names then need not say."""
    return len(dots[WAY].drop_duplicates()) == 1


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


def said(row: Mapping[str, Any]) -> str:
    """What a point says to who points at it: the network, how it was executed, error and rate with intervals, its runs."""
    lines = [row["network"], timings.way(row)]
    if row["kind"] == "trained":
        lines.append(with_interval(BY_NAME[MEASURE].title, row["mean"], row["low"], row["high"]))
        if row["error_of"] != f"{row['engine']}, {row['precision']}":
            lines[-1] += f" (scored in {row['error_of']})"
    lines.append(with_interval("frames per second", row["fps"], row["fps_low"], row["fps_high"]))
    if np.isfinite(row["params"]):
        lines.append(f"{row['params'] / 1e6:.3g} · 10⁶ parameters")
    runs = of_runs(row["run_ids"].split())
    if row["kind"] == "trained":
        lines.append(runs)
    else:
        lines.append(
            "no finished run was trained with it" if row["kind"] == "timed" else "timed at another size than was scored"
        )
        lines[-1] += f"; weights of {runs}" if runs else ""
    return "\n".join(lines)


def _area(params: float, most: float) -> float:
    """Area of a dot in square points, in proportion to parameters but never too small to be seen; 40 if not known."""
    return max(9.0, 240 * params / most) if np.isfinite(params) else 40.0


def _trained_panel(axes: Axes, trained: pd.DataFrame, most: float) -> None:
    slower = trained[~trained["fastest"].astype(bool)]
    axes.scatter(slower["fps"], slower["mean"], s=RING, facecolor="none", edgecolor=BEHIND, linewidth=0.8, zorder=3)
    trained = trained[trained["fastest"].astype(bool)]
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


def _sizes(most: float) -> list[Line2D]:
    """A key to the dots' areas."""
    steps: list[float] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    reach = next((step for step in steps if step * 1e6 >= most), most / 1e6)  # the largest dot lies within the key
    shown = [*[step for step in steps if step < reach][-3:], reach]
    look = {"marker": "o", "linestyle": "", "color": BEHIND, "markeredgewidth": 0}
    return [key(f"{step:.3g} · 10⁶ parameters", markersize=_area(step * 1e6, most) ** 0.5, **look) for step in shown]


def _ticks(axes: Axes, timed: pd.DataFrame, room: bool) -> None:
    """Frame rates of what was only timed: named lines where there is room, else short marks on the axis."""
    if not room or len(timed) > NAMED:
        axes.vlines(timed["fps"], 0, 0.03, transform=axes.get_xaxis_transform(), color=MUTED, linewidth=1.0, zorder=0)
        return
    for fps in timed["fps"]:
        axes.axvline(fps, color=MUTED, linewidth=1.1, linestyle=(0, (1, 2)), zorder=0)
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [to_axes.transform((fps, 0))[0] - 0.012 for fps in timed["fps"]]
    for name, x in zip(timed["name"], apart(wanted, 0.021), strict=True):
        text = f"{shortened(name, 28)} (timed only)"  # no longer than a panel is high
        axes.text(
            x, 0.02, text, transform=axes.transAxes, rotation=90, ha="center", va="bottom", fontsize=8.5, color=MUTED
        )
