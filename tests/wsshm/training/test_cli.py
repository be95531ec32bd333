"""`wsshm train`: one model from a file, found again, and one sentence for a mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.wsshm import tiny
from wsshm.cli import app
from wsshm.models.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    document = tiny.config(tiny.make(tmp_path / "data"), "joint").model_dump(mode="json")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "run.yaml"


def test_it_trains_and_finds_it_trained(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        result = CliRunner().invoke(app, ["train", str(config), "--out", str(out), "--set", "train.steps=2"])
        assert result.exit_code == 0, result.output
        assert result.stdout.strip().endswith(str(out / "model"))
    assert load_model(out / "model")[1].method == "joint"
    assert len(list((out / "stages").glob("*/final"))) == 1
    assert not (out / "progress.json").exists()


def test_a_mistake_is_exit_status_2_and_one_sentence(config: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "wsshm",
        "train",
        str(config),
        "--out",
        str(tmp_path / "o"),
        "--set",
        "train.bacth=3",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "'batch'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
