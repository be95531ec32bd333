"""Which rows are averaged, and what comes out, compared with plain pandas."""

from __future__ import annotations

import json
import uuid
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

import reports.load
from bench.cost import CostModel
from bench.statistics import means_and_differences
from bench.store import Store
from reports import averages
from reports.comparison import UNKNOWN_BUDGET, Budget, Comparison, compare
from reports.load import load
from reports.measures import BY_NAME
from reports.planner import measured
from reports.printed import most_labels
from reports.tables import methods as methods_table
from tests.reference import statistics as reference
from tests.reports.example_store import fill, run_row, score_rows
from wsshm.errors import UserError


def compared(store: Store) -> list[Comparison]:
    return compare(load(store.root), CostModel())


def value(comparison: Comparison, label: str, measure: str = "sad", **labels: int) -> pd.Series:
    cells = comparison.cells
    found = cells[(cells["label"] == label) & (cells["measure"] == measure)]
    for name, count in labels.items():
        found = found[found[name] == count]
    assert len(found) == 1
    return found.iloc[0]


def add_run(store: Store, method: str = "mlb", seed: int = 0, level: float = 1.0, images: int = 12, **changes) -> str:
    """One finished run; `changes` go to its row, those that are columns of scores to its scores."""
    ours = {key: changes.pop(key) for key in ("protocol", "metric_version", "dataset", "truth") if key in changes}
    row = run_row(method, changes.pop("mattes", 40), changes.pop("masks", 1000), seed, **changes)
    rng = np.random.default_rng(seed)
    store.write("runs", [row])
    store.write("scores", score_rows(row["run_id"], level, np.linspace(0.5, 1.5, images), rng, **ours))
    return row["run_id"]


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Store:
    return fill(tmp_path_factory.mktemp("store"))


def test_means_are_those_of_plain_pandas(example):
    [comparison] = compared(example)
    scores = example.read("scores").merge(example.read("runs"), on="run_id")
    scores = scores[scores["status"] == "finished"]
    for column, region, measure, scale in (("sad", "whole", "sad", 1), ("mad", "boundary", "mad_boundary", 1000)):
        part = scores[scores["region"] == region]
        by_seed = part.groupby(["method", "mattes", "masks", "seed"])[column].mean() * scale
        for (method, mattes, masks), means in by_seed.groupby(["method", "mattes", "masks"]):
            row = value(comparison, method, measure, mattes=mattes, masks=masks)
            assert row["mean"] == pytest.approx(means.mean())
            assert row["seed_sd"] == pytest.approx(means.std())
            assert row["low"] < row["mean"] < row["high"]
            assert (row["seeds"], row["images"]) == (2, 40 if region == "whole" else 39)


def test_intervals_are_those_of_a_loop_over_seed_averaged_values(example, monkeypatch):
    """Of the mean and of all differences of a measure together, round by round with the same draws."""
    rounds = 400
    monkeypatch.setattr(averages, "means_and_differences", partial(means_and_differences, rounds=rounds))
    [comparison] = compared(example)
    scores = example.read("scores").merge(example.read("runs")[["run_id", "method", "mattes"]], on="run_id")
    whole = scores[scores["region"] == "whole"]

    def per_image(method: str, mattes: float) -> np.ndarray:
        own = whole[(whole["method"] == method) & (whole["mattes"] == mattes)]
        return own.groupby("image")["sad"].mean().to_numpy()

    mlb = value(comparison, "mlb", mattes=40)
    expected = np.quantile(reference.drawn_means(per_image("mlb", 40)[:, None], rounds), [0.025, 0.975], axis=0)
    assert (mlb["low"], mlb["high"]) == pytest.approx(tuple(expected[:, 0]))

    others = (("matte_only", 1), ("seg_only", 0), ("joint", 1), ("matte_then_seg", 1), ("oracle", None))
    wanted = {
        (method, mattes): per_image(method, 1000 + mattes if share is None else share * mattes)
        - per_image("mlb", mattes)
        for mattes in (40, 10)
        for method, share in others
    } | {("mlb", 10): per_image("mlb", 10) - per_image("mlb", 40)}
    frame = comparison.differences[comparison.differences["measure"] == "sad"].set_index(["label", "mattes"])
    assert set(frame.index) == set(wanted)
    intervals = reference.simultaneous(np.column_stack(list(wanted.values())), rounds, 0.95)
    for (key, differences), (low, high) in zip(wanted.items(), intervals, strict=True):
        assert frame.loc[key, "mean"] == pytest.approx(differences.mean())
        assert (frame.loc[key, "low"], frame.loc[key, "high"]) == pytest.approx((low, high))
        expected_verdict = "better" if high < 0 else "worse" if low > 0 else "no significant difference"
        assert frame.loc[key, "verdict"] == expected_verdict
    assert {"better", "worse"} <= set(frame["verdict"])


