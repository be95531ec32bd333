"""Students' numbers in `reports/findings.md` and in the README's quickstart, from the rows that the commands wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from reports.page import build
from sweeps.expand import expand
from sweeps.plan import load_plan
from tests.reports.stored_findings import (
    DIFFERENCES,
    ERRORS,
    HERE,
    RIVALS,
    TABLES,
    TEXT,
    bounds,
    of_images,
    said,
    stored,
    table,
    together,
)
from wsshm.models.weights import PACKAGES
from wsshm.training import planning

README = (Path(__file__).parents[2] / "README.md").read_text()
NUMBERS = (HERE / "README.md").read_text().partition("## The quickstart in numbers")[2].partition("\n## ")[0]
HELD = [(name, rival) for name, (store, *_) in TABLES.items() for rival in RIVALS[store]]
WAYS = {("methods", "mlb"): ("mlb_masklabel", "oracle")}
WAYS |= {(store, "mlb, one stage"): ("joint", "oracle, one stage") for store in ("methods", "larger")}
# The plans of the stores that hold runs on the embedded set, as `wsshm sweep run` takes them.
PLANS = {"quickstart": "quickstart"}
TODAYS = ("drawn-polygon", "drawn-fine", "networks", "labels")
PLANS |= {
    name: str(HERE / "findings" / f"{name}.yaml")
    for name in (*TODAYS, "methods", "schedules", "coarse", "shares", "larger", "larger-finer", "between")
}


@pytest.mark.parametrize("store", PLANS)
def test_a_sweep_knows_the_runs_of_a_copied_store(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the recipe that the rows are of."""
    [recipe] = set(pd.read_parquet(HERE / "findings" / store / "runs")["recipe_version"])
    monkeypatch.setattr(planning, "RECIPE_VERSION", recipe)
    # The other rows are of a release that had no other test set.
    tests = [] if store in ("quickstart", *TODAYS) else ["base.data.test=[procedural/test]"]
    plan = load_plan(PLANS[store], tests)
    weights = dict.fromkeys(PACKAGES, "package")
    planned = {run.run_id: run.data_fingerprint for run in expand(plan, weights, drawn=False)}
    kept = pd.read_parquet(HERE / "findings" / store / "runs")
    assert {run.run_id: run.data_fingerprint for run in kept.itertuples()}.items() <= planned.items()


def test_the_appendix_says_which_recipe_its_tables_are_of() -> None:
    recipes = {
        store: set(pd.read_parquet(HERE / "findings" / store / "runs")["recipe_version"])
        for store, *_ in TABLES.values()
    }
    assert f"**All tables of this appendix are of recipe {set.union(*recipes.values()).pop()}**" in TEXT
    assert set.union(*recipes.values()) == {"1"}


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


@pytest.mark.parametrize(("store", "name"), WAYS)
def test_how_much_of_the_way_to_the_truth_a_blended_label_goes(store: str, name: str) -> None:
    rows = [stored(store)[row] for row in (*WAYS[store, name], name)]
    common = set.intersection(*(set(of_seed) for of_seed in rows))
    cells = table("way", store)[name]
    for cell, (measure, region) in zip(cells, DIFFERENCES, strict=True):
        start, end, own = (
            of_images(store, [of_seed[seed] for seed in common], measure, region).mean() for of_seed in rows
        )
        assert cell == f"{100 * (start - own) / (start - end):.0f} %"


def test_validation_of_the_seeds_of_joint_is_as_the_text_has_it() -> None:
    epochs = pd.read_parquet(HERE / "findings" / "coarse" / "epochs")
    last = epochs[epochs["key"] == "val_sad"].sort_values("epoch").groupby("run_id")["value"].last()
    first, second, third = (f"{last[run]:.3f}" for _, run in sorted(stored("coarse")["joint"].items()))
    assert f"the half's three seeds are {first}, {second} and {third})" in TEXT


SEEDED = [
    ("photos-coarse", "mlb, one stage", "joint"),
    ("photos-coarse", "mlb", "mlb_masklabel"),
    ("photos-given", "mlb, one stage", "joint"),
    ("photos-shares", "joint, three quarters", "joint"),
    ("photos-shares", "mlb, one stage, three quarters", "joint, three quarters"),
    ("larger", "mlb, one stage", "joint"),
]


