"""How to blend: the method to train, by the verdicts on one test set, and what the others say of it."""

from __future__ import annotations

import pandas as pd

from bench.statistics import NOT_SIGNIFICANT
from reports import choice, printed
from reports.agreement import BETTER, WORSE
from reports.answers import Question, register
from reports.averages import seeds_of
from reports.choice import Choice
from reports.comparison import Comparison
from reports.document import Answer, Picture, between, counted, listed, network_name, number
from reports.figures import box_blend as figure
from reports.load import Frames
from reports.sections import Given
from reports.sections.methods import unscored
from wsshm.methods import described

QUESTION = "How to blend?"
NAME = "blend"
NAMED = 3  # methods or test sets in one line
TOLD = ("threshold", "band")  # settings of a blend


def answer(given: Given) -> Answer:
    """The method to train, and whether it blends; where no two were compared, what would compare them."""
    frames, seed_of = given.frames, seeds_of(given.frames.runs.set_index("run_id"))
    groups = choice.groups(given.comparisons, frames.runs)
    networks = max(map(len, groups), default=0)
    found = next((made for group in groups if (made := choice.choose(group[0], seed_of))), None)
    if found is None:
        return _unanswered(frames, [group[0] for group in groups])
    others = choice.elsewhere(found, given.comparisons, seed_of)
    frame = figure.data(found, others)
    name = found.head["method"]
    caption = (
        f"How much higher the error (SAD) of each method is than that of {name}; bars: 95 % intervals of the paired "
        "differences, which hold together."
    )
    picture = Picture("answer-blend", QUESTION, caption, figure.draw(frame), frame)
    text, why = _answer(found, frames)
    return Answer(
        NAME, QUESTION, text, " ".join([why, *_warning(others)]), _sure(found, others, networks), picture, "methods"
    )


def _answer(found: Choice, frames: Frames) -> tuple[str, str]:
    """The recommendation, and its reason."""
    name, rows = found.head["method"], found.rows
    alike = rows[rows["verdict"] == NOT_SIGNIFICANT]
    plain = rows[[not choice.blends(label) for label in rows["label"]]]
    if choice.blends(name):
        recipe = _recipe(found, found.cell, frames, settings=True)
        tied = plain[plain["verdict"] == NOT_SIGNIFICANT]
        text = f"Not decided, but {recipe} has the lowest error." if len(tied) else f"Blend: train {recipe}."
    else:
        tied = plain.head(0)
        blend = "No blend" if len(plain) < len(rows) else "No method that was trained blends"
        text = f"{blend}: train {name} ({described(name).about})."
    if found.best != found.cell:
        best = rows.set_index("cell").loc[found.best]
        beside = f"The error of {_recipe(found, found.best, frames)} is {_beside(best)}"
        return text, f"{beside}, which is no significant difference, and {name} is simpler."
    if len(tied):
        row = tied.iloc[0]
        return text, f"That of {row['label']}, without a blend, is {_beside(row)}, which is no significant difference."
    if choice.blends(name):
        if plain.empty:
            return text, "It has the lowest error; no method without a blend was trained."
        row = plain.iloc[0]
        return (
            text,
            f"The best method without a blend, {row['label']}, has an error {_beside(row)}, a significant difference.",
        )
    if alike.empty:
        return text, "Its error is the lowest, by a significant difference."
    verb = "is" if len(alike) == 1 else "are"
    return text, f"Its error is the lowest; {listed(alike['label'], NAMED)} {verb} not significantly different."


def _beside(row: pd.Series) -> str:
    """How far an error is from that of the chosen method: of the seeds that both have, so either may be the lower one."""
    return f"{number(abs(row['percent']), 1)} % {'higher' if row['percent'] >= 0 else 'lower'}"


def _recipe(found: Choice, cell: int, frames: Frames, settings: bool = False) -> str:
    """A cell's method; of one that blends also in how many stages and, if asked for, with which settings."""
    head = found.comparison.heads.loc[cell]
    if not choice.blends(head["method"]):
        return str(head["method"])
    own = choice.settings_of(frames.runs, head["run_ids"])
    stages = {"average": " in one stage", "stage": " in two stages"}.get(str(own.get("teacher")), "")
    told = [f"{key} {own[key]:g}" for key in TOLD if isinstance(own.get(key), int | float)]
    return f"{head['method']}{stages}{f' ({listed(told)})' if told and settings else ''}"


