"""Labels made ahead: what blend() says of whole photos, resumable, named failures, aligned with the loader's crops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tests.object_store import bucket
from tests.wsshm import tiny
from wsshm.blended_labels import files
from wsshm.blended_labels.labeller import Labeller, Task, label_picture, size_seen
from wsshm.blended_labels.labels import LabelFolder, file_of, kinds_of
from wsshm.blended_labels.making import make_labels
from wsshm.blended_labels.run import ensure_labels, label_folder
from wsshm.blending import blend
from wsshm.config import BlendConfig, ModelConfig, RunConfig, override, parse
from wsshm.data.check import check
from wsshm.data.findings import errors
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask, read_matte, write_png
from wsshm.data.sources import Sources, open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.methods import stages_of
from wsshm.models.checkpoint import card_of, save_model
from wsshm.models.network import build_model
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import NATIVE, Short
from wsshm.targets import target_of
from wsshm.training import loop
from wsshm.training.batches import Batch, StepDataset
from wsshm.training.distributed import World
from wsshm.training.planning import plan_run
from wsshm.training.run import train
from wsshm.training.stages import RESULT, StageFolder

ALONE = World(0, 1, torch.device("cpu"))
HALF = 0.5 / 255 + 1e-6


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a network with random weights: what it says is arbitrary, and fractional everywhere."""
    torch.manual_seed(0)
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config).eval()
    folder = tmp_path_factory.mktemp("teacher")
    save_model(folder, model.state_dict(), card_of(model, config, "none", tiny.SIZE, "mlb"))
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def changed(config: RunConfig, *assignments: str) -> RunConfig:
    return parse(override(config.model_dump(mode="json"), list(assignments)))


def ahead_config(root: Path, method: str = "mlb", *assignments: str) -> RunConfig:
    return changed(tiny.config(root, method), "method.blend.when=ahead", *assignments)


BLENDS = [
    BlendConfig(),
    BlendConfig(variant="soft", veto="none"),
    BlendConfig(variant="hard", threshold=0.4, veto="ignore", feather=0.02),
]


@pytest.mark.parametrize("config", BLENDS, ids=lambda c: c.variant)
@pytest.mark.parametrize("shape", [(64, 64), (50, 90)], ids=["own-size", "enlarged"])
def test_a_label_is_the_blend_of_the_whole_photo(
    tmp_path: Path, teacher: Path, config: BlendConfig, shape: tuple[int, int]
) -> None:
    image, mask = photo(tmp_path, shape)
    labeller = Labeller(Task.of(teacher, config, tiny.SIZE))
    pixels = {kind: decoded(png) for kind, png in labeller(image, mask).items()}
    prediction = predict_matte(labeller.model, read_image(image), Short(tiny.SIZE))
    maps = [torch.from_numpy(m)[None, None].float() for m in (read_mask(mask), prediction.matte, prediction.boundary)]
    blended = blend(*maps, config)  # type: ignore[call-arg]
    assert pixels.keys() == set(kinds_of(config))
    for kind, values in pixels.items():
        assert values.shape == shape
        assert np.abs(values - getattr(blended, kind)[0, 0].numpy()).max() <= HALF


def test_a_large_photos_share_is_enlarged_and_its_mask_kept(tmp_path: Path, teacher: Path) -> None:
    shape, config = (128, 192), BlendConfig(variant="gated", threshold=0.4, veto="none")
    image, mask = (read(path) for read, path in zip((read_image, read_mask), photo(tmp_path, shape), strict=True))
    model = Labeller(Task.of(teacher, config, tiny.SIZE)).model
    made = label_picture(model, image, mask, config, tiny.SIZE, "cpu")
    # Halves exactly: each pixel of the teacher's picture is the mean of 2 x 2.
    small = image.reshape(64, 2, 96, 2, 3).mean((1, 3)).round().astype(np.uint8)
    person = mask.reshape(64, 2, 96, 2).mean((1, 3)) > 0.5
    seen = predict_matte(model, small, NATIVE)
    maps = [torch.from_numpy(np.float32(m))[None, None] for m in (person, seen.matte, seen.boundary)]
    blended = blend(*maps, config)  # type: ignore[call-arg]
    share, matte = (
        F.interpolate(m, scale_factor=2.0, mode="bilinear", align_corners=False)[0, 0].numpy()
        for m in (blended.share, maps[1])
    )
    np.testing.assert_allclose(made["share"], share, atol=1e-4)
    np.testing.assert_allclose(made["label"], share * matte + (1 - share) * mask, atol=2e-2)
    assert 0.01 < (made["share"] > 0).mean() < 0.9
    assert np.array_equal(made["label"][made["share"] == 0], mask[made["share"] == 0])