@pytest.mark.parametrize(
    ("name", "row", "rival"),
    [(name, *of) for store, *of in SEEDED for name, (of_store, *_) in TABLES.items() if of_store == store],
)
def test_what_each_seed_gives_is_that_of_its_rows(name: str, row: str, rival: str) -> None:
    runs, said = stored(TABLES[name][0]), {}
    for region in ("whole", "unknown"):
        own, other = (
            [of_images(name, [runs[of][seed]], "sad", region).mean() for seed in (0, 1)] for of in (row, rival)
        )
        said[region] = " and ".join(f"{100 * (a / b - 1):+.1f}" for a, b in zip(own, other, strict=True))
    assert f"by seed SAD {said['whole']} %, unknown region {said['unknown']} %".replace("-", "−") in TEXT


# Rows of the table by masks: the store of their runs, and the masks' file where they are drawn.
BY_MASKS = {
    "real photos, masks as given": ("photos-given", None),
    "drawn, 192 px, coarseness 0.99": ("larger-finer", "coarse0.99-192px"),
    "drawn, 128 px": ("methods", "coarse1"),
    "drawn, 128 px, coarseness 1.49": ("between", "coarse1.49"),
    "drawn, 192 px": ("larger", "coarse1-192px"),
    "real photos, coarser masks": ("photos-coarse", None),
    "drawn, 128 px, coarseness 2": ("coarse", "coarse2"),
}


def test_the_table_by_masks_is_of_the_other_tables() -> None:
    shown, of_masks = table("by masks", "one stage"), []
    assert list(shown) == list(BY_MASKS)
    for name, (store, file) in BY_MASKS.items():
        iou, seeds, *cells = shown[name]
        assert cells == table("against joint", store)["mlb, one stage"]
        assert seeds == table("errors", store)["mlb, one stage"][0]
        if file:
            assert iou == f"{pd.read_parquet(HERE / 'findings' / f'masks-{file}.parquet')['iou'].mean():.3f}"
        else:
            assert f", IoU {iou}" in TEXT
        of_masks.append(float(iou))
    assert of_masks == sorted(of_masks, reverse=True)


# Intervals as the prose has them, without their signs; some were printed by commands whose rows are not kept, as the text says.
PROSE = {"findings": TEXT, "README": README.partition("## What we found")[2].partition("\n## ")[0]}
PRINTED_ONLY = {("15.3", "25.5"), ("0.96", "1.40")}


@pytest.mark.parametrize("text", PROSE)
def test_intervals_in_the_prose_are_those_of_a_table(text: str) -> None:
    cells = re.findall(r"\[[-+](\d+\.\d)%, [-+](\d+\.\d)%\]", TEXT)
    cells += re.findall(r"\([−+](\d+\.\d) to [−+](\d+\.\d), \d", TEXT)  # of the tables of gains
    said = re.findall(r"\([−+]?(\d+\.\d) to [−+]?(\d+\.\d)[;)]", PROSE[text])
    said += re.findall(r", [−+]?(\d+\.\d) to [−+]?(\d+\.\d)[;)]", PROSE[text])
    assert len(said) >= 5
    assert {tuple(sorted(pair)) for pair in said} - PRINTED_ONLY <= {tuple(sorted(pair)) for pair in cells}


QUICKSTART = re.findall(
    r"^\| `(\w+)`( \(one stage\)| \(two stages\)|) \| (\d+) \| ([\d,]+) \| ([\d.]+) h \|(.*)\|$", README, re.MULTILINE
)
LABELS = re.findall(
    r"^\| (\d+) \| ([\d,]+) `(polygon|fine)` \| ([\d.]+) h \| ([\d.]+) \| ([\d.]+) \|$", NUMBERS, re.MULTILINE
)


NETWORKS = re.findall(
    r"^\| `fast` over `(\w+)` \| ([\d.]+) M \| ([\d.]+) \| ([\d.]+) \| ([\d,]+) \| ([\d,]+) \|$",
    NUMBERS,
    re.MULTILINE,
)


def quickstart(table: str) -> pd.DataFrame:
    return pd.read_parquet(HERE / "findings" / "quickstart" / table)


