"""The sentences below the answers, and what holds these back: few, however much the store holds, and true."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports.comparison import compare
from reports.load import load
from reports.sections import limits
from reports.sections.summary import sentences
from tests.reports import simulated_store
from tests.reports.example_store import fill, run_row, score_rows, speed_rows


def said(root) -> list[str]:
    """What is said in more detail, and what holds it back."""
    frames = load(root)
    comparisons = compare(frames, CostModel()) if len(frames.scores) else []
    return sentences(comparisons, frames.runs, frames.speed, CostModel()) + limits.sentences(comparisons, frames)


def add(store: Store, method: str, level: float, images: int = 40, **changes: object) -> None:
    row = run_row(method, **({"mattes": 40, "masks": 1000, "seed": 0} | changes))
    store.write("runs", [row])
    store.write("scores", score_rows(row["run_id"], level, np.linspace(0.5, 1.5, images), np.random.default_rng(0)))


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("large")
    simulated_store.fill(root, samples=False)
    return said(root)


def test_a_large_store_is_said_in_a_dozen_sentences(large):
    assert 6 <= len(large) <= 12
    assert all(sentence.endswith(".") for sentence in large)
    text = " ".join(large)
    assert "nan" not in text.lower().replace("nano", "")
    for words in ("did not, see Failures", "lowest SAD of 4 methods", "corrected for", "networks trained", "elsewhere"):
        assert words in text, words
    assert "frames per second" in text


def test_verdicts_are_those_of_the_comparison(tmp_path):
    fill(tmp_path)
    frames = load(tmp_path)
    [comparison] = compare(frames, CostModel())
    frame = comparison.differences
    at = frame[(frame["measure"] == "sad") & (frame["mattes"] == 40) & (frame["label"] != "mlb")]
    [sentence] = [line for line in said(tmp_path) if line.startswith("By SAD on the whole image")]
    better = sentence.partition("better than ")[2].partition(";")[0]
    for row in at.itertuples():
        assert (row.label in better) == (row.verdict == "worse")
    family = int((frame["measure"] == "sad").sum())
    assert f"corrected for the {family} differences" in " ".join(said(tmp_path))


def test_fewer_labels_take_one_sentence(tmp_path):
    fill(tmp_path, budgets=((80, 1000), (40, 1000), (20, 1000), (10, 1000), (5, 1000), (2, 1000)), seeds=(0,))
    told = said(tmp_path)
    [sentence] = [line for line in told if "to other label budgets" in line]
    assert "40 mattes + 1,000 masks" in sentence
    assert "1 more budget in the tables" in sentence
    assert len(told) <= 12


def test_networks_take_one_sentence_that_names_the_best(tmp_path):
    store = Store(tmp_path)
    for number in range(8):
        backbone = f"backbone_{number}"
        add(store, "mlb", 1.0 + 0.3 * abs(number - 5), backbone=backbone, run_id=backbone)
    add(store, "joint", 0.5, backbone="backbone_0", run_id="joint")
    [sentence] = [line for line in said(tmp_path) if "networks trained" in line]
    assert sentence.startswith(
        "Of 8 networks trained with mlb at 40 mattes + 1,000 masks, backbone_5 has the lowest SAD"
    )


@pytest.mark.parametrize(("seeds", "words"), [((0,), "one seed only"), ((0, 1), "")])
def test_one_seed_and_few_images_are_said(tmp_path, seeds, words):
    for seed in seeds:
        for method in ("mlb", "joint"):
            add(Store(tmp_path), method, 1.0, images=9, seed=seed)
    text = " ".join(said(tmp_path))
    assert ("one seed only" in text) == (words != "")
    assert "from 9 images of procedural/test only" in text


def test_some_of_one_seed_are_counted(tmp_path):
    for method, seed in (("mlb", 0), ("mlb", 1), ("joint", 0)):
        add(Store(tmp_path), method, 1.0, seed=seed)
    assert "1 of 2 means are of one seed only" in " ".join(said(tmp_path))


def test_predictions_made_elsewhere_alone(tmp_path):
    store = Store(tmp_path)
    row = dict.fromkeys(run_row("x", 1, 1, 0))
    kept = {"run_id": "external-01", "method": "theirs", "status": "finished", "config": json.dumps({"evaluate": {}})}
    store.write("runs", [row | kept])
    rows = score_rows("external-01", 2.0, np.linspace(0.5, 1.5, 40), np.random.default_rng(0), protocol="external")
    store.write("scores", rows)
    told = said(tmp_path)
    assert told[0].startswith("No run of this suite")
    assert any("theirs" in line and "95 % interval" in line for line in told)
    assert "seed" not in " ".join(told)


def test_timings_of_other_conditions_are_never_mixed(tmp_path):
    rows = speed_rows(np.random.default_rng(0))
    fast = rows[0] | {"device": "Example GPU", "fps": 900.0, "model": "quick"}
    Store(tmp_path).write("speed", [*rows, fast])
    [sentence] = said(tmp_path)
    assert "fastest of 2 models" in sentence
    assert "quick" not in sentence
    assert "1 further condition in Speed" in sentence