def photo(folder: Path, shape: tuple[int, int]) -> tuple[Path, Path]:
    """A picture of a disc and its mask, as files."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    matte = np.clip((0.3 * min(shape) - np.hypot(y - shape[0] / 2, x - shape[1] / 2)) / 4 + 0.5, 0, 1)
    image = write_png(folder / "photo.png", tiny.picture(rng, matte))
    return image, write_png(folder / "mask.png", ((matte > 0.5) * 255).astype(np.uint8))


def decoded(png: bytes) -> NDArray[np.float32]:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED).astype(np.float32) / 255


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that labellers are asked for, by the names of their files."""
    asked: list[str] = []
    label = Labeller.__call__

    def counted(self: Labeller, image: Path, mask: Path) -> dict[str, bytes]:
        asked.append(image.stem)
        return label(self, image, mask)

    monkeypatch.setattr(Labeller, "__call__", counted)
    return asked


def contents(folder: Path) -> dict[str, bytes]:
    """The labels in a folder, without what a writer that was killed had not yet moved to its place."""
    files = [f for f in folder.rglob("*.png") if not f.name.startswith(".writing-")]
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


def test_a_killed_writer_leaves_nothing_half_and_nothing_is_done_twice(
    root: Path, tmp_path: Path, teacher: Path, calls: list[str]
) -> None:
    config = BlendConfig(veto="ignore")
    manifest = Manifest.read(root / "masks.parquet")
    samples, task = list(manifest.samples), Task.of(teacher, config, tiny.SIZE)

    def go(name: str, stop_after: int | None = None) -> LabelFolder:
        folder = LabelFolder(Location.of(tmp_path / name), config)
        for done, (_, failure) in enumerate(make_labels(manifest, folder.missing(samples), folder, task, None), 1):
            assert not failure
            if done == stop_after:
                break
        return folder

    undisturbed = go("undisturbed")
    assert len(calls) == 8
    assert not undisturbed.missing(samples)
    killed = go("killed", stop_after=3)
    assert [s.id for s in killed.missing(samples)] == [f"photo{i}" for i in range(3, 8)]
    (tmp_path / "killed" / file_of("share", samples[0])).unlink()  # killed between a picture's files
    cut = tmp_path / "killed" / file_of("label", samples[1])
    cut.write_bytes(cut.read_bytes()[:-20])  # a disk's cache lost with the power
    calls.clear()
    go("killed")
    assert calls == ["0", "1", "3", "4", "5", "6", "7"]
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    calls.clear()
    go("killed")
    assert not calls


@contextmanager
def _no_cluster(device: str) -> Iterator[tuple[None, str]]:
    yield None, device.replace("auto", "cpu")


