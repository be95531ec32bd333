"""A plan expanded, with its sharing, costs and estimate; a run's configuration to repeat it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from pyarrow import fs
from safetensors.torch import save_file
from typer.testing import CliRunner

from bench.cost import CostModel
from bench.graded import with_grades
from bench.store import Store
from sweeps.cli import app
from sweeps.estimate import Rates
from sweeps.expand import expand
from sweeps.plan import Plan
from sweeps.repeat import open_plan, repeat
from sweeps.show import show
from sweeps.trial import describe
from tests.sweeps import made_up
from tests.wsshm import tiny
from wsshm.config import RunConfig, parse
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError
from wsshm.files import location
from wsshm.files.location import Location


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("data"))


def tiny_plan(data: Path, **changes: object) -> Plan:
    base = tiny.config(data, workers=1).model_dump(mode="json")
    return made_up.plan_of(base=base, **changes)


def shown(plan: Plan, store: Path, capsys: pytest.CaptureFixture) -> str:
    show(plan, {}, Location.of(store))
    return capsys.readouterr().out


def test_a_key_that_says_nothing_is_shown_as_the_methods_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plan = tiny_plan(data, space={"method.matte_share": [None, 0.5]}, seeds=[0])
    text = shown(plan, tmp_path, capsys)
    assert ("default" in text, "all" in text.split("annotation")[0].replace("in all", "")) == (True, False)
    assert {run.label.rpartition(", ")[2] for run in expand(plan)} == {"matte_share default)", "matte_share 0.5)"}


def test_runs_sharing_costs_and_estimate(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan = tiny_plan(
        data,
        space={"method.blend.band": [0.02, 0.04, 0.08]},
        seeds=[0],
        also=[{"method.name": "seg_only"}],
        report={"cost": {"matte": "10EUR", "mask": "1EUR"}},
        speed={"models": ["test_efficientnet"], "sizes": [64], "batches": [1, 2]},
    )
    runs = expand(plan)
    mlb = runs[-1].config
    Store(tmp_path).write("runs", [made_up.run_row("earlier", mlb, rate=3600.0, beside_s=60)])
    text = shown(plan, tmp_path, capsys)
    for run in runs:
        assert run.run_id in text
    assert "4 runs, 5 stages to train, 12 optimiser steps in all; 1 stage is shared, by 3 runs" in text
    assert text.count("(3)") == 3  # the teacher, in each of its runs
    lines = [line.split() for line in text.splitlines()]
    assert ["0", "8", "8", "EUR", "1"] in lines
    assert ["6", "8", "68", "EUR", "3"] in lines
    # An hour a step: the teacher's 2 once, 3 students of 2 x 4/3, seg_only's 4; and a minute beside each run.
    assert "about 14 h 04 min of computing, one run at a time" in text
    assert "based on 1 finished run of unet/test_efficientnet in fp32 on 1 CPU a worker" in text
    assert "(Example CPU, 1 thread)" in text
    assert "then 4 settings are timed" in text


def test_masks_of_several_grades_are_told_priced_and_stored_by_grade(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = tiny.make(tmp_path / "data")
    masks = Manifest.read(root / "masks.parquet")
    stated = [replace(s, attributes={"mask_grade": "fine"}) if s.id > "photo4" else s for s in masks.samples]
    Manifest(masks.root, stated).write(root / "masks.parquet")
    cost = {"matte": "10EUR", "mask": {"polygon": "1EUR", "fine": "3EUR"}}
    budgets = [{"mattes": 6, "masks": {"polygon": [4, 5], "fine": 3}}, {"mattes": 6, "masks": 5}]
    plan = tiny_plan(root, budgets=budgets, seeds=[0], report={"cost": cost})
    text = shown(plan, tmp_path / "none", capsys)
    assert re.search(r"6 +4 polygon, 3 fine +73 EUR +2\b", text)
    assert re.search(r"6 +5 polygon, 3 fine +74 EUR +2\b", text)
    assert re.search(r"6 +5 +65 EUR +2\b", text)
    runs = expand(plan)
    rows = [describe(run) for run in runs]
    columns = ("masks", "masks_clicks", "masks_polygon", "masks_fine", "masks_expert")
    assert sorted({tuple(row[name] for name in columns) for row in rows}) == [
        (5, 0, 5, 0, 0),
        (7, 0, 4, 3, 0),
        (8, 0, 5, 3, 0),
    ]
    assert {row["masks"]: row["cost_s"] for row in rows}[8] == CostModel().of(6, {"polygon": 5, "fine": 3})
    store = Store(tmp_path / "store")
    store.write("runs", [row | {"status": "finished"} for row in rows])
    told = with_grades(store.read("runs"))["masks"]
    assert sorted(set(map(str, told))) == ["4 polygon, 3 fine", "5", "5 polygon, 3 fine"]


def test_without_rows_it_names_what_makes_some(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan = tiny_plan(data, space={"model.backbone": ["test_efficientnet", "test_resnet"]}, seeds=[0])
    first = expand(plan)[0].config
    text = shown(plan, tmp_path / "none", capsys)
    assert "estimated time" not in text
    command = next(line for line in text.splitlines() if line.strip().startswith("wsshm sweep run smoke"))
    assert "'space={model.backbone: [test_efficientnet, test_resnet]}'" in command
    Store(tmp_path).write("runs", [made_up.run_row("earlier", first)])
    text = shown(plan, tmp_path, capsys)
    assert "estimated time (of 1 run of 2)" in text
    assert "no estimate for test_resnet (unet, fp32, 1 CPU a worker)" in text
    # The command is one that the smoke plan takes.
    from shlex import split

    from sweeps.plan import load_plan

    words = split(command.partition("   (then")[0])
    assignments = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    made = expand(load_plan("smoke", [*assignments, "base.data.size=64"]))
    assert {run.config.model.backbone for run in made} == {"test_efficientnet", "test_resnet"}


def test_a_search_says_its_space_and_is_estimated_by_random_draws(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plan = tiny_plan(
        data,
        space={
            "method.blend.band": {"loguniform": [0.01, 0.1]},
            "method.blend.variant": {"choice": ["soft", "gated"]},
        },
        search={"algorithm": "optuna", "num_runs": 6, "scheduler": {"grace_epochs": 1}},
        seeds=[0],
        also=[{"method.name": "joint"}],
    )
    Store(tmp_path).write("runs", [made_up.run_row("earlier", expand(plan)[0].config)])
    text = shown(plan, tmp_path, capsys)
    assert "optuna: 6 draws from this space" in text
    assert "loguniform from 0.01 to 0.1" in text
    assert "soft, gated" in text
    assert "minimised: val_sad; asha stops runs that fall behind" in text
    assert "7 runs (1 as listed and 6 that optuna draws; here drawn at random), 8 stages to train" in text
    assert "estimated time: about" in text


def test_a_run_of_the_store_is_repeated_as_it_was(data: Path, tmp_path: Path) -> None:
    plan = tiny_plan(data)
    ids = made_up.finish(tmp_path, plan, 4)
    store = Location.of(tmp_path / "store")
    text = repeat(plan, {}, store, ids[2])
    recorded = Store(tmp_path / "store").read("runs").set_index("run_id")["config"][ids[2]]
    assert parse(yaml.safe_load(text)) == RunConfig.model_validate_json(recorded)
    comment = [line for line in text.splitlines() if line.startswith("#")]
    assert "run run2 of the plan made-up, finished" in comment[0]
    assert comment[1] == "# suite's commit " + "0f" * 20
    assert comment[2] == "# torch 2.11.0"
    with pytest.raises(UserError, match=r"4 runs have ids that start with 'run' \(run0, run1"):
        repeat(plan, {}, store, "run")


def test_a_run_that_was_not_run_yet_comes_from_the_plan(data: Path, tmp_path: Path) -> None:
    plan = tiny_plan(data)
    runs = expand(plan)
    store = Location.of(tmp_path)
    text = repeat(plan, {}, store, runs[1].run_id[:10])
    assert parse(yaml.safe_load(text)) == runs[1].config
    assert "not in" in text.splitlines()[0]
    wrong = "z" + runs[1].run_id[1:]
    with pytest.raises(UserError, match=f"no run of the plan made-up has an id .*{wrong}.* nearest.*{runs[1].run_id}"):
        repeat(plan, {}, store, wrong)


def test_a_sweeps_own_plan_file_finds_its_store(data: Path, tmp_path: Path) -> None:
    plan = tiny_plan(data)
    out = made_up.record(tmp_path / "out", plan)
    made_up.finish(out, plan, 1)
    opened, weights, store = open_plan(str(out / "plan.yaml"))
    assert (opened, weights, store) == (plan, {"test_efficientnet": "none"}, str(out / "store"))
    done = CliRunner().invoke(app, ["show", str(out / "plan.yaml"), "--run", "run0"])
    assert done.exit_code == 0
    assert "# run run0 of the plan made-up" in done.stdout
    assert len(Rates.read(Store(store)).known) == 1
    assert open_plan("smoke")[2] == "runs/smoke/store"


def test_a_plan_on_an_object_store(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(location, "_remote", lambda uri: (remote, "bucket"))
    plan = tiny_plan(data)
    made_up.record(tmp_path / "bucket" / "out", plan)
    opened, weights, store = open_plan("s3://bucket/out/plan.yaml?region=x", ["seeds=[3]"])
    assert opened == plan.model_copy(update={"seeds": (3,)})
    assert (weights, store) == ({"test_efficientnet": "none"}, "s3://bucket/out/store?region=x")
    with pytest.raises(UserError, match=r"^there is no file s3://bucket/none.yaml; check the address$"):
        open_plan("s3://bucket/none.yaml")
    (tmp_path / "bucket" / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match=r"s3://bucket/list.yaml must hold a mapping"):
        open_plan("s3://bucket/list.yaml")
    (tmp_path / "bucket" / "no.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"s3://bucket/no.yaml is not valid YAML"):
        open_plan("s3://bucket/no.yaml")


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["show", "smoke", "--store", str(tmp_path / "nope")])
    assert isinstance(done.exception, UserError)
    assert "there is no store" in str(done.exception)


def test_secrets_of_an_address_are_not_shown() -> None:
    shown = CliRunner().invoke(app, ["show", "smoke", "--full", "--set", "stages=s3://KEY:SECRET@bucket/stages"])
    assert "stages: s3://***@bucket/stages" in shown.output


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("x", "--set takes KEY=VALUE, such as base.train.steps=800, not 'x'"),
        ("=3", "--set takes KEY=VALUE"),
        ("nope=3", "the plan smoke has an unknown key 'nope'; the nearest valid choice is 'name'"),
        ("base.train.stepz=3", "unknown key 'train.stepz'; the nearest valid choices are 'steps'"),
        ("base..x=1", "base of the plan smoke has an unknown key ''"),
        ("base.train.steps=[1", "'[1' is not valid YAML"),
        ("base.train.steps={a: 'b\"", "is not valid YAML"),
        ("base.train.steps='\"3\"'", "has an impossible train.steps = '\"3\"': input should be a valid integer"),
        ("seeds=", "has an impossible seeds = None: input should be a list"),
        ("base=3", "has an impossible base = 3: input should be a mapping of keys to values"),
        ("base.train.steps.x=3", "'base.train.steps.x' cannot be set: 'base.train.steps' is a value"),
    ],
)
def test_a_malformed_assignment_is_a_sentence(assignment: str, said: str) -> None:
    refused = CliRunner().invoke(app, ["show", "smoke", "--full", "--set", assignment])
    assert isinstance(refused.exception, UserError)
    assert said in str(refused.exception)


def test_a_plan_or_output_that_is_no_file_or_folder_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    asked = {
        ("show", str(tmp_path / "pipe.yaml")): "is not a regular file; give a YAML file",
        ("show", str(tmp_path / "folder.yaml")): "is a folder; give a YAML file",
        ("run", "smoke", "--out", str(tmp_path / "pipe.yaml")): "is not a folder; give another path",
        ("run", "smoke", "--out", str(tmp_path), "--set", f"stages={tmp_path}/pipe.yaml"): "stages .* is not a folder",
    }
    for arguments, said in asked.items():
        refused = CliRunner().invoke(app, arguments)
        assert re.search(said, str(refused.exception)), arguments


def test_damaged_weights_are_refused_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "cut.safetensors"
    save_file({"stem.weight": torch.zeros(64)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    refused = CliRunner().invoke(app, ["show", "smoke", "--set", f"base.model.weights={file}"])
    assert f"model.weights: {file} is not a readable safetensors file" in str(refused.exception)
    assert not (tmp_path / "cache").exists()


def test_nothing_is_drawn_to_show_a_plan_or_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["--set", "base.data.size=64", "--set", "base.data.procedural={cutouts: 6, natural: {clicks: 5, fine: 4}}"]
    small += ["--set", "budgets=[{mattes: 4, masks: {clicks: 3, fine: 2}}]"]
    cache = tmp_path / "cache"
    monkeypatch.setenv("WSSHM_CACHE", str(cache))
    done = CliRunner().invoke(app, ["show", "smoke", *small])
    assert done.exit_code == 0
    run_id = re.search(r"^[0-9a-f]{16}", done.stdout, re.MULTILINE)
    assert run_id
    one = CliRunner().invoke(app, ["show", "smoke", *small, "--run", run_id[0]])
    assert one.exit_code == 0
    assert not (cache / "procedural").exists()
    plan = open_plan("smoke", [small[i] for i in (1, 3, 5)])[0]
    assert [run.run_id for run in expand(plan)] == [run_id[0]]  # as when it is run
    assert (cache / "procedural").exists()
    assert [run.run_id for run in expand(plan, drawn=False)] == [run_id[0]]  # and once it is there


def test_drawing_the_embedded_set_is_announced_and_ends_in_order_by_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wsshm", "sweep", "run", "quickstart", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "WSSHM_CACHE": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as asked:
        assert asked.stderr
        assert asked.stderr.readline() == "plan quickstart: opening the data\n"
        first = asked.stderr.readline()
        assert "drawing the synthetic part of the embedded data set once: 300 pictures of 128 px" in first
        while not list(tmp_path.rglob("*.png")):
            assert asked.poll() is None
            time.sleep(0.05)
        os.killpg(asked.pid, signal.SIGTERM)
        rest = asked.stderr.read()
    assert (asked.returncode, [line for line in rest.splitlines() if "drawing synthetic" not in line]) == (143, [])
    assert not list((tmp_path / "out").glob("*"))
