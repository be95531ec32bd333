"""Tables of labels in `reports/findings.md`: blends, masks, what of them reaches a student, what lies beside the edge."""

from __future__ import annotations

import re
import shlex

import pandas as pd
import pytest
from typer.testing import CliRunner

from reports.cli import app
from tests.reports.stored_findings import HERE, TEXT, bounds, of_images, stored, table, together

MASK, TEACHER = "the mask", "the teacher's matte"
LABELS = re.findall(
    r"^\| ((?:(?:teacher|student)\d+|photos|192px)-(?:coarse[\d.]+|given)) \|(.*)\|$", TEXT, re.MULTILINE
)
# The blend of a row of labels, and how many validation photos it labelled; of real ones it was chosen for each kind of mask.
BLEND, PHOTOS = ("gated, threshold 0.3, band 0.015, veto", 60), 11
BLENDS = {
    **{f"192px-coarse{masks}": ("gated, threshold 0.02, band 0.015, veto", 60) for masks in ("1", "0.99")},
    "photos-given": ("gated, threshold 0.5, band 0.01, veto", PHOTOS),
    "photos-coarse1": ("gated, threshold 0.1, band 0.015, veto", PHOTOS),
}


def test_there_is_a_row_for_each_file() -> None:
    assert len(LABELS) >= 6
    assert {name for name, _ in LABELS} == {
        path.stem.removeprefix("label-error-") for path in (HERE / "findings").glob("label-error-*.parquet")
    }


@pytest.mark.parametrize(("name", "line"), LABELS)
def test_errors_of_labels_are_those_of_their_rows(name: str, line: str) -> None:
    cells = [cell.strip() for cell in line.split("|")]
    rows = pd.read_parquet(HERE / "findings" / f"label-error-{name}.parquet")
    blend, photos = BLENDS.get(name, BLEND)
    assert rows["image"].nunique() == photos
    sad, mse, grad = (rows.pivot_table(measure, "image", "label") for measure in ("sad", "mse", "grad"))
    assert cells[:3] == [f"{sad[label].mean():.3f}" for label in (MASK, TEACHER, blend)]
    assert cells[5:] == [f"{grad[label].mean():.2f}" for label in (MASK, blend)]
    for cell, values in zip(cells[3:5], (sad, mse), strict=True):
        percent, low, high = bounds(cell)
        base = values[MASK].mean()
        apart = values.drop(columns=MASK).sub(values[MASK], axis=0)
        assert percent == pytest.approx(100 * apart[blend].mean() / base, abs=0.051)
        half = 100 * together(apart)[blend] / base
        assert [low, high] == pytest.approx([percent - half, percent + half], abs=0.1 * half + 0.1)


# Rows of the table of what reaches a student: the masks' file, the store of `joint`, and that of the truths.
REACH = {"1": ("coarse1", "methods", "methods"), "2": ("coarse2", "coarse", "methods")}
REACH |= {"1.49": ("coarse1.49", "between", "methods")}
REACH |= {
    "1, 192 px": ("coarse1-192px", "larger", "larger"),
    "0.99, 192 px": ("coarse0.99-192px", "larger-finer", "larger"),
}


@pytest.mark.parametrize("name", REACH)
def test_how_much_of_the_masks_error_reaches_a_student(name: str) -> None:
    file, store, truth = REACH[name]
    iou, masks, joint, oracle, share = table("reach", "masks")[name]
    errors = pd.read_parquet(HERE / "findings" / f"masks-{file}.parquet")
    assert len(errors) == 100
    of_masks = errors["sad_unknown"].mean()
    runs, truths = stored(store)["joint"], stored(truth)["oracle, one stage"]
    common = runs.keys() & truths.keys()
    of_joint, of_oracle = (
        of_images(place, [of[seed] for seed in common], "sad", "unknown").mean()
        for place, of in ((store, runs), (truth, truths))
    )
    assert iou == f"{errors['iou'].mean():.3f}"
    assert (masks, joint, oracle) == tuple(f"{value:.3f}" for value in (of_masks, of_joint, of_oracle))
    assert share == f"{100 * (of_joint - of_oracle) / of_masks:.0f} %"


