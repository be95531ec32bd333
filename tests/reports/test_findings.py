"""Every number in the tables of `reports/findings.md`, from the rows that the commands wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import __file__ as package

HERE = Path(package).parent
TEXT = (HERE / "findings.md").read_text()
MASK, TEACHER, BLEND = "the mask", "the teacher's matte", "gated, threshold 0.3, band 0.015, veto"
LABELS = re.findall(r"^\| ((?:teacher|student)\d+-coarse[\d.]+) \|(.*)\|$", TEXT, re.MULTILINE)


def together(differences: pd.DataFrame, rounds: int = 3000) -> pd.Series:
    """Half widths of 95 % intervals that hold for all columns together, by plain draws of images."""
    rng, values = np.random.default_rng(5), differences.to_numpy()
    spread = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    largest = []
    for _ in range(rounds):
        drawn = values[rng.integers(0, len(values), len(values))].mean(axis=0) - values.mean(axis=0)
        largest.append(np.nanmax(np.abs(drawn) / np.where(spread > 0, spread, np.nan)))
    return pd.Series(np.quantile(largest, 0.95) * spread, differences.columns)


def bounds(cell: str) -> list[float]:
    """`-14.2% [-18.6%, -9.9%]` as three numbers."""
    return [float(number) for number in re.findall(r"[-+]\d+\.\d", cell)]


def test_there_is_a_row_for_each_file() -> None:
    assert len(LABELS) >= 6
    assert {name for name, _ in LABELS} == {
        path.stem.removeprefix("label-error-") for path in (HERE / "findings").glob("label-error-*.parquet")
    }


@pytest.mark.parametrize(("name", "line"), LABELS)
def test_errors_of_labels_are_those_of_their_rows(name: str, line: str) -> None:
    cells = [cell.strip() for cell in line.split("|")]
    rows = pd.read_parquet(HERE / "findings" / f"label-error-{name}.parquet")
    assert rows["image"].nunique() == 60
    sad, mse, grad = (rows.pivot_table(measure, "image", "label") for measure in ("sad", "mse", "grad"))
    assert cells[:3] == [f"{sad[label].mean():.3f}" for label in (MASK, TEACHER, BLEND)]
    assert cells[5:] == [f"{grad[label].mean():.2f}" for label in (MASK, BLEND)]
    for cell, values in zip(cells[3:5], (sad, mse), strict=True):
        percent, low, high = bounds(cell)
        base = values[MASK].mean()
        apart = values.drop(columns=MASK).sub(values[MASK], axis=0)
        assert percent == pytest.approx(100 * apart[BLEND].mean() / base, abs=0.051)
        half = 100 * together(apart)[BLEND] / base
        assert [low, high] == pytest.approx([percent - half, percent + half], abs=0.1 * half + 0.1)


# How the rows of the students' table differ from plain `joint` and `mlb`, as keys of their configurations.
STUDENTS = {
    "joint": {"name": "joint"},
    "joint-averaged": {"name": "joint", "ema": 0.99},
    "mlb": {"name": "mlb"},
    "mlb-mixed": {"name": "mlb", "share": 0.5},
    "mlb-from-backbone": {"name": "mlb", "start": "backbone"},
    "mlb-two-rounds": {"name": "mlb", "refresh": 2},
    "mlb-own-average": {"name": "mlb", "teacher": "average"},
    "oracle-mixed": {"name": "oracle", "share": 0.5},
    "oracle-own-average": {"name": "oracle", "teacher": "average"},
    "joint-coarse2": {"name": "joint", "coarse": 2.0},
    "mlb-coarse2": {"name": "mlb", "coarse": 2.0},
    "mlb-own-average-coarse2": {"name": "mlb", "teacher": "average", "coarse": 2.0},
}
OTHERWISE = {"ema": 0.0, "share": None, "start": "teacher", "refresh": 1, "teacher": "stage", "coarse": 1.0}
ROWS = re.findall(r"^\| `([a-z0-9-]+)` \| (\d) \|(.*)\|$", TEXT, re.MULTILINE)


def said(config: str) -> dict[str, object]:
    """What of a configuration tells the students' runs apart."""
    document = json.loads(config)
    method, blend = document["method"], document["method"]["blend"]
    return {
        "name": method["name"],
        "ema": document["train"]["ema"],
        "share": method["matte_share"],
        "start": method["student_start"],
        "refresh": blend["refresh"],
        "teacher": blend.get("teacher", "stage"),
        "coarse": document["data"]["procedural"]["mask_coarseness"],
    }


