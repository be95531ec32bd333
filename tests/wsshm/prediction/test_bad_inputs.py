"""Odd and broken inputs: matted where they can be, else one sentence each, and the rest is done."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from typer.testing import CliRunner

from sweeps.door import app
from tests.wsshm.prediction.echo import picture
from wsshm.config import ModelConfig
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.models.checkpoint import WEIGHTS, card_of, save_model
from wsshm.models.network import build_model
from wsshm.prediction.inputs import read_photo

HEIC = b"\0\0\0\x18ftypheic" + bytes(100)


def test_odd_photos_are_matted_and_broken_ones_named(command, tmp_path):
    folder, image = tmp_path / "in", picture(20, 30)
    folder.mkdir()
    write_png(folder / "one.png", image[:1, :1])
    write_png(folder / "grey.png", image[..., 0])
    write_png(folder / "deep.png", image.astype(np.uint16) * 257)
    Image.fromarray(image).convert("CMYK").save(folder / "inks.jpg")
    for name, content in {"empty.jpg": b"", "broken.png": b"no picture", "phone.jpg": HEIC}.items():
        (folder / name).write_bytes(content)
    code, out, err = command(folder, "--background", "white")
    assert code == 1
    assert "4 of 7 pictures matted" in out
    lines = [line for line in err.splitlines() if line.startswith("error")]
    said = (
        "broken.png is not a readable",
        "empty.jpg is not a readable",
        "phone.jpg is a HEIC.*pip install pillow-heif",
    )
    for line, pattern in zip(lines, said, strict=True):
        assert re.search(pattern, line), line
    for name, size in (("one", (1, 1)), ("grey", (20, 30)), ("deep", (20, 30)), ("inks", (20, 30))):
        for layer, channels in (("alpha", ()), ("cutout", (4,)), ("composite", (3,))):
            assert np.asarray(Image.open(tmp_path / "out" / f"{name}_{layer}.png")).shape == (*size, *channels)
    deep, grey = (np.asarray(Image.open(tmp_path / "out" / f"{n}_cutout.png")) for n in ("deep", "grey"))
    assert np.ptp(grey[..., :3], axis=2).max() <= 1  # grey stays grey
    assert deep[..., :3].max() > 100


def test_heic_needs_a_package_that_may_be_there(tmp_path, monkeypatch):
    path = tmp_path / "a.heic"
    path.write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with pytest.raises(UserError, match="a HEIC picture; pip install pillow-heif to read it, or save it as JPG"):
        read_photo(path)

    class Installed:
        @staticmethod
        def open_heif(path):
            assert path.name == "a.heic"
            return Image.fromarray(picture(20, 30))

    monkeypatch.setitem(sys.modules, "pillow_heif", Installed)
    assert read_photo(path).shape == (20, 30, 3)


@pytest.fixture
def saved(tmp_path):
    """A model's folder, and a photo."""
    torch.manual_seed(0)
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config)
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(folder, model.state_dict(), card_of(model, config, "none", 64, "joint"))
    write_png(tmp_path / "photo.png", picture(64, 64))
    return folder


def refusal(model: Path, tmp_path: Path) -> str:
    """What `wsshm predict` says of a MODEL that it refuses; nothing is written."""
    done = CliRunner().invoke(app, ["predict", str(model), str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UserError), done.exception
    assert not (tmp_path / "out").exists()
    return str(done.exception)


@pytest.mark.parametrize("name", ["model.pth", "net.pt", "last.CKPT"])
def test_a_pickle_is_refused_unread(saved, tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    torch.save(Bomb(), tmp_path / name)
    said = refusal(tmp_path / name, tmp_path)
    assert "is a pickle" in said
    assert "can run code" in said
    assert WEIGHTS in said
    assert not (tmp_path / "exploded").exists()


def test_another_file_is_told_what_to_give(saved, tmp_path):
    assert "is a file; give the folder" in refusal(saved / WEIGHTS, tmp_path)


def test_corrupt_weights_are_named(saved, tmp_path):
    content = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(content[: len(content) // 2])
    assert re.search(r"model\.safetensors was altered.*train it again, or copy it again", refusal(saved, tmp_path))


def test_weights_of_another_architecture_say_which_keys_differ(saved, tmp_path):
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    state = safetensors.torch.load_file(saved / WEIGHTS)
    other = {f"other.{key}" if "encoder" not in key else key: value for key, value in state.items()}
    save_model(saved, other, card_of(build_model(config), config, "none", 64, "joint"))
    said = refusal(saved, tmp_path)
    assert "do not fit the network" in said
    assert re.search(r"\d+ missing: .*; \d+ unknown: other\.", said)
    assert len(said) < 700
