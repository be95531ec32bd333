"""Exports are the network, at any size and batch; what is not is refused; a folder of exports is a model's folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from wsshm.__main__ import main
from wsshm.config import ModelConfig
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.exporting import FORMATS, Format
from wsshm.exporting import export as exporting
from wsshm.exporting.tracing import _pad_same, trace
from wsshm.models import ARCHITECTURES
from wsshm.models.checkpoint import card_of, load_model, save_model
from wsshm.models.network import MattingModel, build_model

AGREE = 1e-4


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def saved(folder: Path, backbone: str = "test_resnet", architecture: str = "unet", size: int = 64) -> Path:
    """A model with random weights, whose mattes are far from a constant."""
    torch.manual_seed(0)
    config = ModelConfig(architecture=architecture, backbone=backbone, weights="none")
    model = build_model(config).eval()
    folder.mkdir(parents=True)
    save_model(folder, model.state_dict(), card_of(model, config, "none", size, "joint"))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("export") / "model")


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    network, card = load_model(model)
    traced, written = exporting.export(network, card, exporting.check_formats(["onnx"]), out, uint8=True)
    exporting.write_folder(model, card, out, traced, written)
    return out


def test_an_onnx_file_takes_pictures_of_any_size_and_batch(model: Path, exported: Path) -> None:
    network, _ = load_model(model)
    file = exported / "model.onnx"
    graph = onnx.load(file).graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input}
    assert shapes == {"image": ["batch", 3, "height", "width"]}
    assert [value.name for value in graph.output] == ["matte", "boundary"]
    session = onnxruntime.InferenceSession(file)
    for batch, height, width in ((1, 32, 32), (3, 64, 160), (2, 224, 96)):
        images = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)
        matte, boundary = session.run(None, {"image": images.numpy()})
        with torch.inference_mode():
            expected = network(images / 255)
        assert expected.matte.std() > 0.01
        np.testing.assert_allclose(matte, expected.matte, atol=1e-6)
        np.testing.assert_allclose(boundary, expected.boundary, atol=1e-6)


def test_an_exported_folder_is_a_models_folder(model: Path, exported: Path) -> None:
    before, card = load_model(model)
    after, same = load_model(exported)
    assert same == card
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    text = (exported / "README.md").read_text()
    assert "`model.onnx`" in text
    assert "uint8, 0 to 255; any N, height and width multiples of 32" in text
    (script,) = re.findall(r"```python\n(import numpy.*?)```", text, re.DOTALL)
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    names: dict[str, Any] = {"photo": photo}
    exec(script.replace('"model.onnx"', repr(str(exported / "model.onnx"))), names)
    with torch.inference_mode():
        expected = before(torch.from_numpy(photo.transpose(2, 0, 1)[None] / np.float32(255))).matte
    np.testing.assert_allclose(names["matte"], expected, atol=1e-6)
    (exported / "config.json").write_text((exported / "config.json").read_text().replace("64", "96"))
    with pytest.raises(UserError, match=r"config.json was altered"):
        load_model(exported)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `wsshm export`; returns (exit status, stdout, stderr)."""

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["wsshm", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def constant(value: float) -> Format:
    """A format whose file gives one value everywhere."""

    def open_(file: Path) -> exporting.Runner:
        return lambda images: (np.full_like(images[:, :1], value),) * 2

    return Format("constant", "", "model.txt", lambda program, file, notes: file.write_text("graph") and None, open_)


def test_a_file_that_differs_is_not_written(model: Path, tmp_path: Path) -> None:
    network, card = load_model(model)
    with pytest.raises(UserError, match=r"model.txt differs from the network by up to .* more than 0.001"):
        exporting.export(network, card, [constant(0.0)], tmp_path / "out", size=(32, 32))
    with pytest.raises(UserError, match="differs from the network by up to nan"):
        exporting.export(network, card, [constant(np.nan)], tmp_path / "out", size=(32, 32))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (1, 2, 1), (3, 1, 2), (4, 4, 1), (2, 2, 3)]
)
def test_same_padding_is_timms_at_multiples_of_the_stride(kernel: int, stride: int, dilation: int) -> None:
    from timm.layers.padding import pad_same

    values = torch.rand(1, 1, 4 * stride, 6 * stride)
    layer = ((kernel, kernel), (stride, stride), (dilation, dilation))
    assert torch.equal(_pad_same(values, *layer, value=-1.0), pad_same(values, *layer, value=-1.0))
    assert F.conv2d(_pad_same(values, *layer), torch.ones(1, 1, kernel, kernel), None, stride, 0, dilation).shape == (
        1,
        1,
        4,
        6,
    )


