"""Backbones by frame rate and error: the Pareto front, the best of the rest, and all that was timed."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from reports import printed, shipping, tables, timings
from reports.comparison import GROUNDS, Comparison, by_ground, ground_titles
from reports.document import (
    ABSENT,
    Cell,
    Column,
    Picture,
    Section,
    Table,
    counted,
    decimals,
    listed,
    numbers,
    ranged,
    texts,
)
from reports.figures import speed as figure
from reports.load import Frames
from reports.sections import PageSection, register

BEST = 12  # networks behind the front that the table shows, by their error
WAYS = 4  # columns of rates: of more, those end to end alone
TIMINGS = 30  # rows of the table of timings
TIME = "wsshm bench speed --sizes 512"  # for a store without runs


def section(frames: Frames, comparisons: list[Comparison], target_fps: float | None = None) -> Section:
    """The figure and tables of every ground; timings alone where nothing was trained.

    `target_fps` is the frame rate to be held: what holds it is marked.
    """
    result = Section("speed", "Backbones: frame rate against error", missing="")
    if frames.speed.empty:
        result.missing = printed.missing("Nothing was timed", _command(frames, comparisons))
        return result
    groups = by_ground(comparisons)
    usable = [group for group in groups if figure.shared(group) is not None] or groups[:1] or [[]]
    if said := timings.unused(frames.speed):
        result.text.append(said)
    if not (frames.speed["status"] == "ok").any():
        result.text[0] += f" Time them again with nothing else running: `{_command(frames, comparisons)}`"
    result.text += apart(frames, usable[:GROUNDS])
    front: set[str] = set()
    advised = False
    for index, group in enumerate(usable[:GROUNDS]):
        frame = figure.data(group, frames.speed, frames.executed)
        trained = frame[frame["kind"] == "trained"]
        if index:  # rates alone stand in the first figure
            frame = frame[frame["panel"].isin(trained["panel"])]
        if frame.empty:
            continue
        name = f"-{index + 1}" if index else ""
        where = f"On {ground_titles(usable)[index]}, " if len(usable) > 1 else ""
        advice = [where + said if where else said[0].upper() + said[1:] for said in shipping.advice(frame, target_fps)]
        result.text += advice
        advised |= bool(advice)
        result.blocks.append(_picture(f"speed{name}", group, frame, target_fps))
        if len(set(trained["network"])) > 1:
            result.blocks.append(_front_table(f"backbones{name}", trained, target_fps))
        front |= set(trained.loc[trained["on_front"].astype(bool), "backbone"])
    if target_fps and not advised:
        result.text.append(
            f"Which network to ship at {target_fps:g} frames per second cannot be said: that takes at least two trained"
            " networks, timed at the size that was scored."
        )
    result.blocks.append(tables.speed(frames.speed, TIMINGS, front))
    return result


def apart(frames: Frames, groups: list[list[Comparison]]) -> list[str]:
    """What of the errors and the store's rates is not of one input, and the commands that would time it."""
    sets: dict[str, list[str]] = {}  # what holds for several test sets is said once
    for group in groups:
        if said := _apart(frames, group):
            sets.setdefault(said, []).append(group[0].ground["dataset"])
    return [said.format(sets=listed(dict.fromkeys(names))) for said, names in sets.items()]


