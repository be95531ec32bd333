"""Every number in the tables of `reports/findings.md` and of the README's quickstart, from the rows that the commands wrote."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import __file__ as package

HERE = Path(package).parent
TEXT = (HERE / "findings.md").read_text()
README = (Path(__file__).parents[2] / "README.md").read_text()
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


# How the rows of the students' tables differ from plain runs, as keys of their configurations; by the store of their rows.
STUDENTS: dict[str, dict[str, dict[str, object]]] = {
    "methods": {
        "joint": {"name": "joint"},
        "mlb, one stage": {"name": "mlb", "teacher": "average"},
        "mlb": {"name": "mlb"},
        "mlb_masklabel": {"name": "mlb_masklabel"},
        "matte_then_seg": {"name": "matte_then_seg"},
        "seg_only": {"name": "seg_only"},
        "matte_only": {"name": "matte_only"},
        "pseudo_label": {"name": "pseudo_label"},
        "mean_teacher": {"name": "mean_teacher"},
        "oracle": {"name": "oracle"},
        "oracle, one stage": {"name": "oracle", "teacher": "average"},
    },
    "schedules": {
        "joint": {"name": "joint"},
        "joint, averaged": {"name": "joint", "ema": 0.99},
        "mlb": {"name": "mlb"},
        "mlb, composites too": {"name": "mlb", "share": 0.5},
        "mlb, from the backbone": {"name": "mlb", "start": "backbone"},
        "mlb, two rounds": {"name": "mlb", "refresh": 2},
        "oracle, composites too": {"name": "oracle", "share": 0.5},
    },
    "coarse": {
        "joint": {"name": "joint"},
        "mlb, one stage": {"name": "mlb", "teacher": "average"},
        "mlb": {"name": "mlb"},
    },
}
# Whom the runs of a store are held against; and, of a blended label, the masks' label it should beat and the truth it cannot.
RIVALS = {"methods": ["joint", "mlb_masklabel"], "schedules": ["joint"], "coarse": ["joint"]}
HELD = [(store, rival) for store, rivals in RIVALS.items() for rival in rivals]
WAYS = {"mlb": ("mlb_masklabel", "oracle"), "mlb, one stage": ("joint", "oracle, one stage")}
OTHERWISE = {"ema": 0.0, "share": None, "start": "teacher", "refresh": 1, "teacher": "stage"}
COARSENESS = {"methods": 1.0, "schedules": 1.0, "coarse": 2.0}
ERRORS = [("sad", "whole", 1, 3), ("mse", "whole", 1e3, 1), ("grad", "whole", 1, 3), ("conn", "whole", 1, 3)]
ERRORS += [("sad", "unknown", 1, 3), ("mse", "unknown", 1e3, 1), ("grad", "unknown", 1, 3), ("mad", "boundary", 1e3, 1)]
DIFFERENCES = [(measure, region) for region in ("whole", "unknown") for measure in ("sad", "mse", "grad")]


def table(kind: str, store: str) -> dict[str, list[str]]:
    """{row's name: its cells} of the table below `<!-- kind: store -->`; none where the text has no such table."""
    found = re.search(rf"^<!-- {kind}: {store} -->\n\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    lines = found[1].splitlines()[2:] if found else []
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].strip("`"): cells[1:] for cells in split}


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
    }


def stored(store: str) -> dict[str, dict[int, str]]:
    """{row: {seed: run}} of a store; every run belongs to one row."""
    found: dict[str, dict[int, str]] = {}
    for run in pd.read_parquet(HERE / "findings" / store / "runs").itertuples():
        assert json.loads(run.config)["data"]["procedural"]["mask_coarseness"] == COARSENESS[store]
        (name,) = (name for name, keys in STUDENTS[store].items() if said(run.config) == OTHERWISE | keys)
        assert run.seed not in found.setdefault(name, {})
        found[name][run.seed] = run.run_id
    return found


@cache
def rows_of(store: str) -> pd.DataFrame:
    return pd.read_parquet(HERE / "findings" / store / "scores")


def of_images(store: str, run_ids: list[str], measure: str, region: str) -> pd.Series:
    """A measure's mean over runs, image by image."""
    scores = rows_of(store)
    part = scores[scores["run_id"].isin(run_ids) & (scores["region"] == region)]
    assert set(part.groupby("run_id")["image"].nunique()) == {100}
    return part.groupby("image")[measure].mean()


@pytest.mark.parametrize("store", STUDENTS)
def test_the_tables_have_every_stored_run(store: str) -> None:
    runs = stored(store)
    assert {name: int(cells[0]) for name, cells in table("errors", store).items()} == {
        name: len(of_seed) for name, of_seed in runs.items()
    }
    for rival in RIVALS[store]:
        assert table(f"against {rival}", store).keys() == runs.keys() - {rival}


