"""Every number in the tables of `reports/findings.md` and of the README's quickstart, from the rows that the commands wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports import __file__ as package
from sweeps.expand import expand
from sweeps.plan import load_plan
from wsshm.data.procedural import dataset

HERE = Path(package).parent
TEXT = (HERE / "findings.md").read_text()
README = (Path(__file__).parents[2] / "README.md").read_text()
MASK, TEACHER = "the mask", "the teacher's matte"
LABELS = re.findall(r"^\| ((?:(?:teacher|student)\d+|photos)-(?:coarse[\d.]+|given)) \|(.*)\|$", TEXT, re.MULTILINE)
# The blend of a row of labels, and how many validation photos it labelled; of real ones it was chosen for each kind of mask.
BLEND, PHOTOS = ("gated, threshold 0.3, band 0.015, veto", 60), 11
BLENDS = {
    "photos-given": ("gated, threshold 0.5, band 0.01, veto", PHOTOS),
    "photos-coarse1": ("gated, threshold 0.1, band 0.015, veto", PHOTOS),
}


def together(differences: pd.DataFrame, rounds: int = 3000) -> pd.Series:
    """Half widths of 95 % intervals that hold for all columns together, by plain draws of images; by Student's t for few."""
    rng, values = np.random.default_rng(5), differences.to_numpy()
    spread = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    largest = []
    for _ in range(rounds):
        drawn = values[rng.integers(0, len(values), len(values))].mean(axis=0) - values.mean(axis=0)
        largest.append(np.nanmax(np.abs(drawn) / np.where(spread > 0, spread, np.nan)))
    reach = stats.t.ppf(stats.norm.cdf(np.quantile(largest, 0.95)), len(values) - 1)
    return pd.Series(reach * spread, differences.columns)


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


# How the rows of the students' tables differ from plain runs, as keys of their configurations; by the store of their rows.
ONE_STAGE: dict[str, object] = {"name": "mlb", "teacher": "average"}
STUDENTS: dict[str, dict[str, dict[str, object]]] = {
    "methods": {
        "joint": {"name": "joint"},
        "mlb, one stage": ONE_STAGE,
        "mlb": {"name": "mlb"},
        "mlb_masklabel": {"name": "mlb_masklabel"},
        "matte_then_seg": {"name": "matte_then_seg"},
        "seg_only": {"name": "seg_only"},
        "matte_only": {"name": "matte_only"},
        "pseudo_label": {"name": "pseudo_label"},
        "mean_teacher": {"name": "mean_teacher", "weight": 0.1},
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
        "mlb, one stage": ONE_STAGE,
        "mlb": {"name": "mlb"},
    },
    "shares": {
        "joint": {"name": "joint"},
        "joint, a quarter": {"name": "joint", "share": 0.25},
        "joint, three quarters": {"name": "joint", "share": 0.75},
        "mlb, one stage": ONE_STAGE,
    },
    "photos-given": {
        "mlb, one stage": ONE_STAGE,
        **{name: {"name": name} for name in ("mlb", "mlb_masklabel", "matte_then_seg", "joint", "seg_only")},
        **{name: {"name": name} for name in ("matte_only", "pseudo_label")},
        "mean_teacher": {"name": "mean_teacher", "weight": 0.1},
        "mean_teacher, a hundredth": {"name": "mean_teacher", "weight": 0.01},
    },
    "photos-coarse": {
        "mlb, one stage": ONE_STAGE,
        **{name: {"name": name} for name in ("mlb", "mlb_masklabel", "joint")},
    },
    "photos-shares": {
        "joint": {"name": "joint"},
        "joint, a quarter": {"name": "joint", "share": 0.25},
        "joint, three quarters": {"name": "joint", "share": 0.75},
        "mlb, one stage": ONE_STAGE,
        "mlb, one stage, three quarters": ONE_STAGE | {"share": 0.75},
    },
    "photos-longer": {"joint": {"name": "joint"}, "mlb, one stage": ONE_STAGE},
}
# The masks that the runs of a store learn from: how coarse drawn ones are, or the manifest of photos.
MASKS = {"methods": 1.0, "schedules": 1.0, "coarse": 2.0, "shares": 2.0}
MASKS |= {
    "photos-given": "photos.parquet",
    "photos-longer": "photos.parquet",
    "photos-coarse": "coarse1/coarse1.parquet",
    "photos-shares": "coarse1/coarse1.parquet",
}
# Test sets of a store and their images: a table is named by its store and, where there are several, by its test set.
DRAWN = {"": ("procedural/test", 100)}
REAL = {"": ("photos.parquet", 45), " composites": ("composites/composites.parquet", 96)}
TABLES = {
    store + part: (store, *of) for store in STUDENTS for part, of in (REAL if "photos" in store else DRAWN).items()
}
# Whom the runs of a store are held against; and, of a blended label, the masks' label it should beat and the truth it cannot.
TWO: list[str] = ["joint", "mlb_masklabel"]
RIVALS = {"methods": TWO, "schedules": ["joint"], "coarse": ["joint"], "shares": ["joint", "joint, three quarters"]}
RIVALS |= {"photos-given": TWO, "photos-coarse": TWO, "photos-longer": ["joint"], "photos-shares": RIVALS["shares"]}
HELD = [(name, rival) for name, (store, *_) in TABLES.items() for rival in RIVALS[store]]
WAYS = {"mlb": ("mlb_masklabel", "oracle"), "mlb, one stage": ("joint", "oracle, one stage")}
OTHERWISE = {"ema": 0.0, "share": None, "start": "teacher", "refresh": 1, "teacher": "stage", "weight": None}
ERRORS = [("sad", "whole", 1, 3), ("mse", "whole", 1e3, 1), ("grad", "whole", 1, 3), ("conn", "whole", 1, 3)]
ERRORS += [("sad", "unknown", 1, 3), ("mse", "unknown", 1e3, 1), ("grad", "unknown", 1, 3), ("mad", "boundary", 1e3, 1)]
DIFFERENCES = [(measure, region) for region in ("whole", "unknown") for measure in ("sad", "mse", "grad")]


