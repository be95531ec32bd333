"""Every number in the tables of `reports/findings.md`, from the rows that the commands wrote."""

from __future__ import annotations

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
