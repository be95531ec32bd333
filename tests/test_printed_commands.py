"""Every command that the suite's documents, plans and helps give is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from sweeps.door import app
from wsshm.console import UsageError
from wsshm.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
COMMAND: Any = typer.main.get_command(app)
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("*/*.md")),
    *sorted(ROOT.glob("wsshm/*/*.md")),
    *sorted(ROOT.glob("tests/*/*.md")),
    *sorted(ROOT.glob("reports/findings/*.yaml")),
    *sorted(ROOT.glob("sweeps/plans/*.yaml")),
    *sorted(ROOT.glob("sweeps/clusters/*")),
    *sorted(file for file in ROOT.glob("sweeps/examples/*") if file.is_file() and file.suffix != ".ipynb"),
]


def taken(text: str) -> None:
    """Parse a command as `wsshm` does, without running it; UsageError or UserError where it is not one.

    A name without arguments is only looked up.
    """
    name, *rest = shlex.split(text, comments=True)
    command: Any = COMMAND
    while hasattr(command, "commands"):
        context = command.make_context(name, list(rest), resilient_parsing=True)
        given, found, rest = *rest[:1], *command.resolve_command(context, rest)[1:]
        if found is None:
            raise UserError(f"there is no {name} {given}")
        name, command = given, found
        if not rest:
            return
    with command.make_context(name, list(rest)):
        pass


def written(file: Path) -> Iterator[str]:
    """The commands of a file: lines of code that start with `wsshm`, comments of YAML too, and inline code."""
    text = re.sub(r" *\\\n#?\s*", " ", file.read_text())
    for line in text.splitlines():
        for part in re.split(r" && | \|\| ", re.sub(r"^#?\s*(\S+/)?(?=wsshm )", "", line)):
            if part.startswith("wsshm "):
                yield part.partition(" > ")[0]
    # Inline code with brackets or dots stands for several commands.
    inline = re.findall(r"`(wsshm [^`\n]+)`", text)
    yield from (code.partition(" > ")[0] for code in inline if not re.search(r"\[|\.\.\.|\|", code))


def examples(command: Any) -> Iterator[str]:
    """The examples in the help of every command below a group."""
    if not hasattr(command, "commands"):
        yield re.search(r"Example: (wsshm .+)", command.help)[1].partition(" > ")[0]  # type: ignore[index]
    for name in getattr(command, "commands", {}):
        context = command.make_context("wsshm", [name], resilient_parsing=True)
        yield from examples(command.resolve_command(context, [name])[1])


def test_every_example_of_a_help_is_taken() -> None:
    found = list(examples(COMMAND))
    assert len(found) > 25
    for example in found:
        taken(example)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_of_a_document_is_taken(file: Path) -> None:
    for command in written(file):
        try:
            taken(command)
        except (UsageError, UserError) as error:
            raise AssertionError(f"{file.name}: {command}: {error}") from error


def test_what_is_no_command_is_found() -> None:
    assert len(list(written(ROOT / "wsshm" / "README.md"))) > 8
    for wrong in ("wsshm sweep rum quickstart", "wsshm run quickstart", "wsshm report table STORE --agianst joint"):
        with pytest.raises((UsageError, UserError)):
            taken(wrong)
