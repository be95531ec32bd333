"""Pseudo-labels and Mean Teacher: targets worked out by hand, no mask ever read, exact resume, any number of workers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.utils import ModelEmaV3

from tests.wsshm import tiny
from wsshm.config import RunConfig, override, parse
from wsshm.data.sources import open_sources
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage
from wsshm.models.checkpoint import WEIGHTS, load_model
from wsshm.models.network import MattingOutput
from wsshm.targets import pseudo_label, ramp_at, sample_weights, target_of
from wsshm.training import loop
from wsshm.training.batches import Batch, StepDataset, loader
from wsshm.training.distributed import World
from wsshm.training.run import train
from wsshm.training.stages import RESULT, StageFolder

ALONE = World(0, 1, torch.device("cpu"))
METHODS = ("pseudo_label", "mean_teacher")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def changed(config: RunConfig, *assignments: str) -> RunConfig:
    return parse(override(config.model_dump(mode="json"), list(assignments)))


def folder_at(path: Path, name: str) -> StageFolder:
    return StageFolder(Location.of(path), name)


def final(path: Path, name: str) -> Path:
    return path / name / "final"


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / WEIGHTS)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values)[None, None, None]


MATTE = row(0.95, 0.80, 0.04, 0.30, 0.55)
BOUNDARY = row(0.1, 0.1, 0.2, 0.8, 0.5)


def test_a_pseudo_label_is_what_the_teacher_is_sure_of() -> None:
    target = pseudo_label(MATTE, BOUNDARY, confidence=0.9, threshold=0.5)
    # sure person; not sure enough; sure background; boundary: its own value; neither boundary (0.5 is not above) nor sure
    assert target.matte.flatten().tolist() == pytest.approx([1, 1, 0, 0.30, 1])
    assert target.weight.flatten().tolist() == [1, 0, 1, 1, 0]
    assert target.boundary.flatten().tolist() == [0, 0, 0, 1, 0]
    assert torch.equal(target.boundary_weight, target.weight)


def logits(values: torch.Tensor) -> torch.Tensor:
    return torch.logit(values)


def batch_of(label: torch.Tensor) -> Batch:
    """A composite and a natural picture, whose label here must not count."""
    pictures = torch.zeros(2, 3, *label.shape[-2:])
    return Batch(["composite", "photo"], pictures, pictures, torch.cat([label, label]), torch.tensor([True, False]))


@pytest.mark.parametrize("label", ["pseudo", "average"])
def test_composites_keep_their_mattes_and_photos_get_the_teachers(label: str) -> None:
    truth = row(0, 0.04, 0.5, 1, 1)
    stage = Stage("s", 10, 0.5, label, teacher="t", confidence=0.9, threshold=0.5)  # type: ignore[arg-type]
    output = MattingOutput(logits(torch.cat([MATTE, MATTE])), logits(torch.cat([BOUNDARY, BOUNDARY])))
    target = target_of(batch_of(truth), stage, output)
    assert torch.equal(target.matte[0], truth[0])
    assert target.boundary[0].flatten().tolist() == [0, 0, 1, 0, 0]
    assert target.weight[0].min() == 1
    if label == "average":
        assert target.matte[1].flatten().tolist() == pytest.approx(MATTE.flatten().tolist())
        assert target.weight[1].min() == 1
        assert target.boundary[1].max() == target.boundary_weight[1].max() == 0  # it would find ever more of them
    else:
        assert target.weight[1].flatten().tolist() == [1, 0, 1, 1, 0]


def test_the_consistency_is_ramped_up() -> None:
    assert ramp_at(0, 100, 0.4) == pytest.approx(math.exp(-5))
    assert ramp_at(20, 100, 0.4) == pytest.approx(math.exp(-1.25))
    assert [ramp_at(step, 100, 0.4) for step in (40, 41, 99)] == [1, 1, 1]
    assert ramp_at(0, 100, 0.0) == 1
    stage = Stage("s", 100, 0.5, "average", photo_weight=3.0, ramp=0.4, ema_decay=0.999)
    weights = sample_weights(batch_of(MATTE), stage, 20)
    assert weights.tolist() == pytest.approx([1, 3 * math.exp(-1.25)])


def test_keys_of_the_configuration_reach_the_stages(root: Path) -> None:
    config = changed(
        tiny.config(root, "pseudo_label"),
        "method.confidence=0.8",
        "method.boundary=0.3",
        "method.matte_share=0.25",
    )
    _, student = stages_of(config)
    assert (student.confidence, student.threshold, student.matte_share, student.blend) == (0.8, 0.3, 0.25, None)
    config = changed(tiny.config(root, "mean_teacher"), "method.consistency_weight=2", "method.consistency_ramp=0.1")
    (student,) = stages_of(config)
    assert (student.photo_weight, student.ramp, student.ema_decay, student.matte_share) == (2, 0.1, 0.5, 0.5)
    for steps, decay in ((1200, 0.99), (6000, 0.998), (100_000, 0.999)):  # over a twelfth of the steps, or the paper's
        (longer,) = stages_of(changed(config, f"train.steps={steps}"))
        assert longer.ema_decay == decay
    (student,) = stages_of(changed(config, "train.ema=0.9"))
    assert student.ema_decay == 0.9


@pytest.mark.parametrize("method", METHODS)
def test_no_mask_is_ever_read(tmp_path: Path, method: str) -> None:
    root = tiny.make(tmp_path)
    config = tiny.config(root, method)
    stage, sources = stages_of(config)[-1], open_sources(config.data)
    for mask in (root / "photo").glob("*_mask.png"):
        mask.unlink()
    for (cut,) in loader(StepDataset(sources, stage, config), config, 0, 1, 0):
        batch = cut.render(torch.device("cpu"))
        assert not batch.labels[~batch.is_matte].any()
        assert len(batch.ids) == 4


@pytest.mark.parametrize("method", METHODS)
def test_both_learn(root: Path, tmp_path: Path, method: str) -> None:
    run = train(
        tiny.planned(tiny.config(root, method, steps=40, teacher_steps=20, epoch_steps=10, lr=3e-3)),
        Location.of(tmp_path),
    )
    sad = [p["value"] for stage in run.stages for p in stage["history"] if p["key"] == "val_sad"]
    # At its best: a student may lose again what it gained from the labels of a teacher of 20 steps, on some processors.
    assert min(sad[1:]) < 0.85 * sad[0]


class Interrupted(Exception):
    """Stands for a killed worker."""


def upstream_of(config: RunConfig, path: Path) -> dict[str, Path]:
    """The teacher's model, trained for a step, where the method has one."""
    stages = stages_of(config)
    if len(stages) > 1 and not (final(path, "teacher") / RESULT).is_file():
        loop.train_stage(
            stages[0], config, open_sources(config.data), folder_at(path, "teacher"), {}, ALONE, _ignore, _ignore
        )
    return {"teacher": final(path, "teacher")} if len(stages) > 1 else {}