@pytest.mark.parametrize("store", STUDENTS)
def test_errors_of_students_are_those_of_their_rows(store: str) -> None:
    runs = stored(store)
    epochs = pd.read_parquet(HERE / "findings" / store / "epochs")
    epochs = epochs[(epochs["key"] == "val_sad") & (epochs["stage"] != "teacher")]
    last = epochs.sort_values(["stage", "epoch"]).groupby("run_id")["value"].last()  # student, or student1 and student2
    for name, (_, validation, *cells) in table("errors", store).items():
        ids = list(runs[name].values())
        assert validation == f"{last[ids].mean():.3f}", name
        for cell, (measure, region, scale, digits) in zip(cells, ERRORS, strict=True):
            mean = scale * of_images(store, ids, measure, region).mean()
            assert cell == f"{mean:.{digits}f}", (name, measure, region)


@pytest.mark.parametrize(("measure", "region"), DIFFERENCES)
@pytest.mark.parametrize(("store", "rival"), HELD)
def test_differences_and_intervals_are_those_of_the_images(store: str, rival: str, measure: str, region: str) -> None:
    runs, apart, bases = stored(store), {}, {}
    for name in runs.keys() - {rival}:
        common = runs[name].keys() & runs[rival].keys()
        own, other = (of_images(store, [runs[row][seed] for seed in common], measure, region) for row in (name, rival))
        apart[name], bases[name] = own - other, other.mean()
    halves = together(pd.DataFrame(apart))
    for name, cells in table(f"against {rival}", store).items():
        percent, low, high = bounds(cells[DIFFERENCES.index((measure, region))])
        assert percent == pytest.approx(100 * apart[name].mean() / bases[name], abs=0.051)
        half = 100 * halves[name] / bases[name]
        assert [low, high] == pytest.approx([percent - half, percent + half], abs=0.1 * half + 0.1)


@pytest.mark.parametrize("name", WAYS)
def test_how_much_of_the_way_to_the_truth_a_blended_label_goes(name: str) -> None:
    runs, cells = stored("methods"), table("way", "methods")[name]
    for cell, (measure, region) in zip(cells, DIFFERENCES, strict=True):
        start, end, own = (
            of_images("methods", list(runs[row].values()), measure, region).mean() for row in (*WAYS[name], name)
        )
        assert cell == f"{100 * (start - own) / (start - end):.0f} %"


@pytest.mark.parametrize(("name", "store"), [("1", "methods"), ("2", "coarse")])
def test_how_much_of_the_masks_error_reaches_a_student(name: str, store: str) -> None:
    masks, joint, oracle, share = table("reach", "masks")[name]
    errors = pd.read_parquet(HERE / "findings" / f"masks-coarse{name}.parquet")
    assert len(errors) == 100
    of_masks = errors["sad_unknown"].mean()
    of_joint = of_images(store, list(stored(store)["joint"].values()), "sad", "unknown").mean()
    truths = stored("methods")["oracle, one stage"]
    of_oracle = of_images("methods", list(truths.values()), "sad", "unknown").mean()
    assert (masks, joint, oracle) == tuple(f"{value:.3f}" for value in (of_masks, of_joint, of_oracle))
    assert share == f"{100 * (of_joint - of_oracle) / of_masks:.0f} %"


QUICKSTART = re.findall(
    r"^\| `(\w+)`(, one stage|, two stages|) \| (\d+) \| ([\d,]+) \| ([\d.]+) h \|(.*)\|$", README, re.MULTILINE
)


def test_the_readmes_table_has_every_run_of_the_quickstart() -> None:
    assert len(QUICKSTART) == len(pd.read_parquet(HERE / "findings" / "quickstart" / "runs")) == 6


@pytest.mark.parametrize("line", QUICKSTART, ids=lambda line: "-".join(line[:3]))
def test_the_readmes_table_of_the_quickstart_is_that_of_its_rows(line: tuple[str, ...]) -> None:
    method, form, mattes, masks, hours, cells = line
    runs = pd.read_parquet(HERE / "findings" / "quickstart" / "runs")
    teacher = {", one stage": "average"}.get(form, "stage")
    (run,) = (
        run
        for run in runs.itertuples()
        if (run.method, run.mattes, said(run.config)["teacher"]) == (method, int(mattes), teacher)
    )
    assert masks == f"{run.masks:,}"
    assert hours == f"{run.cost_s / 3600:.1f}"
    shown = [("sad", "whole", 1, 3), ("mse", "whole", 1e3, 1), ("grad", "whole", 1, 2), ("iou", "whole", 1, 3)]
    shown += [("mad", "boundary", 1e3, 1)]
    means = [
        (scale * of_images("quickstart", [run.run_id], measure, region).mean(), digits)
        for measure, region, scale, digits in shown
    ]
    assert [cell.strip() for cell in cells.split("|")] == [f"{mean:.{digits}f}" for mean, digits in means]
