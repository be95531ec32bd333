"""The reports' commands as people give them, and manifests to give them."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from reports.__main__ import main
from wsshm.data.manifest import Manifest, Sample


class Said(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def reports(*arguments: object) -> Said:
    """`python -m reports ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reports", *map(str, arguments)])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main()
    return Said(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def mistake(*arguments: object) -> str:
    """The one sentence that a command refuses with."""
    said = reports(*arguments)
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


def rows(text: str) -> list[dict[str, str]]:
    """A CSV's rows."""
    return list(csv.DictReader(io.StringIO(text)))


def pictured(path: Path, attributes: Iterable[dict[str, str]], name: str = "test-{:04d}") -> Path:
    """A manifest of test pictures without files, with these attributes."""
    samples = [
        Sample(name.format(index), "test", "photo", "natural", image=f"{index}.png", attributes=own)
        for index, own in enumerate(attributes)
    ]
    return Manifest(path.parent, samples).write(path)
