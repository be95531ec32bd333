"""The GPU's script on a CPU, in an environment without Ray: it runs to its end, so that a GPU's time is not wasted on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu import needed

ROOT = Path(__file__).resolve().parents[2]
ABSENT = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)"


@pytest.mark.slow
def test_it_runs_on_a_cpu_without_ray(tmp_path: Path) -> None:
    for name in (
        "ray",
        "grpc",
        "pycocotools",
        "webdataset",
        "imagehash",
        "av",
        "pymatting",
        "optuna",
        "moto",
    ):
        (tmp_path / "absent" / name).mkdir(parents=True)
        (tmp_path / "absent" / name / "__init__.py").write_text(ABSENT)
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(tmp_path / "absent"), "OUT": str(tmp_path)}
    command = [ROOT / "tests" / "gpu" / "run.sh", "--device", "cpu", "--quick"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    for count in (1, 2):
        assert re.search(
            rf"^ {count} loader processes: \d+ pictures a second, \d+% of that$", done.stdout, re.MULTILINE
        )
    assert [row["loader_workers"] for row in json.loads((tmp_path / "busy.json").read_text())["rows"]] == [1, 2]


def test_what_is_missing_is_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(needed.NEEDED, "no_such_module", "no-such-package")
    assert needed.main("cpu") == 2
    assert capsys.readouterr().err.startswith("missing: no-such-package; put their wheels into wheels/")


def test_an_unknown_option_is_refused() -> None:
    done = subprocess.run([ROOT / "tests" / "gpu" / "run.sh", "--fast"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "tests/gpu/run.sh takes --device cuda|cpu and --quick, not --fast\n"
