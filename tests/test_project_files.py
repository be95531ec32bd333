"""What others meet first: CHANGELOG.md, CONTRIBUTING.md, CITATION.cff, the extras, and links between documents."""

from __future__ import annotations

import datetime
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import wsshm
from tests.test_printed_commands import DOCUMENTS, ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
RELEASE = re.compile(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)$", re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
# Keys of the Citation File Format 1.2.0 that may stand in the file and in a reference.
REQUIRED = {"cff-version", "message", "title", "authors"}
OPTIONAL = {"abstract", "type", "version", "date-released", "license", "keywords", "references"}
IN_A_REFERENCE = {"type", "title", "authors", "scope", "year", "month", "identifiers", "url"}


def test_one_version_everywhere() -> None:
    newest = RELEASE.search(CHANGELOG)
    assert newest
    *numbers, day = newest.groups()
    assert ".".join(numbers) == wsshm.__version__ == CITATION["version"]
    assert datetime.date.fromisoformat(day) == CITATION["date-released"]


def test_the_changelog_has_the_form_it_names() -> None:
    releases = [tuple(map(int, found.groups()[:3])) for found in RELEASE.finditer(CHANGELOG)]
    days = [found[4] for found in RELEASE.finditer(CHANGELOG)]
    assert len(releases) == len(re.findall("^## ", CHANGELOG, re.MULTILINE))
    assert releases == sorted(releases, reverse=True)
    assert days == sorted(days, reverse=True)
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= KINDS


def test_the_citation_file_is_one_of_cff_1_2_0() -> None:
    assert REQUIRED <= CITATION.keys() <= REQUIRED | OPTIONAL
    assert (CITATION["cff-version"], CITATION["type"], CITATION["license"]) == ("1.2.0", "software", PROJECT["license"])
    [paper] = CITATION["references"]
    assert {"type", "title", "authors"} <= paper.keys() <= IN_A_REFERENCE
    assert paper["url"] == PROJECT["urls"]["Paper"]
    for author in [*CITATION["authors"], *paper["authors"]]:
        assert author.keys() in ({"name"}, {"family-names"})
        assert all(isinstance(name, str) for name in author.values())
    assert {author["name"] for author in CITATION["authors"]} == {author["name"] for author in PROJECT["authors"]}


def test_every_extra_is_told() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| .+ \| ([\d.,]+ [MG]B) \|$", CONTRIBUTING, re.MULTILINE))
    assert rows.keys() == PROJECT["optional-dependencies"].keys()


def commands() -> list[str]:
    """The commands that CONTRIBUTING.md gives, without their comments."""
    told = re.search(r"```bash\n(.+?)```", CONTRIBUTING, re.DOTALL)
    assert told
    return [re.sub(r" +#.*", "", line) for line in told[1].splitlines()]


def test_contributing_gives_the_commands_of_ci() -> None:
    first, *others = commands()
    assert first in (ROOT / "README.md").read_text().splitlines()
    checks = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in " && ".join(others).split(" && "):
        if not command.startswith(".venv/bin/pytest"):
            assert command in checks or command == "bash .ci/run"


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in commands() if line.startswith(".venv/bin/pytest")])
def test_pytest_takes_its_commands(command: str) -> None:
    _, *arguments = shlex.split(command)
    collect = [sys.executable, "-m", "pytest", *arguments, "-n", "0", "--collect-only", "-q"]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:]


def anchors(text: str) -> set[str]:
    """What links to headings end in, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "file", [file for file in DOCUMENTS if file.suffix == ".md"], ids=lambda file: str(file.relative_to(ROOT))
)
def test_links_lead_somewhere(file: Path) -> None:
    prose = re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = file.parent / path if path else file
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
