"""A measure from outside the package: one file, no list touched, from scores to report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.store import Store
from wsshm import plugins
from wsshm.data.pictures import read_matte, write_png
from wsshm.errors import UserError
from wsshm.measures import MEASURES, Measure, register

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("softness.py")


def wsshm(*arguments: object, file: Path | None = FILE) -> str:
    """What a command prints, in a process of its own that knows the measure."""
    environment = {name: value for name, value in os.environ.items() if name != plugins.VARIABLE} | {"COLUMNS": "160"}
    if file:
        environment[plugins.VARIABLE] = str(file)
    command = [sys.executable, "-m", "wsshm", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labels, one without a fractional pixel, and two sets of predictions."""
    place, rng = tmp_path_factory.mktemp("mattes"), np.random.default_rng(0)
    for name in "abc":
        label = np.clip(np.linspace(-3, 4, 48) + rng.normal(0, 0.1, (40, 48)), 0, 1)
        label = np.round(label) if name == "c" else label
        for folder, alpha in (("labels", label), ("ours", label**2), ("theirs", np.clip(label + 0.1, 0, 1))):
            write_png(place / folder / f"{name}.png", np.round(alpha * 255).astype(np.uint8))
    return place


@pytest.mark.slow
def test_from_scores_to_report(folders: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("ours", "theirs"):
        options = ("--labels", folders / "labels", "--name", name, "--store", store, "--out", tmp_path / f"{name}.csv")
        said = wsshm("bench", "evaluate", "--predictions", folders / name, *options)
        assert "Softness ↓" in said
        assert "\nSoftness: difference of the mean of alpha (1 - alpha)\n" in said
    rows = pd.read_csv(tmp_path / "ours.csv").set_index("image")
    for name in "abc":
        matte, label = (read_matte(folders / folder / f"{name}.png").astype(float) for folder in ("ours", "labels"))
        boundary, softer = (label > 0.05) & (label < 0.95), matte * (1 - matte) - label * (1 - label)
        assert rows.loc[name, "softness"] == pytest.approx(abs(softer.mean()), rel=1e-5)
        if name == "c":
            assert pd.isna(rows.loc[name, "softness_boundary"])
        else:
            assert rows.loc[name, "softness_boundary"] == pytest.approx(abs(softer[boundary].mean()), rel=1e-5)

    board = wsshm("report", "table", store, "--measure", "softness")
    assert "Softness" in board
    wsshm("report", "build", store, "--out", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Softness" in page
    assert f"{1e3 * rows['softness'].mean():.1f}" in page

    wsshm("report", "build", store, "--out", tmp_path / "without", file=None)  # elsewhere, without the file
    without = (tmp_path / "without" / "index.html").read_text()
    assert "Softness" not in without
    assert "Left out: the scores&#39; softness, as no measure known here has that name" in without.replace("'", "&#39;")
    with pytest.raises(
        AssertionError, match=r"no measure 'softness'; valid choices are .* \(WSSHM_PLUGINS adds more\)"
    ):
        wsshm("report", "table", store, "--measure", "softness", file=None)
    assert len(Store(store).read("scores")) == 2 * 3 * 5


def test_mistakes_are_said() -> None:
    with pytest.raises(UserError, match="there is a measure 'sad' already"):
        register(Measure("sad", "SAD", "something else"))
    with pytest.raises(UserError, match="a measure's name is that of a column"):
        register(Measure("Mean Error", "ME", "no column"))
    with pytest.raises(UserError, match="not defined over 'unknown'; its regions are"):
        register(Measure("bias", "Bias", "square of the mean error", further=("unknown",)))
    with pytest.raises(UserError, match="the measure bias has no value; give it value=FUNCTION"):
        register(Measure("bias", "Bias", "square of the mean error"))
    assert "bias" not in MEASURES


def refused(file: Path, text: str, *arguments: object) -> str:
    """What a command says to a file with this text."""
    file.write_text(f"from wsshm.measures import Measure, register\n{text}\n")
    environment = {**os.environ, plugins.VARIABLE: str(file)}
    command = [sys.executable, "-m", "wsshm", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["protocol", "prediction", "sad_unknown"])  # of the store; of the images' file
def test_a_measure_named_like_another_column_is_refused(folders: Path, tmp_path: Path, name: str) -> None:
    text = f"register(Measure({name!r}, 'P', 'no measure', value=lambda *_: 0.0))"
    command = ["bench", "evaluate", "--predictions", folders / "ours", "--labels", folders / "labels"]
    said = refused(tmp_path / "mine.py", text, *command, "--out", tmp_path / "x.csv")
    assert f"the measure {name!r} has the name of another column of its table" in said


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-0.1", "the measure odd gave -0.1 over the region whole; it may give a number of at least 0, or None"),
        ("1.5, most=1.0", "the measure odd gave 1.5 over the region whole; it may give a number from 0 to 1, or None"),
        (
            "1 / 0",
            "the measure odd fails over the region whole (ZeroDivisionError: division by zero); correct its file",
        ),
    ],
)
def test_what_a_measure_may_not_give_is_said_with_the_image(
    folders: Path, tmp_path: Path, value: str, message: str
) -> None:
    text = f"register(Measure('odd', 'Odd', 'no measure', value=lambda *_: {value}))"
    command = ["bench", "evaluate", "--predictions", folders / "ours", "--labels", folders / "labels"]
    said = refused(tmp_path / "mine.py", text, *command)
    assert message in said
    assert "(of the image a)" in said
