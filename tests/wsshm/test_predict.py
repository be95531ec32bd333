from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from wsshm import checkpoint
from wsshm.__main__ import main
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.predict import Protocol, find_inputs, parse_protocol, pick_device, plan_outputs, predict_files, predict_matte

RNG = np.random.default_rng(3)


class Output(NamedTuple):
    matte: torch.Tensor
    boundary: torch.Tensor


class Echo(torch.nn.Module):
    """Answers with the input's red as matte and green as boundary, and remembers what it was given."""

    def forward(self, images):
        self.seen = images
        return Output(images[:, :1], images[:, 1:2])


class Starved(torch.nn.Module):
    def forward(self, images):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte")


def picture(height, width):
    small = RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def test_native_pads_by_reflection_and_returns_the_same_pixels():
    image, model = picture(40, 70), Echo()
    prediction = predict_matte(model, image, short_side=None, device="cpu")
    assert model.seen.shape == (1, 3, 64, 96)
    reference = np.pad(image, ((0, 24), (0, 26), (0, 0)), mode="reflect").transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(model.seen[0].numpy(), reference, atol=1e-7)
    assert prediction.matte.dtype == prediction.boundary.dtype == np.float32
    np.testing.assert_allclose(prediction.matte, image[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(prediction.boundary, image[..., 1] / 255, atol=1e-6)


def test_shrinking_averages_areas_and_comes_back_bilinearly():
    image, model = picture(128, 192), Echo()
    prediction = predict_matte(model, image, short_side=64, device="cpu")
    assert model.seen.shape == (1, 3, 64, 96)
    means = image.reshape(64, 2, 96, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(model.seen[0].permute(1, 2, 0).numpy() * 255, means, atol=0.51)
    back = torch.nn.functional.interpolate(model.seen[:, :1], (128, 192), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(prediction.matte, back[0, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(33, 200), (200, 33), (1, 1), (31, 1000)])
def test_any_shape_keeps_its_size_and_range(height, width):
    for short_side in (None, 32):
        prediction = predict_matte(Echo(), picture(height, width), short_side=short_side, device="cpu")
        assert prediction.matte.shape == prediction.boundary.shape == (height, width)
        assert 0 <= prediction.matte.min() <= prediction.matte.max() <= 1


def test_protocol_names():
    assert parse_protocol("native") == Protocol(None)
    assert parse_protocol("short128") == Protocol(128)
    assert [str(Protocol(None)), str(Protocol(512))] == ["native", "short512"]
    assert Protocol(100).size(300, 200) == (150, 100)
    for wrong in ("short", "short8", "long512", "512", "short-64"):
        with pytest.raises(UserError, match=f"no protocol '{wrong}'.*short512"):
            parse_protocol(wrong)


def test_unknown_device_is_one_sentence():
    assert pick_device("cpu").type == "cpu"
    for wrong in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=wrong):
            pick_device(wrong)


def test_inputs_are_found_once_and_must_exist(tmp_path):
    for name in ("b.png", "a.jpg"):
        Image.fromarray(picture(8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    assert find_inputs([tmp_path / "b.png", tmp_path]) == [tmp_path / "b.png", tmp_path / "a.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        find_inputs([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"no picture or folder at .*gone"):
        find_inputs([tmp_path, tmp_path / "gone"])


def test_outputs_must_not_collide(tmp_path):
    with pytest.raises(UserError, match=r"both write a_alpha\.png"):
        plan_outputs([tmp_path / "a.png", tmp_path / "x" / "a.jpg"], tmp_path)
    with pytest.raises(UserError, match=r"a_alpha\.png is an input"):
        plan_outputs([tmp_path / "a.png", tmp_path / "a_alpha.png"], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file"):
        plan_outputs([tmp_path / "a.png"], tmp_path / "file")


def test_files_hold_alpha_and_the_photos_own_colours(tmp_path):
    image = picture(20, 30)
    path = write_png(tmp_path / "p.png", image)
    assert predict_files(Echo(), [path], tmp_path / "out", protocol=Protocol(), device="cpu") == []
    alpha = np.asarray(Image.open(tmp_path / "out" / "p_alpha.png"))
    np.testing.assert_array_equal(alpha, image[..., 0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "p_cutout.png")), np.dstack([image, alpha]))


def test_too_little_memory_names_the_picture_and_the_remedy(tmp_path):
    path = write_png(tmp_path / "p.png", picture(20, 30))
    with pytest.raises(UserError, match=r"p\.png \(30 x 20\) at native .* short512"):
        predict_files(Starved(), [path], tmp_path / "out", protocol=Protocol(), device="cpu")


@pytest.fixture
def model():
    return Echo()


@pytest.fixture
def command(model, monkeypatch, tmp_path, capsys):
    """Runs `wsshm predict` with `model`, trained at 64 px; returns (exit status, stdout, stderr)."""
    monkeypatch.setattr(checkpoint, "load_model", lambda folder: (model, SimpleNamespace(size=64)))

    def run(*arguments):
        words = ["wsshm", "predict", "MODEL", *map(str, arguments), "--out", str(tmp_path / "out"), "--device", "cpu"]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run


def test_command_uses_the_training_size_unless_told(command, model, tmp_path):
    path = write_png(tmp_path / "p.png", picture(128, 192))
    assert command(path)[0] == 0
    assert model.seen.shape == (1, 3, 64, 96)
    assert command(path, "--protocol", "native")[0] == 0
    assert model.seen.shape == (1, 3, 128, 192)


def test_broken_picture_is_named_and_the_rest_is_finished(command, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"broken")
    write_png(tmp_path / "in" / "b.png", picture(20, 30))
    code, out, err = command(tmp_path / "in")
    assert code == 1
    assert "a.png is not a readable picture" in err
    assert "1 of 2 pictures" in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b_alpha.png", "b_cutout.png"]


def test_a_missing_input_stops_before_anything_is_written(command, tmp_path):
    path = write_png(tmp_path / "p.png", picture(20, 30))
    code, _, err = command(path, tmp_path / "gone.jpg")
    assert code == 2
    assert "gone.jpg" in err
    assert not (tmp_path / "out").exists()
