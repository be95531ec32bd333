"""Which rows are averaged, and what comes out, held against plain pandas."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.statistics import paired_difference
from bench.store import Store
from reports.comparison import Budget, Comparison, compare
from reports.load import load
from tests.reports.example_store import fill, run_row, score_rows


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


def test_differences_are_paired_by_image_over_seed_averaged_values(example):
    [comparison] = compared(example)
    scores = example.read("scores").merge(example.read("runs")[["run_id", "method", "mattes"]], on="run_id")
    whole = scores[scores["region"] == "whole"]

    def per_image(method: str, mattes: int) -> pd.Series:
        return whole[(whole["method"] == method) & (whole["mattes"] == mattes)].groupby("image")["sad"].mean()

    frame = comparison.differences[comparison.differences["measure"] == "sad"]
    for mattes in (40, 10):
        for method, own in (("seg_only", 0), ("joint", mattes), ("matte_only", mattes), ("oracle", 1000 + mattes)):
            expected = paired_difference(per_image(method, own), per_image("mlb", mattes))
            row = frame[(frame["mattes"] == mattes) & (frame["label"] == method)].iloc[0]
            assert row["mean"] == pytest.approx(expected.mean)
            assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
            assert row["verdict"] == expected.verdict


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
    assert any("no Conn (whole image) on 1 images" in note for note in comparison.notes)
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
    assert set(comparison.differences["verdict"]) == {"not told apart"}


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
    add_run(store, seed=1, mattes=None, masks=None, run_id="external-1")
    [comparison] = compared(store)
    assert value(comparison, "mlb")["seeds"] == 1
    assert "do not say which labels they used (1)" in " ".join(load(tmp_path).notes)


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
