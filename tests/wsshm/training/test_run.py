"""Training as a user meets it: exact resume, exact repetition, equal gradients however a batch is split."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.wsshm import tiny
from wsshm.config import RunConfig
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import write_png
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.files.claims import Claim
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.models.checkpoint import WEIGHTS, load_model
from wsshm.models.network import build_model
from wsshm.targets import target_of
from wsshm.training import loop
from wsshm.training.batches import CutSample, StepDataset, loader
from wsshm.training.distributed import World, synchronise_batchnorm
from wsshm.training.planning import resolved
from wsshm.training.run import TrainingFailed, _Training, train
from wsshm.training.stages import StageFolder
from wsshm.training.steps import Steps

CPU = torch.device("cpu")
ALONE = World(0, 1, CPU)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / WEIGHTS)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Fits(NamedTuple):
    """A training whose fits are `noted`, and the claims of `others` on its stages."""

    training: _Training
    others: dict[str, Claim]
    noted: list[tuple[str, list[str]]]


class Interrupted(Exception):
    """Stands for a killed worker."""


@pytest.mark.parametrize(
    "options",
    [{}, {"ema": 0.9, "half_resolution": 0.5}, {"precision": "bf16", "accumulate": 2}, {"batchnorm": "frozen"}],
    ids=["plain", "ema-half", "bf16-accumulate", "frozen"],
)
def test_resuming_equals_never_having_stopped(root: Path, tmp_path: Path, options: dict) -> None:
    config = tiny.config(root, "joint", steps=6, teacher_steps=2, **options)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"backbone_kwargs": {"drop_path_rate": 0.5}})}
    )
    stage, sources = stages_of(config)[0], open_sources(config.data)

    def go(name: str, stop_at: int | None = None) -> StageFolder:
        folder = StageFolder(tmp_path, name)
        epochs: list[dict] = []

        def on_epoch(row: dict[str, float]) -> None:
            epochs.append(row)
            if len(epochs) == stop_at:
                raise Interrupted

        loop.train_stage(stage, config, sources, folder, {}, ALONE, lambda step: None, on_epoch)
        return folder

    undisturbed = go("undisturbed")
    with pytest.raises(Interrupted):
        go("interrupted", stop_at=2)
    assert not StageFolder(tmp_path, "interrupted").done
    resumed = go("interrupted")
    assert same(weights_in(undisturbed.model()), weights_in(resumed.model()))
    assert undisturbed.result()["history"] == resumed.result()["history"]
    assert [p.name for p in resumed.place.listing()] == ["final"]


def test_training_repeats_exactly_and_a_seed_changes_it(root: Path, tmp_path: Path) -> None:
    plans = [tiny.planned(tiny.config(root, "mlb", seed=seed)) for seed in (0, 0, 1)]
    a, b, c = (weights_in(train(plan, tmp_path / name).model) for name, plan in zip("abc", plans, strict=True))
    assert same(a, b)
    assert not same(a, c)
    assert plans[0].run_id == plans[1].run_id != plans[2].run_id


def test_loader_processes_change_no_bit(root: Path, tmp_path: Path) -> None:
    alone, beside = (
        train(tiny.planned(tiny.config(root, "joint", loader_workers=number)), tmp_path / str(number))
        for number in (0, 2)
    )
    assert same(weights_in(alone.model), weights_in(beside.model))
    values = [[point["value"] for point in trained.stages[-1]["history"]] for trained in (alone, beside)]
    assert values[0] == values[1]


def test_paths_of_a_configuration_are_absolute_before_workers_see_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("WSSHM_CACHE", "cache")
    relative = tiny.config(root)
    relative = relative.model_copy(update={"data": relative.data.model_copy(update={"root": None})})
    config = resolved(relative)
    monkeypatch.chdir("/")
    assert len(open_sources(config.data).masks) == 8
    assert os.environ["WSSHM_CACHE"] == str(root / "cache")


def test_a_run_finds_its_teacher_and_itself_trained(root: Path, tmp_path: Path) -> None:
    first = train(tiny.planned(tiny.config(root, "mlb")), tmp_path)
    second = train(tiny.planned(tiny.config(root, "mlb_masklabel")), tmp_path)
    again = train(tiny.planned(tiny.config(root, "mlb")), tmp_path)
    assert first.trained_here == ["teacher", "student"]
    assert second.trained_here == ["student"]
    assert again.trained_here == []
    assert first.folders["teacher"].model() == second.folders["teacher"].model()
    assert again.model == first.model
    teacher, student = first.stages
    assert 0 < student["teacher_forward_s"] < student["seconds"]
    assert first.teacher_s + first.train_s == pytest.approx(teacher["seconds"] + student["seconds"])
    cards = [json.loads((run.model / "model.json").read_text())["method"] for run in (first, second)]
    assert cards == ["mlb", "mlb_masklabel"]
    model, card = load_model(first.model)
    assert card.size == tiny.SIZE
    assert not model.training


@pytest.fixture
def fits(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fits:
    """A run of a teacher and a student, whose training is only noted: up to which stage, and what is claimed then."""
    run = tiny.planned(tiny.config(root, "mlb"))
    folders = {entry.stage.name: StageFolder(Location.of(tmp_path), entry.address) for entry in run.stages}
    others = {name: StageFolder(Location.of(tmp_path), run.named(name).address).claim for name in folders}
    noted: list[tuple[str, list[str]]] = []

    def fit(self: _Training, until: str) -> None:
        noted.append((until, [name for name, claim in others.items() if claim.place.exists()]))

    monkeypatch.setattr(_Training, "_fit", fit)
    return Fits(_Training(run, Location.of(tmp_path), folders, None, []), others, noted)


def test_a_run_waits_for_a_stage_before_anything_is_reserved(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits.others["teacher"].try_take()
    waited = []

    def sleep(seconds: float) -> None:
        assert not fits.noted
        waited.append(seconds)
        if len(waited) == 3:
            fits.others["teacher"].release()

    monkeypatch.setattr("wsshm.training.run.time.sleep", sleep)
    fits.training.ensure(fits.training.run.stages)
    assert waited == [1.0] * 3
    assert fits.noted == [("student", ["teacher", "student"])]
    assert not any(claim.place.exists() for claim in fits.others.values())


def test_a_run_trains_what_it_can_and_holds_nothing_while_it_waits(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits.others["student"].try_take()

    def sleep(seconds: float) -> None:
        assert not fits.others["teacher"].place.exists()
        fits.others["student"].release()

    monkeypatch.setattr("wsshm.training.run.time.sleep", sleep)
    fits.training.ensure(fits.training.run.stages)
    assert fits.noted == [("teacher", ["teacher", "student"]), ("student", ["student"])]


def test_training_learns(root: Path, tmp_path: Path) -> None:
    config = tiny.config(root, "mlb", steps=40, teacher_steps=20, epoch_steps=10, lr=3e-3)
    run = train(tiny.planned(config), tmp_path)
    sad = [p["value"] for stage in run.stages for p in stage["history"] if p["key"] == "val_sad"]
    assert sad[-1] < 0.6 * sad[0]


def test_history_has_every_epoch_and_progress_reaches_those_who_wait(root: Path, tmp_path: Path) -> None:
    progress = tmp_path / "progress.json"
    run = train(tiny.planned(tiny.config(root, "joint", steps=5, epoch_steps=2)), tmp_path / "stages", progress)
    history = run.stages[0]["history"]
    assert {p["key"] for p in history} == {"train_loss", "lr", "val_sad", "val_mse", "val_mad"}
    assert sorted({p["epoch"] for p in history}) == [1, 2, 3]
    told = json.loads(progress.read_text())
    assert told["total"] == 5
    assert told["stage"] == "student"


def test_a_loss_that_is_no_number_names_the_samples(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = StepDataset.__getitem__

    def item(self: StepDataset, index: int) -> CutSample:
        sample = poisoned(self, index)
        look = sample.look._replace(noise=math.nan if sample.id == "photo3" else 0)
        return sample._replace(look=look)

    monkeypatch.setattr(StepDataset, "__getitem__", item)
    with pytest.raises(TrainingFailed, match=r"loss became nan at step \d+ of stage 'student' on the samples .*photo3"):
        train(tiny.planned(tiny.config(root, "seg_only", batchnorm="frozen")), tmp_path)


def test_a_broken_or_misfitting_file_is_named(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "data")
    mask = root / "photo" / "2_mask.png"
    good = mask.read_bytes()
    write_png(mask, np.zeros((32, 32), np.uint8))
    with pytest.raises(TrainingFailed, match=r"2_mask.png is 32x32 but its picture is 64x64"):
        train(tiny.planned(tiny.config(root, "seg_only")), tmp_path / "a")
    mask.write_bytes(good[:50])
    with pytest.raises(TrainingFailed, match=r"2_mask.png"):
        train(tiny.planned(tiny.config(root, "seg_only")), tmp_path / "b")
    mask.write_bytes(good)
    assert train(tiny.planned(tiny.config(root, "seg_only")), tmp_path / "b").trained_here == ["student"]


def test_the_first_part_of_a_stage_is_at_half_resolution(root: Path) -> None:
    config = tiny.config(root, "joint", steps=4, half_resolution=0.5)
    dataset = StepDataset(open_sources(config.data), stages_of(config)[0], config)
    sizes = [batches[0].render(CPU).images.shape[-1] for batches in loader(dataset, config, 0, 1, 0)]
    assert sizes == [32, 32, 64, 64]


@pytest.mark.parametrize(("workers", "accumulate"), [(2, 1), (1, 2), (2, 2), (3, 1), (3, 2)])
def test_a_step_has_the_same_samples_however_it_is_split(root: Path, workers: int, accumulate: int) -> None:
    whole = tiny.config(root, "joint", batch=8)
    split = tiny.config(root, "joint", batch=8, accumulate=accumulate)
    stage, sources = stages_of(whole)[0], open_sources(whole.data)

    def steps(config: RunConfig, rank: int, size: int) -> list[dict[str, torch.Tensor]]:
        batches = loader(StepDataset(sources, stage, config), config, rank, size, 0)
        rendered = [[part.render(CPU) for part in step] for step in batches]
        return [{f"{i}": x for b in step for i, x in zip(b.ids, b.images, strict=True)} for step in rendered]

    expected = steps(whole, 0, 1)
    parts = [steps(split, rank, workers) for rank in range(workers)]
    for number, step in enumerate(expected):
        merged = {key: value for part in parts for key, value in part[number].items()}
        assert same(merged, step)


def moved(config: RunConfig, world: World) -> dict[str, torch.Tensor]:
    """By how much one step of gradient descent moves each weight, and batch norms' statistics after it.

    In double precision: in single, rounding may decide on which side of a kink an activation lies.
    """
    torch.set_num_threads(1)
    stage, sources = stages_of(config)[0], open_sources(config.data)
    torch.manual_seed(0)
    model = synchronise_batchnorm(build_model(config.model).train().double(), world)
    model.register_forward_pre_hook(lambda module, inputs: tuple(images.double() for images in inputs))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.SGD(model.parameters(), 1.0)
    steps = Steps(model, None, optimiser, stage, config, world)
    steps(next(iter(loader(StepDataset(sources, stage, config), config, world.rank, world.size, 0))), 0)
    steps.mean_loss()
    values = {name: before[name] - p.detach() for name, p in model.named_parameters()}
    return values | {n: b.double() for n, b in model.named_buffers() if "running" in n}


def configured(root: Path, accumulate: int = 1, **model: str) -> RunConfig:
    """Large steps that are not clipped."""
    config = tiny.config(root, "joint", batch=8, accumulate=accumulate, lr=1.0, warmup=0.0, clip_grad=1e9, seed=1)
    return config.model_copy(update={"model": config.model.model_copy(update=model)})


def _worker(rank: int, size: int, root: Path, out: Path, model: dict[str, str]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{out / 'rendezvous'}", rank=rank, world_size=size)
    try:
        values = moved(configured(root, **model), World(rank, size, torch.device("cpu")))
        safetensors.torch.save_file({k: v.contiguous() for k, v in values.items()}, out / f"{rank}.safetensors")
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_have_the_gradients_of_one(root: Path, tmp_path: Path, workers: int) -> None:
    """Of eight samples three workers have three, three and two."""
    expected = moved(configured(root), ALONE)
    mp.spawn(_worker, args=(workers, root, tmp_path, {}), nprocs=workers)
    results = [safetensors.torch.load_file(tmp_path / f"{rank}.safetensors") for rank in range(workers)]
    assert len(expected) > 100
    for result in results:
        for name, value in expected.items():
            assert torch.allclose(result[name], value, atol=1e-6 * float(value.abs().max()) + 1e-12, rtol=0), name


@pytest.mark.slow
def test_workers_agree_where_a_decoder_leaves_maps_unread(root: Path, tmp_path: Path) -> None:
    """MODNet reads three of HRNet's five maps; what makes the other two has no gradient to wait for."""
    mp.spawn(_worker, args=(2, root, tmp_path, {"architecture": "modnet", "backbone": "hrnet_w18_small"}), nprocs=2)
    a, b = (safetensors.torch.load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert same(a, b)
    still = [name for name, movement in a.items() if "running" not in name and not movement.any()]
    assert still
    assert all("encoder.body" in name for name in still)


def test_accumulated_gradients_equal_those_of_the_whole_batch(root: Path, tmp_path: Path) -> None:
    runs = [
        train(
            tiny.planned(tiny.config(root, "joint", steps=1, batch=8, accumulate=n, batchnorm="frozen")),
            tmp_path / str(n),
        )
        for n in (1, 4, 3)  # three micro-batches of three, three and two
    ]
    losses = [run.stages[0]["history"][0]["value"] for run in runs]
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-5)


