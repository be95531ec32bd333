"""One ranking of everything: order, values and ties compared with plain pandas and the bootstrap in full."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports.leaderboard import boards
from reports.load import load
from tests.reports.commands import mistake, reports, rows
from tests.reports.example_store import BACKBONE, fill, run_row, score_rows, speed_rows

OTHER = "resnet18"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The example, a second network that is timed faster, and the same scores under another protocol."""
    made = fill(tmp_path_factory.mktemp("board") / "store")
    rng = np.random.default_rng(5)
    hardness = rng.lognormal(0, 0.6, 40)
    for seed in (0, 1):
        row = run_row("mlb", 40, 1000, seed, run_id=f"other-{seed}", backbone=OTHER, git_commit="ab" * 20)
        made.write("runs", [row])
        made.write("scores", score_rows(row["run_id"], 0.9, hardness, rng))
    native = score_rows("mlb-40-1000-0", 0.5, hardness, rng, protocol="native")
    made.write("scores", native)
    fast = speed_rows(rng)[0] | {"model": f"unet-{OTHER}", "backbone": OTHER, "fps": 100.0, "p50_ms": 10.0}
    made.write("speed", [fast | {"median_low_ms": 9.9, "median_high_ms": 10.1, "params": 12_000_000}])
    return made


def cells(store: Store) -> pd.DataFrame:
    """Seed-averaged means of every cell, by plain pandas."""
    scores = store.read("scores").query("region == 'whole' and protocol == 'short128'")
    joined = scores.merge(store.read("runs").query("status == 'finished'"), on="run_id")
    by = ["method", "backbone", "mattes", "masks"]
    means = joined.groupby([*by, "image"])[["sad", "mse", "grad"]].mean().groupby(level=by).mean().reset_index()
    return means.assign(mse=means["mse"] * 1000)


def test_rows_are_ranked_by_the_measure_with_pandas_own_means(store: Store) -> None:
    said = reports("leaderboard", store.root, "--format", "csv")
    assert said.code == 0, said.err
    listed = pd.DataFrame(rows(said.out))
    main = listed[listed["table"] == "leaderboard"]
    true = cells(store).sort_values("sad", ignore_index=True)
    assert list(zip(main["method"], main["backbone"], main["mattes"].astype(float), strict=True)) == list(
        zip(true["method"], true["backbone"], true["mattes"].astype(float), strict=True)
    )
    assert list(main["rank"].astype(int)) == list(range(1, len(true) + 1))
    for name in ("sad", "mse", "grad"):
        assert main[name].astype(float).to_numpy() == pytest.approx(true[name].to_numpy())
    price = CostModel().of(40, 1000)
    assert float(main.query("method == 'mlb' and mattes == '40.0'")["cost"].iloc[0]) == pytest.approx(price)
    assert set(listed["table"]) == {"leaderboard", "leaderboard-2"}  # another protocol is another ranking


def test_ties_are_those_of_the_bootstrap_over_all_neighbours(store: Store) -> None:
    board = boards(load(store.root), CostModel(), "SAD")[0]
    scores = store.read("scores").query("region == 'whole' and protocol == 'short128'")
    table = scores.pivot_table("sad", "image", "run_id")
    values = [table[ids.split()].mean(axis=1).to_numpy() for ids in board.frame["run_ids"]]
    gaps = np.column_stack([below - above for above, below in itertools.pairwise(values)])
    rng = np.random.default_rng(11)
    drawn = np.array([gaps[rng.integers(0, len(gaps), len(gaps))].mean(axis=0) for _ in range(4000)])
    spread = drawn.std(axis=0)
    reach = np.quantile((np.abs(drawn - gaps.mean(axis=0)) / spread).max(axis=1), 0.95)
    margin = gaps.mean(axis=0) / spread / reach  # below 1: the interval that holds for all holds zero
    clear = np.abs(margin - 1) > 0.15  # where two draws of the bootstrap cannot differ in their verdict
    assert clear.sum() >= len(clear) - 2
    tied = board.frame["tied"].to_numpy()[1:]
    assert (tied[clear] == (margin < 1)[clear]).all()
    assert tied.any()
    assert not tied.all()
    assert not board.frame["tied"].iloc[0]


