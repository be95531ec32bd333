"""The first screen: a box for each question."""

from __future__ import annotations

from reports import answers
from reports.document import Section
from reports.sections import PageSection, register

register(PageSection("answers", 4, lambda given: Section("answers", "In short", answers=answers.made(given))))
