"""MLB whose teacher is the student's own moving average: one stage, labels by hand, its controls, exact resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.wsshm import tiny
from wsshm.blending import blend
from wsshm.config import RunConfig, override, parse
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.models.checkpoint import WEIGHTS
from wsshm.models.network import MattingOutput
from wsshm.targets import target_of
from wsshm.training import loop
from wsshm.training.batches import Batch
from wsshm.training.distributed import World
from wsshm.training.planning import plan_run
from wsshm.training.run import train
from wsshm.training.stages import RESULT, StageFolder
from wsshm.training.workload import run_work

ALONE = World(0, 1, torch.device("cpu"))
AVERAGE = "method.blend.teacher=average"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def changed(config: RunConfig, *assignments: str) -> RunConfig:
    return parse(override(config.model_dump(mode="json"), list(assignments)))


def test_all_steps_are_one_stage_that_sees_both_kinds_of_labels(root: Path) -> None:
    for method, label, used in (
        ("mlb", "blended", (6, 8)),
        ("mlb_masklabel", "masklabel", (6, 8)),
        ("oracle", "truth", (14, 0)),
    ):
        config = changed(tiny.config(root, method, steps=100), AVERAGE, "train.teacher_steps=100")
        (stage,) = stages_of(config)
        assert (stage.steps, stage.matte_share, stage.photo_label) == (100, 0.5, label)
        assert (stage.start, stage.teacher, stage.ema_decay) == (None, None, 0.88)
        run = plan_run(config)
        assert (run.mattes, run.masks) == used
        (other,) = stages_of(changed(config, "method.matte_share=0.25", "train.ema=0.9"))
        assert (other.matte_share, other.ema_decay) == (0.25, 0.9)
        for steps, decay in ((1200, 0.99), (6000, 0.998), (12, 0.5)):  # over a twelfth of the steps
            (longer,) = stages_of(changed(config, f"train.steps={steps}", f"train.teacher_steps={min(steps, 100)}"))
            assert longer.ema_decay == decay
        assert run.run_id != plan_run(tiny.config(root, method, steps=100, teacher_steps=99)).run_id


def test_the_averages_pass_counts_as_a_teachers_in_estimates(root: Path) -> None:
    for method, work in (("mlb", 40.0), ("mlb_masklabel", 40.0), ("oracle", 30.0), ("joint", 30.0)):
        assert run_work(changed(tiny.config(root, method, steps=30), AVERAGE)) == pytest.approx(work)
    assert run_work(tiny.config(root, "mean_teacher", steps=30)) == pytest.approx(40.0)


def test_only_mlb_and_its_controls_read_the_key(root: Path) -> None:
    for method in ("joint", "seg_only", "matte_only", "matte_then_seg", "mean_teacher"):
        config = tiny.config(root, method)
        assert plan_run(changed(config, AVERAGE)).stages == plan_run(config).stages
    taught = changed(tiny.config(root, "pseudo_label"), AVERAGE)
    assert [stage.name for stage in stages_of(taught)] == ["teacher", "student"]


@pytest.mark.parametrize(
    ("assignments", "sentence"),
    [
        (["method.blend.when=ahead"], r"cannot label ahead of it; take when: loop"),
        (["method.blend.refresh=2"], r"new at every step; take refresh: 1"),
        (["method.matte_share=0"], r"raise method.matte_share above 0"),
    ],
)
def test_what_it_cannot_do_is_refused(root: Path, assignments: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        changed(tiny.config(root), AVERAGE, *assignments)


def test_the_label_is_blended_and_all_else_is_as_in_joint(root: Path) -> None:
    size = 32
    mask = torch.zeros(1, 1, size, size)
    mask[..., 8:24, 8:24] = 1
    matte = torch.full_like(mask, 0.4)
    boundary = torch.full_like(mask, 0.9)
    output = MattingOutput(*(torch.logit(torch.cat([m, m])) for m in (matte, boundary)))
    pictures = torch.zeros(2, 3, size, size)
    batch = Batch(["composite", "photo"], pictures, pictures, torch.cat([mask, mask]), torch.tensor([True, False]))
    blending = ["method.blend.band=0.07", "method.blend.veto=none", "method.blend.threshold=0.5"]
    # A square of 16 px and a band of 2: a ring two pixels thick on both sides of the edge, its outer corners rounded.
    wanted = blend(mask, matte, boundary, changed(tiny.config(root), *blending).method.blend)
    ring = wanted.share[0] == 1
    assert ring[0, 8:10, 12].all()
    assert ring[0, 6:8, 12].all()
    assert not ring[0, 10, 12]
    assert not ring[0, 5, 12]
    for method, in_band in (("mlb", matte[0]), ("mlb_masklabel", mask[0])):
        (stage,) = stages_of(changed(tiny.config(root, method), AVERAGE, *blending))
        target = target_of(batch, stage, output)
        assert torch.allclose(target.matte[1], torch.where(ring, in_band, mask[0]))
        (joint,) = stages_of(tiny.config(root, "joint"))
        of_joint = target_of(batch, joint, None)
        for own, other in zip(target[1:], of_joint[1:], strict=True):  # nothing but the label is another
            assert torch.equal(own, other)
        assert target.boundary[1].max() == 0
        assert target.boundary_weight[1].min() == 0


def test_it_learns_and_its_labels_come_to_hold_fractional_values(root: Path, tmp_path: Path) -> None:
    config = changed(tiny.config(root, "mlb", steps=60, epoch_steps=10, lr=3e-3), AVERAGE, "method.blend.band=0.06")
    run = train(tiny.planned(config), Location.of(tmp_path))
    (stage,) = run.stages
    sad = [row["value"] for row in stage["history"] if row["key"] == "val_sad"]
    assert sad[-1] < 0.85 * sad[0]
    assert stage["teacher_forward_s"] > 0


class Interrupted(Exception):
    """Stands for a killed worker."""


def _ignore(_: object) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("method", ["mlb", "mlb_masklabel"])
def test_resuming_equals_never_having_stopped(root: Path, tmp_path: Path, method: str) -> None:
    config = changed(tiny.config(root, method, steps=7), AVERAGE)
    (stage,), sources = stages_of(config), open_sources(config.data)

    def go(name: str, stop_at: int | None = None) -> Path:
        epochs: list[dict] = []

        def on_epoch(values: dict[str, float]) -> None:
            epochs.append(values)
            if len(epochs) == stop_at:
                raise Interrupted

        folder = StageFolder(Location.of(tmp_path), name)
        loop.train_stage(stage, config, sources, folder, {}, ALONE, _ignore, on_epoch)
        return tmp_path / name / "final"

    undisturbed = go("undisturbed")
    with pytest.raises(Interrupted):
        go("interrupted", stop_at=2)
    resumed = go("interrupted")
    expected, found = (safetensors.torch.load_file(folder / WEIGHTS) for folder in (undisturbed, resumed))
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    histories = [json.loads((folder / RESULT).read_text())["history"] for folder in (undisturbed, resumed)]
    assert histories[0] == histories[1]