def _warning(others: list[Choice]) -> list[str]:
    """Where another test set contradicts."""
    better = {other.comparison.ground["dataset"]: other.names(BETTER) for other in others if other.names(BETTER)}
    if not better:
        return []
    names = listed(next(iter(better.values())), NAMED) if len(better) == 1 else "other methods"
    verb = "are" if len(better) > 1 or len(next(iter(better.values()))) > 1 else "is"
    return [f"On {listed(better, NAMED)}, though, {names} {verb} significantly better."]


def _sure(found: Choice, others: list[Choice], networks: int) -> list[str]:
    """What is and is not significantly different from the chosen method, on every test set, and what that rests on."""
    name, said = found.head["method"], []
    if alike := found.names(NOT_SIGNIFICANT):
        rows = found.rows[found.rows["verdict"] == NOT_SIGNIFICANT].to_dict("records")
        told = listed([f"{row['label']} ({_change(row)})" for row in rows], NAMED)
        said.append(f"No significant difference from {name}: {told}.")
    if worse := found.names(WORSE):
        nearest = found.rows[found.rows["verdict"] == WORSE].iloc[0].to_dict()
        told = listed([f"{nearest['label']} ({_change(nearest)})", *worse[1:]], NAMED + 2)
        said.append(f"Significantly worse: {told}.")
    agreeing = []
    for other in others[:NAMED]:
        title, rows = other.comparison.ground["dataset"], other.rows.to_dict("records")
        better = [row for row in rows if row["verdict"] == BETTER]
        behind = [row for row in rows if row["verdict"] == WORSE and row["label"] in alike]
        if better:
            told = listed([f"{row['label']} ({_change(row)})" for row in better], NAMED)
            said.append(f"Test sets disagree: on {title} the error is lower with {told}.")
        elif behind:
            told = listed([f"{row['label']} ({_change(row)})" for row in behind], NAMED)
            said.append(f"On {title} none is significantly better either; {told} {_is(behind)} significantly worse.")
        else:
            agreeing.append(title)
    if agreeing:
        said.append(f"On {listed(agreeing)} none is significantly better either.")
    seeds = printed.seeds([found.head["seeds"]])
    said.append(f"From {found.comparison.pictures}, {seeds}, {found.budget}.")
    if networks > 1:
        own = network_name(f"{found.comparison.network['architecture']} over {found.comparison.network['backbone']}")
        said.append(f"Of {networks} networks this is about {own}; the section has the others.")
    return said


def _is(rows: list[dict]) -> str:
    return "is" if len(rows) == 1 else "are"


def _change(row: dict) -> str:
    """A difference in percent with its interval."""
    return f"{number(row['percent'], 1, sign=True)} %, {between(row['low'], row['high'], 1, sign=True)}"


def _unanswered(frames: Frames, mains: list[Comparison]) -> Answer:
    if not mains:
        said = unscored(frames, "No finished run was scored", to=printed.ANSWER)
        text, _, remedy = said.partition(". ")
        return Answer(NAME, QUESTION, f"{text.rstrip('.')}.", remedy=remedy)
    if all(len(comparison.images) < 2 for comparison in mains):
        text = "This store cannot say: one image was scored, so no difference has a verdict."
        return Answer(
            NAME, QUESTION, text, remedy="Score finished models on more: `wsshm bench accuracy --help` says how."
        )
    methods = list(dict.fromkeys(mains[0].shown(own=True)["method"]))
    text = f"This store cannot say: {listed(methods)} alone was trained, and there is nothing to compare it with."
    if len(methods) != 1:
        text = f"This store cannot say: {counted(len(methods), 'method')} were trained, no two with the same labels."
    command = printed.fill("methods", frames)
    return Answer(NAME, QUESTION, text, remedy=printed.to_answer(command, "train joint and mlb with the same labels"))


register(Question(NAME, 20, answer))
