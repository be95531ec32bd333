"""Two stores against each other: what is paired, what the pairs say, and what cannot be matched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.store import Store
from reports.load import load
from reports.two_stores import match, speeds
from tests.reports.commands import mistake, reports, rows
from tests.reports.example_store import fill, run_row, score_rows, speed_rows

HARDNESS = np.random.default_rng(3).lognormal(0, 0.6, 30)


def store_of(root: Path, levels: dict[tuple[str, int], float], noise: int, **changes: object) -> Store:
    """A store of runs at 40 mattes and 1,000 masks: {(method, seed): SAD level}."""
    store, rng = Store(root), np.random.default_rng(noise)
    version = {name: changes.pop(name) for name in ("metric_version",) if name in changes}
    for (method, seed), level in levels.items():
        row = run_row(method, 40, 1000, seed, **changes)
        store.write("runs", [row])
        store.write("scores", score_rows(row["run_id"], level, HARDNESS, rng, **version))
    return store


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    root = tmp_path_factory.mktemp("pair")
    before = {("mlb", 0): 0.8, ("mlb", 1): 0.8, ("joint", 0): 0.9, ("seg_only", 0): 1.0, ("matte_only", 0): 2.0}
    after = {("mlb", 0): 0.6, ("mlb", 2): 9.0, ("joint", 0): 1.2, ("seg_only", 0): 1.0, ("oracle", 0): 0.5}
    return store_of(root / "a", before, 1), store_of(root / "b", after, 2, git_commit="cd" * 20)


def test_pairs_are_compared_image_by_image_over_the_seeds_that_both_have(pair: tuple[Store, Store]) -> None:
    said = reports("compare", pair[0].root, pair[1].root, "--format", "csv")
    assert said.code == 0, said.err
    listed = {row["method"]: row for row in rows(said.out)}
    assert set(listed) == {"mlb", "joint", "seg_only"}
    assert {name: row["verdict"] for name, row in listed.items()} == {
        "mlb": "better",
        "joint": "worse",
        "seg_only": "no significant difference",
    }
    sides = [store.read("scores").query("region == 'whole'").pivot_table("sad", "image", "run_id") for store in pair]
    for method, row in listed.items():
        run = f"{method}-40-1000-0"
        a, b = (side[run] for side in sides)
        assert float(row["a"]) == pytest.approx(a.mean())
        assert float(row["b"]) == pytest.approx(b.mean())
        assert float(row["difference"]) == pytest.approx((b - a).mean())
        assert float(row["low"]) < float(row["difference"]) < float(row["high"])
        assert (row["seeds"], row["images"], row["run_ids_a"]) == ("1", "30", run)
    assert "2 runs only in A: the other store has no such run: matte_only (1), mlb (1)." in said.err
    assert "2 runs only in B: the other store has no such run: mlb (1), oracle (1)." in said.err
    assert "Commits: A 0f0f0f0f, B cdcdcdcd." in said.err


def test_intervals_hold_for_all_rows_together(pair: tuple[Store, Store]) -> None:
    listed = rows(reports("compare", pair[0].root, pair[1].root, "--format", "csv").out)
    table = [store.read("scores").query("region == 'whole'").pivot_table("sad", "image", "run_id") for store in pair]
    gaps = np.column_stack([table[1][row["run_ids_b"]] - table[0][row["run_ids_a"]] for row in listed])
    rng = np.random.default_rng(8)
    drawn = np.array([gaps[rng.integers(0, len(gaps), len(gaps))].mean(axis=0) for _ in range(4000)])
    spread = drawn.std(axis=0)
    reach = np.quantile((np.abs(drawn - gaps.mean(axis=0)) / spread).max(axis=1), 0.95) * spread
    for row, mean, half in zip(listed, gaps.mean(axis=0), reach, strict=True):
        assert float(row["low"]) == pytest.approx(mean - half, abs=0.15 * half)
        assert float(row["high"]) == pytest.approx(mean + half, abs=0.15 * half)


def test_a_key_that_a_method_does_not_read_neither_parts_runs_nor_is_named(tmp_path: Path) -> None:
    stores = []
    for name, thresholds in (("a", (0.2, 0.5)), ("b", (0.5, 0.9))):
        stores.append(store := Store(tmp_path / name))
        for method, threshold in (*(("mlb", value) for value in thresholds), ("joint", thresholds[0])):
            config = {"method": {"name": method, "blend": {"threshold": threshold}}}
            row = run_row(method, 40, 1000, 0, run_id=f"{method}{threshold}", config=json.dumps(config))
            store.write("runs", [row])
            store.write("scores", score_rows(row["run_id"], 1.0, HARDNESS, np.random.default_rng(0)))
    matched, notes = match(*(load(store.root) for store in stores))
    pairs = set(zip(matched["run_a"], matched["run_b"], strict=True))
    assert pairs == {("mlb0.5", "mlb0.5"), ("joint0.2", "joint0.5")}
    assert not any("differ in method" in note for note in notes)


def test_variants_are_told_apart_by_what_either_sweep_varied(tmp_path: Path) -> None:
    def searched(root: Path, thresholds: tuple[float, ...], **train: float) -> Store:
        store = Store(root)
        for threshold in thresholds:
            config = {
                "method": {"name": "mlb", "blend": {"threshold": threshold}},
                "train": {"seed": 0, "workers": len(thresholds), **train},
            }
            row = run_row("mlb", 40, 1000, 0, run_id=f"t{threshold}", config=json.dumps(config))
            store.write("runs", [row])
            store.write("scores", score_rows(row["run_id"], threshold, HARDNESS, np.random.default_rng(0)))
        return store

    a, b = searched(tmp_path / "a", (0.2, 0.5, 0.8)), searched(tmp_path / "b", (0.5, 0.8, 0.9), lr=0.1)
    matched, notes = match(load(a.root), load(b.root))
    assert list(zip(matched["run_a"], matched["run_b"], strict=True)) == [("t0.5", "t0.5"), ("t0.8", "t0.8")]
    assert notes == [
        "1 run of A not matched: their settings differ from those in the other store: mlb, threshold=0.2 (1).",
        "1 run of B not matched: their settings differ from those in the other store: mlb, threshold=0.9 (1).",
        "The configurations of matched runs differ in train.lr.",
    ]
    said = reports("compare", a.root, b.root)
    assert "mlb, threshold=0.5" in said.out
    one = searched(tmp_path / "one", (0.9,))
    assert len(match(load(a.root), load(one.root))[0]) == 0
    assert list(match(load(b.root), load(one.root))[0]["run_a"]) == ["t0.9"]


def test_other_data_are_paired_only_when_asked(pair: tuple[Store, Store], tmp_path: Path) -> None:
    other = store_of(tmp_path / "other", {("mlb", 0): 0.5}, 4, data_fingerprint="ffff", recipe_version="2")
    said = mistake("compare", pair[0].root, other.root)
    assert "share no scored run and no timing" in said
    assert "fingerprints of their data differ" in said
    asked = reports("compare", pair[0].root, other.root, "--any-data")
    assert asked.code == 0
    assert "equal ids may be other pictures" in asked.err
    assert "The recipes' versions differ: A 1, B 2." in asked.err


def test_stores_without_common_ground_say_what_each_was_scored_on(pair: tuple[Store, Store], tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.write("runs", [run_row("mlb", 40, 1000, 0)])
    made = score_rows("mlb-40-1000-0", 0.5, HARDNESS, np.random.default_rng(0), protocol="native")
    other.write("scores", made)
    said = mistake("compare", pair[0].root, other.root)
    assert "not scored in the same way" in said
    assert "procedural/test (native, p3m, exact, 1)" in said
    lone = store_of(tmp_path / "lone", {("oracle", 0): 0.5}, 4)
    assert "No run of A has a counterpart in B" in mistake("compare", pair[0].root, lone.root)


def test_only_images_that_both_have_count(tmp_path: Path) -> None:
    a, b = store_of(tmp_path / "a", {("mlb", 0): 0.8}, 1), Store(tmp_path / "b")
    b.write("runs", [run_row("mlb", 40, 1000, 0)])
    b.write("scores", score_rows("mlb-40-1000-0", 0.5, HARDNESS[:9], np.random.default_rng(0)))
    (row,) = rows(reports("compare", a.root, b.root, "--format", "csv").out)
    assert row["images"] == "9"
    first = a.read("scores").query("region == 'whole'").set_index("image")["sad"].iloc[:9]
    assert float(row["a"]) == pytest.approx(first.mean())


def timed(root: Path, factor: float, **changes: object) -> Store:
    store = Store(root)
    made = [row | changes for row in speed_rows(np.random.default_rng(0)) if row["status"] == "ok"]
    for row in made:
        for name in ("p50_ms", "median_low_ms", "median_high_ms"):
            row[name] *= factor
    store.write("speed", made)
    return store


def test_timings_of_the_same_model_and_conditions_are_set_side_by_side(tmp_path: Path) -> None:
    a, b = timed(tmp_path / "a", 1.0), timed(tmp_path / "b", 0.5)
    listed = rows(reports("compare", a.root, b.root, "--format", "csv").out)
    both = a.read("speed").query("status == 'ok'")
    assert len(listed) == len(both) == 6
    for row in listed:
        assert float(row["ratio"]) == pytest.approx(0.5)
        assert float(row["low"]) == pytest.approx(0.5 * 0.98 / 1.03)
        assert float(row["high"]) == pytest.approx(0.5 * 1.03 / 0.98)
        assert row["verdict"] == "faster"
    same = rows(reports("compare", a.root, timed(tmp_path / "c", 1.01).root, "--format", "csv").out)
    assert {row["verdict"] for row in same} == {"no significant difference"}


def test_machines_may_differ_but_a_machine_that_both_have_is_held_against_itself(tmp_path: Path) -> None:
    a, b = timed(tmp_path / "a", 1.0), timed(tmp_path / "b", 2.0, device="Other CPU")
    said = reports("compare", a.root, b.root)
    assert "A Example CPU, 2 threads, B Other CPU" in said.out
    assert "slower" in said.out
    b.write(
        "speed",
        [
            row | {"engine": "onnx"}
            for row in a.read("speed").query("status == 'ok'").drop(columns="run_id").to_dict("records")
        ],
    )
    both = timed(tmp_path / "b", 3.0)
    [table], notes = speeds(load(a.root), load(both.root))
    assert set(table.frame["device_b"]) == {"Example CPU, 2 threads"}
    assert table.frame["ratio"].to_numpy() == pytest.approx(3.0)
    assert notes == ["Timings without a counterpart by device, model and conditions: 0 of A, 12 of B."]


def test_an_example_against_itself_is_not_told_apart_anywhere(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", images=8)
    said = reports("compare", store.root, store.root, "--measure", "sad,mse", "--format", "csv")
    listed = pd.DataFrame(rows(said.out))
    assert set(listed["verdict"]) == {"no significant difference"}
    assert (listed["difference"].dropna().replace("", "0").astype(float) == 0).all()
    assert said.err == ""
    assert "'sad'" in mistake("compare", store.root, store.root, "--measure", "sadd")


def test_predictions_made_elsewhere_are_paired_with_themselves(pair: tuple[Store, Store], tmp_path: Path) -> None:
    unknown = dict.fromkeys(("architecture", "backbone", "weights", "data_fingerprint", "recipe_version", "git_commit"))
    sides = []
    for name, level in (("a", 0.8), ("b", 0.5)):
        side, run_id = store_of(tmp_path / name, {("mlb", 0): 0.7}, 1), f"external-{name}"
        side.write("runs", [run_row("Net", None, None, None, run_id=run_id, config="{}", **unknown)])
        side.write("scores", score_rows(run_id, level, HARDNESS, np.random.default_rng(2), protocol="external"))
        sides.append(side)
    listed = {row["method"]: row for row in rows(reports("compare", *(s.root for s in sides), "--format", "csv").out)}
    assert {name: row["verdict"] for name, row in listed.items()} == {
        "mlb": "no significant difference",
        "Net": "better",
    }
    assert listed["Net"]["protocol"] == "external"


def test_stores_of_two_versions_of_the_measures_are_compared_in_all_but_what_changed(tmp_path: Path) -> None:
    for name, version in (("a", "p3m-1"), ("b", "p3m-2")):
        store_of(tmp_path / name, {("mlb", 0): 1.0}, 1, metric_version=version)
    said = reports("compare", tmp_path / "a", tmp_path / "b", "--measure", "sad,conn", "--format", "csv")
    assert said.code == 0, said.err
    assert [row["measure"] for row in rows(said.out)] == ["sad"]
    assert "Conn of 30 scores of metric version p3m-1 left out" in said.err


def test_other_numbers_of_workers_are_said(tmp_path: Path) -> None:
    """They share a run id, and differ as two seeds do."""
    levels = {("mlb", 0): 0.8, ("joint", 0): 0.9}
    one, two = store_of(tmp_path / "a", levels, 1), store_of(tmp_path / "b", levels, 2, workers=2)
    said = reports("compare", one.root, two.root)
    assert said.code == 0, said.err
    assert "2 pairs were trained by different numbers of workers (A 1, B 2), which differ as two seeds do." in said.err
    assert "workers" not in reports("compare", one.root, one.root).err
