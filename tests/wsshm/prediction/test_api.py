"""`wsshm.load`: three lines from a model's folder to a matte, and frames one after another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch._dynamo.exc import TorchDynamoException

import wsshm
from tests.wsshm.prediction.echo import CARD, Echo, matter, picture
from wsshm.config import ModelConfig
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.models.checkpoint import card_of, load_model, save_model
from wsshm.models.network import MattingModel, MattingOutput, Network, build_model
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.matter import Matter
from wsshm.prediction.protocols import Short


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config)
    out = tmp_path_factory.mktemp("run") / "model"
    out.mkdir()
    save_model(out, model.state_dict(), card_of(model, config, "none", 64, "joint"))
    return out


def test_three_lines_matte_arrays_pictures_and_paths(folder, tmp_path):
    image = picture(70, 90)
    matter = wsshm.load(folder.parent, device="cpu")  # OUT of `wsshm train`
    matte = matter(image)
    assert matte.shape == (70, 90)
    assert matte.dtype == np.float32
    assert np.array_equal(matte, predict_matte(load_model(folder)[0], image, Short(64)).matte)
    path = write_png(tmp_path / "p.png", image)
    for other in (Image.fromarray(image), path, str(path)):
        assert np.array_equal(matter(other), matte)
    assert wsshm.load(str(folder), device="cpu", protocol="native")(image).shape == (70, 90)


def test_the_lines_of_the_readme_run(folder, tmp_path, monkeypatch):
    text = (Path(wsshm.__file__).parent / "README.md").read_text()
    [code] = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "wsshm.load(" in block]
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "model").symlink_to(folder)
    Image.fromarray(picture(70, 90)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {"frames": [picture(50, 60)] * 3}
    exec(code, names)
    assert names["matte"].shape == (50, 60)


def test_importing_the_package_imports_no_torch():
    code = "import sys, wsshm, wsshm.prediction.cli; assert wsshm.load; assert not {'torch', 'ray', 'av'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(UserError, match="is no picture; give H x W x 3"):
        matter()(array)


def test_a_turned_picture_is_turned_upright(tmp_path):
    image = picture(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(image))).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        assert np.array_equal(matter()(turned), matter()(image))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_are_near(folder, precision):
    image = picture(64, 64)
    exact = wsshm.load(folder, device="cpu")(image)
    near = wsshm.load(folder, device="cpu", precision=precision)(image)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.05


class OneLayer(Network):
    """A network that compiles quickly."""

    stride = 32

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.layer = torch.nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images):
        maps = self.layer(images).tanh()
        return MattingOutput(maps[:, :1], maps[:, 1:])


@pytest.mark.slow
def test_a_compiled_network_answers_the_same():
    network = MattingModel(OneLayer(), (0.5,) * 3, (0.5,) * 3)
    image, frames = picture(64, 64), [picture(64, 96)] * 2
    exact, compiled = (Matter(network, CARD, device="cpu", engine=engine) for engine in ("eager", "compile"))
    np.testing.assert_allclose(compiled(image), exact(image), atol=1e-5)
    for found, wanted in zip(compiled.frames(frames), exact.frames(frames), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_keeps_a_network_from_being_compiled_is_one_sentence(monkeypatch):
    def no_compiler(images):
        raise TorchDynamoException("InvalidCxxCompiler: no working C++ compiler found\nand so on")

    monkeypatch.setattr(torch, "compile", lambda model: no_compiler)
    with pytest.raises(
        UserError, match=r"cannot compile this network here \(.*no working C\+\+.*leave out --engine compile"
    ):
        matter(engine="compile")(picture(32, 32))


class Counting(Network):
    """Answers with the number of the frame, which its state carries."""

    stride = 32

    def __init__(self):
        torch.nn.Module.__init__(self)

    def forward(self, images):
        return self.step(images, ())[0]

    def step(self, frames, state):
        count = state[0] + 1 if state else torch.zeros(1)
        logits = (frames[:, :1] * 0 + count / 10).logit()
        return MattingOutput(logits, logits), (count,)


def counted(matter, frames):
    return [round(float(matte.mean()) * 10, 3) for matte in matter.frames(frames)]


@pytest.mark.parametrize("options", [{}, {"tile": 128}, {"protocol": "p3m-hybrid"}, {"batch": 4}])
def test_a_recurrent_network_remembers_until_the_size_changes(options):
    recurrent = Matter(MattingModel(Counting(), (0.0,) * 3, (1.0,) * 3), CARD, device="cpu", **options)
    frames = [picture(200, 160)] * 4 + [picture(160, 200)] * 2
    assert counted(recurrent, frames) == [0, 1, 2, 3, 0, 1]
    assert counted(recurrent, frames[:2]) == [0, 1]  # a new stream begins anew
    assert round(float(recurrent(frames[0]).mean()), 3) == 0  # and so does a still


def test_frames_of_others_go_together_and_come_in_order():
    network, frames = Echo(), [picture(32, 32) for _ in range(5)] + [picture(64, 32)]
    found = list(matter(network, batch=2).frames(frames))
    assert [shape[0] for shape in network.calls] == [2, 2, 1, 1]
    for frame, matte in zip(frames, found, strict=True):
        np.testing.assert_allclose(matte, frame[..., 0] / 255, atol=1e-6)
