"""Runs in trackers: what they are called, what is sent, where it lies; what is not installed or not set up."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune

from sweeps.expand import expand
from sweeps.tracking import Followed, callbacks
from tests.sweeps import made_up
from tests.wsshm import tiny
from wsshm.errors import UserError
from wsshm.files.location import Location


class Recorder:
    """A tool's callback that only takes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, Any]] = []

    def log_trial_start(self, trial: Any) -> None:
        self.told.append(("start", trial, dict(trial.config)))

    def log_trial_result(self, iteration: int, trial: Any, result: dict) -> None:
        self.told.append(("result", trial, result))

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        (Path(trial.local_path) / "events").write_text("told")
        self.told.append(("end", trial, failed))

    def on_experiment_end(self, trials: list[Any]) -> None:
        self.told.append(("over", trials, None))


@pytest.fixture
def run(tmp_path: Path) -> Any:
    base = tiny.config(tiny.make(tmp_path / "data"), workers=1).model_dump(mode="json")
    (planned,) = expand(made_up.plan_of(base=base, space={"method.blend.band": [0.07]}, seeds=[3]))
    return planned


def trial_of(run: Any) -> Any:
    return SimpleNamespace(trial_id="tune_0", config={"run": {"run": run}})


def test_a_run_is_told_by_its_id_settings_and_errors(run: Any, tmp_path: Path) -> None:
    logger, trial = Recorder(), trial_of(run)
    followed = Followed(logger, Location.of(tmp_path / "out"), "tensorboard")  # type: ignore[arg-type]
    followed.on_trial_start(0, [trial], trial)
    epoch = {"epoch": 1, "train_loss": 0.5, "lr": 1e-3, "val_sad": 2.0, "training_iteration": 1}
    followed.on_trial_result(1, [trial], trial, epoch | {"pid": 1, "compares": True, "stage": "student", "config": {}})
    followed.on_trial_result(2, [trial], trial, {"epoch": 1, "mistake": False, "val_sad": 2.0, "training_iteration": 2})
    followed.on_trial_complete(3, [trial], trial)
    (start, view, settings), (_, same, result), (_, _, failed) = logger.told
    assert start == "start"
    assert view is same
    assert str(view) == run.run_id
    assert settings["method.blend.band"] == 0.07
    assert settings["train.seed"] == 3
    assert settings["budget.mattes"] == "None"
    assert not {"data.root", "train.workers"} & set(settings)
    assert all(isinstance(value, str | int | float | bool) for value in settings.values())
    assert result == epoch
    assert failed is False
    assert (tmp_path / "out" / "tensorboard" / run.run_id / "events").read_text() == "told"