def test_frame_rates_are_of_one_condition_and_sort_from_fast_to_slow(store: Store) -> None:
    board = boards(load(store.root), CostModel(), "FPS")[0]
    assert board.condition.startswith("FPS: model only, Example CPU, 2 threads, eager, fp32")
    assert board.frame["backbone"].iloc[0] == OTHER
    assert board.frame["fps"].iloc[0] == 100.0
    speed = store.read("speed").query("batch == 1 and scope == 'model' and status == 'ok'")
    own = float(speed.loc[speed["backbone"] == BACKBONE, "fps"].iloc[0])
    assert set(board.frame.loc[board.frame["backbone"] == BACKBONE, "fps"]) == {own}
    ranked = board.frame["fps"].to_numpy()
    assert (ranked[1:] <= ranked[:-1]).all()
    assert list(board.frame["tied"][:3]) == [False, False, True]  # the other network, then methods on the same one
    said = reports("leaderboard", store.root, "--sort", "fps", "--top", 1)
    assert "12.00" in said.out
    assert "100" in said.out
    assert "abababab" in said.out


@pytest.mark.parametrize("sort", ["cost", "masks", "iou", "mad_boundary", "backbone"])
def test_any_column_sorts_best_first(store: Store, sort: str) -> None:
    frame = boards(load(store.root), CostModel(), sort)[0].frame
    column = frame[sort].to_numpy()
    falls = sort == "iou"
    assert all((a >= b) if falls else (a <= b) for a, b in itertools.pairwise(column))


def test_the_terminal_shows_what_the_table_holds(store: Store, tmp_path: Path) -> None:
    said = reports("leaderboard", store.root, "--top", 3)
    frame = boards(load(store.root), CostModel())[0].frame.head(3)
    lines = [line for line in said.out.splitlines() if " unet " in line][:3]
    for line, row in zip(lines, frame.to_dict("records"), strict=True):
        assert line.split()[0] == str(row["rank"])
        assert row["method"] in line
        assert f"{row['sad']:.3f}" in line
        assert f"{row['low']:.3f} to {row['high']:.3f}" in line
    assert len({line.index(" unet ") for line in lines}) == 1  # aligned, though this is no terminal
    written = reports("leaderboard", store.root, "--top", 2, "--out", tmp_path / "deep" / "board.md")
    assert (written.code, written.out) == (0, "")
    text = (tmp_path / "deep" / "board.md").read_text()
    assert text.count("| unet |") == 3  # two rows, and the one of the other protocol
    pd.testing.assert_frame_equal(
        pd.DataFrame(rows(reports("leaderboard", store.root, "--format", "csv").out)),
        pd.DataFrame(rows(_csv(store, tmp_path / "board.csv"))),
    )


def _csv(store: Store, path: Path) -> str:
    assert reports("leaderboard", store.root, "--out", path).code == 0
    return path.read_text()


def test_networks_that_were_scored_on_other_images_are_not_ranked_with_the_rest(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", seeds=(0,), failed=False)
    row = run_row("mlb", 40, 1000, 0, run_id="few", backbone=OTHER)
    store.write("runs", [row])
    store.write("scores", score_rows("few", 0.1, np.ones(7), np.random.default_rng(0)))
    board = boards(load(store.root), CostModel())[0]
    assert OTHER not in set(board.frame["backbone"])
    assert board.notes == [f"Not ranked: {OTHER}, scored on other images (7)."]


def test_mistakes_name_the_nearest_and_exit_with_2(store: Store, tmp_path: Path) -> None:
    assert "'grad'" in mistake("leaderboard", store.root, "--sort", "gradd")
    assert "'markdown'" in mistake("leaderboard", store.root, "--format", "markdwn")
    assert "does not say what to write" in mistake("leaderboard", store.root, "--out", tmp_path / "board.xls")
    assert "is a folder" in mistake("leaderboard", store.root, "--format", "csv", "--out", tmp_path)
    (tmp_path / "file").write_text("mine")
    assert "cannot be written" in mistake("leaderboard", store.root, "--out", tmp_path / "file" / "board.md")
    lone = Store(tmp_path / "lone")
    lone.write("runs", [run_row("mlb", 1, 1, 0, config=json.dumps({}))])
    assert "was scored" in mistake("leaderboard", lone.root)
    assert not list(tmp_path.glob(".*"))
