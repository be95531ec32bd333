"""`wsshm predict` of videos: alpha, time stamps, sound, turned phones, and files that are cut off."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.wsshm.prediction.echo import Echo, matter, picture
from tests.wsshm.prediction.films import film, gif, moving, shown, sounds, turned
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.prediction import films, video
from wsshm.prediction.foreground import Background
from wsshm.prediction.layers import Options
from wsshm.prediction.video import matte_video

UNEVEN = [0, 40, 200, 240, 1000, 1040]


def options(kind, *write, **others):
    background = Background("blue", (0, 0, 255)) if "composite" in write else None
    return Options(write=write, video=kind, foreground="none", background=background, **others)


@pytest.mark.parametrize(("kind", "ending", "decoder"), [("prores", ".mov", None), ("webm", ".webm", "libvpx-vp9")])
def test_a_cutout_film_has_the_alpha_of_every_frame(tmp_path, kind, ending, decoder):
    source = film(tmp_path / "a.mp4", crf="1")
    done = matte_video(matter(), source, tmp_path / "a", options(kind, "cutout"))
    assert (done.frames, done.problem) == (6, "")
    seen, _ = shown(source)
    found, times = shown(tmp_path / f"a_cutout{ending}", "rgba", decoder)
    np.testing.assert_allclose(times, np.arange(6) / 25, atol=0.0011)
    for frame, made in zip(seen, found, strict=True):
        assert np.abs(made[..., 3].astype(int) - frame[..., 0]).mean() < 3  # Echo's matte is the red
        assert np.abs(made[2:8, :, :3].astype(int) - frame[2:8]).max() < 12


def test_opaque_stays_opaque(tmp_path):
    white = [np.full((48, 64, 3), 255, np.uint8)] * 2
    matte_video(
        matter(),
        film(tmp_path / "a.mkv", white, codec="ffv1", pixels="bgr0"),
        tmp_path / "a",
        options("prores", "cutout"),
    )
    found, _ = shown(tmp_path / "a_cutout.mov", "rgba64le")
    assert found[0][..., 3].min() >> 4 == 4095  # decoded to 12 bits


@pytest.mark.parametrize("kind", ["prores", "webm", "frames"])
def test_uneven_times_are_kept(tmp_path, kind):
    source = film(tmp_path / "a.mp4", times=UNEVEN)
    matte_video(matter(), source, tmp_path / "a", options(kind, "alpha", "cutout", "composite"))
    if kind == "frames":
        rows = list(csv.DictReader((tmp_path / "a" / "times.csv").read_text().splitlines()))
        assert [row["frame"] for row in rows] == [f"{i:06d}" for i in range(1, 7)]
        np.testing.assert_allclose([float(row["seconds"]) for row in rows], np.array(UNEVEN) / 1000, atol=1e-6)
        return
    files = list(tmp_path.glob("a_*"))
    assert len(files) == 3
    for file in files:
        np.testing.assert_allclose(shown(file)[1], np.array(UNEVEN) / 1000, atol=0.0011, err_msg=file.name)


def test_a_composite_film_shows_the_background(tmp_path):
    source = film(tmp_path / "a.mkv", moving(3, 47, 65), codec="ffv1", pixels="bgr0")
    matte_video(matter(), source, tmp_path / "a", options("prores", "composite"))
    found, _ = shown(tmp_path / "a_composite.mp4")
    frames, _ = shown(source)
    assert found[0].shape == (48, 66, 3)  # H.264 wants even sizes
    for frame, made in zip(frames, found, strict=True):
        alpha = frame[..., :1] / 255
        by_hand = alpha * frame + (1 - alpha) * np.array([0, 0, 255])
        inside = made[:47, :65].astype(float) - by_hand
        assert np.abs(inside[3:8, 3:-3]).max() < 12  # colours are as they were, whatever matrix is between
        assert np.abs(inside).mean() < 6


def test_pngs_are_named_as_evaluate_reads_them(tmp_path, command):
    source = film(tmp_path / "in" / "clip.mp4")
    code, out, err = command(tmp_path / "in", "--video", "frames", "--foreground", "none", "--protocol", "native")
    assert code == 0, err
    assert "1 of 1 videos matted" in out
    assert "clip.mp4: 6 frames in" in err
    assert "frames/s" in err
    folder = tmp_path / "out" / "clip"
    assert sorted(p.name for p in folder.glob("000001*")) == ["000001_alpha.png", "000001_cutout.png"]
    frames, _ = shown(source)
    for index, frame in enumerate(frames, 1):
        assert np.array_equal(np.asarray(Image.open(folder / f"{index:06d}_alpha.png")), frame[..., 0])


@pytest.mark.parametrize(
    ("source", "codec", "sound", "kind", "layer", "kept"),
    [
        ("a.mp4", "libx264", "aac", "prores", "cutout.mov", "aac"),
        ("a.mp4", "libx264", "aac", "webm", "cutout.webm", "opus"),
        ("a.mp4", "libx264", "aac", "webm", "composite.mp4", "aac"),
        ("a.webm", "libvpx-vp9", "libopus", "webm", "cutout.webm", "opus"),
        ("a.webm", "libvpx-vp9", "libopus", "prores", "cutout.mov", "pcm_s16le"),
        ("a.mov", "libx264", "pcm_s16le", "prores", "composite.mp4", "aac"),
    ],
)
def test_the_sound_goes_along(tmp_path, source, codec, sound, kind, layer, kept):
    path = film(tmp_path / source, codec=codec, sound=sound)
    write = (layer.partition(".")[0], "composite") if "composite" in layer else ("cutout",)
    matte_video(matter(), path, tmp_path / "out", options(kind, *dict.fromkeys(write)))
    [(name, seconds)] = sounds(tmp_path / f"out_{layer}")
    assert name == kept
    assert seconds == pytest.approx(sounds(path)[0][1], abs=0.05)


def test_a_phone_held_upright_gives_an_upright_film(tmp_path):
    source = turned(film(tmp_path / "a.mp4"))
    matte_video(matter(), source, tmp_path / "a", options("frames", "cutout"))
    first = np.asarray(Image.open(tmp_path / "a" / "000001_cutout.png"))
    assert first.shape == (64, 48, 4)
    stored, _ = shown(source)
    assert np.array_equal(first[..., :3], np.rot90(stored[0], -1))  # clockwise


def test_a_gif_is_a_video(tmp_path, command):
    gif(tmp_path / "in.gif")
    code, out, err = command(tmp_path / "in.gif", "--video", "webm", "--foreground", "none")
    assert (code, "1 of 1 videos" in out) == (0, True), err
    np.testing.assert_allclose(shown(tmp_path / "out" / "in_cutout.webm")[1], np.arange(6) / 10, atol=0.0011)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.webm"])
def test_a_film_that_is_cut_off_is_done_as_far_as_it_goes(tmp_path, command, name):
    frames = [np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8) for i in range(20)]
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    film(tmp_path / name, frames, codec=codec, movflags="faststart")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 6 // 10])
    for again in (False, True):  # kept, it is said again
        code, out, err = command(tmp_path / name, "--foreground", "none")
        assert code == 1, err
        assert f"{name} is cut off after 0." in err
        assert "of 0.80 s" in err
        assert "1 of 1 videos (1 in part) matted" in out
        assert ("kept" in out) == again
    assert 4 < len(shown(tmp_path / "out" / "a_cutout.mov")[0]) < 18


def test_what_is_no_film_is_one_sentence_and_the_rest_is_done(tmp_path, command):
    folder = tmp_path / "in"
    film(folder / "good.mp4")
    whole = film(tmp_path / "whole.mp4").read_bytes()
    (folder / "headless.mp4").write_bytes(whole[: len(whole) // 2])  # its index stands at the end
    (folder / "empty.mov").touch()
    (folder / "text.avi").write_text("no film\n" * 100)
    write_png(folder / "photo.png", picture(20, 30))
    with av.open(str(folder / "sound.mkv"), "w") as container:
        tone = container.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 48000
        container.mux(tone.encode(samples))
        container.mux(tone.encode(None))
    code, out, err = command(folder, "--foreground", "none")
    assert code == 1
    assert "1 of 1 pictures, 1 of 5 videos matted" in out
    lines = [line for line in err.splitlines() if line.startswith("error")]
    for line, said in zip(
        lines,
        [
            r"empty.mov cannot be read as a video",
            r"headless.mp4 cannot be read as a video",
            r"sound.mkv holds no video stream",
            r"text.avi cannot be read as a video",
        ],
        strict=True,
    ):
        assert said in line
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith((".", "empty", "headless", "text"))]


def test_no_half_film_is_left_under_its_name(tmp_path, monkeypatch):
    source = film(tmp_path / "a.mp4", moving(9))

    class Interrupted(Echo):
        def forward(self, images):
            if len(self.calls) == 7:
                raise KeyboardInterrupt
            return super().forward(images)

    for kind in ("prores", "frames"):
        with pytest.raises(KeyboardInterrupt):
            matte_video(matter(Interrupted()), source, tmp_path / kind / "a", options(kind, "cutout"))
        assert list((tmp_path / kind).iterdir()) == []

    def full(self, pixels, frame):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(films.Writer, "write", full)
    with pytest.raises(OSError, match="full"):
        matte_video(matter(), source, tmp_path / "full" / "a", options("prores", "cutout"))
    assert list((tmp_path / "full").iterdir()) == []


def test_frames_of_a_batch_are_those_of_one_by_one(tmp_path):
    source, network = film(tmp_path / "a.mp4"), Echo()
    for name, one in (("alone", matter()), ("four", matter(network, batch=4))):
        matte_video(one, source, tmp_path / name, options("frames", "alpha"))
    assert [shape[0] for shape in network.calls] == [4, 2]
    for file in (tmp_path / "alone").glob("*.png"):
        assert file.read_bytes() == (tmp_path / "four" / file.name).read_bytes()


def test_a_codec_that_is_missing_is_said(monkeypatch):
    kind = films.Kind(".mov", "mov", ("no_such_codec",), "rgba", {}, "aac", frozenset())
    with pytest.raises(UserError, match="can write none of no_such_codec; install PyAV"):
        kind.codec()
    assert films.COMPOSITE.codec() in films.COMPOSITE.codecs
    assert video.outputs_of(Path("o/a"), Options(video="frames")) == {"frames": Path("o/a")}