def table(kind: str, name: str) -> dict[str, list[str]]:
    """{row's name: its cells} of the table below `<!-- kind: name -->`; none where the text has no such table."""
    found = re.search(rf"^<!-- {kind}: {name} -->\n\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    lines = found[1].splitlines()[2:] if found else []
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].replace("`", ""): cells[1:] for cells in split}


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
        "weight": method["consistency_weight"] if method["name"] == "mean_teacher" else None,
    }


def stored(store: str) -> dict[str, dict[int, str]]:
    """{row: {seed: run}} of a store; every run belongs to one row."""
    found: dict[str, dict[int, str]] = {}
    for run in pd.read_parquet(HERE / "findings" / store / "runs").itertuples():
        data = json.loads(run.config)["data"]
        drawn = data["masks"].startswith("procedural/")
        assert (data["procedural"]["mask_coarseness"] if drawn else data["masks"]) == MASKS[store]
        (name,) = (name for name, keys in STUDENTS[store].items() if said(run.config) == OTHERWISE | keys)
        assert run.seed not in found.setdefault(name, {})
        found[name][run.seed] = run.run_id
    return found


# The plans of the stores that hold runs on the embedded set, as `python -m sweeps run` takes them.
PLANS = {name: name for name in ("methods", "quickstart")}
PLANS |= {name: str(HERE / "findings" / f"{name}.yaml") for name in ("schedules", "coarse", "shares")}


@pytest.fixture(scope="module")
def undrawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The embedded set with blank pictures: a run's identity is of their recipes."""
    size = (8, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSSHM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(dataset, "_cpus", lambda: 1)  # drawn in this process, where the next lines hold
        for name in ("draw_photo", "draw_cutout"):
            patch.setattr(dataset, name, lambda *_: (np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)))
        patch.setattr(dataset, "background", lambda *_: np.zeros((*size, 3), np.float32))
        yield


@pytest.mark.parametrize("store", PLANS)
def test_a_sweep_knows_the_runs_of_a_copied_store(store: str, undrawn: None) -> None:
    plan, weights = load_plan(PLANS[store]), {"tf_efficientnet_lite0": "package"}
    planned = {run.run_id: run.sources.fingerprint for run in expand(plan, weights)}
    kept = pd.read_parquet(HERE / "findings" / store / "runs")
    assert {run.run_id: run.data_fingerprint for run in kept.itertuples()}.items() <= planned.items()


@cache
def rows_of(store: str) -> pd.DataFrame:
    return pd.read_parquet(HERE / "findings" / store / "scores")


def of_images(name: str, run_ids: list[str], measure: str, region: str) -> pd.Series:
    """A measure's mean over runs, image by image, on the test set of a table (or of a store that has one test set)."""
    store, dataset, images = TABLES.get(name, (name, *DRAWN[""]))
    scores = rows_of(store)
    part = scores[scores["run_id"].isin(run_ids) & (scores["region"] == region) & (scores["dataset"] == dataset)]
    assert set(part.groupby("run_id")["image"].nunique()) == {images}
    return part.groupby("image")[measure].mean()


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_have_every_stored_run(name: str) -> None:
    store = TABLES[name][0]
    runs = stored(store)
    assert {row: int(cells[0]) for row, cells in table("errors", name).items()} == {
        row: len(of_seed) for row, of_seed in runs.items()
    }
    for rival in RIVALS[store]:
        assert table(f"against {rival}", name).keys() == runs.keys() - {rival}


