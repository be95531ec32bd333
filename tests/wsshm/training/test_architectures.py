"""Every architecture of ours under every method: what a method teaches suits every network and its own losses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.wsshm import tiny
from wsshm import methods
from wsshm.config import override, parse
from wsshm.models import ARCHITECTURES, name_of
from wsshm.models.checkpoint import load_model
from wsshm.training.run import train

# MLB, whose teacher learns from mattes and whose student from blended labels, stands for all where time is short.
METHODS = [
    pytest.param(name, marks=[] if name == "mlb" else [pytest.mark.slow]) for name in sorted(methods.METHODS.own)
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where trained stages lie, so that methods share their teacher."""
    return tmp_path_factory.mktemp("stages")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.own))
def test_it_trains(root: Path, stages: Path, architecture: str, method: str) -> None:
    torch.set_num_threads(1)
    config = tiny.config(root, method, steps=2, teacher_steps=1, batch=2, epoch_steps=1)
    config = parse(override(config.model_dump(mode="json"), [f"model.architecture={architecture}"]))
    trained = train(tiny.planned(config), stages)
    losses = [row["value"] for stage in trained.stages for row in stage["history"] if row["key"] == "train_loss"]
    assert len(losses) == 2
    assert all(0 < loss < math.inf for loss in losses)
    model, card = load_model(trained.model)
    assert name_of(card.architecture) == architecture
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 64, 64)).matte.isfinite().all()