def test_what_truth_and_better_masks_give_in_larger_pictures_is_as_the_text_has_it() -> None:
    truth = stored("larger")["oracle, one stage"][0]
    worse, better = (stored(store)["joint"][0] for store in ("larger", "larger-finer"))
    of_truth = of_images("larger", [truth], "sad", "whole").mean()
    of_joint = of_images("larger-finer", [better], "sad", "whole").mean()
    assert f"its SAD, {of_truth:.3f}, is {100 * (1 - of_truth / of_joint):.1f} % below `joint`'s" in TEXT
    students = [
        of_images(store, [run], "sad", "unknown").mean() for store, run in (("larger", worse), ("larger-finer", better))
    ]
    masks = [
        pd.read_parquet(HERE / "findings" / f"masks-{file}-192px.parquet")["sad_unknown"].mean()
        for file in ("coarse1", "coarse0.99")
    ]
    assert "almost a third comes back in the student's" in TEXT
    assert 0.3 < (students[0] - students[1]) / (masks[0] - masks[1]) < 1 / 3


# Whose median error beside the true edge a row of that table is: the file of `bench label-error` and its label.
EDGES = {"the masks": ("label-error-photos-{}", MASK), "the teacher's mattes": ("label-error-photos-{}", TEACHER)}
EDGES |= {
    f"{name}'s mattes": (f"beside-the-edge-{{}}-{name.replace(', ', '-').replace(' ', '-')}", TEACHER)
    for name in ("joint", "mlb, one stage", "mlb", "mlb_masklabel")
}


@pytest.mark.parametrize("name", [*EDGES, "the blended labels"])
def test_medians_beside_the_edge_are_those_of_their_rows(name: str) -> None:
    shown = []
    for kind in ("given", "coarse1"):
        file, label = EDGES.get(name, ("label-error-photos-{}", BLENDS[f"photos-{kind}"][0]))
        rows = pd.read_parquet(HERE / "findings" / f"{file.format(kind)}.parquet")
        assert rows["image"].nunique() == PHOTOS
        shown += [f"{1000 * rows.loc[rows['label'] == label, side].mean():+.0f}" for side in ("outside", "inside")]
    assert table("beside the edge", "photos")[name] == shown


@pytest.mark.parametrize("name", ["joint", "mlb, one stage"])
def test_medians_after_twice_the_steps_are_those_of_their_rows(name: str) -> None:
    shown, label = [], EDGES[f"{name}'s mattes"][1]
    for kind in ("given", "longer"):
        file = EDGES[f"{name}'s mattes"][0].format(kind)
        rows = pd.read_parquet(HERE / "findings" / f"{file}.parquet")
        assert rows["image"].nunique() == PHOTOS
        shown += [f"{1000 * rows.loc[rows['label'] == label, side].mean():+.0f}" for side in ("outside", "inside")]
    assert table("beside the edge", "longer")[f"{name}'s mattes"] == shown


def test_labels_of_the_longer_student_are_as_the_text_has_them() -> None:
    rows = pd.read_parquet(HERE / "findings" / "beside-the-edge-longer-joint.parquet")
    blend, mask, own = (
        f"{rows.loc[rows['label'] == label, 'unknown_sad'].mean():.3f}"
        for label in (BLENDS["photos-given"][0], MASK, TEACHER)
    )
    assert f"SAD of {blend} in the unknown region for the masks' {mask} and its own mattes' {own}" in TEXT


def test_scores_against_masks_are_those_of_their_rows() -> None:
    means = pd.read_parquet(HERE / "findings" / "photos-against-masks.parquet").groupby("run_id")
    assert set(means["image"].nunique()) == {48}
    shown = table("against the masks", "photos")
    for place, store in enumerate(("photos-given", "photos-coarse")):
        runs = stored(store)
        for name, cells in shown.items():
            expected = ["–", "–"]
            if name in runs:
                scores = means.get_group(runs[name][0])
                expected = [f"{scores[measure].mean():.3f}" for measure in ("iou", "boundary_f")]
            assert cells[2 * place : 2 * place + 2] == expected
        assert runs.keys() <= shown.keys()


def test_which_labels_next_is_what_the_command_prints() -> None:
    """The sentences below the command in the section, each as it stands."""
    section = TEXT.partition("### Which labels")[2].partition("\n### ")[0]
    [command] = re.findall(r"^wsshm report (plan-budget .+)$", section, re.MULTILINE)
    words = [word.replace("reports/findings", str(HERE / "findings")) for word in shlex.split(command)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    quoted = re.findall(r"^> (.+)$", section, re.MULTILINE)
    assert len(quoted) >= 2
    printed = " ".join(done.output.split())
    assert [line for line in quoted if " ".join(line.split()) not in printed] == []
