"""A sweep's end: the best model by validation, never a control's or by the test set; commands that run as printed."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bench.store import Store
from sweeps.best import best_run, next_steps, record_best
from sweeps.door import app
from sweeps.place import Place
from tests.sweeps import made_up
from tests.wsshm import tiny
from wsshm.config import ModelConfig
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.models.checkpoint import card_of, save_model
from wsshm.models.network import build_model

RUNS = [f"run{index}" for index in range(4)]


def typed(command: str) -> Result:
    """What a printed command does, in this process."""
    words = shlex.split(command)
    assert words[0] == "wsshm"
    return CliRunner().invoke(app, words[1:], catch_exceptions=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A sweep's folder with four runs: mlb (seeds 0, 1) at val_sad 5 and 4, joint at 3 and 2."""
    out = made_up.record(tmp_path / "the sweep", made_up.plan_of())
    made_up.finish(out, made_up.plan_of(), 4)
    return out


def best(out: Path, runs: list[str] = RUNS, **changes: object):
    return best_run(made_up.plan_of(**changes), Store(out / "store"), runs)


def test_it_is_named_with_what_sets_it_apart(tmp_path: Path) -> None:
    plan = made_up.plan_of(
        space={"method.name": ["joint"], "model.architecture": ["unet", {"name": "unet", "width": 2}]}
    )
    made_up.finish(made_up.record(tmp_path, plan), plan, 4)
    found = best_run(plan, Store(tmp_path / "store"), RUNS)
    assert found
    assert found.label == "joint, 100 mattes, 1000 masks, seed 1, architecture unet, width=2"


def test_it_is_the_lowest_error_of_the_last_epoch_on_validation(out: Path) -> None:
    found = best(out)
    assert (found.run_id, found.key, found.value, found.among) == ("run3", "val_sad", 2.0, 4)
    assert found.label == "joint, 100 mattes, 1000 masks, seed 1"
    assert best(out, ["run0", "run1"]).run_id == "run1"
    # Test scores say otherwise, and are not looked at.
    score = {"dataset": "test", "image": "a", "protocol": "short64", "convention": "p3m", "region": "whole"}
    score |= {"truth": "exact", "metric_version": "1"}
    Store(out / "store").write("scores", [score | {"run_id": run, "sad": i + 0.5} for i, run in enumerate(RUNS)])
    assert best(out).run_id == "run3"


def test_the_first_error_among_the_objectives_decides(out: Path) -> None:
    rows = made_up.epoch_rows("run0", {"student": [9.0, 50.0]})
    worse_by_sad = [row | {"value": 0.01} if row["key"] == "val_mse" else row for row in rows]
    Store(out / "store").write("epochs", worse_by_sad)
    assert best(out).run_id == "run3"
    found = best(out, search={"objectives": ["latency_ms", "val_mse", "val_sad"]})
    assert (found.run_id, found.key, found.value) == ("run0", "val_mse", 0.01)


@pytest.mark.parametrize(
    "changes",
    [{"method": "oracle"}, {"method": "mlb_masklabel"}, {"status": "stopped"}, {"status": "failed"}],
)
def test_controls_and_unfinished_runs_are_never_the_best(out: Path, changes: dict[str, str]) -> None:
    config = next(iter(made_up.configurations(made_up.plan_of())))
    store = Store(out / "store")
    store.write("runs", [made_up.run_row("other", config, **changes)])
    store.write("epochs", made_up.epoch_rows("other", {"student": [0.1]}))
    assert best(out, [*RUNS, "other"]).run_id == "run3"


def test_nan_is_no_error_and_other_sizes_are_not_compared(out: Path) -> None:
    store = Store(out / "store")
    store.write("epochs", made_up.epoch_rows("run3", {"student": [1.0, 1.0, math.nan]}))
    assert best(out).run_id == "run2"
    larger = made_up.plan_of(base=made_up.plan_of().base | {"data": {"size": 128}})
    [config] = made_up.configurations(larger)[:1]
    store.write("runs", [made_up.run_row("larger", config)])
    store.write("epochs", made_up.epoch_rows("larger", {"student": [0.5]}))
    assert best(out, [*RUNS, "larger"]) is None
    assert best(out, ["larger"]).run_id == "larger"


def test_the_printed_commands_run_as_they_stand(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out.parent)
    place = Place(Location.of(out))
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config)
    folder = out / "models" / "run3"
    folder.mkdir(parents=True)
    save_model(folder, model.state_dict(), card_of(model, config, "none", tiny.SIZE, "joint"))
    write_png(Path("photo.jpg").with_suffix(".png"), np.full((70, 64, 3), 90, np.uint8))
    Path("photo.png").rename("photo.jpg")
    record_best(place, best(out))
    lines = next_steps(place, best(out))
    assert lines[0] == "best model: 'the sweep/models/run3'"
    assert lines[1] == "  joint, 100 mattes, 1000 masks, seed 1: val_sad 2 on the validation set, the lowest of 4 runs"
    predict, table = [line.strip() for line in lines if line.startswith("  wsshm")]
    done = typed(predict)
    assert "1 of 1 pictures matted" in done.output, done.output
    assert Path("mattes/photo_alpha.png").is_file()
    assert table == "wsshm report table 'the sweep/store'"
    with pytest.raises(UserError, match="was scored"):  # the made-up store has no scores; the command is a true one
        typed(table)
    assert lines[-1].endswith(": wsshm data prepare --help")
    assert typed("wsshm data prepare --help").exit_code == 0
    # A sweep's folder stands for its best model.
    again = typed("wsshm predict 'the sweep' photo.jpg --out again")
    assert again.exit_code == 0
    assert Path("again/photo_alpha.png").read_bytes() == Path("mattes/photo_alpha.png").read_bytes()
    # One that was cut off since is not offered.
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    said = next_steps(place, best(out))
    assert re.search(r"model\.safetensors was .* give the sweep's command another --out", said[2])
    assert said[3:] == ["next:", f"  {table}"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "names no best model: it has not ended, or compares none; give one of its models"),
        ("[[", "best.json is damaged; give one of its models"),
        ('{"run_id": 3}', "best.json is damaged"),
        ('{"run_id": "../x"}', "best.json is damaged"),
        ('{"run_id": "run9"}', "that of the run run9, is gone"),
    ],
)
def test_a_sweep_without_a_best_model_says_what_to_give(out: Path, written: str | None, said: str) -> None:
    if written:
        (out / "best.json").write_text(written)
    write_png(out / "photo.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UserError, match=said):
        typed(shlex.join(["wsshm", "predict", str(out), str(out / "photo.png"), "--out", str(out / "mattes")]))
    assert not (out / "mattes").exists()


def test_what_is_no_model_is_said_so(tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"holds no model \(model.json\); give a finished run's folder OUT/models/RUN_ID"
    ):
        typed(f"wsshm predict {tmp_path} {tmp_path}/photo.png --out {tmp_path}/mattes")


def test_without_a_best_run_the_record_goes(out: Path) -> None:
    place = Place(Location.of(out))
    record_best(place, best(out))
    assert json.loads((out / "best.json").read_text()) == {"run_id": "run3", "by": "val_sad", "value": 2.0}
    record_best(place, best(out, []))
    assert not (out / "best.json").exists()
    assert next_steps(place, None) == ["next:", f"  wsshm report table {shlex.quote(str(out / 'store'))}"]