def test_a_budget_holds_what_its_labels_allow(example):
    [comparison] = compared(example)
    assert comparison.budgets == [Budget(40, 1000), Budget(10, 1000)]
    once = comparison.cells.drop_duplicates("cell").set_index("cell")
    for budget in comparison.budgets:
        here = once.loc[comparison.at(budget)]
        assert list(here["label"]) == ["matte_only", "seg_only", "joint", "matte_then_seg", "mlb", "oracle"]
        assert set(here["mattes"]) == {0, budget.mattes, 1000 + budget.mattes}


def test_cost_counts_the_labels_that_were_used(example):
    [comparison] = compare(load(example.root), CostModel.parse("matte=10EUR,mask=1EUR"))
    assert value(comparison, "seg_only")["cost"] == 1000
    assert value(comparison, "mlb", mattes=40)["cost"] == 1400
    assert value(comparison, "oracle", mattes=1040)["cost"] == 10400


def test_masks_of_several_grades_are_a_budget_of_their_own(tmp_path):
    """As many masks, of other grades: other labels, at another price, never averaged with the first."""
    store = Store(tmp_path)
    by_grade = {"masks_clicks": 0, "masks_expert": 0}
    mixed = by_grade | {"masks_polygon": 900, "masks_fine": 100}
    for method in ("mlb", "seg_only"):
        mattes = 40 * (method == "mlb")
        add_run(store, method, mattes=mattes, run_id=f"{method}-old")  # a row older than the grades
        add_run(
            store,
            method,
            mattes=mattes,
            seed=1,
            run_id=f"{method}-plain",
            **by_grade | {"masks_polygon": 1000, "masks_fine": 0},
        )
        add_run(store, method, mattes=mattes, level=0.8, run_id=f"{method}-mixed", **mixed)
    [comparison] = compared(store)
    graded = Budget(40, 1000, "polygon=900,fine=100")
    assert comparison.budgets == [graded, Budget(40, 1000)]
    assert str(graded) == "40 mattes + 1,000 masks (900 polygon, 100 fine)"
    assert (str(Budget(40, 1000)), Budget(40, 1000).slug) == ("40 mattes + 1,000 masks", "40-mattes-1000-masks")
    assert graded.slug == "40-mattes-1000-masks-900-polygon-100-fine"
    heads = comparison.heads
    for budget, runs in ((graded, ["mixed"]), (Budget(40, 1000), ["old", "plain"])):
        here = heads.loc[comparison.at(budget)].set_index("method")
        assert {m: list(ids) for m, ids in here["run_ids"].items()} == {
            m: [f"{m}-{r}" for r in runs] for m in here.index
        }
        assert set(here.index) == {"mlb", "seg_only"}
    prices = CostModel()
    assert (
        heads.loc[comparison.reference(graded), "cost"]
        == prices.of(40, {"polygon": 900, "fine": 100})
        > prices.of(40, 1000)
    )
    with pytest.raises(UserError, match=r"no price for masks of the grade fine; add it, such as mask\.fine=4EUR"):
        compare(load(store.root), CostModel.parse("matte=23EUR,mask=2EUR"))
    shown = methods_table(comparison, graded, prices)
    [column] = [each for each in shown.columns if each.header == "masks"]
    assert {(column.cell(row).text, column.cell(row).note) for row in shown.records} == {
        ("1,000", "900 polygon, 100 fine")
    }
    assert graded.asked == {"mattes": 40, "masks": {"polygon": 900, "fine": 100}}
    assert most_labels(load(store.root).runs) in (graded.asked, Budget(40, 1000).asked)
    _, _, notes = measured(load(store.root), comparison)
    [left_out] = [note for note in notes if note.startswith("Left out: fine masks.")]
    assert "The runs have 1 combination of labels with 1 number of them, and it takes 3 with 2 numbers" in left_out


