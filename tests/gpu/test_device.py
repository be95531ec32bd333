"""A GPU sees the same samples, blends the same labels and takes the same steps as a CPU.

`WSSHM_TEST_DEVICE=cpu` tries out the tests themselves: the arithmetic of a whole batch at once against that of one sample
at a time.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.micro.mattes import hair
from tests.wsshm import tiny
from wsshm.blended_labels.labels import file_of, kinds_of
from wsshm.blending import blend, boundary_of
from wsshm.config import BlendConfig, RunConfig, parse
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.training import rendering
from wsshm.training.batches import StepDataset, loader
from wsshm.training.distributed import World
from wsshm.training.loop import train_stage
from wsshm.training.stages import StageFolder

pytestmark = pytest.mark.gpu
DEVICE = torch.device(os.environ.get("WSSHM_TEST_DEVICE", "cuda"))
CPU = torch.device("cpu")
TOLERANCE = 1e-4
STEPS, BATCH = 6, 16


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


def configured(root: Path, method: str, when: str = "loop", **train: object) -> RunConfig:
    document = tiny.config(root, method, steps=2 * STEPS, teacher_steps=STEPS, batch=BATCH, **train).model_dump(
        mode="json"
    )
    document["method"]["blend"] |= {"when": when, "veto": "ignore"}
    config: RunConfig = parse(document)
    return config


@pytest.mark.parametrize(
    ("method", "when"),
    [
        ("matte_only", "loop"),
        ("seg_only", "loop"),
        ("joint", "loop"),
        ("mlb", "loop"),
        ("mlb", "ahead"),
        ("oracle", "loop"),
    ],
)
def test_samples_are_those_of_a_cpu(root: Path, tmp_path: Path, method: str, when: str) -> None:
    config = configured(root, method, when, half_resolution=0.5)
    sources, stage = open_sources(config.data), stages_of(config)[-1]
    labels = None
    if when == "ahead":  # any grey pictures of the right size will do
        labels = tmp_path
        assert stage.blend
        for sample, kind in itertools.product(sources.masks.samples, kinds_of(stage.blend)):
            (labels / file_of(kind, sample)).parent.mkdir(exist_ok=True)
            shutil.copy(sources.masks.path(sample, "matte"), labels / file_of(kind, sample))
    dataset = StepDataset(sources, stage, config, labels)
    for [drawn] in loader(dataset, config, 0, 1, 0):
        # A coefficient of a compressed picture that lies between two steps may fall to either.
        found, wanted = rendering._rendered(drawn, DEVICE).images.cpu(), drawn.render(CPU).images
        assert float((found - wanted).abs().mean()) <= TOLERANCE
        cut = drawn._replace(looks=drawn.looks._replace(qualities=np.zeros(len(drawn.ids))))
        there = rendering._rendered(cut, DEVICE)  # the whole batch at once, on a CPU too
        assert there.ids == cut.ids
        for name, (found, wanted) in zip(
            there._fields[1:], zip(there[1:], cut.render(CPU)[1:], strict=True), strict=True
        ):
            assert (found is None) == (wanted is None), name
            if found is not None:
                assert found.device.type == DEVICE.type
                off = (found.cpu().float() - wanted.float()).abs()
                # A mask is thresholded after it was resized: a pixel on the threshold may fall to the other side.
                assert float(off.quantile(0.9999)) <= TOLERANCE, name
                assert name == "labels" or float(off.max()) <= TOLERANCE, name


@pytest.mark.parametrize("variant", ["hard", "soft", "gated"])
@pytest.mark.parametrize("veto", ["none", "mask", "ignore"])
def test_labels_are_blended_as_on_a_cpu(variant: str, veto: str) -> None:
    matte, truth = (torch.from_numpy(alpha)[None, None] for alpha in hair(192))
    matte[..., :48, :] = 1 - matte[..., :48, :]  # a teacher that errs, for the veto
    maps = (truth > 0.5).float(), matte, boundary_of(matte)
    config = BlendConfig(variant=variant, veto=veto, feather=0.01)  # type: ignore[arg-type]
    for found, wanted in zip(blend(*(m.to(DEVICE) for m in maps), config), blend(*maps, config), strict=True):
        assert float((found.cpu() - wanted).abs().max()) <= 1e-5


def test_training_takes_the_same_steps(root: Path, tmp_path: Path) -> None:
    config = configured(root, "joint", epoch_steps=1)
    stage, sources = stages_of(config)[0], open_sources(config.data)
    torch.backends.cudnn.allow_tf32 = False

    def losses(device: torch.device) -> list[float]:
        rows: list[dict[str, float]] = []
        folder = StageFolder(tmp_path / "stages", device.type + str(len(list(tmp_path.iterdir()))))
        train_stage(stage, config, sources, folder, {}, World(0, 1, device), lambda step: None, rows.append)
        return [row["train_loss"] for row in rows]

    found, wanted = losses(DEVICE), losses(CPU)
    assert found[0] == pytest.approx(wanted[0], rel=1e-3)
    assert found[:4] == pytest.approx(wanted[:4], rel=2e-2), "rounding grows from step to step"
    assert found[-1] < found[0]
