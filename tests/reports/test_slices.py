"""Errors by what the pictures show: every mean and interval against its own slice of the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.statistics import mean_interval
from bench.store import Store
from reports.comparison import compare
from reports.load import load
from reports.sections.slices import section
from tests.reports.commands import mistake, pictured, reports, rows
from tests.reports.example_store import fill
from wsshm.data.manifest import Manifest

IMAGES = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """The example, and a manifest of all of its pictures but the last two."""
    root = tmp_path_factory.mktemp("slices")
    said = [
        {"hair": ("long", "short", "bald")[i % 3], "people": str(1 + (i % 12 == 0) * 9), "id_of": str(i)}
        for i in range(IMAGES - 2)
    ]
    return fill(root / "store"), pictured(root / "test.parquet", said)


def hair(image: str) -> str:
    index = int(image.removeprefix("test-"))
    return ("long", "short", "bald")[index % 3] if index < IMAGES - 2 else "not given"


def test_means_and_intervals_are_those_of_each_slices_own_images(place: tuple[Store, Path]) -> None:
    store, manifest = place
    said = reports(
        "table", store.root, "--by", "hair", "--manifest", manifest, "--measure", "sad,mad_boundary", "--format", "csv"
    )
    assert said.code == 0, said.err
    listed = pd.DataFrame(rows(said.out))
    scores = store.read("scores").merge(store.read("runs").query("status == 'finished'"), on="run_id")
    scores["hair"] = scores["image"].map(hair)
    seen = 0
    for measure, column, region, scale in (("sad", "sad", "whole", 1), ("mad_boundary", "mad", "boundary", 1000)):
        part = scores[(scores["region"] == region) & scores[column].notna()]
        for key, own in part.groupby(["method", "mattes", "masks", "hair"]):
            values = own.groupby("image")[column].mean() * scale
            found = listed[(listed["method"] == key[0]) & (listed["value"] == key[3]) & (listed["measure"] == measure)]
            found = found[(found["mattes"].astype(float) == key[1]) & (found["masks"].astype(float) == key[2])]
            assert len(found), key  # a cell stands in the table of every budget that pays for it
            true = mean_interval(values.sort_index())
            for row in found.to_dict("records"):
                assert int(row["images"]) == len(values)
                assert [float(row[name]) for name in ("mean", "low", "high")] == pytest.approx(
                    [true.mean, true.low, true.high]
                )
                seen += 1
    assert seen == len(listed)


def test_the_terminal_shows_intervals_and_numbers_of_images(place: tuple[Store, Path]) -> None:
    store, manifest = place
    said = reports("table", store.root, "--by", "hair,people", "--manifest", manifest)
    assert said.code == 0, said.err
    assert "SAD (whole image) by hair, procedural/test, 40 mattes + 1,000 masks" in said.out
    for header in ("bald (12 images)", "long (13 images)", "not given (2 images)", "1 (34 images)"):
        assert header in said.out
    assert said.out.index("1 (34 images)") < said.out.index("10 (4 images)")  # numbers by their size
    scores = store.read("scores").query("region == 'whole'").merge(store.read("runs"), on="run_id")
    own = scores[(scores["method"] == "mlb") & (scores["mattes"] == 40) & (scores["image"].map(hair) == "bald")]
    true = mean_interval(own.groupby("image")["sad"].mean())
    assert f"{true.mean:.3f}" in said.out
    assert f"{true.low:.3f} to {true.high:.3f}" in said.out


def test_the_pages_section_takes_the_attributes_that_are_asked_about(place: tuple[Store, Path]) -> None:
    frames = load(place[0].root)
    comparisons = compare(frames, CostModel())
    made = section(comparisons, Manifest.read(place[1]))
    assert [block.name.split("-sad")[0] for block in made.blocks] == ["slices-hair", "slices-people"]
    assert "chance" in made.text[0]
    assert not section(comparisons, None).blocks
    assert "--manifest" in section(comparisons, None).missing


def test_one_image_has_no_interval(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", seeds=(0,), images=3, failed=False, budgets=((40, 1000),))
    manifest = pictured(tmp_path / "m.parquet", [{"hair": "long"}, {"hair": "long"}, {"hair": "bald"}])
    listed = rows(reports("table", store.root, "--by", "hair", "--manifest", manifest, "--format", "csv").out)
    assert {row["low"] == "" for row in listed if row["value"] == "bald"} == {True}
    assert {row["low"] == "" for row in listed if row["value"] == "long"} == {False}
    assert "one image" in reports("table", store.root, "--by", "hair", "--manifest", manifest).out


def test_mistakes_say_which_attributes_there_are(place: tuple[Store, Path], tmp_path: Path) -> None:
    store, manifest = place
    assert "'hair'" in mistake("table", store.root, "--by", "hiar", "--manifest", manifest)
    assert "valid choices are domain, hair, id_of, people" in mistake(
        "table", store.root, "--by", "zz", "--manifest", manifest
    )
    assert "38 values" in mistake("table", store.root, "--by", "id_of", "--manifest", manifest)
    assert "go together" in mistake("table", store.root, "--by", "hair")
    assert "go together" in mistake("table", store.root, "--manifest", manifest)
    others = pictured(tmp_path / "others.parquet", [{"hair": "long"}], "photo-{}")
    assert "none of the 40 scored images" in mistake("table", store.root, "--by", "hair", "--manifest", others)
    few = pictured(tmp_path / "few.parquet", [{"hair": "long"}] * 8)
    assert "8 of the 40 scored images" in mistake("table", store.root, "--by", "hair", "--manifest", few)
    small = fill(tmp_path / "store", seeds=(0,), images=20, budgets=((40, 1000),), methods=("seg_only", "mlb"))
    said = reports("build", small.root, "--out", tmp_path / "report", "--manifest", few, "--budget", "30h")
    assert said.code == 0
    assert "no section 'By attribute': Most scored pictures are not in the manifest" in said.err
    assert "no section 'Which labels to buy'" in said.err
    assert "'sad'" in mistake("table", store.root, "--measure", "sda")
    assert "'boundary'" in mistake("table", store.root, "--region", "bondary")
    assert "none of the measures" in mistake("table", store.root, "--measure", "sad", "--region", "boundary")


def test_the_table_of_methods_takes_a_choice_of_measures(place: tuple[Store, Path]) -> None:
    every, some = reports("table", place[0].root).out, reports("table", place[0].root, "--measure", "sad").out
    assert "Grad" in every
    assert "Grad" not in some
    assert "Intervals are left out" in every
    assert " to " in some  # few measures leave room for them
    heads = [reports("table", place[0].root, "--region", name).out for name in ("boundary", "fractional")]
    assert heads[0] == heads[1]
    boundary = rows(reports("table", place[0].root, "--region", "boundary", "--format", "csv").out)
    assert {row["measure"] for row in boundary} == {"mad_boundary"}
    scores = place[0].read("scores").query("region == 'boundary'")
    ids = ["mlb-10-1000-0", "mlb-10-1000-1"]
    true = scores[scores["run_id"].isin(ids)].groupby("image")["mad"].mean().mean() * 1000
    own = [row for row in boundary if row["run_ids"].split() == ids]
    assert [float(row["mean"]) for row in own] == pytest.approx([true] * len(own))
    assert own
    assert np.isfinite(true)


def test_a_report_is_built_with_slices_when_a_manifest_is_given(tmp_path: Path) -> None:
    store = fill(
        tmp_path / "store", seeds=(0,), images=6, failed=False, budgets=((40, 1000),), methods=("seg_only", "mlb")
    )
    manifest = pictured(tmp_path / "m.parquet", [{"hair": ("long", "bald")[i % 2]} for i in range(6)])
    money = ("--cost", "matte=23EUR,mask=2EUR", "--budget")
    assert "is in h but labels are priced in EUR" in mistake(
        "build", store.root, "--out", tmp_path / "no", *money, "30h"
    )
    said = reports("build", store.root, "--out", tmp_path / "report", "--manifest", manifest, *money, "5000EUR")
    assert said.code == 0, said.err
    assert said.out.strip() == str(tmp_path / "report" / "index.html")
    assert "By attribute" in (tmp_path / "report" / "index.html").read_text()
    (table,) = (tmp_path / "report" / "tables").glob("slices-hair-sad-*.csv")
    listed = rows(reports("table", store.root, "--by", "hair", "--manifest", manifest, "--format", "csv").out)
    assert [row["mean"] for row in rows(table.read_text())] == [row["mean"] for row in listed]
    assert not (tmp_path / "no").exists()
