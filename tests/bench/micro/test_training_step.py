"""`bench micro training`: parts that make up a step, a line for each way, and a sentence for what a machine lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import training_step as benchmark
from tests.wsshm import tiny
from wsshm.config import RunConfig
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.methods import stages_of
from wsshm.models.network import build_model
from wsshm.training.batches import StepDataset, loader
from wsshm.training.distributed import World
from wsshm.training.steps import Steps, optimiser_of, placed

CPU = torch.device("cpu")


def plain(config: RunConfig, steps: int) -> Steps:
    """Steps of the suite that nobody times, so many of them done."""
    world, stage = World(0, 1, CPU), stages_of(config)[0]
    torch.manual_seed(config.train.seed)
    model = placed(build_model(config.model), config, world)
    plain = Steps(model, None, optimiser_of(model, config.train), stage, config, world)
    batches = loader(StepDataset(open_sources(config.data), stage, config), config, 0, 1, 0)
    for number, cuts in zip(range(steps), batches, strict=False):
        plain(cuts, number)
    return plain


@pytest.mark.parametrize("layout", benchmark.LAYOUTS)
def test_timed_steps_are_the_suites_own(tmp_path: Path, layout: str) -> None:
    """Micro-batches count as one step, and parts and the rest add up; steps that nobody timed come to the same."""
    config = tiny.config(tiny.make(tmp_path), "joint", steps=3, accumulate=2)
    training = benchmark.Training(config, benchmark.Way("eager", layout, "fp32"), CPU)
    training.go(1)
    assert training.steps.mean_loss() == pytest.approx(plain(config, 1).mean_loss(), rel=1e-5)
    whole, parts = training.go(2)
    assert len(whole) == 2
    assert {part: len(seconds) for part, seconds in parts.items()} == dict.fromkeys(benchmark.PARTS, 2)
    assert all(seconds > 0 for part in parts.values() for seconds in part)
    assert all(rest >= 0 for rest in benchmark.Measured(whole=whole, parts=parts).rest)
    if layout == "channels_last":  # as the suite trains
        expected = plain(config, 3).model.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in training.steps.model.state_dict().items())
    convolution = next(w for w in training.steps.model.parameters() if w.ndim == 4 and min(w.shape[1:]) > 1)
    assert convolution.is_contiguous(memory_format=torch.channels_last) == (layout == "channels_last")


def test_a_line_for_each_way_and_why_one_is_unavailable(
    only_here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = ["--size", "64", "--batch", "2", "--threads", "1", "--rounds", "1", "--steps", "1", "--layouts", "nchw"]
    result = CliRunner().invoke(app, ["micro", "training", *options], catch_exceptions=False)
    assert result.exit_code == 0
    lines = {line.split("  ")[0].strip(): line for line in result.stdout.splitlines()}
    assert re.search(r"1\.0 x\s*$", lines["eager nchw fp32"])
    assert re.search(r"\d\.\d x\s*$", lines["eager nchw bf16"])
    assert "compiled nchw fp32: unavailable" in lines
    assert "unavailable: train.compile needs a C++ compiler" in result.stdout
    assert not list(only_here.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--engines", "compile"], "--engines does not know 'compile'"),
        (["--layouts", "nhwc"], "--layouts does not know 'nhwc'"),
        (["--size", "100"], "--size must be a multiple of 64"),
        (["--device", "cuda:9"], "no device 'cuda:9'"),
        (["--backbone", "resnet35"], "no backbone 'resnet35'"),
        (["--architecture", "unett"], "unett"),
        (["--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_mistakes_are_named(options: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        CliRunner().invoke(app, ["micro", "training", *options], catch_exceptions=False)
