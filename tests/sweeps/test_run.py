"""A whole sweep by the command line: finished, rerun, killed and continued, refused."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.store import Store
from tests.sweeps.asking import sweep, sweep_here, wait_for
from tests.wsshm import tiny
from wsshm.data.check import check
from wsshm.data.manifest import Manifest
from wsshm.files.claims import Claim
from wsshm.files.location import Location

# MLB taught by a teacher and by its own average, and what learns from masks alone.
THREE = ["--set", "space={method.name: [mlb, seg_only]}", "--set", "also=[{method.blend.teacher: average}]"]
NO_WORKERS = ["--set", "base.train.workers=0"]  # in a sweep, one
TIMED = [*THREE, *NO_WORKERS, "--set", "speed={models: [trained], sizes: [64], target_fps: 1}"]
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed smoke sweep."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    process = sweep(out, *TIMED)
    assert process.returncode == 0, process.err  # type: ignore[attr-defined]
    assert "3 runs finished, 0 failed" in process.out  # type: ignore[attr-defined]
    return out


def by_name(store: Store) -> pd.DataFrame:
    """The runs, MLB with its own average as its teacher as `average`."""
    runs = store.read("runs")
    average = [json.loads(config)["method"]["blend"].get("teacher") == "average" for config in runs["config"]]
    return runs.assign(name=runs["method"].mask(average, "average")).set_index("name").sort_index()


def test_a_sweep_leaves_rows_models_and_a_report(finished: Path) -> None:
    store = Store(finished / "store")
    runs = by_name(store)
    assert list(runs["method"]) == ["mlb", "mlb", "seg_only"]
    assert set(runs["status"]) == {"finished"}
    assert set(runs["workers"]) == {1}
    assert set(runs.loc["mlb", ["mattes", "masks"]]) == {4, 8}
    scores = store.read("scores")
    students = scores[scores["run_id"].isin(runs["run_id"])]
    pictures = students.groupby(["run_id", "dataset"])["image"].nunique()
    assert set(pictures[runs["run_id"].iloc[0]].index) >= {"procedural/test", "procedural/test-shifted"}
    assert set(pictures) == {8}
    assert set(scores["region"]) == {"whole", "unknown", "boundary", "foreground", "background"}
    kinds = store.read("samples").groupby("run_id")["kind"].agg(set)
    assert kinds[runs.loc["mlb", "run_id"]] == {"photo", "mask", "truth", "matte", "teacher", "label"}
    assert kinds[runs.loc["seg_only", "run_id"]] == {"photo", "mask", "truth", "matte"}
    timed = store.read("speed")
    assert set(timed["scope"]) == {"model", "end_to_end"}
    assert set(timed["backbone"]) == {"test_efficientnet"}
    if (timed["status"] == "ok").any():  # what a busy machine timed stands in no figure
        assert "Dashed: 1 FPS, the rate to be held" in (finished / "report/report.md").read_text()
    assert set(store.read("epochs")["key"]) >= {"train_loss", "val_sad"}
    for run_id in runs["run_id"]:
        assert (finished / "models" / run_id / "model.safetensors").is_file()
        card = (finished / "models" / run_id / "README.md").read_text()
        assert f"| run | `{run_id}` |" in card
        whole = scores[(scores["run_id"] == run_id) & (scores["region"] == "whole")]
        for name in ("procedural/test", "procedural/test-shifted"):
            own = whole[whole["dataset"] == name]
            assert f"| 8 | {own['protocol'].iloc[0]} | SAD ↓ | {own['sad'].mean():.4g} 10³ px |" in card
    page = (finished / "report" / "index.html").read_text()
    assert "mlb" in page
    assert "seg_only" in page


def test_mlb_taught_by_its_own_average_is_one_stage_and_leaves_all_its_samples(finished: Path) -> None:
    store = Store(finished / "store")
    run = by_name(store).loc["average"]
    assert [stage.partition(":")[0] for stage in run["stages"]] == ["student"]
    assert (run["status"], run["steps"], run["mattes"], run["masks"]) == ("finished", 16, 4, 8)
    kinds = store.read("samples").groupby("run_id")["kind"].agg(set)
    assert kinds[run["run_id"]] == {"photo", "mask", "truth", "matte", "teacher", "label"}


def test_rerun_it_trains_nothing_and_needs_no_cluster(
    finished: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def files() -> list[Path]:  # what a busy machine left `unstable` is timed again
        return sorted(file for file in (finished / "store").rglob("*.parquet") if file.parent.name != "speed")

    before = files()
    monkeypatch.setattr("sweeps.execute.cluster", lambda: pytest.fail("a cluster is started"))
    with caplog.at_level(logging.INFO):
        code, _ = sweep_here(finished, *TIMED)
    assert code == 0
    assert "3 runs, 3 finished already" in caplog.text
    assert files() == before


def test_another_plan_in_out_is_refused(finished: Path) -> None:
    code, said = sweep_here(finished, *TIMED, "--set", "base.train.lr=0.5")
    assert code == 2
    assert "base.train.lr is 0.001, this plan's is 0.5" in said
    assert "Traceback" not in said


def test_a_broken_picture_costs_its_run_alone(tmp_path: Path) -> None:
    """A photo that breaks after its check is named in the failed run's row; the run that never reads it is finished."""
    data, out = tiny.make(tmp_path / "data"), tmp_path / "out"
    check(*(Manifest.read(data / f"{part}.parquet") for part in ("mattes", "masks", "val", "test")))
    photo = data / "photo" / "0.png"
    content, times = photo.read_bytes(), photo.stat()
    photo.write_bytes(content[:60].ljust(len(content), b"\0"))
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))  # nothing tells but its content
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "mine",
                "base": tiny.config(data, workers=1).model_dump(mode="json"),
                "space": {"method.name": ["matte_only", "seg_only"]},
            }
        )
    )
    process = sweep(out, plan=str(tmp_path / "mine.yaml"))
    assert process.returncode == 2, process.err  # type: ignore[attr-defined]
    runs = Store(out / "store").read("runs").set_index("method")
    assert runs.loc["matte_only", "status"] == "finished"
    assert runs.loc["seg_only", "status"] == "failed"
    assert "photo/0.png" in runs.loc["seg_only", "error"]
    assert "\n" not in runs.loc["seg_only", "error"]