def _apart(frames: Frames, group: list[Comparison]) -> str:
    """The same of one ground, with `{sets}` where its name belongs."""
    cells = figure.trained(group)
    timed = timings.usable(frames.speed)
    if not cells or timed.empty:
        return ""
    protocol = group[0].ground["protocol"]
    same = timings.matches(timed, protocol)
    own, others = timed[same], timed[[not match for match in same]]
    known = set(zip(own["architecture"], own["backbone"], strict=True)) | set(own["run_id"].dropna())
    lacking = [
        cell
        for cell in cells
        if (cell["architecture"], cell["backbone"]) not in known and known.isdisjoint(cell["run_ids"])
    ]
    said = []
    if len(others):
        said.append(
            f"Rates at {timings.sizes(others)} are not on one axis with errors: on {{sets}} these were measured at protocol "
            f"{_literal(protocol)}."
        )
    side = re.fullmatch(r"short(\d+)", protocol)
    if lacking and side:
        many = counted(len(lacking), "trained network")
        verb = "was" if len(lacking) == 1 else "were"
        commands = _literal(printed.several(printed.timing(frames, lacking, int(side[1]))))
        said.append(f"{many} {verb} not timed at the size that was scored on {{sets}}; to do so: {commands}.")
    elif lacking:
        said.append(
            "No timing is of that input, as its pictures have any size; score the models at the size that was timed "
            "(`wsshm bench accuracy --help`)."
        )
    return " ".join(said)