def test_a_teacher_is_only_asked_where_a_stage_has_one(root: Path) -> None:
    config = tiny.config(root, "mlb")
    stage, sources = stages_of(config)[1], open_sources(config.data)
    (cut,) = next(iter(loader(StepDataset(sources, stage, config), config, 0, 1, 0)))
    batch = cut.render(CPU)
    with torch.no_grad():
        output = build_model(config.model).eval()(batch.plain)
    blended = target_of(batch, stage, output)
    masklabel = target_of(batch, replace(stage, photo_label="masklabel"), output)
    assert torch.equal(masklabel.matte, batch.labels)
    assert torch.equal(masklabel.boundary, blended.boundary)
    assert set(batch.labels.unique().tolist()) == {0.0, 1.0}


def test_pictures_of_any_size_can_be_trained_on(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    tiny.enlarge(root, 150, 90)
    stale, config = tiny.planned(tiny.config(root, "seg_only")), tiny.config(root, "seg_only")
    with pytest.raises(TrainingFailed, match=r"1\.png is not of 64x64 px, as its manifest says; `wsshm data check`"):
        train(stale, tmp_path / "stages")
    tiny.measure(root)
    assert train(tiny.planned(config), tmp_path / "stages").trained_here == ["student"]


def test_a_size_that_the_manifest_has_wrong_does_no_harm_where_faults_are_allowed(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    manifest = Manifest.read(root / "masks.parquet")
    Manifest(root, [replace(s, width=999) for s in manifest.samples]).write(root / "masks.parquet")
    config = tiny.config(root, "seg_only")
    lenient = config.model_copy(update={"data": config.data.model_copy(update={"allow_faults": True})})
    right, wrong = (StepDataset(open_sources(one.data), stages_of(one)[0], one) for one in (lenient, config))
    assert right.drawn(0).ground.size == (64, 64)
    assert wrong.drawn(0).ground.size == (999, 64)


def test_an_impossible_request_is_refused_before_it_waits(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(UserError, match=r"asks for 4 CPU \(4 workers x 1\) but the cluster has 2"):
        train(tiny.planned(tiny.config(root, "joint", workers=4)), tmp_path)
    with pytest.raises(UserError, match=r"asks for 1 GPU .* but the cluster has 0"):
        train(tiny.planned(tiny.config(root, "joint", workers=1, gpus_per_worker=1)), tmp_path)


@pytest.mark.ray
@pytest.mark.slow
def test_two_ray_workers_train_what_this_process_does(root: Path, tmp_path: Path) -> None:
    """The same first step but for rounding, which Adam makes some ten times larger with each step after it."""
    import ray

    config = {"steps": 6, "teacher_steps": 3, "batch": 8, "epoch_steps": 1}
    plans = [tiny.planned(tiny.config(root, "mlb", **config, workers=workers)) for workers in (0, 2)]
    try:
        runs = [train(plan, tmp_path / str(plan.config.train.workers)) for plan in plans]
    finally:
        ray.shutdown()
    assert plans[0].run_id == plans[1].run_id
    one, two = (
        {(s["stage"]["name"], p["epoch"], p["key"]): p["value"] for s in run.stages for p in s["history"]}
        for run in runs
    )
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert two[key] == pytest.approx(value, rel=1e-6 if key[:2] == ("teacher", 1) else 1e-2), key