def test_unfinished_runs_enter_no_mean(tmp_path):
    store = Store(tmp_path)
    add_run(store, seed=0)
    for seed, status in enumerate(("stopped", "failed", "oom"), 1):
        add_run(store, seed=seed, level=50.0, status=status)
    [comparison] = compared(store)
    assert value(comparison, "mlb")["seeds"] == 1
    assert value(comparison, "mlb")["mean"] < 2
    assert "did not finish (3)" in " ".join(load(tmp_path).notes)


@pytest.mark.parametrize(
    "change",
    [
        {"metric_version": "2"},
        {"protocol": "other"},
        {"dataset": "other/test"},
        {"truth": "estimated"},
        {"data_fingerprint": "f" * 16},
        {"recipe_version": "2"},
        {"backbone": "resnet18"},
        {"weights": "none"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_made_or_scored_otherwise_is_never_averaged_together(tmp_path, change):
    store = Store(tmp_path)
    add_run(store, seed=0, level=1.0)
    add_run(store, seed=1, level=9.0, **change)
    first, second = compared(store)
    assert sorted(value(part, "mlb")["seeds"] for part in (first, second)) == [1, 1]
    assert max(value(part, "mlb")["mean"] for part in (first, second)) > 6
    assert first.title != second.title
    assert first.slug != second.slug


@pytest.mark.parametrize(
    ("data", "order"),
    [
        ({"test": ["a", "b", "c"], "masks": "c", "val": "v"}, "cab"),
        ({"test": ["a", "b", "c"], "masks": "m", "val": "b"}, "bac"),
        ({"test": ["c", "b", "a"], "masks": "m", "val": "v"}, "cba"),
        ({"test": ["b"]}, "bac"),  # those that were scored later come last, by name
        ({"test": "cba"}, "abc"),
        ("x", "abc"),
        ({"test": [["c"], None, "b"], "masks": ["c"]}, "bac"),
    ],
)
def test_photos_of_ones_own_come_before_other_test_sets_and_these_as_the_plan_lists_them(tmp_path, data, order):
    store = Store(tmp_path)
    row = run_row("mlb", 40, 1000, 0, config=json.dumps({"data": data}))
    store.write("runs", [row])
    for name in "abc":
        rows = score_rows(row["run_id"], 1.0, np.ones(2), np.random.default_rng(0), dataset=name)
        store.write("scores", rows)
    add_run(store, method="joint", images=2, dataset="c")
    without = [comparison.ground["dataset"] for comparison in compared(store)]
    assert without[0] == "c"  # the set of most runs comes first
    add_run(store, method="seg_only", images=2, dataset="a", mattes=0)
    add_run(store, method="matte_only", images=2, dataset="b", masks=0)
    assert [comparison.ground["dataset"] for comparison in compared(store)] == list(order)


def test_a_run_without_some_images_is_left_out_and_named(tmp_path):
    store = Store(tmp_path)
    for seed in (0, 1):
        add_run(store, seed=seed)
    short = add_run(store, "joint", images=9)
    longer = add_run(store, "seg_only", images=14, mattes=0)
    [comparison] = compared(store)
    assert len(comparison.images) == 12
    assert set(comparison.cells["label"]) == {"mlb", "seg_only"}
    assert f"Run {short} is left out: it was not scored on 3 of 12 images." in comparison.notes
    assert "2 images that most runs were not scored on are left out." in comparison.notes
    assert value(comparison, "seg_only")["run_ids"] == [longer]


def test_a_value_that_others_have_is_not_averaged_around(tmp_path):
    store = Store(tmp_path)
    add_run(store, "seg_only", mattes=0)
    row = run_row("mlb", 40, 1000, 0)
    rows = score_rows(row["run_id"], 1.0, np.linspace(0.5, 1.5, 12), np.random.default_rng(0))
    for scored in rows:
        if scored["region"] == "whole" and scored["image"] == "test-0005":
            scored["conn"] = None
    store.write("runs", [row])
    store.write("scores", rows)
    [comparison] = compared(store)
    mlb = comparison.cells[comparison.cells["label"] == "mlb"]
    assert "conn" not in set(mlb["measure"])
    assert "sad" in set(mlb["measure"])
    assert any("no finite Conn (whole image) on 1 of 12 images" in note for note in comparison.notes)
    assert value(comparison, "seg_only", "conn")["images"] == 12


def test_varied_settings_are_cells_of_their_own_and_named(tmp_path):
    store = Store(tmp_path)
    for band in (0.04, 0.08):
        for seed in (0, 1):
            config = {"method": {"name": "mlb", "blend": {"band": band}}, "train": {"seed": seed, "workers": seed}}
            add_run(store, seed=seed, run_id=f"{band}-{seed}", config=json.dumps(config))
    [comparison] = compared(store)
    assert value(comparison, "mlb, band=0.04")["seeds"] == 2
    assert value(comparison, "mlb, band=0.08")["seeds"] == 2
    assert comparison.reference(Budget(40, 1000)) == value(comparison, "mlb, band=0.04")["cell"]


def test_one_image_has_means_but_no_intervals(tmp_path):
    store = Store(tmp_path)
    add_run(store, images=1)
    add_run(store, "seg_only", mattes=0, images=1, level=3.0)
    [comparison] = compared(store)
    assert np.isnan(value(comparison, "mlb")["low"])
    assert set(comparison.differences["verdict"]) == {"no significant difference"}


def test_pictures_without_their_masks_are_told_apart_by_number(tmp_path):
    """They cost nothing, so the store's column `masks` is 0 for all of them."""
    store = Store(tmp_path)
    for masks, level in ((100, 2.0), (1000, 1.0)):
        config = json.dumps({"budget": {"mattes": 40, "masks": masks}})
        add_run(store, "pseudo_label", masks=0, level=level, run_id=f"p{masks}", config=config)
    for mattes, masks in ((10, 100), (40, 1000)):  # never sees them: no part of its name
        config = json.dumps({"budget": {"mattes": mattes, "masks": masks}})
        add_run(store, "matte_only", mattes=mattes, masks=0, run_id=f"m{mattes}", config=config)
    [comparison] = compared(store)
    assert set(comparison.cells["label"]) == {"pseudo_label, masks=100", "pseudo_label, masks=1000", "matte_only"}


def test_runs_of_unknown_labels_are_left_out_with_a_note(tmp_path):
    store = Store(tmp_path)
    add_run(store)
    add_run(store, seed=1, mattes=None, masks=None, run_id="unknown")
    [comparison] = compared(store)
    assert value(comparison, "mlb")["seeds"] == 1
    assert "do not say which labels they used (1)" in " ".join(load(tmp_path).notes)


def add_external(store: Store, name: str, number: int, level: float = 1.0, images: int = 12, **changes: str) -> str:
    """Predictions as `bench evaluate --store` adds them."""
    run_id = f"external-{number:06x}0123456789"
    row = dict.fromkeys(run_row("x", None, None, 0))
    kept = {"config": json.dumps({"evaluate": {"pairs": images}}), "status": "finished", "versions": "{}"}
    store.write("runs", [row | kept | {"run_id": run_id, "method": name}])
    rng = np.random.default_rng(number)
    changes = {"protocol": "external", **changes}
    store.write("scores", score_rows(run_id, level, np.linspace(0.5, 1.5, images), rng, **changes))
    return run_id


def test_predictions_made_elsewhere_stand_beside_runs_on_the_same_images(tmp_path):
    store = Store(tmp_path)
    for masks in (1000, 500):
        add_run(store, masks=masks, run_id=f"mlb-{masks}")
    add_external(store, "theirs", 1, level=3.0)
    [comparison] = compared(store)
    theirs = value(comparison, "theirs")
    assert theirs["external"]
    assert np.isnan([theirs["mattes"], theirs["masks"], theirs["cost"], theirs["seed_sd"]]).all()
    assert comparison.budgets == [Budget(40, 1000), Budget(40, 500)]
    assert all(theirs["cell"] in comparison.at(budget) for budget in comparison.budgets)
    frame = comparison.differences[comparison.differences["measure"] == "sad"]
    assert list(frame.loc[frame["label"] == "theirs", "verdict"]) == ["worse", "worse"]
    assert comparison.notes == []


def test_predictions_that_were_scored_otherwise_stand_apart(tmp_path):
    store = Store(tmp_path)
    add_run(store)
    add_external(store, "fewer", 1, images=11)
    add_external(store, "elsewhere", 2, dataset="other/test")
    add_external(store, "later", 3, metric_version="2")
    first, *others = compared(store)
    assert set(first.cells["label"]) == {"mlb"}
    assert sorted({part.cells["label"].iloc[0] for part in others}) == ["elsewhere", "fewer", "later"]
    for part in others:
        assert part.budgets == [UNKNOWN_BUDGET]
        assert part.at(UNKNOWN_BUDGET) == [0]
        assert part.differences.empty
        assert ("lack images" in " ".join(part.notes)) == (part.cells["label"].iloc[0] == "fewer")


def test_a_store_of_predictions_alone_is_compared(tmp_path):
    store = Store(tmp_path)
    add_external(store, "a", 1)
    add_external(store, "b", 2)
    [comparison] = compared(store)
    assert list(comparison.cells.drop_duplicates("cell")["label"]) == ["a", "b"]
    assert str(comparison.budgets[0]) == "labels not known"
    assert comparison.reference(comparison.budgets[0]) is None


def test_predictions_are_never_averaged_with_anything(tmp_path):
    """Not with others of their name, and not with our own method of that name."""
    store = Store(tmp_path)
    add_run(store)
    first, second = add_external(store, "mlb", 1), add_external(store, "mlb", 2, level=5.0)
    [comparison] = compared(store)
    assert value(comparison, "mlb")["run_ids"] == ["mlb-40-1000-0"]
    foreign = comparison.cells[comparison.cells["external"] & (comparison.cells["measure"] == "sad")]
    assert sorted(run for runs in foreign["run_ids"] for run in runs) == [first, second]
    assert set(foreign["label"]) == {"mlb 000001", "mlb 000002"}
    assert comparison.reference(Budget(40, 1000)) == value(comparison, "mlb")["cell"]


def test_predictions_of_the_name_of_an_own_method_are_told_from_it(tmp_path):
    store = Store(tmp_path)
    add_run(store)
    add_external(store, "mlb", 1)
    [comparison] = compared(store)
    assert set(comparison.cells["label"]) == {"mlb", "mlb (external)"}


def val_rows(run_id: str, *values: float, stage: str = "student") -> list[dict]:
    return [
        {"run_id": run_id, "stage": stage, "epoch": epoch, "key": "val_sad", "value": level}
        for epoch, level in enumerate(values, 1)
    ]


def test_the_variant_with_the_lowest_validation_error_stands_for_its_method(tmp_path):
    """Also where another is better on the test set, and whatever earlier stages and epochs said."""
    store = Store(tmp_path)
    for band, level, validated in ((0.04, 1.0, 3.0), (0.08, 2.0, 2.0)):
        for seed in (0, 1):
            config = json.dumps({"method": {"name": "mlb", "blend": {"band": band}}})
            stages = ["teacher:aa", "student:bb"]
            run = add_run(store, seed=seed, level=level, run_id=f"{band}-{seed}", config=config, stages=stages)
            store.write("epochs", val_rows(run, 0.1, validated + seed))
            store.write("epochs", val_rows(run, 0.2, 0.3, 0.4, stage="teacher"))
    [comparison] = compared(store)
    better, shown = (value(comparison, f"mlb, band={band}") for band in (0.04, 0.08))
    assert (better["val_sad"], shown["val_sad"]) == (3.5, 2.5)
    assert (better["shown"], shown["shown"]) == (False, True)
    assert (better["variant"], shown["variant"]) == ({"method.blend.band": 0.04}, {"method.blend.band": 0.08})
    assert comparison.reference(Budget(40, 1000)) == shown["cell"]
    assert better["mean"] < shown["mean"]


def test_differences_are_paired_over_the_seeds_that_both_have(tmp_path):
    store = Store(tmp_path)
    for seed, level in ((0, 1.0), (1, 1.0), (2, 9.0)):
        add_run(store, seed=seed, level=level)
    for seed in (0, 1):
        add_run(store, "joint", seed=seed, level=1.5)
    add_run(store, "seg_only", mattes=0, seed=7, level=1.5)
    [comparison] = compared(store)
    frame = comparison.differences[comparison.differences["measure"] == "sad"].set_index("label")
    by_run = comparison.values(BY_NAME["sad"])
    shared = by_run[["joint-40-1000-0", "joint-40-1000-1"]].mean(axis=1)
    shared -= by_run[["mlb-40-1000-0", "mlb-40-1000-1"]].mean(axis=1)
    assert frame.loc["joint", "mean"] == pytest.approx(shared.mean())
    alone = by_run["seg_only-0-1000-7"] - by_run[[f"mlb-40-1000-{seed}" for seed in range(3)]].mean(axis=1)
    assert frame.loc["seg_only", "mean"] == pytest.approx(alone.mean())
    assert value(comparison, "mlb")["mean"] == pytest.approx(by_run.filter(like="mlb").mean(axis=None))
    partly, nothing = comparison.notes
    assert "joint" in partly
    assert "both sides have" in partly
    assert "seg_only" in nothing


def test_values_that_are_no_numbers_are_named_and_enter_no_mean(tmp_path):
    store = Store(tmp_path)
    add_run(store, "seg_only", mattes=0)
    rows = score_rows("broken", 1.0, np.linspace(0.5, 1.5, 12), np.random.default_rng(0))
    for row in rows:
        if row["region"] == "whole" and row["image"] in ("test-0001", "test-0002"):
            row["sad"] = np.nan
    store.write("runs", [run_row("mlb", 40, 1000, 0, run_id="broken")])
    store.write("scores", rows)
    [comparison] = compared(store)
    assert "sad" not in set(comparison.cells.loc[comparison.cells["label"] == "mlb", "measure"])
    assert np.isfinite(comparison.cells["mean"]).all()
    [note] = comparison.notes
    assert note.startswith("Run broken (mlb) has no finite SAD (whole image) on 2 of 12 images")


def test_many_faulty_runs_take_few_notes(tmp_path):
    store = Store(tmp_path)
    for seed in range(20):
        add_run(store, seed=seed)
    for seed in range(9):
        add_run(store, "joint", seed=seed, images=5)
    [comparison] = compared(store)
    assert len(comparison.notes) == 6, "five by name and one for the others"
    assert all(f"joint-40-1000-{seed}" in " ".join(comparison.notes) for seed in range(9))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_order_of_rows_and_duplicates_gives_what_plain_pandas_gives(data):
    """Runs of any status, written again and in any order; the last score of a key counts, if its run finished."""
    store = Store(uuid.uuid4().hex, fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem())))
    runs = data.draw(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["finished", "failed"])), min_size=1))
    scored = data.draw(
        st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.integers(1, 99)), min_size=1, max_size=30)
    )
    methods = {"a": "mlb", "b": "mlb", "c": "joint", "d": "joint"}
    for run_id, status in runs:
        row = run_row(methods[run_id], 40, 1000, ord(run_id), run_id=run_id, status=status)
        store.write("runs", [row | {"finished": None}])
    template = score_rows("", 1.0, np.ones(1), np.random.default_rng(0))[0]
    rows = [template | {"run_id": run_id, "image": str(image), "sad": float(sad)} for run_id, image, sad in scored]
    cut = data.draw(st.integers(0, len(rows)))
    for batch in (rows[:cut], rows[cut:]):
        store.write("scores", batch)
    finished = {run_id for run_id, status in runs if status == "finished"}
    last = {(run_id, image): sad for run_id, image, sad in scored if run_id in finished}
    by_run = {run_id: {image: sad for (own, image), sad in last.items() if own == run_id} for run_id, _ in last}
    comparisons = _compared_in(store)
    if not last:
        assert comparisons == []
        return
    [comparison] = comparisons
    kept = {run_id: values for run_id, values in by_run.items() if set(values) >= set(map(int, comparison.images))}
    for cell in comparison.cells[comparison.cells["measure"] == "sad"].itertuples():
        expected = [kept[run_id][int(image)] for run_id in cell.run_ids for image in comparison.images]
        assert cell.mean == pytest.approx(np.mean(expected))
        assert sorted(cell.run_ids) == sorted(run_id for run_id in kept if methods[run_id] == cell.label)
    assert sum(len(runs) for runs in comparison.cells.drop_duplicates("cell")["run_ids"]) == len(kept)


