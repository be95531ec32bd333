"""Where the best method errs most: its images by their errors, and the pictures of those that the store keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports.comparison import compare
from reports.document import Picture, Table
from reports.figures import qualitative
from reports.load import load
from reports.page import build
from reports.sections import worst
from tests.reports.example_store import run_row, sample_rows, score_rows
from tests.reports.pages import Page

IMAGES = 30
HARDNESS = np.linspace(1.0, 2.0, IMAGES)[np.random.default_rng(1).permutation(IMAGES)]


def filled(root: Path, level: float = 0.5, pictures: bool = True) -> Store:
    """`mlb` by two seeds and its better control `oracle`; a picture of the worst image is kept for its error."""
    store = Store(root)
    for method, seed, own in (("mlb", 1, level), ("mlb", 0, level), ("joint", 0, 1.0), ("oracle", 0, 0.1)):
        row = run_row(method, 40, 1000, seed)
        scores = score_rows(row["run_id"], own, HARDNESS, np.random.default_rng(seed))
        store.write("runs", [row])
        store.write("scores", scores)
        samples = sample_rows(row["run_id"], method, own)
        aimed = [{**sample, "image": worst_of(scores), "worst": True} for sample in samples[:4]]  # no one of the others
        if pictures:
            store.write("samples", [*samples, *aimed])
    return store


def worst_of(scores: list[dict]) -> str:
    whole = [row for row in scores if row["region"] == "whole"]
    return max(whole, key=lambda row: row["sad"])["image"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    store = filled(tmp_path_factory.mktemp("worst") / "store")
    return store, build(store.root, tmp_path_factory.mktemp("report")).parent


def test_the_page_names_the_images_with_the_largest_errors_of_the_best_contenders_first_seed(built):
    store, folder = built
    page = Page((folder / "index.html").read_text())
    scores = store.read("scores")
    own = scores[(scores["run_id"] == "mlb-40-1000-0") & (scores["region"] == "whole")]
    own = own.sort_values("sad", ascending=False)
    headings, rows = page.table("worst")
    assert headings == ["rank", "image", "SAD ↓", "of the error", "picture"]
    assert [row[1][0] for row in rows] == list(own["image"].head(10))
    assert float(rows[0][2][0]) == pytest.approx(own["sad"].iloc[0], abs=5e-3)
    share = 100 * own["sad"].head(3).sum() / own["sad"].sum()
    said = (
        f"In its run mlb-40-1000-0 (the lowest of 2 seeds), the 3 worst of 30 images hold {share:.0f} % of the error."
    )
    assert said in page.text
    csv = pd.read_csv(folder / "tables/worst.csv")
    assert list(csv["image"]) == list(own["image"])
    assert set(csv.loc[csv["kept"], "image"]) == {f"test-000{n}" for n in range(4)} | {own["image"].iloc[0]}


def test_its_pictures_are_the_worst_of_those_kept_with_their_places_among_all(built):
    store, folder = built
    frames = load(store.root)
    section = worst.section(frames, compare(frames, CostModel()))
    picture, table = section.blocks
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    kept = table.frame[table.frame["kept"]].head(3)
    assert list(dict.fromkeys(picture.frame["image"])) == list(kept["image"])
    assert kept["rank"].iloc[0] == 1  # the one that is kept for its error
    mattes = picture.frame[picture.frame["column"] == "mlb"]
    assert mattes["sad"].to_numpy() == pytest.approx(kept["sad"].to_numpy())
    for _, part in picture.frame.groupby("image"):
        assert set(part["column"]) == {"photo", "mask", "mlb", "truth", "error of mlb"}
    texts = [text.get_text() for axes in picture.figure.axes for text in axes.texts]
    assert [text for text in texts if text.startswith("no. ")] == [f"no. {rank} of 30" for rank in kept["rank"]]
    assert "keeps (those with its largest errors among them)" in picture.caption
    assert (folder / "figures/worst.png").exists()


def test_pictures_that_are_kept_for_their_errors_stay_out_of_the_sheet_of_methods(built):
    frames = load(built[0].root)
    [comparison] = compare(frames, CostModel())
    samples = frames.pictures(frames.runs["run_id"])
    frame = qualitative.data(comparison, comparison.budgets[0], frames.runs, samples)
    assert set(frame["image"]) == {f"test-000{n}" for n in range(4)}


def test_without_pictures_the_images_are_named_all_the_same(tmp_path):
    frames = load(filled(tmp_path, pictures=False).root)
    section = worst.section(frames, compare(frames, CostModel()))
    [table] = section.blocks
    assert isinstance(table, Table)
    assert [column.header for column in table.columns] == ["rank", "image", "SAD ↓", "of the error"]


def test_mattes_without_any_error_have_no_share_of_it(tmp_path):
    store = Store(tmp_path)
    store.write("runs", [run_row("mlb", 40, 1000, 0)])
    rows = score_rows("mlb-40-1000-0", 1.0, HARDNESS, np.random.default_rng(0), sad=0.0)
    store.write("scores", rows)
    frames = load(tmp_path)
    section = worst.section(frames, compare(frames, CostModel()))
    assert section.text == [
        "mlb with 40 mattes + 1,000 masks has the lowest SAD on procedural/test. These are the images of its run mlb-40-1000-0."
    ]
    [table] = section.blocks
    assert {row[3].text for row in table.rows} == {"–"}


def test_without_scores_of_runs_nothing_is_said(tmp_path):
    Store(tmp_path).write("runs", [run_row("mlb", 40, 1000, 0, status="failed")])
    frames = load(tmp_path)
    section = worst.section(frames, compare(frames, CostModel()))
    assert not section.filled
    assert section.missing.startswith("No finished run was scored")