def _literal(text: str) -> str:
    """Text that `str.format` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _command(frames: Frames, comparisons: list[Comparison]) -> str:
    """`wsshm bench speed` of the trained networks at the size that was scored."""
    group = next((group for group in by_ground(comparisons) if figure.trained(group)), [])
    side = re.fullmatch(r"short(\d+)", group[0].ground["protocol"]) if group else None
    if side is None:
        return f"{TIME} --store {printed.store(frames)}"
    return printed.timing(frames, figure.trained(group), int(side[1]))[0]


def _picture(name: str, group: list[Comparison], frame: pd.DataFrame, target_fps: float | None) -> Picture:
    trained, timed, elsewhere = (frame[frame["kind"] == kind] for kind in ("trained", "timed", "apart"))
    parts, title = [], "timed models"
    chosen = figure.shared(group)
    if chosen is not None and len(trained):
        ground = group[0].ground
        title = f"{ground['dataset']}, {chosen}"
        settings = f" ({chosen.settings})" if chosen.settings else ""
        networks = trained["network"].nunique()
        seeds = sorted(set(trained["seeds"]))
        parts.append(
            f"{counted(networks, 'network')} trained as {chosen}{settings}, scored on {ground['dataset']} (protocol "
            f"{ground['protocol']}), {f'{seeds[0]:.0f} to ' if len(seeds) > 1 else ''}"
            f"{counted(int(seeds[-1]), 'seed')} each; frame rate as timed under the conditions above each "
            "panel, batch 1. Bars are 95 % intervals, of the error over images and of the median time. Joined by steps: the "
            "Pareto front, where none is both faster and more accurate. The area of a dot is in proportion to parameters."
        )
        if not trained["fastest"].all():
            parts.append("Rings: slower ways of execution of the same networks.")
        parts += _errors_of(trained)
        if target_fps:
            parts.append(f"Dashed: {target_fps:g} FPS, the rate to be held.")
        if left := len(group) - networks:
            parts.append(
                f"{counted(left, 'network')} without these labels, or not timed at the scored size, "
                f"{'is' if left == 1 else 'are'} left out."
            )
        if networks > figure.FRONT_NAMED + figure.OTHERS_NAMED:
            others = "" if networks > figure.CROWDED else " and the most accurate behind it"
            parts.append(f"Named: the front (bold){others}, where there is room.")
    if panels := set(timed["panel"]) & set(trained["panel"]):
        marks = timed.loc[timed["panel"].isin(panels), "network"].nunique()
        parts.append(
            f"Dotted lines or short marks on the axis: {counted(marks, 'model')} timed, that no finished run was trained with."
        )
    if set(frame["panel"]) - set(trained["panel"]):
        both = (elsewhere, "timed at another size than was scored"), (timed, "never trained")
        kinds = [words for part, words in both if len(part)]
        parts.append(f"Panels without an error axis are of models {' or '.join(kinds)}: rates alone.")
    return Picture(name, title, " ".join(parts), figure.draw(frame, target_fps), frame)


def _errors_of(trained: pd.DataFrame) -> list[str]:
    """What executed the networks when they were scored, where they were timed in other engines or precisions too."""
    if (trained["engine"] + ", " + trained["precision"]).eq(figure.EAGER).all():
        return []
    as_timed = trained[trained["error_of"] != figure.EAGER]
    said = "Errors are of eager PyTorch in fp32"
    if len(as_timed):
        said += f", but for {counted(len(as_timed), 'dot')} whose network was scored as it was timed (without a bar)"
    return [
        f"{said}; `wsshm bench accuracy --help` says how a network is scored in the engine and precision that was timed."
    ]


def _front_table(name: str, trained: pd.DataFrame, target_fps: float | None) -> Table:
    """A row per network that is on a front, or among the most accurate behind; the frame holds all."""
    conditions = list(dict.fromkeys(zip(trained["scope"], trained["setting"], strict=True)))
    if len(conditions) > WAYS:
        conditions = [each for each in conditions if each[0] == "end to end"] or conditions
    eager_first = trained.iloc[np.argsort(trained["error_of"] != figure.EAGER, kind="stable")]
    once = eager_first.drop_duplicates("network").set_index("network").sort_values("mean", kind="stable")
    on_front = trained[trained["on_front"].astype(bool)]
    best = once.index[once.index.isin(on_front["network"])]
    behind = once.index[~once.index.isin(on_front["network"])][:BEST]
    places = decimals(trained["mean"])
    rates = {key: part.set_index("network") for key, part in trained.groupby(["scope", "setting"], sort=False)}
    digits = {key: decimals(part["fps"]) for key, part in rates.items()}
    fronts = set(zip(on_front["scope"], on_front["setting"], on_front["network"], strict=True))

    def rate(condition: tuple[str, str]) -> Column:
        def show(row: dict) -> Cell:
            if row["network"] not in rates[condition].index:
                return ABSENT
            own = rates[condition].loc[row["network"]]
            bold = "best" if (*condition, row["network"]) in fronts else ""
            return ranged(own["fps"], own["fps_low"], own["fps_high"], digits[condition], tone=bold)

        scope, setting = condition
        return Column(f"FPS ↑, {scope}", show, True, group=setting)

    columns = [
        texts("network"),
        numbers("SAD ↓", "mean", places, "10³ px", interval=("low", "high")),
        *(numbers("params", places=1, unit="10⁶", scale=1e-6), numbers("seeds"), *map(rate, conditions)),
    ]
    if target_fps:
        columns.insert(1, _holds(trained, target_fps))
    records = once[once.index.isin([*best, *behind])].reset_index().to_dict("records")
    caption = "Bold: on the Pareto front of that column's conditions. Below means and medians, their 95 % intervals."
    if len(conditions) < trained[["scope", "setting"]].drop_duplicates().shape[0]:
        caption += " Rates of the model alone are in the CSV."
    if len(records) < len(once):
        caption += (
            f" {len(records)} of {counted(len(once), 'network')}: all that are on a front, and the most accurate behind; "
            "the rest is in the CSV."
        )
    return Table(name, caption, columns, trained.reset_index(drop=True), records)


def _holds(trained: pd.DataFrame, target_fps: float) -> Column:
    """By which engines (and precisions other than fp32) a network holds a frame rate, where advice is about it."""
    timed = shipping.compared(trained)
    ways: dict[str, list[str]] = {network: [] for network in timed["network"]}
    for row in timed[timed["fps_low"] >= target_fps].to_dict("records"):
        ways[row["network"]].append(
            row["engine"] if row["precision"] == "fp32" else f"{row['engine']} {row['precision']}"
        )

    def show(row: dict) -> Cell:
        if row["network"] not in ways:
            return ABSENT
        held = listed(dict.fromkeys(ways[row["network"]]))
        return Cell(f"by {held}" if held else "no")

    return Column(f"holds {target_fps:g} FPS", show)


register(PageSection("backbones", 60, lambda given: section(given.frames, given.comparisons, given.target_fps)))