def _compared_in(store: Store) -> list[Comparison]:
    """`load` opens addresses; this store lives in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports.load, "Store", lambda _: store)
        patch.setattr(averages, "means_and_differences", partial(means_and_differences, rounds=10))
        return compare(load("memory"), CostModel())


def test_measures_without_any_value_have_no_column(tmp_path):
    store = Store(tmp_path)
    run = run_row("mlb", 40, 1000, 0)
    store.write("runs", [run])
    rows = score_rows(run["run_id"], 1.0, np.ones(3), np.random.default_rng(0))
    store.write("scores", [row | {"sad": None, "convention": "rvm"} for row in rows])
    [comparison] = compared(store)
    assert "sad" not in set(comparison.cells["measure"])
    assert "mse" in set(comparison.cells["measure"])
    nothing = dict.fromkeys(("sad", "mse", "mad", "grad", "conn", "iou"))
    store.write("scores", [row | nothing | {"convention": "rvm"} for row in rows])
    assert compared(store) == []


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_scores_of_a_superseded_version_are_compared_in_all_but_what_changed(tmp_path, seeds):
    """A sweep that goes on with newer code: its old runs stand beside the new ones, without their Conn."""
    store = Store(tmp_path)
    methods = ("mlb", "joint") if seeds == (0, 0) else ("mlb", "mlb")
    for method, seed, version in zip(methods, seeds, ("p3m-1", "p3m-2"), strict=True):
        add_run(store, method, seed, metric_version=version)
    [comparison] = compared(store)
    measured = {(row["label"], row["measure"]): row for _, row in comparison.cells.iterrows()}
    assert measured["mlb", "sad"]["seeds"] == len(set(seeds))
    newer = "joint" if seeds == (0, 0) else None  # a mean over both seeds has no Conn at all
    assert [label for label, measure in measured if measure == "conn"] == ([newer] if newer else [])
    assert "metric version p3m-1 left out" in " ".join(load(tmp_path).notes)


def test_scores_of_a_superseded_version_among_themselves_keep_all_they_show(tmp_path):
    store = Store(tmp_path)
    for method in ("mlb", "joint"):
        add_run(store, method, metric_version="p3m-1")
    [comparison] = compared(store)
    assert set(comparison.cells.loc[comparison.cells["measure"] == "conn", "label"]) == {"mlb", "joint"}
    assert comparison.ground["metric_version"] == "p3m-1"
