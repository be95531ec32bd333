"""Engines: each gives eager's mattes or is told to be wrong, and what cannot be run here is a row that says why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import photos, timing
from bench.engines import ENGINES, Engine, Setting, graphs, register
from bench.settings import PRECISIONS, Protocol, SpeedSpec
from bench.speed import Cell
from bench.store import Store
from bench.timing import differences, time_model
from wsshm.config import ModelConfig
from wsshm.data.manifest import Manifest, Sample
from wsshm.errors import UserError
from wsshm.models.checkpoint import card_of, save_model
from wsshm.models.network import build_model

QUICK = Protocol(warmup_calls=1, warmup_seconds=0, calls=6, seconds=0, max_seconds=20)
FLOAT = 1e-5


def timed(tmp_path: Path, **setting: Any) -> dict[str, Any]:
    spec = SpeedSpec("test_efficientnet", **{"height": 64, "width": 96, **setting})
    return time_model(spec, ["model", "end_to_end"], QUICK, 1, tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as processes of one setting share it: its graph is exported once."""
    return tmp_path_factory.mktemp("shared")


@pytest.mark.parametrize("engine", ["eager", "onnxruntime", "openvino"])
def test_fp32_is_eagers_to_rounding(engine: str, shared: Path) -> None:
    answer = timed(shared, engine=engine)
    assert answer["max_difference"] < FLOAT
    assert [len(block["samples_ms"]) for block in answer["blocks"].values()] == [6, 6]
    assert (answer["prepared_s"] is None) == (engine == "eager")
    if engine != "eager":
        assert answer["settings"][engine]  # its version
        assert sorted(file.name for file in shared.iterdir()) == ["graph.onnx"]


def test_openvino_takes_bfloat16_only_where_it_is_asked_for(shared: Path) -> None:
    if ENGINES.get("openvino").refusal("cpu", "bf16"):
        pytest.skip("needs a processor with bfloat16")
    low = timed(shared, engine="openvino", precision="bf16")
    assert low["max_difference"] > FLOAT
    assert "blocks" in low


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_int8_is_near(engine: str, tmp_path: Path) -> None:
    answer = timed(tmp_path, engine=engine, precision="int8", height=128, width=128)
    assert FLOAT < answer["max_difference"] < 0.2
    assert list(answer["blocks"]) == ["model", "end_to_end"]


