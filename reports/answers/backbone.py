"""Which backbone to ship: by error and the frame rate that is held, as the section on backbones advises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bench.statistics import NOT_SIGNIFICANT
from reports import choice, printed, shipping
from reports.answers import Question, register
from reports.choice import CLOSE, MEASURE
from reports.comparison import Comparison
from reports.document import Answer, Picture, between, counted, decimals, network_name, number
from reports.figures import box_networks as figure
from reports.figures import speed
from reports.per_image import paired_differences
from reports.sections import Given, backbones

QUESTION = "Which backbone to ship?"
NAME = "backbone"
FRONT = 3  # networks of a front that are named one by one
NAMED = 5  # networks of a figure that are all named


@dataclass(frozen=True)
class Advice:
    """Of one test set's networks what to ship: `part` are all (`shipping.candidates`), `best` the front, or those that hold
    the rate, the one to ship first; `above` is how far the error of the fastest of the front lies above the lowest.
    """

    group: list[Comparison]
    part: pd.DataFrame
    best: pd.DataFrame
    target_fps: float | None
    above: dict[str, float | str] | None

    @property
    def prefers_fastest(self) -> bool:
        """Whether speed costs nothing that can be measured."""
        near = self.above is not None and float(self.above["percent"]) <= CLOSE
        return near and self.above is not None and self.above["verdict"] == NOT_SIGNIFICANT

    @property
    def short(self) -> str:
        """What to ship, in a clause."""
        if self.target_fps:
            if self.best.empty:
                return f"none holds {self.target_fps:g} frames per second"
            return f"ship {self.best.iloc[0]['name']}"
        first, last = self.best.iloc[0], self.best.iloc[-1]
        if len(self.best) == 1 or self.prefers_fastest:
            return f"ship {last['name']}"
        return f"{first['name']} has the lowest error, {last['name']} is the fastest"


def answer(given: Given) -> Answer:
    """The network to ship at the frame rate asked for, else up to which rate which one."""
    groups = choice.groups(given.comparisons, given.frames.runs)
    found = [made for group in groups if (made := _advice(group, given))]
    if not found:
        return _unanswered(given, groups)
    first, *others = found
    shown = first.best.head(1) if first.target_fps else first.best
    named = [*dict.fromkeys([*shown["name"].head(1), *shown["name"].tail(1)])]
    if first.best.empty:
        named = [first.part.loc[first.part["fps"].idxmax(), "name"]]
    if first.part["name"].nunique() <= NAMED:
        named = [*dict.fromkeys([*named, *first.part["name"]])]
    frame = figure.data(first.part, shipping.best_by_rate(first.part), named, given.target_fps)
    caption = (
        "SAD over the rate that is held, the lower end of its 95 % interval,"
        f" {first.part['panel'].iloc[0]}; the steps join the networks that none beats."
    )
    if len(set(first.part["architecture"])) > 1:
        caption += f" Where no decoder is named it is {network_name(first.part['architecture'].mode()[0])}."
    if given.target_fps:
        caption += f" Dashed: {given.target_fps:g} frames per second."
    picture = Picture("answer-backbone", QUESTION, caption, figure.draw(frame), frame)
    text, why = _answer(first)
    return Answer(NAME, QUESTION, text, why, _sure(first, others, given), picture, "speed")


def _advice(group: list[Comparison], given: Given) -> Advice | None:
    part = shipping.candidates(speed.data(group, given.frames.speed, given.frames.executed))
    if part.empty:
        return None
    front = shipping.best_by_rate(part)
    best = shipping.holding(part, given.target_fps) if given.target_fps else front
    above = _above(group, front) if len(front) > 1 else None
    return Advice(group, part, best, given.target_fps, above)


def _above(group: list[Comparison], front: pd.DataFrame) -> dict[str, float | str] | None:
    """How far the error of the fastest network lies above the lowest, in percent, image by image."""
    if (front["error_of"] != speed.EAGER).any():  # means that have no values by image here
        return None
    cells = {cell["network"]: cell for cell in speed.trained(group)}
    fast, exact = (cells[front.iloc[place]["network"]] for place in (-1, 0))
    sides = [
        group[cell["comparison"]].values(MEASURE)[cell["run_ids"]].mean(axis=1, skipna=False) for cell in (fast, exact)
    ]
    row = paired_differences([(sides[0], sides[1])]).iloc[0]
    if not row["images"] or not math.isfinite(row["low"]) or not row["b"]:
        return None
    scale = 100 / row["b"]
    percents = {"percent": "difference", "low": "low", "high": "high"}
    return {name: scale * row[of] for name, of in percents.items()} | {"verdict": row["verdict"]}


def _answer(found: Advice) -> tuple[str, str]:
    """The recommendation, and its reason."""
    part, best, networks = found.part, found.best, found.part["network"].nunique()
    if found.target_fps:
        target = f"{found.target_fps:g} frames per second"
        if best.empty:
            fastest = part.loc[part["fps"].idxmax()]
            why = f"The fastest is {fastest['name']}. {_measured(fastest, part)}."
            return f"None of the {networks} networks holds {target}.", why
        holding = best["network"].nunique()
        why = f"Of the {holding} networks that hold {target} it has the lowest error."
        if holding == 1:
            why = f"Of {networks} networks it alone holds {target}."
        return f"Ship {best.iloc[0]['name']}.", why
    last = best.iloc[-1]
    if len(best) == 1:
        return f"Ship {last['name']}.", f"Of {networks} networks it is the fastest and has the lowest error."
    if found.prefers_fastest:
        why = f"It is the fastest of {networks} networks, and its error is not significantly above the lowest."
        return f"Ship {last['name']}.", why
    return "It depends on the frame rate that you must hold.", ""


def _sure(first: Advice, others: list[Advice], given: Given) -> list[str]:
    """Errors and rates with their intervals, whether speed costs accuracy, and what other test sets say."""
    best, said = first.best, []
    if first.target_fps:
        said += [f"{_measured(row, first.part)}." for _, row in best.head(1).iterrows()]
    else:
        shown = best if len(best) <= FRONT else best.iloc[[0, -1]]
        for _, row in shown.iterrows():
            said.append(f"Up to {_held(row)} frames per second: {row['name']}, SAD {_error(row, first.part)}.")
        if len(best) > FRONT:
            said.insert(1, f"{counted(len(best) - 2, 'other')} between them.")
    if first.above and not first.target_fps:
        interval = between(float(first.above["low"]), float(first.above["high"]), 1, sign=True)
        percent = number(float(first.above["percent"]), 1, sign=True)
        what = "no significant difference" if first.above["verdict"] == NOT_SIGNIFICANT else "a significant difference"
        said.append(f"The error of the fastest compared with the lowest: {percent} % ({interval}), {what}.")
    for other in others[:FRONT]:
        also = ", too" if other.short == first.short else ""
        said.append(f"On {other.group[0].ground['dataset']}{also}: {other.short}.")
    seeds = printed.seeds([cell["seeds"] for cell in speed.trained(first.group)])
    said.append(f"From {first.group[0].pictures}, {seeds}; rates {first.part['panel'].iloc[0]}.")
    if not first.target_fps and len(best) > 1:
        command = f"wsshm report build {printed.store(given.frames)} --out report --target-fps 30"
        said.append(f"For a rate of your own: {command}")
    return said


def _measured(row: pd.Series, part: pd.DataFrame) -> str:
    """A network's error and rate, each with its interval."""
    rates = between(row["fps_low"], row["fps_high"], decimals([row["fps"]]))
    rate = f"{number(row['fps'], decimals([row['fps']]))} frames per second{f' ({rates})' if rates else ''}"
    return f"SAD {_error(row, part)} thousand pixels at {rate}"