def _ignore(_: object) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("method", METHODS)
def test_resuming_equals_never_having_stopped(root: Path, tmp_path: Path, method: str) -> None:
    config = tiny.config(root, method, steps=7, teacher_steps=1)
    stage, sources, upstream = stages_of(config)[-1], open_sources(config.data), upstream_of(config, tmp_path)

    def go(name: str, stop_at: int | None = None) -> Path:
        epochs: list[dict] = []

        def on_epoch(values: dict[str, float]) -> None:
            epochs.append(values)
            if len(epochs) == stop_at:
                raise Interrupted

        loop.train_stage(stage, config, sources, folder_at(tmp_path, name), upstream, ALONE, _ignore, on_epoch)
        return final(tmp_path, name)

    undisturbed = go("undisturbed")
    with pytest.raises(Interrupted):
        go("interrupted", stop_at=2)
    resumed = go("interrupted")
    expected, found = weights_in(undisturbed), weights_in(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    histories = [json.loads((f / RESULT).read_text())["history"] for f in (undisturbed, resumed)]
    assert histories[0] == histories[1]


def test_the_final_model_is_the_average_of_the_students(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    students: list[dict[str, torch.Tensor]] = []

    class Recording(ModelEmaV3):
        def update(self, model: torch.nn.Module, step: int | None = None) -> None:
            students.append({k: v.detach().clone() for k, v in model.state_dict().items()})
            super().update(model, step)

    monkeypatch.setattr(loop, "ModelEmaV3", Recording)
    config = tiny.config(root, "mean_teacher", steps=4)
    loop.train_stage(
        stages_of(config)[0], config, open_sources(config.data), folder_at(tmp_path, "s"), {}, ALONE, _ignore, _ignore
    )
    assert len(students) == 4
    found = weights_in(final(tmp_path, "s"))
    for name in (n for n, v in found.items() if v.is_floating_point()):
        average = torch.zeros_like(found[name], dtype=torch.float64)
        for t, student in enumerate(students):
            decay = min(1 - 1 / (t + 1), 0.5)  # of four steps
            average = decay * average + (1 - decay) * student[name].double()
        np.testing.assert_allclose(found[name], average, atol=1e-6, rtol=1e-5, err_msg=name)
    assert not load_model(final(tmp_path, "s"))[0].training


def _worker(rank: int, size: int, root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out / f'rendezvous{size}'}", rank=rank, world_size=size)
    try:
        for method in METHODS:
            _train_last_stage(
                tiny.config(root, method, steps=4, teacher_steps=1, batch=8), out, f"{method}{size}", rank, size
            )
    finally:
        dist.destroy_process_group()


def _train_last_stage(config: RunConfig, out: Path, name: str, rank: int, size: int) -> None:
    world = World(rank, size, torch.device("cpu"))
    upstream = {"teacher": final(out, "teacher")}
    stage, sources = stages_of(config)[-1], open_sources(config.data)
    loop.train_stage(stage, config, sources, folder_at(out, name), upstream, world, _ignore, _ignore)


@pytest.mark.slow
def test_two_workers_train_what_one_does(root: Path, tmp_path: Path) -> None:
    upstream_of(tiny.config(root, "pseudo_label", steps=4, teacher_steps=1, batch=8), tmp_path)
    for method in METHODS:
        config = tiny.config(root, method, steps=4, teacher_steps=1, batch=8)
        _train_last_stage(config, tmp_path, f"{method}1", 0, 1)
    mp.spawn(_worker, args=(2, root, tmp_path), nprocs=2)
    for method in METHODS:
        one, two = (
            {
                (p["epoch"], p["key"]): p["value"]
                for p in json.loads((final(tmp_path, f"{method}{n}") / RESULT).read_text())["history"]
            }
            for n in (1, 2)
        )
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert two[key] == pytest.approx(value, rel=1e-3), (method, key)