def test_the_manifest_lists_labels_and_a_broken_photo_is_named(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.setattr(files, "_cluster", _no_cluster)
    root, out = tiny.make(tmp_path / "data"), tmp_path / "out"
    (root / "photo" / "3.png").write_text("no picture")
    (root / "photo" / "5_mask.png").unlink()
    config = BlendConfig(veto="ignore")

    def go() -> tuple[Manifest, list[str]]:
        path, failures = files.blend_manifest(teacher, root / "masks.parquet", out, config, None, "auto")
        return Manifest.read(path), failures

    labelled, failures = go()
    assert [next(n for n in ("3.png", "5_mask.png") if n in failure) for failure in failures] == ["5_mask.png", "3.png"]
    assert [s.id for s in labelled.samples] == [f"photo{i}" for i in (0, 1, 2, 4, 6, 7)]
    assert not errors(check(labelled))
    sample = labelled.samples[0]
    label, share = (read_matte(labelled.root / p) for p in (sample.matte or "", sample.attributes["share"]))
    mask = read_mask(labelled.path(sample, "mask"))
    assert np.array_equal(label[share == 0], mask[share == 0])
    assert (labelled.root / sample.attributes["weight"]).is_file()
    assert json.loads((out / "labels.json").read_text())["pictures"] == 6
    assert sorted(calls) == ["0", "1", "2", "3", "4", "6", "7"]

    calls.clear()
    write_png(root / "photo" / "3.png", tiny.picture(np.random.default_rng(0), tiny.disc(np.random.default_rng(0))))
    labelled, failures = go()
    assert len(failures) == 1
    assert len(labelled) == 7
    assert calls == ["3"]


@pytest.mark.slow
def test_labels_of_photos_in_a_bucket_are_those_of_the_disk(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_cluster", _no_cluster)
    monkeypatch.setenv("WSSHM_DATA_CACHE", f"{tmp_path}/cache:50MB")
    root = tiny.make(tmp_path / "data")
    here, _ = files.blend_manifest(teacher, root / "masks.parquet", tmp_path / "out", BlendConfig(), None, "cpu")
    with bucket() as template:
        Location.of(template.format("data")).upload(root)
        masks, out = template.format("data/masks.parquet"), template.format("out")
        there, failures = files.blend_manifest(teacher, masks, out, BlendConfig(), None, "cpu")
        assert not failures
        one, other = Manifest.read(here), Manifest.read(there)
        assert other.fingerprint == one.fingerprint
        for sample, same in zip(other.samples, one.samples, strict=True):
            assert other.path(sample, "matte").read_bytes() == one.path(same, "matte").read_bytes()
        with pytest.raises(UserError, match=r"out is not in the bucket of the pictures, s3://"):
            files.blend_manifest(teacher, masks, tmp_path / "out", BlendConfig(), None, "cpu")


def test_another_picture_under_the_same_id_is_labelled_anew(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.setattr(files, "_cluster", _no_cluster)
    root = tiny.make(tmp_path / "data", photos=3)
    for _ in range(2):
        files.blend_manifest(teacher, root / "masks.parquet", tmp_path / "out", BlendConfig(), None, "cpu")
        write_png(root / "photo" / "1.png", read_image(root / "photo" / "1.png")[:, ::-1])
    assert calls == ["0", "1", "2", "1"]


def test_a_folder_of_other_labels_is_refused(
    root: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_cluster", _no_cluster)

    def go(config: BlendConfig, size: int | None = None, device: str = "cpu") -> None:
        files.blend_manifest(teacher, root / "masks.parquet", tmp_path, config, size, device)

    go(BlendConfig())
    before = contents(tmp_path)
    with pytest.raises(UserError, match="holds labels with another blend"):
        go(BlendConfig(threshold=0.3))
    with pytest.raises(UserError, match=r"holds labels with another size \(77, asked is 96\)"):
        go(BlendConfig(), size=96)
    with pytest.raises(UserError, match="--device cannot be 'gpu'; the nearest valid choice"):
        go(BlendConfig(), device="gpu")
    assert contents(tmp_path) == before


def made_for(config: RunConfig, root: Path, teacher: Path) -> tuple[LabelFolder, int]:
    """The labels of a run's student, and how many were made now."""
    run, place = plan_run(config), Location.of(root)
    folder = label_folder(run.stages[-1], place)
    assert folder is not None
    before = (folder.recipe() or {}).get("pictures", 0)
    ensure_labels(run.stages[-1], run, place, teacher)
    return folder, (folder.recipe() or {})["pictures"] - before


def test_labels_are_shared_by_students_and_made_on_demand(root: Path, tmp_path: Path, teacher: Path) -> None:
    config = ahead_config(root, "mlb", "budget.masks=3")
    folder, made = made_for(config, tmp_path, teacher)
    assert made == 3
    for same, more in (("budget.masks=5", 2), ("method.name=mlb_masklabel", 0), ("method.matte_share=0.5", 0)):
        assert made_for(changed(config, "budget.masks=5", same), tmp_path, teacher) == (folder, more)
    assert (folder.recipe() or {})["pictures"] == 5
    for other in ("method.blend.band=0.1", "train.seed=1", "data.size=128"):
        assert made_for(changed(config, other), tmp_path, teacher)[0].place != folder.place
    loop = plan_run(changed(config, "method.blend.when=loop")).stages
    assert label_folder(loop[-1], Location.of(tmp_path)) is None


def test_a_run_names_the_photo_that_it_cannot_label_after_the_others(tmp_path: Path, teacher: Path) -> None:
    root = tiny.make(tmp_path / "data")
    config = ahead_config(root)
    (root / "photo" / "3.png").write_text("no picture")
    with pytest.raises(UserError, match=r"3.png is not a readable picture"):
        made_for(config, tmp_path / "stages", teacher)
    (folder,) = (tmp_path / "stages").glob("*/label")
    assert len(list(folder.iterdir())) == 7


def same_labels(config: RunConfig, sources: Sources, folder: Path, whole: bool) -> None:
    """Write labels that are the true mattes, shares that are the same (or 1), and weights that are their inverse."""
    (stage,) = (s for s in stages_of(config) if s.reads_labels)
    assert stage.blend is not None
    for sample in sources.masks.samples:
        matte = cv2.imread(str(sources.masks.path(sample, "matte")), cv2.IMREAD_UNCHANGED)
        share = np.full_like(matte, 255) if whole else matte
        for kind, values in (("label", matte), ("share", share), ("weight", 255 - matte)):
            write_png(folder / file_of(kind, sample), values)


def rendered(dataset: StepDataset, indices: Iterable[int]) -> Batch:
    return dataset.collate([dataset[index] for index in indices]).render(torch.device("cpu"))


@pytest.mark.parametrize("method", ["mlb", "mlb_masklabel"])
def test_crops_of_labels_align_with_the_picture(tmp_path: Path, method: str) -> None:
    root = tiny.make(tmp_path / "data")
    tiny.enlarge(root, 150, 90)  # one picture larger than the training size, and not square
    tiny.measure(root)
    config = ahead_config(root, method, "method.blend.veto=ignore", "method.matte_share=0.5", "train.steps=12")
    sources = open_sources(config.data)
    same_labels(config, sources, tmp_path / "labels", whole=method == "mlb")
    stage = stages_of(config)[-1]
    ahead = StepDataset(sources, stage, config, tmp_path / "labels")
    truth = StepDataset(sources, stages_of(changed(config, "method.name=oracle"))[-1], config)
    in_loop = StepDataset(sources, stages_of(changed(config, "method.blend.when=loop"))[-1], config)
    for step in range(stage.steps):
        batch, true, looped = (rendered(d, range(4 * step, 4 * step + 4)) for d in (ahead, truth, in_loop))
        assert batch.ids == true.ids == looped.ids
        assert torch.equal(batch.images, looped.images)
        mattes, photos = batch.is_matte, ~batch.is_matte
        assert batch.share is not None
        assert batch.weight is not None
        expected = (looped if method == "mlb_masklabel" else true).labels[photos]
        torch.testing.assert_close(batch.labels[photos], expected, atol=1e-6, rtol=0)
        share = torch.ones_like(true.labels) if method == "mlb" else true.labels
        torch.testing.assert_close(batch.share[photos], share[photos], atol=1e-6, rtol=0)
        torch.testing.assert_close(batch.weight[photos], 1 - true.labels[photos], atol=1e-6, rtol=0)
        assert torch.equal(batch.labels[mattes], looped.labels[mattes])
        assert not batch.share[mattes].any()
        assert batch.weight[mattes].min() == 1
        target = target_of(batch, stage, None)
        assert torch.equal(target.matte, batch.labels)
        assert torch.equal(target.boundary[photos], batch.share[photos])
        assert torch.equal(target.boundary[mattes], target_of(true, stages_of(config)[0], None).boundary[mattes])
        assert torch.equal(target.weight, batch.weight)


def test_a_label_without_a_teachers_say_is_the_mask_that_the_loop_shows(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "data")
    config = ahead_config(root, "mlb", "train.steps=12")
    sources = open_sources(config.data)
    for sample in sources.masks.samples:
        mask = cv2.imread(str(sources.masks.path(sample, "mask")), cv2.IMREAD_UNCHANGED)
        for kind, values in (("label", mask), ("share", np.zeros_like(mask))):
            write_png(tmp_path / "labels" / file_of(kind, sample), values)
    ahead = StepDataset(sources, stages_of(config)[-1], config, tmp_path / "labels")
    in_loop = StepDataset(sources, stages_of(changed(config, "method.blend.when=loop"))[-1], config)
    for index in range(len(ahead)):
        label = rendered(in_loop, [index]).labels
        torch.testing.assert_close(rendered(ahead, [index]).labels, label, atol=1e-6, rtol=0)
        assert set(label.unique().tolist()) <= {0.0, 1.0}


def test_a_student_learns_from_files_without_asking_its_teacher(
    root: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ahead_config(root)
    sources = open_sources(config.data)
    folder, made = made_for(config, tmp_path, teacher)
    assert made == 8
    asked: list[str] = []
    load = loop.load_model
    monkeypatch.setattr(loop, "load_model", lambda path: asked.append(path) or load(path))
    stage = StageFolder(Location.of(tmp_path), "student")
    labels = folder.place.local
    assert labels is not None
    loop.train_stage(
        stages_of(config)[-1], config, sources, stage, {"teacher": teacher}, ALONE,
        lambda step: None, lambda row: None, labels,
    )  # fmt: skip
    assert asked == [teacher]  # to start from
    result = json.loads((tmp_path / "student" / "final" / RESULT).read_text())
    assert result["teacher_forward_s"] == 0
    with pytest.raises(ValueError, match="reads labels made ahead"):
        StepDataset(sources, stages_of(config)[-1], config)


@pytest.mark.parametrize("method", ["mlb", "mlb_masklabel"])
def test_a_run_labels_before_each_round_and_only_once(
    root: Path, tmp_path: Path, calls: list[str], method: str
) -> None:
    plan = tiny.planned(ahead_config(root, method, "method.blend.refresh=2", "train.steps=6"))
    run = train(plan, Location.of(tmp_path))
    assert run.trained_here == ["teacher", "student1", "student2"]
    assert len(calls) == 2 * 8
    assert [stage["teacher_forward_s"] for stage in run.stages] == [0, 0, 0]
    (tmp_path / plan.named("student2").address / "final" / RESULT).unlink()
    again = train(plan, Location.of(tmp_path))
    assert again.trained_here == ["student2"]
    assert len(calls) == 2 * 8


def wsshm(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "wsshm", *map(str, arguments)]


def test_mistakes_in_the_command_are_named_before_a_cluster_starts(root: Path, tmp_path: Path, teacher: Path) -> None:
    for wrong, words in (
        (["--set", "treshold=0.3"], "'threshold'"),
        (["--set", "refresh=2"], "--set refresh is for training"),
        (["--set", "threshold=2"], "--set has an impossible threshold = 2"),
    ):
        command = wsshm("blend", teacher, "--data", root / "masks.parquet", "--out", tmp_path / "out", *wrong)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2
        assert words in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
@pytest.mark.slow
def test_the_command_labels_over_a_cluster_and_goes_on_where_it_was_killed(tmp_path: Path, teacher: Path) -> None:
    root = tiny.make(tmp_path / "data", photos=60)
    manifest = Manifest.read(root / "masks.parquet")
    (root / "photo" / "7.png").write_text("no picture")
    # No gate: pixels of another batch differ by rounding, and a threshold would make a whole label's difference of that.
    smooth = BlendConfig(variant="soft", veto="none")
    out, alone = tmp_path / "out", LabelFolder(Location.of(tmp_path / "alone"), smooth)
    for _ in make_labels(manifest, list(manifest.samples), alone, Task.of(teacher, smooth, size_seen(tiny.SIZE)), None):
        pass
    command = wsshm("blend", teacher, "--data", root / "masks.parquet", "--out", out, "--device", "cpu")
    command += ["--set", "variant=soft", "--set", "veto=none"]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 400
    while len(list(out.glob("label/*.png"))) < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The kill may fall between the files of one picture, which is then made again.
    unfinished = {sample.id for sample in LabelFolder(Location.of(out), smooth).missing(manifest.samples)}
    finished = [out / file_of("label", sample) for sample in manifest.samples if sample.id not in unfinished]
    early = {path: path.stat().st_mtime_ns for path in finished}
    assert early
    assert not (out / "manifest.parquet").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 1, done.stderr
    assert "7.png is not a readable picture" in done.stderr
    assert str(out / "manifest.parquet") in done.stdout
    assert all(path.stat().st_mtime_ns == when for path, when in early.items())
    labelled = Manifest.read(out / "manifest.parquet")
    assert [s.id for s in labelled.samples] == [s.id for s in manifest.samples if s.id != "photo7"]
    assert not errors(check(labelled))
    made, expected = contents(out), contents(tmp_path / "alone")
    assert made.keys() == expected.keys()
    for name, png in expected.items():
        np.testing.assert_allclose(decoded(made[name]), decoded(png), atol=1.1 / 255)