@pytest.fixture(scope="module")
def students() -> dict[str, dict[int, str]]:
    """{row: {seed: run}}; every stored run belongs to one row."""
    runs = pd.read_parquet(HERE / "findings" / "students" / "runs")
    found: dict[str, dict[int, str]] = {name: {} for name in STUDENTS}
    for run in runs.itertuples():
        (name,) = (name for name, keys in STUDENTS.items() if said(run.config) == OTHERWISE | keys)
        found[name][run.seed] = run.run_id
    return found


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return pd.read_parquet(HERE / "findings" / "students" / "scores")


def of_images(scores: pd.DataFrame, run_ids: list[str], measure: str, region: str) -> pd.Series:
    """A measure's mean over runs, image by image."""
    part = scores[scores["run_id"].isin(run_ids) & (scores["region"] == region)]
    assert set(part.groupby("run_id")["image"].nunique()) == {100}
    return part.groupby("image")[measure].mean()


def test_the_students_table_has_every_stored_run(students: dict[str, dict[int, str]]) -> None:
    assert {name: int(seeds) for name, seeds, _ in ROWS} == {name: len(runs) for name, runs in students.items()}


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, _, line in ROWS])
def test_errors_of_students_are_those_of_their_rows(
    students: dict[str, dict[int, str]], scores: pd.DataFrame, name: str, line: str
) -> None:
    cells = [cell.strip() for cell in line.split("|")]
    ids = list(students[name].values())
    epochs = pd.read_parquet(HERE / "findings" / "students" / "epochs")
    epochs = epochs[(epochs["key"] == "val_sad") & epochs["run_id"].isin(ids) & (epochs["stage"] != "teacher")]
    last = epochs.sort_values(["stage", "epoch"])  # student, or student1 and student2
    assert cells[0] == f"{last.groupby('run_id')['value'].last().mean():.3f}"
    places = [("sad", "whole", 1, 3), ("mse", "whole", 1e3, 1), ("grad", "whole", 1, 3)]
    places += [("sad", "unknown", 1, 3), ("mse", "unknown", 1e3, 1), ("grad", "unknown", 1, 3)]
    for cell, (measure, region, scale, digits) in zip(cells[1:7], places, strict=True):
        assert cell == f"{scale * of_images(scores, ids, measure, region).mean():.{digits}f}", (measure, region)
    own = STUDENTS[name]
    rival = "joint-coarse2" if "coarse" in own else "joint"
    beside = [other for other in STUDENTS if ("coarse" in STUDENTS[other]) == ("coarse" in own) and other != rival]
    for cell, (measure, region) in zip(
        cells[7:], (("sad", "whole"), ("mse", "whole"), ("sad", "unknown")), strict=True
    ):
        if name == rival:
            assert cell == ""
            continue
        apart, bases = {}, {}
        for other in beside:
            common = students[other].keys() & students[rival].keys()
            a, b = (of_images(scores, [students[n][s] for s in common], measure, region) for n in (other, rival))
            apart[other], bases[other] = a - b, b.mean()
        apart = pd.DataFrame(apart)
        percent, low, high = bounds(cell)
        assert percent == pytest.approx(100 * apart[name].mean() / bases[name], abs=0.051)
        half = 100 * together(apart)[name] / bases[name]
        assert [low, high] == pytest.approx([percent - half, percent + half], abs=0.1 * half + 0.1)
