"""The log of public reports names tests that exist, and each report once."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROW = re.compile(r"^\| (?P<report>[\w.-]+/[\w.-]+#\d+) \|.*\| (?P<done>held|mended)[^|]* \| `(?P<test>test_\w+)` \|$")


def test_every_report_is_held_by_a_test_that_exists() -> None:
    rows = [line for line in (TESTS / "public_reports.md").read_text().splitlines() if "#" in line and line[0] == "|"]
    found = [match for line in rows if (match := ROW.match(line))]
    assert len(found) == len(rows) >= 40
    assert len({match["report"] for match in found}) == len(rows)
    defined = set(re.findall(r"^def (test_\w+)", "\n".join(f.read_text() for f in TESTS.rglob("test_*.py")), re.M))
    assert [match["test"] for match in found if match["test"] not in defined] == []
