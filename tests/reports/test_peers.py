"""Other people's models in a report: beside the runs, at no rank, and without a say in any verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports import leaderboard
from reports.comparison import compare
from reports.load import load
from reports.page import build
from reports.sections.peers import data
from tests.reports.commands import mistake
from tests.reports.example_store import run_row, score_rows, speed_rows
from tests.reports.pages import Page

IMAGES = np.linspace(0.5, 1.5, 12)
COST = CostModel()


def add_own(store: Store) -> None:
    for method, level in (("mlb", 1.0), ("joint", 1.5)):
        for seed in (0, 1):
            row = run_row(method, 40, 1000, seed)
            store.write("runs", [row])
            store.write("scores", score_rows(row["run_id"], level, IMAGES, np.random.default_rng(seed)))


def add_peer(store: Store, name: str, number: int, level: float, commercial: bool = True) -> str:
    """A peer as `bench accuracy --peer --store` adds it, at an input rule of its own."""
    run_id = f"peer-{number:016x}"
    licence = {"code": "MIT", "weights": f"licence of {name}", "commercial": commercial}
    about = {
        "title": name.upper(),
        "kind": "matting",
        "paper": "P",
        "source": "S",
        "protocol": f"stretched to {number}",
    }
    kept = {"peer": about | {"licence": licence, "given": "x.onnx", "sha256": None, "given_sha256": "0" * 64}}
    row = {"run_id": run_id, "method": name, "status": "finished", "versions": "{}", "config": json.dumps(kept)}
    store.write("runs", [dict.fromkeys(run_row("x", None, None, 0)) | row])
    rng = np.random.default_rng(number)
    store.write("scores", score_rows(run_id, level, IMAGES, rng, protocol=about["protocol"]))
    timing = speed_rows(rng)[0] | {"run_id": run_id, "model": name, "architecture": name, "backbone": None}
    store.write("speed", [timing | {"engine": "onnxruntime"}])
    return run_id


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    store = Store(tmp_path / "store")
    add_own(store)
    store.write("speed", speed_rows(np.random.default_rng(0)))
    return tmp_path / "store"


def test_they_stand_beside_runs_whatever_their_input_rules_and_change_no_verdict(filled: Path) -> None:
    [before] = compare(load(filled), COST)
    add_peer(Store(filled), "theirs", 320, 0.7)
    add_peer(Store(filled), "others", 512, 3.0)
    [after] = compare(load(filled), COST)
    assert dict(after.heads.set_index("label")["peer"]) == {
        "mlb": False,
        "joint": False,
        "theirs": True,
        "others": True,
    }
    # Where more is drawn at once a processor may round sums otherwise.
    pd.testing.assert_frame_equal(after.differences, before.differences, rtol=1e-6)
    assert after.heads.loc[after.heads["peer"], ["mattes", "masks", "cost"]].isna().all(axis=None)
    scores = Store(filled).read("scores")
    whole = scores[(scores["region"] == "whole") & (scores["run_id"] == f"peer-{320:016x}")]
    shown = after.of("sad").set_index("label").loc["theirs", "mean"]
    assert shown == pytest.approx(whole["sad"].mean())


def test_timings_stay_out_of_the_figures_of_ours(filled: Path) -> None:
    before = load(filled).speed
    add_peer(Store(filled), "theirs", 320, 0.7)
    frames = load(filled)
    assert len(frames.speed) == len(before)
    assert list(frames.peer_speed["model"]) == ["theirs"]


def test_a_ranking_gives_them_no_rank_and_no_tie(filled: Path) -> None:
    [before] = leaderboard.boards(load(filled), COST)
    add_peer(Store(filled), "theirs", 320, 0.7)
    [after] = leaderboard.boards(load(filled), COST)
    assert list(after.frame["label"]) == ["theirs", "mlb", "joint"]
    assert after.frame["rank"].isna().tolist() == [True, False, False]
    own = after.frame[~after.frame["peer"]].reset_index(drop=True)
    assert own[["rank", "tied", "sad"]].equals(before.frame[["rank", "tied", "sad"]])
    assert "Without a rank: other people's models" in " ".join(after.notes)


def test_no_run_is_compared_with_one(filled: Path) -> None:
    add_peer(Store(filled), "theirs", 320, 0.7)
    assert "'theirs' is somebody else's model" in mistake("table", filled, "--against", "theirs")


def test_the_section_has_errors_beside_our_best_licences_and_times(filled: Path, tmp_path: Path) -> None:
    add_peer(Store(filled), "theirs", 320, 0.7, commercial=False)
    frame = data(compare(load(filled), COST))
    assert list(dict.fromkeys(frame["label"])) == ["theirs", "mlb", "joint"]
    page = Page(build(filled, tmp_path / "report").read_text())
    text = str(page.text)
    assert page.ids.index("peers") > page.ids.index("methods")
    for words in (
        "Other people's models",
        "licence of theirs",
        "non-commercial",
        "trained on other data",
        "onnxruntime",
    ):
        assert words in text
    assert {"peers.csv", "peers-described.csv", "peers-speed.csv"} <= {
        path.name for path in (tmp_path / "report" / "tables").iterdir()
    }
