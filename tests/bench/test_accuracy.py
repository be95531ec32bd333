"""Scoring a saved model: rows that equal the measures' own, pictures to look at, and one sentence for bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bench import accuracy
from bench.cli import app
from bench.executed import Executed
from bench.store import Store
from tests.wsshm import tiny
from wsshm import metrics
from wsshm.blending import blend
from wsshm.config import BlendConfig
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask, read_matte, write_png
from wsshm.errors import UserError
from wsshm.models.checkpoint import load_model
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import Short, parse_protocol
from wsshm.training.run import train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    return train(tiny.planned(tiny.config(root, "joint", steps=2)), root / "stages").model


def test_rows_are_the_measures_of_the_models_own_matte(root: Path, model: Path) -> None:
    tests = Manifest.read(root / "test.parquet")
    measured = accuracy.measure(accuracy.SavedModel(model, device="cpu"), {"tiny": tests}, "r")
    network, card = load_model(model)
    for sample in tests.samples:
        image, label = read_image(tests.path(sample, "image")), read_matte(tests.path(sample, "matte"))
        matte = predict_matte(network, image, Short(card.size)).matte
        expected = {s.region: s for s in metrics.score(matte, label)}
        rows = {row["region"]: row for row in measured.scores if row["image"] == sample.id}
        assert rows.keys() == expected.keys() == {"whole", "unknown", "boundary", "foreground", "background"}
        assert rows["whole"]["sad"] == pytest.approx(expected["whole"].sad)
        assert rows["boundary"]["mad"] == pytest.approx(expected["boundary"].mad)
        assert {row["protocol"] for row in rows.values()} == {f"short{tiny.SIZE}"}
        assert {row["truth"] for row in rows.values()} == {"exact"}


@pytest.mark.parametrize(("engine", "precision"), [("onnxruntime", "fp32"), ("openvino", "fp32"), ("eager", "bf16")])
def test_an_engine_is_scored_under_its_name(
    root: Path, model: Path, engine: str, precision: str, tmp_path: Path
) -> None:
    tests = {"tiny": Manifest.read(root / "test.parquet")}
    usual = accuracy.measure(accuracy.SavedModel(model, device="cpu"), tests, "r").scores
    executed = Executed(model, None, "cpu", engine, precision, tmp_path)
    rows = accuracy.measure(executed, tests, "r").scores
    assert {(row["engine"], row["precision"]) for row in rows} == {(engine, precision)}
    near = {"fp32": 1e-4, "bf16": 0.1}[precision]
    for row, other in zip(rows, usual, strict=True):
        assert (row["image"], row["region"], row["protocol"]) == (other["image"], other["region"], other["protocol"])
        assert row["mad"] is None or row["mad"] == pytest.approx(other["mad"], rel=near)
    store = Store(tmp_path / "store")
    store.write("scores", usual)
    store.write("scores", rows)
    assert len(store.read("scores")) == 2 * len(usual)  # none replaces the other


def test_an_engine_takes_pictures_of_any_size(model: Path, tmp_path: Path) -> None:
    executed = Executed(model, parse_protocol("native"), "cpu", "onnxruntime", "fp32", tmp_path)
    usual = accuracy.SavedModel(model, parse_protocol("native"), "cpu")
    rng = np.random.default_rng(0)
    for height, width in ((64, 96), (50, 131), (97, 40)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        matte = executed(image).matte
        assert matte.shape == (height, width)
        np.testing.assert_allclose(matte, usual(image).matte, atol=1e-5)
    assert [file.name for file in tmp_path.rglob("*.onnx")] == ["graph.onnx"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--engine", "openvin"], "there is no engine 'openvin'"),
        (["--precision", "int4"], "--precision does not know 'int4'"),
        (["--engine", "cudagraph"], "CUDA graphs need --device cuda; give another --engine or --precision"),
        (["--engine", "onnxruntime", "--protocol", "p3m-hybrid"], "p3m-hybrid needs the boundary"),
        (["--calibration", "m.parquet"], "--calibration is for --precision int8"),
    ],
)
def test_what_an_engine_cannot_do_is_a_sentence(root: Path, model: Path, options: list[str], named: str) -> None:
    words = ["accuracy", str(model), "--data", str(root / "test.parquet"), "--device", "cpu", *options]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UserError)
    assert named in str(result.exception)


def test_samples_hold_the_teachers_label(root: Path, model: Path) -> None:
    tests = Manifest.read(root / "test.parquet")
    saved = accuracy.SavedModel(model, device="cpu")
    teacher = accuracy.Teacher(saved, BlendConfig(variant="hard", threshold=0.4, veto="none"))
    measured = accuracy.measure(saved, {"tiny": tests}, "r", teacher=teacher)
    sample = tests.samples[0]
    pictures = {row["kind"]: row["png"] for row in measured.samples if row["image"] == sample.id}
    assert set(pictures) == {"photo", "mask", "truth", "matte", "teacher", "label"}
    network, card = load_model(model)
    image = read_image(tests.path(sample, "image"))
    said = predict_matte(network, image, Short(card.size))
    mask = torch.from_numpy(read_mask(tests.path(sample, "mask"))).float()
    expected = blend(mask[None, None], *(torch.from_numpy(m)[None, None] for m in said), teacher.blend).label
    label = cv2.imdecode(np.frombuffer(pictures["label"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(label / 255 - expected[0, 0].numpy()).max() < 0.003
    photo = cv2.imdecode(np.frombuffer(pictures["photo"], np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(photo[..., ::-1], image)


def test_pictures_of_the_largest_errors_are_kept_beside_those_spread_over_the_set(
    root: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "SAMPLE_IMAGES", 1)
    monkeypatch.setattr(accuracy, "WORST_IMAGES", 2)
    tests = Manifest.read(root / "test.parquet")
    saved = accuracy.SavedModel(model, device="cpu")
    measured = accuracy.measure(saved, {"tiny": tests}, "r", teacher=accuracy.Teacher(saved, BlendConfig()))
    sad = {row["image"]: row["sad"] for row in measured.scores if row["region"] == "whole"}
    first = tests.samples[0].id
    expected = {image for image in sorted(sad, key=lambda image: -sad[image])[:2] if image != first}
    assert {row["image"] for row in measured.samples if "worst" not in row} == {first}
    worst = [row for row in measured.samples if row.get("worst")]
    assert {row["image"] for row in worst} == expected
    assert {row["kind"] for row in worst} == {"photo", "mask", "truth", "matte", "teacher", "label"}
    assert not any(row.get("worst") for row in accuracy.measure(saved, {"tiny": tests}, "r", masks=True).samples)


def test_the_command_prints_means_and_fills_a_store(root: Path, model: Path, tmp_path: Path) -> None:
    data = str(root / "test.parquet")
    result = CliRunner().invoke(
        app, ["accuracy", str(model), "--data", data, "--store", str(tmp_path), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    scores = Store(tmp_path).read("scores")
    whole = scores[scores["region"] == "whole"]
    assert len(whole) == 2
    (line,) = [line for line in result.output.splitlines() if " whole " in line]
    assert line.split()[:4] == ["test", f"short{tiny.SIZE}", "whole", "2"]
    assert float(line.split()[4]) == pytest.approx(whole["sad"].mean(), rel=1e-3)


def test_masks_are_scored_apart_from_mattes(root: Path, model: Path, tmp_path: Path) -> None:
    words = ["accuracy", str(model), "--data", str(root / "test.parquet"), "--store", str(tmp_path), "--device", "cpu"]
    for truth in ("matte", "mask"):
        result = CliRunner().invoke(app, [*words, "--truth", truth])
        assert result.exit_code == 0, result.output
    assert f"holds no run {model.name!r}, so its reports leave this model's scores out" in result.stderr
    assert " ".join(result.stdout.splitlines()[1].split()).endswith("images IoU ↑ boundary F ↑")
    scores = Store(tmp_path).read("scores")
    assert dict(scores.groupby("dataset")["truth"].unique().map(list)) == {"test": ["exact"], "test (masks)": ["mask"]}
    tests, (network, card) = Manifest.read(root / "test.parquet"), load_model(model)
    for sample in tests.samples:
        mask = read_mask(tests.path(sample, "mask"))
        matte = predict_matte(network, read_image(tests.path(sample, "image")), Short(card.size)).matte
        person = matte >= 0.5
        [row] = scores[(scores["truth"] == "mask") & (scores["image"] == sample.id)].to_dict("records")
        assert row["iou"] == pytest.approx((person & (mask == 1)).sum() / (person | (mask == 1)).sum())
        assert np.isnan(row["sad"])


def test_an_estimated_truth_is_kept_with_its_rows(root: Path, model: Path) -> None:
    tests = Manifest.read(root / "test.parquet")
    first, *others = tests.samples
    tests = Manifest(tests.root, [replace(first, attributes={"truth": "estimated"}), *others])
    rows = accuracy.measure(accuracy.SavedModel(model, device="cpu"), {"tiny": tests}, "r").scores
    assert {row["image"]: row["truth"] for row in rows} == {first.id: "estimated"} | {s.id: "exact" for s in others}


def test_bad_input_is_named(root: Path, model: Path, tmp_path: Path) -> None:
    other = tiny.make(tmp_path)
    write_png(other / "test" / "0_matte.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match=r"0_matte.png is 8x8 but its picture is 64x64"):
        accuracy.measure(accuracy.SavedModel(model), {"t": Manifest.read(other / "test.parquet")}, "r")
    result = CliRunner().invoke(app, ["accuracy", str(model), "--data", str(root / "masks.parquet")])
    assert isinstance(result.exception, UserError)
    assert "no test sample with a matte" in str(result.exception)
    twice = ["--data", str(root / "test.parquet"), "--data", str(other / "test.parquet")]
    assert "have the same name" in str(CliRunner().invoke(app, ["accuracy", str(model), *twice]).exception)


def test_published_protocols_are_scored_under_their_names(root: Path, model: Path, tmp_path: Path) -> None:
    words = ["accuracy", str(model), "--data", str(root / "test.parquet"), "--store", str(tmp_path), "--device", "cpu"]
    for name in ("p3m-resize", "p3m-hybrid"):
        result = CliRunner().invoke(app, [*words, "--protocol", name])
        assert result.exit_code == 0, result.output
    scores = Store(tmp_path).read("scores")
    whole = scores[scores["region"] == "whole"]
    network, _ = load_model(model)
    tests = Manifest.read(root / "test.parquet")
    for sample in tests.samples:
        image, truth = read_image(tests.path(sample, "image")), read_matte(tests.path(sample, "matte"))
        for name in ("p3m-resize", "p3m-hybrid"):
            said = predict_matte(network, image, parse_protocol(name)).matte
            [row] = whole[(whole["image"] == sample.id) & (whole["protocol"] == name)].to_dict("records")
            assert row["sad"] == pytest.approx(np.abs(said - truth).sum() / 1000, rel=1e-3)
