"""`wsshm predict` of photos: what is read, what is written, and what is said of the rest."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from tests.wsshm.prediction.echo import Lost, Starved, matter, picture
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.prediction.inputs import Input, find_inputs, plan_outputs
from wsshm.prediction.layers import Options
from wsshm.prediction.run import predict_inputs, targets_of

PLAIN = Options(foreground="none")


def inputs(*paths):
    return [Input(path) for path in paths]


def test_inputs_are_found_once_and_must_exist(tmp_path):
    for name in ("b.png", "a.jpg"):
        Image.fromarray(picture(8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    found = find_inputs([tmp_path / "b.png", tmp_path])
    assert [one.path for one in found.found] == [tmp_path / "b.png", tmp_path / "a.jpg"]
    assert found.left_out == [tmp_path / "notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        find_inputs([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"no picture, video or folder at .*gone"):
        find_inputs([tmp_path, tmp_path / "gone"])
    with pytest.raises(UserError, match=r"no picture or video matches .*\*\.webp"):
        find_inputs([tmp_path / "*.webp"])


def test_pictures_that_share_a_stem_keep_their_endings(tmp_path):
    given = inputs(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "x" / "a.jpg")
    assert [base.name for base in plan_outputs(given, tmp_path / "out").values()] == ["a.png", "b", "a.jpg"]


def test_outputs_must_not_collide(tmp_path):
    with pytest.raises(UserError, match=r"both write a\.png_alpha\.png"):
        plan_outputs(inputs(tmp_path / "a.png", tmp_path / "x" / "a.png"), tmp_path)
    with pytest.raises(UserError, match=r"both write a\.png_alpha\.png"):
        plan_outputs(inputs(tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "a.png.png"), tmp_path)
    with pytest.raises(UserError, match=r"a_alpha\.png is an input and would be overwritten"):
        targets_of(inputs(tmp_path / "a.png", tmp_path / "a_alpha.png"), tmp_path, PLAIN)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; --out must name a folder"):
        plan_outputs(inputs(tmp_path / "a.png"), tmp_path / "file")


def test_folders_below_keep_their_places(tmp_path, command):
    for name in ("in/a.png", "in/one/a.png", "in/two/deep/a.png", "in/.hidden/a.png", "in/mattes/old.png"):
        write_png(tmp_path / name, picture(20, 30))
    (tmp_path / "in" / "one" / "notes.txt").touch()
    code, out, err = command(tmp_path / "in", "--recursive", out="in/mattes")
    assert (code, "3 of 3 pictures" in out) == (0, True), out + err
    assert "1 other file (notes.txt)" in err
    found = sorted(p.relative_to(tmp_path / "in/mattes").as_posix() for p in (tmp_path / "in/mattes").rglob("*_alpha*"))
    assert found == ["a_alpha.png", "one/a_alpha.png", "two/deep/a_alpha.png"]
    code, out, _ = command(tmp_path / "in" / "**" / "a.png", out="globbed")
    assert (code, "3 of 3 pictures" in out) == (0, True)
    assert (tmp_path / "globbed" / "two" / "deep" / "a_cutout.png").is_file()


def test_alpha_is_rounded_and_the_cutout_keeps_the_colours_if_told_to(tmp_path):
    image = picture(20, 30)
    path = write_png(tmp_path / "p.png", image)
    assert predict_inputs(matter(), inputs(path), tmp_path / "out", PLAIN).failures == {}
    alpha = np.asarray(Image.open(tmp_path / "out" / "p_alpha.png"))
    np.testing.assert_array_equal(alpha, image[..., 0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "p_cutout.png")), np.dstack([image, alpha]))


def test_too_little_memory_names_the_picture_and_the_remedy(tmp_path):
    path = write_png(tmp_path / "p.png", picture(20, 30))
    with pytest.raises(UserError, match=r"p\.png \(30 x 20\) at native .* short512"):
        predict_inputs(matter(Starved()), inputs(path), tmp_path / "out", PLAIN)


def test_a_model_that_answers_with_nan_writes_nothing(tmp_path):
    path = write_png(tmp_path / "p.png", picture(20, 30))
    with pytest.raises(UserError, match=r"answers with NaN for .*p\.png.*train it again"):
        predict_inputs(matter(Lost()), inputs(path), tmp_path / "out", PLAIN)
    assert not (tmp_path / "out").exists()


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
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b_alpha.png", "b_cutout.png", "predicted.json"]


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
        code, _, err = command(tmp_path / "in", "--write", "alpha", *(["--protocol", protocol] if protocol else []))
        assert (code, "warning" in err) == (0, False), protocol
    for protocol, said in (("short96", "side of 96 px"), ("short42", "of 42 px"), ("native", "200 to 300 px (2 of 3 ")):
        code, _, err = command(tmp_path / "in", "--write", "alpha", "--protocol", protocol)
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
