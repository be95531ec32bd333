"""The methods of the task's neighbours: their labels by hand, whose steps they are, training and exact resume."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.wsshm import tiny
from wsshm import methods
from wsshm.config import RunConfig, override, parse
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.methods.stage import LABELS, Stage
from wsshm.models.checkpoint import WEIGHTS
from wsshm.models.network import MattingOutput
from wsshm.targets import own_term, sample_weights, target_of
from wsshm.training import loop
from wsshm.training.batches import Batch, StepDataset, loader
from wsshm.training.distributed import World
from wsshm.training.planning import plan_run
from wsshm.training.run import train
from wsshm.training.stages import RESULT, StageFolder
from wsshm.training.steps import averaged
from wsshm.training.workload import work_of

ALONE = World(0, 1, torch.device("cpu"))
NEIGHBOURS = ("confident_masks", "ddc", "matanyone_like", "mixmatch_like", "sghm_like", "bshm_like")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def changed(config: RunConfig, *assignments: str) -> RunConfig:
    return parse(override(config.model_dump(mode="json"), list(assignments)))


def maps(*values: float) -> torch.Tensor:
    """A map (1,1,H,W) of 4 equal rows."""
    return torch.tensor(values).expand(1, 1, 4, -1).contiguous()


# The mask's edge lies between pixels 4 and 5; a band of radius 1 is these two.
MASK = maps(1, 1, 1, 1, 1, 0, 0, 0, 0, 0)
BAND_1 = maps(0, 0, 0, 0, 1, 1, 0, 0, 0, 0)


def batch_of(label: torch.Tensor, plain: torch.Tensor | None = None) -> Batch:
    """A composite and a natural picture with the same label."""
    pictures = torch.zeros(2, 3, *label.shape[-2:])
    kinds = torch.tensor([True, False])
    return Batch(["composite", "photo"], pictures, plain, torch.cat([label, label]), kinds)


def said(matte: torch.Tensor, boundary: torch.Tensor | None = None) -> MattingOutput:
    """What a network says, of two pictures alike."""
    boundary = torch.zeros_like(matte) if boundary is None else boundary
    return MattingOutput(*(torch.logit(torch.cat([each, each]), eps=1e-6) for each in (matte, boundary)))


def last_stage(root: Path, method: str, *assignments: str) -> Stage:
    return stages_of(changed(tiny.config(root, method, steps=10, teacher_steps=4), *assignments))[-1]


def photo(root: Path, method: str, label: torch.Tensor, output: MattingOutput | None, *options: str) -> list:
    """The four maps of the natural picture's target, of which the composite's are checked."""
    target = target_of(
        batch_of(label, torch.zeros(2, 3, *label.shape[-2:])), last_stage(root, method, *options), output
    )
    assert torch.equal(target.matte[0], label[0])
    assert target.weight[0].min() == target.boundary_weight[0].min() == 1
    return [each[1:] for each in target]


@pytest.mark.parametrize("method", ["confident_masks", "ddc", "matanyone_like"])
def test_a_mask_says_nothing_near_its_edge(root: Path, method: str) -> None:
    matte, boundary, weight, known = photo(root, method, MASK, None, "method.options.band=0.25")
    assert torch.equal(matte, MASK)
    assert not boundary.any()
    assert torch.equal(weight, 1 - BAND_1)
    assert torch.equal(known, weight)
    wide = photo(root, method, MASK, None, "method.options.band=0.5")[2]
    assert wide[0, 0, 1].tolist() == [1, 1, 1, 0, 0, 0, 0, 1, 1, 1]


def test_the_colours_of_the_band_are_the_loss_of_ddc_and_matanyone(root: Path) -> None:
    """Of a picture of one colour all differences of alpha between neighbours count, and nothing else does."""
    matte = maps(1, 1, 1, 1, 0.7, 0.2, 0, 0, 0, 0)
    options = ("method.options.band=0.25", "method.options.window=3", "method.options.neighbours=3")
    plain = torch.full((2, 3, 4, 10), 0.4)
    plain[..., :5] += 0.2  # the left five columns; a pixel's three nearest are on its own side
    batch = batch_of(MASK, plain)
    stage = last_stage(root, "ddc", *options)
    loss = own_term(batch, stage, said(matte), None)
    assert loss[0] == 0  # a composite
    # Pixel 4 differs by 0.3 from those of column 3 and not from those of its own; pixel 5 by 0.2 from those of column 6.
    doubled = own_term(batch, last_stage(root, "ddc", *options, "method.options.weight=20"), said(matte), None)
    assert doubled[1] == pytest.approx(2 * loss[1].item())
    assert 0 < loss[1].item() <= 10 * (0.3 + 0.2) * 4 / 40
    assert own_term(batch, stage, said(MASK), None).tolist() == pytest.approx([0, 0], abs=1e-4)

    stage = last_stage(root, "matanyone_like", *options)
    of_band = own_term(batch, stage, said(matte), None)
    assert own_term(batch, stage, said(MASK), None).tolist() == pytest.approx([0, 0], abs=1e-4)
    # Scaled by the contrast of 0.2 in each of three channels, or less where a window sees more of one side.
    assert 0 < of_band[1].item() < 1.5 * 0.3 * math.sqrt(3 * 0.2**2)
    empty = batch_of(torch.zeros_like(MASK), plain)
    assert own_term(empty, stage, said(matte), None).tolist() == [0, 0]


def test_a_guess_is_sharpened_but_for_boundaries(root: Path) -> None:
    matte, boundary = maps(0.9, 0.5, 0.2, 0.2), maps(0, 0, 0, 1)
    stage = last_stage(root, "mixmatch_like")
    target = target_of(batch_of(torch.zeros_like(matte)), stage, said(matte, boundary))
    # p^2 / (p^2 + (1-p)^2): 0.81 / 0.82, 0.5, 0.04 / 0.68; at a boundary p itself
    wanted = [0.81 / 0.82, 0.5, 0.04 / 0.68, 0.2]
    assert target.matte[1, 0, 0].tolist() == pytest.approx(wanted, abs=1e-4)
    assert not target.weight[1].any()
    assert not target.boundary_weight[1].any()
    term = own_term(batch_of(torch.zeros_like(matte)), stage, said(torch.zeros_like(matte)), said(matte, boundary))
    assert term.tolist() == pytest.approx([0, sum(v**2 for v in wanted) / 4], abs=1e-4)
    soft = last_stage(root, "mixmatch_like", "method.options.temperature=1")
    target = target_of(batch_of(torch.zeros_like(matte)), soft, said(matte, boundary))
    assert target.matte[1, 0, 0].tolist() == pytest.approx([0.9, 0.5, 0.2, 0.2], abs=1e-4)
    weighted = last_stage(root, "mixmatch_like", "method.options.weight=4", "method.options.ramp=0.5")
    assert sample_weights(batch_of(matte), weighted, 9).tolist() == [1, 4]
    assert sample_weights(batch_of(matte), weighted, 0)[1] == pytest.approx(4 * math.exp(-5))


def test_two_views_are_averaged() -> None:
    one, other = maps(0.9, 0.1, 0.5), maps(0.3, 0.2, 0.7)  # of the mirrored picture: 0.7, 0.2, 0.3 seen from the front
    both = averaged(said(one, other), said(other, one))
    assert both.matte[0, 0, 0].tolist() == pytest.approx([0.8, 0.15, 0.4], abs=1e-5)
    assert both.boundary[0, 0, 0].tolist() == pytest.approx([0.4, 0.15, 0.8], abs=1e-5)
    sure = torch.tensor([[[[100.0, -100.0]]]])
    assert (
        averaged(MattingOutput(sure, sure), MattingOutput(sure.flip(-1), sure.flip(-1))).matte_logits.isfinite().all()
    )


def test_the_student_is_shown_what_its_average_says_of_both_views(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = loop.Steps.predict

    def noted(steps: loop.Steps, batch: Batch) -> tuple:
        output, taught = real(steps, batch)
        assert batch.plain is not None
        assert steps.teacher is not None
        with torch.no_grad():
            views = steps.teacher(batch.plain), steps.teacher(batch.plain.flip(-1))
        mean = (views[0].matte + views[1].matte.flip(-1)) / 2
        assert taught is not None
        assert torch.allclose(taught.matte, mean, atol=1e-5)
        seen.append(mean)
        return output, taught

    monkeypatch.setattr(loop.Steps, "predict", noted)
    go(tiny.config(root, "mixmatch_like", steps=2, epoch_steps=2), tmp_path)
    assert len(seen) == 2


def test_what_the_first_stage_predicts_is_held_fast(root: Path) -> None:
    """Its mask lies between pixels 6 and 7; what the photo's own mask is, nobody asks."""
    predicted = maps(0.9, 0.9, 0.9, 0.8, 0.8, 0.7, 0.6, 0.4, 0.1, 0.0)
    matte, boundary, weight, known = photo(root, "sghm_like", MASK, said(predicted), "method.options.band=0.25")
    assert matte[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert weight[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 1, 1]
    assert torch.equal(known, weight)
    assert not boundary.any()


def test_no_mask_is_read_once_it_was_learnt(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    config = tiny.config(root, "sghm_like")
    stage, sources = stages_of(config)[-1], open_sources(config.data)
    for mask in (root / "photo").glob("*_mask.png"):
        mask.unlink()
    for (cut,) in loader(StepDataset(sources, stage, config), config, 0, 1, 0):
        batch = cut.render(torch.device("cpu"))
        assert not batch.labels[~batch.is_matte].any()


def test_an_edge_is_moved_to_where_the_first_stage_sees_it(root: Path) -> None:
    options = ("method.options.band=0.5", "method.options.transition=0.25")
    # A pixel to the right of the annotator's edge: moved. In the background, far from it: the annotator is believed.
    predicted = maps(0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.2, 0.1, 0.1, 0.9)
    matte, boundary, weight, known = photo(root, "bshm_like", MASK, said(predicted), *options)
    assert matte[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert weight[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert torch.equal(known, weight)
    assert not boundary.any()


def test_whose_steps_they_are(root: Path) -> None:
    def shares(method: str, *assignments: str) -> list[tuple]:
        stages = stages_of(changed(tiny.config(root, method, steps=10, teacher_steps=4), *assignments))
        return [(s.name, s.steps, s.matte_share, s.start, s.teacher) for s in stages]

    for method in ("confident_masks", "matanyone_like", "mixmatch_like"):
        assert shares(method) == [("student", 10, 0.5, None, None)]
        assert shares(method, "method.matte_share=0.25") == [("student", 10, 0.25, None, None)]
    assert shares("ddc") == shares("ddc", "method.matte_share=0.25") == [("student", 10, 0.0, None, None)]
    assert shares("sghm_like") == [("mask", 4, 0.0, None, None), ("student", 6, 0.5, "mask", "mask")]
    assert shares("bshm_like") == [("mask", 4, 0.5, None, None), ("student", 6, 0.5, "mask", "mask")]
    with pytest.raises(
        UserError, match=r"teacher_steps \(10\) must be smaller than train.steps \(10\), of which sghm_like"
    ):
        tiny.config(root, "sghm_like", steps=10, teacher_steps=10)


def test_a_pass_over_each_view_counts_in_estimates(root: Path) -> None:
    for method, work in (("mixmatch_like", 5 / 3), ("sghm_like", 4 / 3), ("ddc", 1), ("matanyone_like", 1)):
        stage = last_stage(root, method)
        assert work_of(stage, tiny.config(root)) == pytest.approx(stage.steps * work)


@pytest.mark.parametrize(
    ("method", "assignment", "sentence"),
    [
        ("ddc", "method.options.window=4", r"window \(4\) must be odd"),
        ("matanyone_like", "method.options={window: 5, neighbours: 9}", r"neighbours \(9\) must be below 9"),
        ("ddc", "method.options.window=33", r"window = 33"),
        ("bshm_like", "method.options.transition=0", r"transition = 0"),
        ("mixmatch_like", "method.options.temperature=0", r"temperature = 0"),
        ("confident_masks", "method.options.weight=2", r"the method 'confident_masks' has an unknown key 'weight'"),
    ],
)
def test_impossible_options_are_named(root: Path, method: str, assignment: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        changed(tiny.config(root, method), assignment)


@pytest.mark.parametrize("method", NEIGHBOURS)
def test_options_are_a_part_of_a_runs_identity(root: Path, method: str) -> None:
    config = tiny.config(root, method)
    own = plan_run(config).run_id
    for name, field in methods.get(method).options.model_fields.items():  # type: ignore[union-attr]
        if name != "neighbours":
            other = changed(config, f"method.options.{name}={field.default / 2 if name != 'window' else 13}")
            assert plan_run(other).run_id != own, name
        assert plan_run(changed(config, f"method.options.{name}={field.default}")).run_id == own


def test_a_label_is_found_by_a_process_that_imported_no_method(root: Path) -> None:
    """As Ray's workers do, which are handed stages."""
    import pickle
    import subprocess
    import sys

    stages = [last_stage(root, method) for method in NEIGHBOURS]
    code = """
import pickle, sys
from wsshm.methods.stage import LABELS, Stage
stages = pickle.loads(sys.stdin.buffer.read())
print([stage.label.name for stage in stages], LABELS.find("unheard of"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(stages),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.decode().strip() == f"{list(NEIGHBOURS)} None"
    assert LABELS.get("ddc").term is not None


class Interrupted(Exception):
    """Stands for a killed worker."""


def _ignore(_: object) -> None:
    """Nobody watches."""


def go(config: RunConfig, path: Path, stop_at: int | None = None) -> Path:
    """Train all stages of a run here, the last one until so many epochs; its folder."""
    stages, upstream = stages_of(config), {}
    for stage in stages:
        epochs: list[dict] = []

        def on_epoch(values: dict[str, float], last: bool = stage is stages[-1], epochs: list = epochs) -> None:
            epochs.append(values)
            if last and len(epochs) == stop_at:
                raise Interrupted

        folder = StageFolder(Location.of(path), stage.name)
        if not folder.done:
            loop.train_stage(stage, config, open_sources(config.data), folder, upstream, ALONE, _ignore, on_epoch)
        upstream[stage.name] = path / stage.name / "final"
    return upstream[stages[-1].name]


@pytest.mark.parametrize("method", NEIGHBOURS)
def test_resuming_equals_never_having_stopped(root: Path, tmp_path: Path, method: str) -> None:
    config = tiny.config(root, method, steps=8, teacher_steps=1, epoch_steps=3)
    undisturbed = go(config, tmp_path / "undisturbed")
    with pytest.raises(Interrupted):
        go(config, tmp_path / "interrupted", stop_at=2)
    resumed = go(config, tmp_path / "interrupted")
    expected, found = (safetensors.torch.load_file(folder / WEIGHTS) for folder in (undisturbed, resumed))
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    histories = [json.loads((folder / RESULT).read_text())["history"] for folder in (undisturbed, resumed)]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("method", NEIGHBOURS)
def test_they_learn(root: Path, tmp_path: Path, method: str) -> None:
    run = train(
        tiny.planned(tiny.config(root, method, steps=40, teacher_steps=20, epoch_steps=10, lr=3e-3)),
        Location.of(tmp_path),
    )
    sad = [p["value"] for stage in run.stages for p in stage["history"] if p["key"] == "val_sad"]
    assert min(sad[1:]) < 0.85 * sad[0]
