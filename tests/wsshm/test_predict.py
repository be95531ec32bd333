import os
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from wsshm.__main__ import main
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.models import checkpoint
from wsshm.predict import Protocol, find_inputs, parse_protocol, pick_device, plan_outputs, predict_files, predict_matte

RNG = np.random.default_rng(3)


class Output(NamedTuple):
    matte: torch.Tensor
    boundary: torch.Tensor


class Echo(torch.nn.Module):
    """Answers with the input's red as matte and green as boundary, and remembers what it was given."""

    stride = 32

    def forward(self, images):
        self.seen = images
        return Output(images[:, :1], images[:, 1:2])


class Starved(torch.nn.Module):
    stride = 32

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
    found = find_inputs([tmp_path / "b.png", tmp_path])
    assert found.pictures == [tmp_path / "b.png", tmp_path / "a.jpg"]
    assert found.left_out == [tmp_path / "notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        find_inputs([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"no picture or folder at .*gone"):
        find_inputs([tmp_path, tmp_path / "gone"])


def test_pictures_that_share_a_stem_keep_their_endings(tmp_path):
    outputs = plan_outputs([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "x" / "a.jpg"], tmp_path / "out")
    assert [alpha.name for alpha, _ in outputs.values()] == ["a.png_alpha.png", "b_alpha.png", "a.jpg_alpha.png"]
    assert [cutout.name for _, cutout in outputs.values()] == ["a.png_cutout.png", "b_cutout.png", "a.jpg_cutout.png"]


def test_outputs_must_not_collide(tmp_path):
    with pytest.raises(UserError, match=r"both write a\.png_alpha\.png"):
        plan_outputs([tmp_path / "a.png", tmp_path / "x" / "a.png"], tmp_path)
    with pytest.raises(UserError, match=r"both write a\.png_alpha\.png"):
        plan_outputs([tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "a.png.png"], tmp_path)
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


CARD = checkpoint.ModelCard("unet", "echo", {}, "none", [0.5] * 3, [0.5] * 3, size=64)


class Lost(torch.nn.Module):
    stride = 32

    def forward(self, images):
        return Output(images[:, :1] * torch.nan, images[:, 1:2])


def test_a_model_that_answers_with_nan_writes_nothing(tmp_path):
    path = write_png(tmp_path / "p.png", picture(20, 30))
    with pytest.raises(UserError, match=r"answers with NaN for .*p\.png.*train it again"):
        predict_files(Lost(), [path], tmp_path / "out", protocol=Protocol(), device="cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("side", "height", "width"), [(128, 2, 3200), (128, 2000, 2), (512, 300, 6000), (2048, 200, 1000)]
)
def test_a_strip_is_not_enlarged_without_bounds(side, height, width):
    with pytest.raises(UserError, match=rf"{width} x {height} px would be enlarged to .* at short{side}.*native"):
        predict_matte(Echo(), np.zeros((height, width, 3), np.uint8), short_side=side, device="cpu")


def test_usual_shapes_are_enlarged_and_strips_are_shrunk():
    assert Protocol(2048).size(500, 2000) == (2048, 8192)
    assert Protocol(128).size(100, 20000) == (128, 25600)
    assert Protocol(512).size(600, 60000) == (512, 51200)
    assert Protocol(None).size(2, 3200) == (2, 3200)


@pytest.fixture
def model():
    return Echo()


@pytest.fixture
def command(model, monkeypatch, tmp_path, capsys):
    """Runs `wsshm predict` with `model`, trained at 64 px; returns (exit status, stdout, stderr)."""
    monkeypatch.setattr(checkpoint, "load_model", lambda folder: (model, CARD))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / checkpoint.CARD).touch()  # what it holds is not looked at here

    def run(*arguments):
        words = [
            "wsshm",
            "predict",
            str(folder),
            *map(str, arguments),
            "--out",
            str(tmp_path / "out"),
            "--device",
            "cpu",
        ]
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


def test_a_protocol_far_from_the_trained_size_warns_in_one_line(command, tmp_path):
    (tmp_path / "in").mkdir()
    for name, side in (("a", 64), ("b", 200), ("c", 300)):
        write_png(tmp_path / "in" / f"{name}.png", picture(side, 400))
    for protocol in ("short64", "short95", "short43", None):
        code, _, err = command(tmp_path / "in", *(["--protocol", protocol] if protocol else []))
        assert (code, "warning" in err) == (0, False), protocol
    for protocol, said in (("short96", "side of 96 px"), ("short42", "of 42 px"), ("native", "200 to 300 px (2 of 3 ")):
        code, _, err = command(tmp_path / "in", "--protocol", protocol)
        assert code == 0
        [line] = [line for line in err.splitlines() if line.startswith("warning")]
        assert "trained at 64 px" in line
        assert said in line
        assert "--protocol short64" in line


def test_a_folder_of_odd_things_is_matted_as_far_as_it_can_be_and_the_rest_is_named(command, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    image = picture(20, 30)
    for name in ("same.jpg", "same.png", "UPPER.JPG"):
        Image.fromarray(image).save(folder / name)
    Image.fromarray(image).save(folder / os.fsdecode(b"caf\xe9.png"))
    write_png(folder / "strip.png", np.zeros((2, 3200, 3), np.uint8))
    (folder / ("n" * 245 + ".png")).write_bytes((folder / "same.png").read_bytes())
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    for name in ("a.heic", "b.AVIF", "notes.txt", ".hidden", "\x1b[2J.txt"):
        (folder / name).touch()
    code, out, err = command(folder)
    assert code == 1
    assert "out: 4 of 8 pictures matted" in out
    assert "1 folder (sub), 2 files of a format that is not read (a.heic, b.AVIF), 2 other files (" in err
    for said in (
        "strip.png: a picture of 3200 x 2 px",
        "loop.png cannot be read",
        "pipe.png cannot",
        "too long a name",
    ):
        assert said in err, said
    assert "\x1b" not in err
    written = {os.fsencode(p.name) for p in (tmp_path / "out").iterdir() if p.name.endswith("_alpha.png")}
    assert written == {b"same.jpg_alpha.png", b"same.png_alpha.png", b"UPPER_alpha.png", b"caf\xe9_alpha.png"}