@pytest.mark.parametrize("name", TABLES)
def test_errors_of_students_are_those_of_their_rows(name: str) -> None:
    store = TABLES[name][0]
    runs = stored(store)
    epochs = pd.read_parquet(HERE / "findings" / store / "epochs")
    epochs = epochs[(epochs["key"] == "val_sad") & (epochs["stage"] != "teacher")]
    last = epochs.sort_values(["stage", "epoch"]).groupby("run_id")["value"].last()  # student, or student1 and student2
    for row, (_, validation, *cells) in table("errors", name).items():
        ids = list(runs[row].values())
        assert validation == f"{last[ids].mean():.3f}", row
        for cell, (measure, region, scale, digits) in zip(cells, ERRORS, strict=True):
            mean = scale * of_images(name, ids, measure, region).mean()
            assert cell == f"{mean:.{digits}f}", (row, measure, region)


@pytest.mark.parametrize(("measure", "region"), DIFFERENCES)
@pytest.mark.parametrize(("name", "rival"), HELD)
def test_differences_and_intervals_are_those_of_the_images(name: str, rival: str, measure: str, region: str) -> None:
    runs, apart, bases = stored(TABLES[name][0]), {}, {}
    for row in runs.keys() - {rival}:
        common = runs[row].keys() & runs[rival].keys()
        own, other = (of_images(name, [runs[of][seed] for seed in common], measure, region) for of in (row, rival))
        apart[row], bases[row] = own - other, other.mean()
    halves = together(pd.DataFrame(apart))
    for row, cells in table(f"against {rival}", name).items():
        percent, low, high = bounds(cells[DIFFERENCES.index((measure, region))])
        assert percent == pytest.approx(100 * apart[row].mean() / bases[row], abs=0.051)
        half = 100 * halves[row] / bases[row]
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


def test_validation_of_the_seeds_of_joint_is_as_the_text_has_it() -> None:
    epochs = pd.read_parquet(HERE / "findings" / "coarse" / "epochs")
    last = epochs[epochs["key"] == "val_sad"].sort_values("epoch").groupby("run_id")["value"].last()
    first, second, third = (f"{last[run]:.3f}" for _, run in sorted(stored("coarse")["joint"].items()))
    assert f"the half's three seeds are {first}, {second} and {third})" in TEXT


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


@pytest.mark.parametrize(
    ("store", "row", "rival"),
    [
        ("photos-coarse", "mlb, one stage", "joint"),
        ("photos-coarse", "mlb", "mlb_masklabel"),
        ("photos-given", "mlb, one stage", "joint"),
        ("photos-shares", "joint, three quarters", "joint"),
        ("photos-shares", "mlb, one stage, three quarters", "joint, three quarters"),
    ],
)
@pytest.mark.parametrize("part", REAL)
def test_what_each_seed_gives_is_that_of_its_rows(store: str, part: str, row: str, rival: str) -> None:
    runs, said, name = stored(store), {}, store + part
    for region in ("whole", "unknown"):
        own, other = (
            [of_images(name, [runs[of][seed]], "sad", region).mean() for seed in (0, 1)] for of in (row, rival)
        )
        said[region] = " and ".join(f"{100 * (a / b - 1):+.1f}" for a, b in zip(own, other, strict=True))
    assert f"by seed SAD {said['whole']} %, unknown region {said['unknown']} %".replace("-", "−") in TEXT


# Intervals as the prose has them, without their signs; one was printed by a command whose rows are not kept, as the text says.
PROSE = {"findings": TEXT, "README": README.partition("## What we found")[2].partition("\n## ")[0]}
PRINTED_ONLY = {("15.3", "25.5")}


@pytest.mark.parametrize("text", PROSE)
def test_intervals_in_the_prose_are_those_of_a_table(text: str) -> None:
    cells = re.findall(r"\[[-+](\d+\.\d)%, [-+](\d+\.\d)%\]", TEXT)
    said = re.findall(r"\([−+]?(\d+\.\d) to [−+]?(\d+\.\d)\)", PROSE[text])
    said += re.findall(r", [−+]?(\d+\.\d) to [−+]?(\d+\.\d)\)", PROSE[text])
    assert len(said) >= 5
    assert {tuple(sorted(pair)) for pair in said} - PRINTED_ONLY <= {tuple(sorted(pair)) for pair in cells}


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