def is_one_stage(run: object) -> bool:
    return said(run.config)["teacher"] == "average"  # type: ignore[attr-defined]


def full_budget(run: object) -> bool:
    return run.mattes in (0, 40) and run.masks_polygon == 1000  # type: ignore[attr-defined]


def test_the_tables_have_every_run_of_the_quickstart() -> None:
    # One run, MLB in one stage with all labels, stands in all three.
    assert (len(QUICKSTART), len(LABELS), len(NETWORKS), len(quickstart("runs"))) == (5, 3, 3, 9)


@pytest.mark.parametrize("line", QUICKSTART, ids=lambda line: "-".join(line[:3]))
def test_the_readmes_table_of_the_quickstart_is_that_of_its_rows(line: tuple[str, ...]) -> None:
    method, form, mattes, masks, hours, cells = line
    teacher = {" (one stage)": "average"}.get(form, "stage")
    (run,) = (
        run
        for run in quickstart("runs").itertuples()
        if (run.method, run.mattes, said(run.config)["teacher"]) == (method, int(mattes), teacher)
        and (full_budget(run), run.backbone) == (True, "tf_efficientnet_lite0")
    )
    assert masks == f"{run.masks:,}"
    assert hours == f"{run.cost_s / 3600:.1f}"
    shown = [("sad", "whole", 1, 3), ("mse", "whole", 1e3, 1), ("grad", "whole", 1, 2), ("mad", "boundary", 1e3, 1)]
    means = [
        (scale * of_images("quickstart", [run.run_id], measure, region).mean(), digits)
        for measure, region, scale, digits in shown
    ]
    means.append((of_images("quickstart", [run.run_id], "sad", "whole", "procedural/test-shifted").mean(), 3))
    assert [cell.strip() for cell in cells.split("|")] == [f"{mean:.{digits}f}" for mean, digits in means]


@pytest.mark.parametrize("line", LABELS, ids=lambda line: "-".join(line[:3]))
def test_the_readmes_table_of_labels_is_that_of_its_rows(line: tuple[str, ...]) -> None:
    mattes, masks, grade, hours, *cells = line
    [run] = (
        run
        for run in quickstart("runs").itertuples()
        if (run.mattes, f"{getattr(run, f'masks_{grade}'):,}", run.backbone)
        == (int(mattes), masks, "tf_efficientnet_lite0")
        and is_one_stage(run)
    )
    assert hours == f"{run.cost_s / 3600:.1f}"
    sets = ("procedural/test", "procedural/test-shifted")
    assert cells == [f"{of_images('quickstart', [run.run_id], 'sad', 'whole', name).mean():.3f}" for name in sets]


@pytest.mark.parametrize("line", NETWORKS, ids=lambda line: line[0])
def test_the_readmes_table_of_networks_is_that_of_its_rows(line: tuple[str, ...]) -> None:
    backbone, *cells = line
    [run] = (
        run
        for run in quickstart("runs").itertuples()
        if run.backbone == backbone and is_one_stage(run) and full_budget(run)
    )
    speed = quickstart("speed")
    speed = speed[(speed["scope"] == "end_to_end") & (speed["backbone"] == backbone)].set_index("engine")
    sets = ("procedural/test", "procedural/test-shifted")
    sad = [of_images("quickstart", [run.run_id], "sad", "whole", name).mean() for name in sets]
    rates = [1000 / speed.loc[engine, "p50_ms"] for engine in ("eager", "openvino")]
    [params] = set(speed["params"])
    assert cells == [f"{params / 1e6:.2f}", *(f"{mean:.3f}" for mean in sad), *(f"{rate:,.0f}" for rate in rates)]


def test_the_readmes_answers_are_those_of_the_report(tmp_path: Path) -> None:
    build(HERE / "findings" / "quickstart", tmp_path / "report")
    boxes = (tmp_path / "report" / "report.md").read_text().partition("## What holds")[0].replace("\\", "")
    answers = re.findall(
        r"^- \*\*(Which labels to buy|How to blend|Which backbone to ship)\?\*\* (.*)$", README, re.MULTILINE
    )
    assert len(answers) == 3
    for question, text in answers:
        _, _, box = boxes.partition(f"### {question}?")
        box = box.partition("### ")[0].replace("*", "")
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
            assert sentence in box, sentence
