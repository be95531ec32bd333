"""An architecture from outside the package: one file, no list touched, from configuration to speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from bench import settings
from bench.settings import Protocol, SpeedSpec
from bench.store import Store
from sweeps.door import app
from sweeps.estimate import Kind
from tests.extending.conftest import Add, example
from tests.wsshm import tiny
from wsshm import models, plugins
from wsshm.config import ModelConfig, RunConfig, override, parse
from wsshm.data.pictures import read_matte, write_png
from wsshm.errors import UserError
from wsshm.losses import Target, sample_losses
from wsshm.models.checkpoint import card_of, load_model, save_model
from wsshm.models.network import MattingOutput, build_model
from wsshm.models.trial import check_backbone
from wsshm.training.planning import plan_run, resolved
from wsshm.training.run import train

PYRAMID = Path(__file__).with_name("pyramid.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pyramid(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(PYRAMID))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


def with_architecture(config: RunConfig, choice: str) -> RunConfig:
    return parse(override(config.model_dump(mode="json"), [f"model.architecture={choice}"]))


@pytest.mark.usefixtures("pyramid")
def test_options_are_typed_and_closed(root: Path) -> None:
    config = tiny.config(root)
    for choice, known in {
        "pyramid": "pyramid",
        "{name: pyramid}": "pyramid",
        "{people: 1.0, name: pyramid, width: 8}": "pyramid",
        "{people: 2, width: 16, name: pyramid}": {"name": "pyramid", "width": 16, "people": 2.0},
    }.items():
        chosen = with_architecture(config, choice).model.architecture
        assert chosen == known
        assert parse({"architecture": models.text_of(chosen)}, ModelConfig).architecture == known
    for choice, message in {
        "pyramyd": r"model.architecture = 'pyramyd'; the nearest valid choice is 'pyramid' \(WSSHM_PLUGINS adds more\)",
        "{name: pyramid, widht: 3}": r"'pyramid' has an unknown key 'widht'; the nearest valid choice is 'width'",
        "{name: pyramid, width: wide}": r"the architecture 'pyramid' has an impossible width = 'wide'",
        "{width: 3}": r"must have the architecture's name",
        "[pyramid]": r"impossible model.architecture: must be a name, or a mapping",
    }.items():
        with pytest.raises(UserError, match=message):
            with_architecture(config, choice)


@pytest.mark.usefixtures("pyramid")
def test_a_run_is_another_with_other_options(root: Path) -> None:
    config = tiny.config(root)
    choices = ("unet", "{name: unet, width: 2}", "pyramid", "{name: pyramid, width: 16}")
    runs = [with_architecture(config, choice) for choice in choices]
    assert len({plan_run(run).run_id for run in runs}) == len({Kind.of(run) for run in runs}) == len(choices)
    assert plan_run(with_architecture(config, "{name: unet, width: 1}")).run_id == plan_run(config).run_id


@pytest.mark.usefixtures("pyramid")
def test_its_stride_is_asked_before_training(root: Path) -> None:
    config = with_architecture(tiny.config(root, half_resolution=0.5), "pyramid")  # 32 px are no multiple of 64
    with pytest.raises(
        UserError, match=r"does not run on pictures of 32x32 px \(height and width must be multiples of 64"
    ):
        resolved(config)
    check_backbone("test_efficientnet", {}, [(64, 128)], "pyramid")


@pytest.mark.usefixtures("pyramid")
def test_its_own_loss_is_added_to_what_every_network_learns() -> None:
    torch.manual_seed(0)
    model = build_model(
        ModelConfig(architecture={"name": "pyramid", "people": 3.0}, backbone="test_efficientnet", weights="none")
    )
    images, matte = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    output = model(images)
    target = Target(matte, matte, torch.ones_like(matte), torch.ones_like(matte))
    (term,) = model.network.auxiliary_losses(output, target).values()
    p, t = output.auxiliary["people"].sigmoid(), torch.nn.functional.avg_pool2d(matte, 32)
    expected = -3 * (t * p.log() + (1 - t) * (1 - p).log()).mean((1, 2, 3))
    torch.testing.assert_close(term, expected)
    assert not model.eval()(images).auxiliary
    assert not build_model(ModelConfig(backbone="test_efficientnet", weights="none"))(images).auxiliary
    without = MattingOutput(output.matte_logits, output.boundary_logits)
    config = RunConfig().train.loss
    assert torch.equal(sample_losses(output, target, config), sample_losses(without, target, config))


@pytest.mark.usefixtures("pyramid")
def test_it_trains_with_its_own_loss(root: Path, tmp_path: Path) -> None:
    losses = []
    for people in (0, 5):
        choice = f"{{name: pyramid, people: {people}}}"
        trained = train(tiny.planned(with_architecture(tiny.config(root, "joint"), choice)), tmp_path)
        losses.append(next(row["value"] for row in trained.stages[-1]["history"] if row["key"] == "train_loss"))
    assert losses[1] > losses[0] + 1  # 5 x cross-entropy, of about 0.7 at first


@pytest.mark.slow
@pytest.mark.usefixtures("pyramid")
def test_by_the_command_line_it_trains_predicts_and_is_timed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny.config(root, "joint").model_dump(mode="json")))
    choice = "{name: pyramid, width: 16}"
    command = ["train", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--set", f"model.architecture={choice}"])
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / "out" / "model" / "model.json").read_text())
    assert card["architecture"] == {"name": "pyramid", "width": 16, "people": 1.0}  # those at their default too

    picture = tmp_path / "picture.png"
    write_png(picture, np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    model, _ = load_model(tmp_path / "out" / "model")
    assert model.stride == 64
    done = CliRunner().invoke(
        app, ["predict", str(tmp_path / "out"), str(picture), "--out", str(tmp_path / "mattes"), "--protocol", "native"]
    )
    assert done.exit_code == 0, done.output
    assert read_matte(tmp_path / "mattes" / "picture_alpha.png").shape == (50, 70)

    store = Store(tmp_path / "store")
    monkeypatch.setattr(settings, "CPU_PROTOCOL", Protocol(1, 0, calls=6, seconds=0, max_seconds=30))
    timed = ["bench", "speed", "--models", "test_efficientnet", "--architecture", choice, "--sizes", "70x50"]
    timed += ["--scopes", "model", "--threads", "1", "--processes", "1", "--store", str(store.root)]
    done = CliRunner().invoke(app, timed)
    assert done.exit_code == 0, done.output
    (row,) = store.read("speed").to_dict("records")
    assert (row["architecture"], row["model"]) == (choice, f"{choice}/test_efficientnet")
    assert row["p50_ms"] > 0
    assert row["params"] == sum(p.numel() for p in model.parameters())

    monkeypatch.delenv(plugins.VARIABLE)
    monkeypatch.setattr(models.ARCHITECTURES, "_entries", {})
    with pytest.raises(
        UserError, match=r"of the architecture 'pyramid', which is not known here; name its file in WSSHM"
    ):
        load_model(tmp_path / "out" / "model")


def test_a_model_outlives_a_new_default_and_says_what_no_longer_fits(
    add: Add, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PYRAMID.read_text()
    add("pyramid", text)
    config = with_architecture(tiny.config(root), "{name: pyramid, people: 2}").model
    model = build_model(config)
    save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 64, "mlb"))

    def edited(before: str, after: str) -> None:
        assert before in text
        monkeypatch.setattr(models.ARCHITECTURES, "_entries", {})
        monkeypatch.setattr(plugins, "_imported", set())
        monkeypatch.delenv(plugins.VARIABLE)
        add("pyramid", text.replace(before, after))

    edited("width: int = 8", "width: int = 24")
    assert load_model(tmp_path)[0].network.heads.weight.shape[1] == 8
    edited("nn.Conv2d(options.width, 2, 1)", "nn.Conv2d(options.width, 2, 3, padding=1)")
    with pytest.raises(
        UserError,
        match=r"model.safetensors do not fit the network that is built here \(1 of another shape: network.heads.weight"
        r" 2x8x1x1 for 2x8x3x3\): the file of the architecture 'pyramid', or timm, is of another version",
    ):
        load_model(tmp_path)
    edited("self.people = nn", "self.crowd = self.people = nn")
    with pytest.raises(UserError, match=r"\(2 missing: network.crowd.weight, network.crowd.bias\)"):
        load_model(tmp_path)


def test_the_documented_example_is_one(add: Add, root: Path) -> None:
    add("plain", example(models))
    config = resolved(with_architecture(tiny.config(root), "{name: plain, width: 48}"))
    assert build_model(config.model)(torch.rand(1, 3, 64, 96)).matte.shape == (1, 1, 64, 96)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("logits", r"it returns a Tensor, not a MattingOutput"),
        ("MattingOutput(logits[:, :1, 1:], logits[:, 1:])", r"its matte_logits have the shape \(1, 1, 63, 64\), not"),
        (
            "MattingOutput(logits[:, :1], logits)",
            r"its boundary_logits have the shape \(1, 2, 64, 64\), not \(1, 1, 64",
        ),
        ("logits.missing", r"'Tensor' object has no attribute 'missing'"),
    ],
)
def test_a_network_that_returns_something_else_is_told_before_training(
    add: Add, root: Path, returned: str, message: str
) -> None:
    documented = "MattingOutput(logits[:, :1], logits[:, 1:])"
    assert documented in example(models)
    add("plain", example(models).replace(documented, returned))
    with pytest.raises(
        UserError,
        match=rf"the architecture 'plain' over the backbone 'test_efficientnet' does not run .*{message}.*"
        r"correct the architecture's file",
    ):
        resolved(with_architecture(tiny.config(root), "plain"))
    with pytest.raises(UserError, match=r"'plain' has an impossible width = -1"):
        with_architecture(tiny.config(root), "{name: plain, width: -1}")


def test_a_network_that_cannot_be_built_is_told(add: Add, root: Path) -> None:
    add("plain", example(models).replace("encoder.channels[-1]", "encoder.chanels[-1]"))
    with pytest.raises(
        UserError, match=r"'plain' over the backbone 'test_efficientnet' cannot be built \(AttributeErr"
    ):
        resolved(with_architecture(tiny.config(root), "plain"))


def test_a_timing_has_the_text_that_a_runs_row_has() -> None:
    assert SpeedSpec("resnet18", architecture="{width: 2, name: unet}").architecture == "{name: unet, width: 2.0}"
    assert SpeedSpec("resnet18", architecture="{name: unet}").model == "unet/resnet18"


def test_the_name_of_one_of_ours_is_taken(add: Add) -> None:
    add("mine", "from wsshm.models import *\nregister(Architecture('unet', None))")
    with pytest.raises(UserError, match=r"there are two architectures 'unet'; give yours another name"):
        models.ARCHITECTURES.get("mine")


def test_the_configuration_is_checked_without_torch() -> None:
    code = "import sys; from wsshm.config import parse; parse({'model': {'architecture': 'unet'}})"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