def _error(row: pd.Series, part: pd.DataFrame) -> str:
    places = decimals(part["mean"])
    interval = between(row["low"], row["high"], places)
    return f"{number(row['mean'], places)}{f' ({interval})' if interval else ''}"


def _held(row: pd.Series) -> str:
    return f"{math.floor(row['fps_low']):,}"


def _unanswered(given: Given, groups: list[list[Comparison]]) -> Answer:
    """What is lacking: timings, timings of the scored size, or a second network."""
    frames = given.frames
    if frames.speed.empty and groups:
        remedy = backbones.section(frames, given.comparisons).missing.partition(": ")[2]
        return Answer(NAME, QUESTION, "This store cannot say: nothing was timed.", remedy=printed.to_answer(remedy, ""))
    networks = max((len(speed.trained(group)) for group in groups), default=0)
    if networks > 1 and (said := backbones.apart(frames, groups[:1])):
        text = "This store cannot say: its networks were not timed at the size that was scored."
        return Answer(NAME, QUESTION, text, remedy=said[0], section="speed")
    trained = "one network was trained" if networks else "no network was trained and scored"
    command = printed.fill("backbones", frames)
    remedy = printed.to_answer(command, "train a second network with the same labels")
    section = "speed" if len(frames.speed) else ""
    return Answer(NAME, QUESTION, f"This store cannot say: {trained}.", remedy=remedy, section=section)


register(Question(NAME, 30, answer))
