"""Alpha, cut-out and composite: depths, colours, and which are written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from tests.wsshm.prediction.echo import picture
from wsshm.data.pictures import read_matte, write_png
from wsshm.prediction.foreground import Background, composite, foreground_of, parse_background
from wsshm.prediction.layers import Options, layers, quantised

RNG = np.random.default_rng(0)


def soft_disc(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.clip((side / 3 - np.hypot(y - side / 2, x - side / 2)) / 6 + 0.5, 0, 1).astype(np.float32)


def test_sixteen_bits_keep_what_eight_round_away(tmp_path, command, model):
    path = write_png(tmp_path / "p.png", picture(128, 128))  # halved, so that values lie between those of 8 bits
    assert command(path, "--alpha", 16, "--write", "alpha", "--foreground", "none")[0] == 0
    alpha = np.asarray(Image.open(tmp_path / "out" / "p_alpha.png"))
    assert alpha.dtype in (np.uint16, np.int32)
    assert (alpha % 257 != 0).any()
    expected = alpha / 65535
    assert command(path, "--write", "alpha", "--foreground", "none")[0] == 0
    assert np.abs(read_matte(tmp_path / "out" / "p_alpha.png") - expected).max() <= 0.5 / 255 + 0.5 / 65535 + 1e-7


@pytest.mark.slow
def test_estimated_colours_show_no_background():
    matte = soft_disc(48)
    person, behind = np.array([220, 40, 60]), np.array([20, 200, 30])
    image = np.rint(matte[..., None] * person + (1 - matte[..., None]) * behind).astype(np.uint8)
    kept, estimated = foreground_of(image, matte, "none"), foreground_of(image, matte, "multilevel")
    edge = (matte > 0.3) & (matte < 0.9)
    assert np.array_equal(kept, image)
    assert np.abs(estimated[edge] - person).max() < 25 < np.abs(kept[edge] - person).max()
    assert np.array_equal(estimated[matte == 1], image[matte == 1])
    assert np.array_equal(estimated, foreground_of(image, matte, "multilevel"))


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 1)])
def test_a_few_pixels_have_colours_too(size, value):
    image = np.full((*size, 3), 90, np.uint8)
    assert (foreground_of(image, np.full(size, value, np.float32), "multilevel") == 90).all()


def test_a_composite_is_the_blend_of_its_parts(tmp_path, command):
    image = picture(40, 60)
    path = write_png(tmp_path / "p.png", image)
    code, _, err = command(path, "--background", "#0a6450", "--foreground", "none", "--protocol", "native")
    assert code == 0, err
    alpha = (image[..., :1] / 255).astype(np.float32)
    by_hand = alpha * image + (1 - alpha) * np.array([0x0A, 0x64, 0x50])
    made = np.asarray(Image.open(tmp_path / "out" / "p_composite.png"))
    assert np.abs(made - by_hand).max() <= 0.51
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {"p_alpha.png", "p_cutout.png", "p_composite.png"}


def test_a_background_picture_covers_the_frame(tmp_path):
    wide = np.zeros((20, 80, 3), np.uint8)
    wide[:, 30:50] = 200  # the square in its middle
    background = parse_background(str(write_png(tmp_path / "b.png", wide)))
    assert background.at(40, 40).shape == (40, 40, 3)
    assert (background.at(40, 40)[:, 2:-2] == 200).all()
    assert parse_background("green") == Background("green", colour=(0, 128, 0))
    assert (composite(wide, np.zeros((20, 80), np.float32), background.at(20, 80)) == wide).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--background", "grren"], "'grren' is neither a colour nor a picture.*'#00b140'"),
        (["--background", "gone.jpg"], "no picture at gone.jpg for --background"),
        (["--write", "composite"], "--write composite needs something.*--background"),
        (["--write", "alpha", "--background", "green"], "--background is for composites"),
        (
            ["--write", "alpa"],
            "--write takes alpha, cutout, composite, not 'alpa'; the nearest valid choice is 'alpha'",
        ),
        (["--foreground", "closed-form"], "--foreground takes multilevel, none"),
        (["--video", "avi"], "--video takes prores, webm, frames"),
        (["--alpha", "12"], "--alpha takes 8 or 16 bits"),
        (["--precision", "fp8"], "no precision 'fp8'; write fp32, bf16, fp16"),
        (["--engine", "onnx"], "no engine 'onnx'; write eager, compile"),
    ],
)
def test_a_choice_that_cannot_be_is_one_sentence(command, tmp_path, given, said):
    path = write_png(tmp_path / "p.png", picture(20, 30))
    code, _, err = command(path, *given)
    assert code == 2
    [line] = err.splitlines()
    assert re.search(said, line), line
    assert not (tmp_path / "out").exists()


def test_only_what_is_asked_for_is_made():
    image, matte = picture(20, 30), RNG.random((20, 30), np.float32)
    for write in (("alpha",), ("cutout",), ("alpha", "composite")):
        options = Options(write=write, background=Background("x", (1, 2, 3)) if "composite" in write else None)
        assert tuple(layers(image, matte, options.layers(), options)) == write
    assert Options().layers() == ("alpha", "cutout")
    assert Options().layers(film=True) == ("cutout",)
    assert Options(background=Background("x", (1, 2, 3))).layers(film=True) == ("cutout", "composite")
    assert quantised(np.array([0, 0.5, 1], np.float32), 16).tolist() == [0, 32768, 65535]