@pytest.mark.slow
def test_compile_gives_eagers_mattes(tmp_path: Path) -> None:
    answer = timed(tmp_path, engine="compile")
    assert answer["max_difference"] < FLOAT
    assert any((tmp_path / "inductor").rglob("*.so"))


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["compile", "cudagraph", "tensorrt"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_of_a_gpu(engine: str, precision: str, tmp_path: Path) -> None:
    if reason := ENGINES.get(engine).refusal("cuda", precision):
        pytest.skip(reason)
    answer = timed(tmp_path, engine=engine, precision=precision, device="cuda")
    assert answer["max_difference"] < {"fp32": 1e-4, "fp16": 0.05}[precision]
    assert list(answer["blocks"]) == ["model", "end_to_end"]


def test_engines_of_one_layout_have_it() -> None:
    assert SpeedSpec("resnet18", engine="onnxruntime").layout == "nchw"
    assert SpeedSpec("resnet18", engine="eager").layout == "channels_last"


@pytest.mark.parametrize(
    ("engine", "precision", "reason"),
    [
        ("cudagraph", "fp32", "need --device cuda"),
        ("eager", "int8", "not in int8 (openvino and onnxruntime have int8)"),
        ("onnxruntime", "bf16", "no CPU kernels in bf16"),
    ],
)
def test_what_cannot_be_run_says_why(engine: str, precision: str, reason: str, tmp_path: Path) -> None:
    answer = timed(tmp_path, engine=engine, precision=precision)
    assert answer["status"] == "unavailable"
    assert reason in answer["reason"]


def test_a_missing_package_and_one_that_does_not_load_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Engine("lacking", "lacking", lambda network, images, setting: network, packages=("no_such_package",))
    assert (
        lacking.refusal("cpu", "fp32") == "lacking needs no_such_package, not installed here: pip install '.[engines]'"
    )

    def broken(device: str, precision: str) -> str | None:
        raise ImportError("libnothing.so: cannot open shared object file")

    assert "cannot be loaded here (libnothing.so" in str(
        Engine("broken", "broken", lacking.prepare, unavailable=broken).refusal("cpu", "fp32")
    )


def test_compile_says_which_compiler_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ENGINES.get("compile")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert engine.refusal("cpu", "fp32") == (
        "torch.compile needs a C++ compiler (g++), not found here: install one (apt install g++), name yours in CXX"
    )
    monkeypatch.setenv("CXX", f"{sys.executable} --with-options")
    assert engine.refusal("cpu", "fp32") is None


@pytest.mark.parametrize("precision", PRECISIONS[:3])
def test_a_wrong_engine_is_not_timed(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant, which is what comes of a network that lost its weights, is recognised in any precision."""

    def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Any:
        mean = network(images).mean()
        return lambda images: mean.expand(len(images), 1, *images.shape[2:])

    monkeypatch.setattr(ENGINES, "_entries", dict(ENGINES._entries))
    register(Engine("forgetful", "forgetful", prepare))
    answer = timed(tmp_path, engine="forgetful", precision=precision)
    assert answer["status"] == "wrong"
    assert "its mattes are not PyTorch's" in answer["reason"]
    assert "blocks" not in answer
    assert answer["max_difference"] > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_mattes_that_are_not_finite_are_wrong(value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Any:
        return lambda images: torch.full((len(images), 1, *images.shape[2:]), value)

    monkeypatch.setattr(ENGINES, "_entries", dict(ENGINES._entries))
    register(Engine("overflowing", "overflowing", prepare))
    cell = Cell(tmp_path, QUICK, 1, [SpeedSpec("test_efficientnet", height=64, width=96, engine="overflowing")])
    cell.answers.append(timed(tmp_path, engine="overflowing"))
    row = cell.rows()["model"]
    assert (row["status"], row["reason"]) == ("wrong", "its mattes hold values that are no finite numbers")
    Store(tmp_path / "store").write("speed", [row])  # which takes no infinite number


def test_differences_by_hand() -> None:
    expected = torch.tensor([0.0, 0.0, 1.0, 1.0])  # of standard deviation 0.5
    assert differences(torch.tensor([0.0, 0.0, 1.0, 0.5]), expected) == (0.5, pytest.approx(0.25 / 0.5))
    assert differences(torch.full((4,), 0.5), expected) == (0.5, 1)
    assert not differences(torch.tensor([0.0, 0.0, 1.0, float("nan")]), expected)[1] <= timing.FARTHEST["int8"]


def test_a_trained_model_is_timed_with_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    torch.manual_seed(1)
    model = build_model(config)
    for name, parameter in model.named_parameters():
        if "matte" in name and name.endswith("bias"):
            torch.nn.init.constant_(parameter, 3.0)
    folder = tmp_path / "0123456789abcdef"
    folder.mkdir()
    save_model(folder, model.state_dict(), card_of(model, config, "none", 64, "mlb"))
    spec = SpeedSpec("test_efficientnet", height=64, width=64, folder=str(folder), engine="onnxruntime")
    assert spec.columns["run_id"] == "0123456789abcdef"
    seen = []

    def kept(*arguments: Any) -> Any:
        seen.append(opened(*arguments))
        return seen[-1]

    opened = graphs.opened
    monkeypatch.setattr(graphs, "opened", kept)
    answer = time_model(spec, ["model"], QUICK, 1, tmp_path)
    assert answer["max_difference"] < FLOAT
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(seen[0](images), model.eval()(images).matte, atol=1e-5)


def test_photos_to_calibrate_on(tmp_path: Path) -> None:
    drawn = photos.drawn(2, 48, 64)
    assert (drawn.shape, drawn.dtype) == ((2, 3, 48, 64), torch.float32)
    assert 0 <= drawn.min() < drawn.max() <= 1
    Manifest(tmp_path, []).write(tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="no validation photo to calibrate int8 on"):
        photos.of_manifest(str(tmp_path / "empty.parquet"), 48, 64)


@pytest.mark.parametrize(("count", "shown"), [(3, range(3)), (40, {0, 39}), (320, {0, 319})])
def test_calibration_photos_are_spread_over_a_manifest(
    count: int, shown: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def picture(path: Path) -> np.ndarray:
        read.append(int(path.stem))
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("wsshm.data.pictures.read_image", picture)
    samples = [Sample(f"{n:03}", "val", "photo", "natural", image=f"{n:03}.png", mask="m.png") for n in range(count)]
    Manifest(tmp_path, samples).write(tmp_path / "m.parquet")
    assert len(photos.of_manifest(str(tmp_path / "m.parquet"), 8, 8)) == len(set(read)) == min(count, 32)
    assert set(shown) <= set(read)
    assert max(np.diff(sorted(read))) <= max(1, -(-count // 31))
