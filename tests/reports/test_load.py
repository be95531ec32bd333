"""What a report makes of stores that are empty, damaged, incomplete or odd: a sentence, or a note."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.cost import CostModel
from bench.store import Store
from reports.comparison import compare
from reports.load import load
from tests.reports.example_store import run_row, sample_rows, score_rows
from wsshm import methods
from wsshm.config import RunConfig, override, parse
from wsshm.errors import UserError
from wsshm.methods import stages_of

IMAGES = np.linspace(0.5, 1.5, 6)


def add(store: Store, run_id: str, scored: bool = True, **changes: object) -> None:
    store.write("runs", [run_row("mlb", 40, 1000, 0, run_id=run_id) | changes])
    if scored:
        store.write("scores", score_rows(run_id, 1.0, IMAGES, np.random.default_rng(0)))


def one_sentence(text: str) -> None:
    assert "\n" not in text
    assert "Traceback" not in text
    assert text[0] != " "


def test_nothing_there_or_nothing_in_it_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"nowhere does not exist; give the folder `store`") as told:
        load(tmp_path / "nowhere")
    one_sentence(str(told.value))
    (tmp_path / "store/scores").mkdir(parents=True)
    with pytest.raises(UserError, match="is empty; fill it first"):
        load(tmp_path / "store")
    with pytest.raises(UserError, match=r"holds one: give .*store"):
        load(tmp_path)


@pytest.mark.parametrize("table", ["runs", "scores"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_half_written_file_is_named_with_the_remedy(tmp_path, table, share):
    store = Store(tmp_path)
    add(store, "a")
    path = next((tmp_path / table).iterdir())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=rf"{path.name} was damaged .*restore it from a copy, or delete it") as told:
        load(tmp_path)
    one_sentence(str(told.value))


@pytest.mark.parametrize("table", ["runs", "scores"])
def test_damage_within_a_file_is_named_too(tmp_path, table):
    store = Store(tmp_path)
    add(store, "a")
    path = next((tmp_path / table).iterdir())
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 3] = b"\xff" * (len(content) // 3 - 4)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=rf"{path.name} was damaged"):
        load(tmp_path)


def test_files_that_are_still_being_written_are_passed_over(tmp_path):
    store = Store(tmp_path)
    add(store, "a")
    path = next((tmp_path / "scores").iterdir())
    (path.parent / f".{path.name}.tmp").write_bytes(path.read_bytes()[:50])
    assert len(load(tmp_path).scores) == len(store.read("scores"))


def test_a_newer_schema_asks_for_a_newer_suite(tmp_path):
    store = Store(tmp_path)
    add(store, "a")
    path = next((tmp_path / "scores").iterdir())
    newer = pq.read_table(path).replace_schema_metadata({"schema_version": "2.0"})
    pq.write_table(newer, path.with_name(f"{1:020d}-{uuid.uuid4().hex}.parquet"))
    with pytest.raises(UserError, match=r"newer than .* install a newer wsshm-bench"):
        load(tmp_path)


def test_what_does_not_fit_together_is_noted(tmp_path):
    store = Store(tmp_path)
    add(store, "a")
    add(store, "never-scored", scored=False)
    for status in ("stopped", "failed", "oom"):
        add(store, status, status=status)
    store.write("scores", score_rows("stranger", 1.0, IMAGES, np.random.default_rng(0)))
    store.write("scores", score_rows("teacher-0123", 1.0, IMAGES, np.random.default_rng(0)))
    frames = load(tmp_path)
    assert set(frames.scores["run_id"]) == {"a"}
    assert list(frames.scores["run_id"].cat.categories) == ["a"]
    assert frames.notes == [
        "Left out of every mean: scores of runs that did not finish (3).",
        "Left out of comparisons: scores of runs that are not in the store (1).",
        "Left out of comparisons: finished runs without a score (1).",
    ]
    assert len(frames.runs) == 5


def test_scores_carry_what_their_runs_say(tmp_path):
    """Compared with a merge of the plain tables."""
    store = Store(tmp_path)
    add(store, "a", backbone="one", mattes=7, weights=None)
    add(store, "b", backbone="two", seed=3)
    add(store, "c", status="failed")
    frames = load(tmp_path)
    shared = ["run_id", "method", "architecture", "backbone", "weights", "seed", "mattes", "masks"]
    runs = store.read("runs")
    expected = store.read("scores").merge(runs.loc[runs["status"] == "finished", shared], on="run_id")
    found = frames.scores[[*shared, "image", "region", "sad", "mad"]]
    for column in found:
        if isinstance(found[column].dtype, pd.CategoricalDtype):
            assert found[column].cat.ordered is False
            assert found[column].astype(object).fillna("absent").tolist() == expected[column].fillna("absent").tolist()
        else:
            assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy(dtype=float), nan_ok=True)


def test_variants_are_named_by_the_keys_that_vary_within_their_method(tmp_path):
    store = Store(tmp_path)
    for number, (band, veto) in enumerate([(0.04, "mask"), (0.08, "mask"), (0.08, None)]):
        blend = {"band": band, "threshold": 0.5} | ({} if veto is None else {"veto": veto})
        config = {"method": {"name": "mlb", "blend": blend}, "train": {"seed": number}, "data": {"root": str(number)}}
        add(store, f"r{number}", config=json.dumps(config))
    store.write("runs", [run_row("joint", 40, 1000, 0, run_id="joint", config='{"method": {"blend": {"band": 9}}}')])
    runs = load(tmp_path).runs.set_index("run_id")
    assert runs["variant"].to_dict() == {
        "r0": {"method.blend.band": 0.04, "method.blend.veto": "mask"},
        "r1": {"method.blend.band": 0.08, "method.blend.veto": "mask"},
        "r2": {"method.blend.band": 0.08, "method.blend.veto": None},
        "joint": {},
    }
    assert list(runs["label"]) == [
        *("mlb, band=0.04, veto=mask", "mlb, band=0.08, veto=mask", "mlb, band=0.08, veto=default"),
        "joint",
    ]


def test_a_run_from_before_a_key_was_made_is_no_variant_of_one_that_has_its_default(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for run_id, blend in {"old": {}, "new": {"teacher": "stage"}, "other": {"teacher": "average"}}.items():
        add(store, run_id, config=json.dumps({"method": {"name": "mlb", "blend": {"band": 0.04} | blend}}))
    labels = load(tmp_path).runs.set_index("run_id")["label"].to_dict()
    assert labels == {"old": "mlb, teacher=stage", "new": "mlb, teacher=stage", "other": "mlb, teacher=average"}


def test_a_key_that_a_method_does_not_read_is_no_variant_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method in ("joint", "mlb", "not of this release"):
        for seed, band in enumerate((0.04, 0.01)):
            config = {"method": {"name": method, "blend": {"band": band}}, "train": {"seed": seed}}
            add(store, f"{method}{seed}", method=method, seed=seed, config=json.dumps(config))
    labels = load(tmp_path).runs.groupby("method")["label"].unique().map(list).to_dict()
    assert labels.pop("joint") == ["joint"]
    assert labels == {name: [f"{name}, band=0.04", f"{name}, band=0.01"] for name in ("mlb", "not of this release")}


OTHERWISE = {
    **{f"method.blend.{key}": value for key, value in {"variant": "soft", "band": 0.01, "threshold": 0.1}.items()},
    **{f"method.blend.{key}": value for key, value in {"feather": 0.01, "veto": "none", "when": "ahead"}.items()},
    **{f"method.blend.{key}": value for key, value in {"teacher": "average", "refresh": 2}.items()},
    "method.blended_weight": 0.5,
    "method.student_start": "backbone",
    "method.confidence": 0.8,
    "method.boundary": 0.3,
    "method.consistency_weight": 0.5,
    "method.consistency_ramp": 0.5,
    "train.teacher_steps": 100,
    "method.matte_share": 0.25,
}


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize("key", sorted(methods.read_by_some()))
def test_a_method_has_other_stages_with_another_value_of_what_it_reads_alone(method: str, key: str) -> None:
    plain = override(RunConfig().model_dump(mode="json"), [f"method.name={method}"])
    before, after = (stages_of(parse(c)) for c in (plain, override(plain, [f"{key}={OTHERWISE[key]}"])))
    assert (after != before) == (key in methods.get(method).reads)


def test_pictures_are_read_for_the_runs_that_are_asked_for(tmp_path):
    store = Store(tmp_path)
    for run_id in ("a", "b"):
        add(store, run_id)
        store.write("samples", sample_rows(run_id, "mlb", 1.0, count=1))
    store.write("samples", [row for run_id in ("c", "d") for row in sample_rows(run_id, "mlb", 1.0, count=1)])
    frames = load(tmp_path)
    asked = frames.pictures(["a", "d", "unheard-of"])
    whole = store.read("samples")
    expected = whole[whole["run_id"].isin(["a", "d"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(asked, expected)


def test_a_store_without_a_finished_score_compares_nothing(tmp_path):
    store = Store(tmp_path)
    add(store, "a", status="failed")
    assert compare(load(tmp_path), CostModel()) == []
    Store(tmp_path / "timed").write("epochs", [{"run_id": "a", "stage": "s", "epoch": 1, "key": "k", "value": 1.0}])
    assert compare(load(Path(tmp_path / "timed")), CostModel()) == []