def test_a_network_that_is_tied_to_sizes_is_traced_for_its_own(caplog: pytest.LogCaptureFixture) -> None:
    class Tied(torch.nn.Module):
        """Stands for a network over windows: its table fits 64 x 64 px alone."""

        stride = 32

        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Parameter(torch.rand(1, 1, 64, 64))
            self.encoder = build_model(ModelConfig(backbone="test_resnet", weights="none")).network.encoder

        def forward(self, images: torch.Tensor):
            from wsshm.models.network import MattingOutput

            logits = images.mean(1, keepdim=True) + self.table
            return MattingOutput(logits, logits)

    model = MattingModel(Tied(), (0.5,) * 3, (0.5,) * 3).eval()  # type: ignore[arg-type]
    traced = trace(model, size=None, trained=60, uint8=False)
    assert traced.size == (64, 64)
    assert "tied to sizes, so the export takes pictures of 64x64 px alone" in caplog.text
    with pytest.raises(UserError, match="cannot trace this network at 96x64 px"):
        trace(model, size=(64, 96), trained=64, uint8=False)


def test_mistakes_are_one_sentence(model: Path, tmp_path: Path, command) -> None:
    out = tmp_path / "out"
    for wrong, words in (
        (["--to", "onxx"], "there is no export format 'onxx'; the nearest valid choice is 'onnx'"),
        (["--size", "100x64"], "--size 100x64 does not fit this network, which takes multiples of 32 px; give 96x64"),
        (["--size", "big"], "--size is 'big'; give pixels such as 512, or width x height such as 1920x1080"),
        (["--check", tmp_path / "no.jpg"], "no.jpg"),
    ):
        code, _, said = command(model, "--out", out, *wrong)
        assert code == 2
        assert words in said
        assert "Traceback" not in said
    assert "holds no model" in command(tmp_path, "--out", out)[2]
    assert not out.exists()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"--to onnx needs onnx, onnxscript, onnxruntime; .* pip install '.\[engines\]'"
    ):
        exporting.check_formats(["onnx"])


@pytest.mark.slow
def test_the_command_writes_every_format(model: Path, tmp_path: Path, command) -> None:
    photo = tmp_path / "photo.png"
    write_png(photo, np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8))
    out = tmp_path / "out"
    code, said, _ = command(model, "--to", ",".join(FORMATS.names()), "--size", "96x64", "--check", photo, "--out", out)
    assert not code
    assert "any N, 96x64 px" in said
    for format in FORMATS.entries():
        assert f"{out / format.file}: " in said
        run = format.open(out / format.file)
        images = np.random.default_rng(1).random((3, 3, 64, 96), dtype=np.float32)
        with torch.inference_mode():
            expected = load_model(model)[0](torch.from_numpy(images))
        matte, boundary = run(images)
        np.testing.assert_allclose(matte, expected.matte, atol=AGREE)
        np.testing.assert_allclose(boundary, expected.boundary, atol=AGREE)
    assert json.loads((out / "config.json").read_text())["backbone"] == "test_resnet"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.own))
def test_every_architecture_is_exported(architecture: str, tmp_path: Path) -> None:
    """To ONNX, for pictures of any size."""
    network, card = load_model(saved(tmp_path / "model", "test_efficientnet", architecture))
    traced, (written,) = exporting.export(network, card, exporting.check_formats(["onnx"]), tmp_path)
    assert traced.size is None
    assert max(written.random, written.pictures) < AGREE