def test_files_reach_an_object_store_when_a_run_ends(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Location.of(tmp_path / "remote")
    monkeypatch.setattr(Location, "local", property(lambda self: None))
    followed, trial = Followed(Recorder(), out, "tensorboard"), trial_of(run)  # type: ignore[arg-type]
    monkeypatch.setattr(
        Location,
        "upload",
        lambda self, folder, last=None: uploaded.append((str(self), (folder / "events").read_text())),
    )
    uploaded: list[tuple[str, str]] = []
    followed.on_trial_error(1, [trial], trial)
    assert uploaded == [(f"{out}/tensorboard/{run.run_id}", "told")]
    assert followed.folder.is_dir()
    followed.on_experiment_end([trial])
    assert not followed.folder.exists()
    followed.on_trial_error(1, [trial], trial)  # a sweep may fit twice with the same callbacks
    assert len(uploaded) == 2
    followed.on_experiment_end([trial])
    assert not followed.folder.exists()


@pytest.mark.parametrize(
    ("name", "package"), [("wandb", "wandb"), ("mlflow", "mlflow"), ("tensorboard", "tensorboardX")]
)
def test_what_is_not_installed_is_one_sentence(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UserError, match=f"track asks for {name}, which is not installed; pip install {package}"):
        callbacks([name], "plan", Location.of("out"))
    assert callbacks([], "plan", Location.of("out")) == []


def installed(monkeypatch: pytest.MonkeyPatch, package: str, module: str, **names: Any) -> None:
    """Pretend that a tool is installed, with these names in Ray's module for it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == package else None)
    fake = ModuleType(module)
    for name, value in names.items():
        setattr(fake, name, value)
    monkeypatch.setitem(sys.modules, module, fake)


def test_mlflow_keeps_its_runs_in_out_or_on_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "mlflow", "ray.air.integrations.mlflow", MLflowLoggerCallback=lambda **given: given)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (followed,) = callbacks(["mlflow"], "blending", Location.of(tmp_path / "out"))
    assert followed.logger == {  # type: ignore[attr-defined]
        "tracking_uri": f"sqlite:///{tmp_path}/out/mlflow.db",
        "experiment_name": "blending",
        "tags": {"plan": "blending"},
    }
    monkeypatch.setattr(Location, "local", property(lambda self: None))
    with pytest.raises(UserError, match=r"mlflow, which cannot keep its runs in .* set MLFLOW_TRACKING_URI"):
        callbacks(["mlflow"], "blending", Location.of(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    (followed,) = callbacks(["mlflow"], "blending", Location.of(tmp_path))
    assert followed.logger["tracking_uri"] == "http://server"  # type: ignore[attr-defined]


def test_wandb_needs_a_login_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ValueError("No WandB API key found.")

    names: dict[str, Any] = {"WandbLoggerCallback": lambda **given: given, "_set_api_key": refuse}
    installed(monkeypatch, "wandb", "ray.air.integrations.wandb", **names)
    with pytest.raises(UserError, match=r"wandb, which is not logged in; run `wandb login`, set WANDB_API_KEY"):
        callbacks(["wandb"], "blending", Location.of(tmp_path))
    installed(monkeypatch, "wandb", "ray.air.integrations.wandb", **names | {"_set_api_key": lambda: None})
    (followed,) = callbacks(["wandb"], "blending", Location.of(tmp_path))
    assert followed.logger == {"project": "blending", "group": "blending"}  # type: ignore[attr-defined]
    monkeypatch.setenv("WANDB_PROJECT_NAME", "ours")
    (followed,) = callbacks(["wandb"], "blending", Location.of(tmp_path))
    assert followed.logger == {"project": "ours", "group": "blending"}  # type: ignore[attr-defined]


def test_rays_own_callbacks_take_what_they_are_given_here() -> None:
    """Names and arguments that only an installed tool would show to be wrong."""
    import inspect

    from ray.air.integrations import mlflow, wandb

    assert {"tracking_uri", "experiment_name", "tags"} <= set(inspect.signature(mlflow.MLflowLoggerCallback).parameters)
    assert {"project", "group"} <= set(inspect.signature(wandb.WandbLoggerCallback).parameters)
    assert callable(wandb._set_api_key)


def report_two_epochs(space: dict) -> None:
    for epoch in (1, 2):
        tune.report({"epoch": epoch, "train_loss": 1.0 / epoch, "lr": 0.1, "val_sad": 8.0 / epoch, "compares": True})
    tune.report({"epoch": 2, "mistake": False, "val_sad": 4.0})


def events(folder: Path) -> list[Any]:
    """All events of the TensorBoard files in a folder: records of a length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


@pytest.mark.ray
@pytest.mark.slow
def test_tensorboard_shows_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny.config(tiny.make(tmp_path / "data"), workers=1).model_dump(mode="json")
    runs = expand(made_up.plan_of(base=base, space={"method.blend.band": [0.02, 0.07]}, seeds=[0]))
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        followed = callbacks(["tensorboard"], "made-up", Location.of(tmp_path / "out"))
        for _ in range(2):  # a sweep may fit twice with the same callbacks
            results = tune.Tuner(
                report_two_epochs,
                param_space={"run": tune.grid_search([{"run": run} for run in runs])},
                run_config=tune.RunConfig(
                    name="tune", storage_path=str(tmp_path / "ray"), verbose=0, callbacks=followed
                ),
            ).fit()
            assert results.num_errors == 0
    finally:
        ray.shutdown()
    assert {folder.name for folder in (tmp_path / "out" / "tensorboard").iterdir()} == {run.run_id for run in runs}
    for run in runs:
        told = events(tmp_path / "out" / "tensorboard" / run.run_id)
        values = [(v.tag, event.step, v.simple_value) for event in told for v in event.summary.value]
        sad = [(step, value) for tag, step, value in values if tag == "ray/tune/val_sad"]
        assert sad == [(1, 8.0), (2, 4.0)] * 2
        settings = str(told)
        assert "method.blend.band" in settings
        assert "mistake" not in settings
