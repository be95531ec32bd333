"""The questions of the page's first screen, one file each: from the store to an answer in a box, or what would answer it.

To add a box, register a question in a file that `WSSHM_PLUGINS` names (see `wsshm.plugins`), or put that file into this
folder under the question's name; no other file changes:

    from reports.answers import Question, register
    from reports.document import Answer
    from reports.sections import Given

    def answer(given: Given) -> Answer:
        hours = given.frames.runs["train_s"].sum() / 3600
        return Answer("hours", "How long did it take?", f"All runs took {hours:.1f} hours.", section="provenance")

    register(Question("hours", 40, answer))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.document import Answer
from reports.sections import Given
from wsshm.registry import Registry


@dataclass(frozen=True)
class Question:
    """A question of the first screen; `place` orders them, ours by tens."""

    name: str
    place: int
    answer: Callable[[Given], Answer]


QUESTIONS: Registry[Question] = Registry("question", "reports.answers")
register = QUESTIONS.register


def made(given: Given) -> list[Answer]:
    """The answers to all questions, in the order of the page."""
    return [each.answer(given) for each in sorted(QUESTIONS.entries(), key=lambda each: (each.place, each.name))]