def test_interrupted_it_says_so_and_leaves_no_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = sweep(out, wait=False)
    wait_for(lambda: list(out.glob("stages/*/claim.json")), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "a sweep goes on where it stopped" in err
    assert not (out / "report").exists()


def test_a_second_sweep_in_the_same_folder_is_refused(finished: Path) -> None:
    claim = Claim(Location.of(finished / "sweep.json"))
    assert claim.try_take()
    with claim.held():
        code, said = sweep_here(finished, *TIMED)
    assert code == 2
    assert "another sweep is running in" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "budgets=[{mattes: 7, masks: 8}]"], "asks for 7 mattes but the data set has 6"),
        (["--set", "base.model.backbone=resnet35"], "no backbone 'resnet35'"),
        (["--set", "speed.models=[resnet35]"], "no backbone 'resnet35'"),
        (["--set", "base.train.workers=8", "--set", "base.train.cpus_per_worker=64"], "but the cluster has"),
    ],
)
def test_impossible_sweeps_are_refused_in_one_sentence(tmp_path: Path, options: list[str], words: str) -> None:
    code, said = sweep_here(tmp_path / "out", *options)
    assert code == 2
    assert words in said
    assert "Traceback" not in said
    assert not list((tmp_path / "out").glob("store/*/*.parquet"))


def test_a_failed_run_is_recorded_with_its_reason(tmp_path: Path) -> None:
    """A learning rate that no training survives gives rows that say so, a report, and exit status 1."""
    out = tmp_path / "out"
    options = [
        "--set",
        "base.train.lr=1e30",
        "--set",
        "base.train.loss.l1=1e38",
        "--set",
        "base.train.clip_grad=1e38",
    ]
    first = sweep(out, *options)
    assert first.returncode == 1, first.err  # type: ignore[attr-defined]
    runs = Store(out / "store").read("runs")
    assert set(runs["status"]) == {"failed"}
    assert runs["error"].str.contains("the loss became").all()
    assert "0 runs finished, 1 failed" in first.out  # type: ignore[attr-defined]
    assert f"tracebacks: {out}/errors" in first.err  # type: ignore[attr-defined]
    for run_id in runs["run_id"]:
        kept = (out / "errors" / f"{run_id}.txt").read_text()
        assert kept.startswith("Traceback")
        assert "the loss became" in kept
    assert "the loss became" in (out / "report" / "report.md").read_text()
