"""A rerun goes on where the run before it stopped; batches, and threads that work ahead."""

from __future__ import annotations

import itertools
import os
import threading

import pytest
import torch

from tests.wsshm.prediction.echo import Echo, matter, picture
from wsshm.data.pictures import write_png
from wsshm.prediction import photos
from wsshm.prediction.inputs import Input
from wsshm.prediction.layers import Options
from wsshm.prediction.pipeline import in_order, made_ahead
from wsshm.prediction.run import predict_inputs

PLAIN = Options(foreground="none")


@pytest.fixture
def three(tmp_path):
    return [write_png(tmp_path / f"{name}.png", picture(20, 30)) for name in "abc"]


def test_what_is_there_is_kept(three, command, model, tmp_path):
    assert "3 of 3 pictures matted\n" in command(*three)[1]
    assert len(model.calls) == 3
    code, out, _ = command(*three)
    assert (code, len(model.calls)) == (0, 3)
    assert "3 of 3 pictures matted (3 of them before, kept; --overwrite" in out
    command(*three, "--overwrite")
    assert len(model.calls) == 6
    (tmp_path / "out" / "b_alpha.png").unlink()
    assert "(2 of them before" in command(*three)[1]
    write_png(three[0], picture(21, 30))
    os.utime(three[1], ns=(0, 0))
    assert "(1 of them before" in command(*three)[1]
    assert len(model.calls) == 9


@pytest.mark.parametrize(
    "options", [["--protocol", "native"], ["--alpha", "16"], ["--background", "red"], ["--tile", 64]]
)
def test_other_options_make_it_again(three, command, model, options):
    command(three[0])
    command(three[0], *options)
    assert len(model.calls) >= 2
    command(three[0], *options)
    assert "kept" in command(three[0], *options)[1]


def test_another_model_makes_it_again(three, command, model):
    command(three[0])
    model.register_buffer("weight", torch.ones(3))
    command(three[0])
    assert len(model.calls) == 2


def test_a_damaged_record_is_as_none(three, command, model, tmp_path):
    command(three[0])
    (tmp_path / "out" / "predicted.json").write_text("[[")
    assert command(three[0])[0] == 0
    assert len(model.calls) == 2


def test_interrupted_it_keeps_what_is_done(tmp_path, monkeypatch):
    class Interrupted(Echo):
        def forward(self, images):
            if len(self.calls) == 15:
                raise KeyboardInterrupt
            return super().forward(images)

    monkeypatch.setattr(photos, "usable_cores", lambda: 2)
    given = [Input(write_png(tmp_path / f"{index}.png", picture(20, 30))) for index in range(20)]
    with pytest.raises(KeyboardInterrupt):
        predict_inputs(matter(Interrupted()), given, tmp_path / "out", PLAIN)
    network = Echo()
    summary = predict_inputs(matter(network), given, tmp_path / "out", PLAIN)
    assert summary.kept == 20 - len(network.calls)
    assert 15 >= summary.kept >= 15 - 6  # those that were in the writers' hands are not noted yet
    assert len(list((tmp_path / "out").glob("*_alpha.png"))) == 20
    assert not list((tmp_path / "out").glob(".writing*"))


def test_pictures_of_one_input_size_go_together(tmp_path):
    sizes = [(64, 64), (64, 96), (128, 128), (64, 64), (32, 48), (40, 40), (64, 64)]
    paths = [write_png(tmp_path / f"{i}.png", picture(*size)) for i, size in enumerate(sizes)]
    alone, together = Echo(), Echo()
    for network, batch, out in ((alone, 1, "alone"), (together, 3, "together")):
        found = matter(network, "short64", batch=batch)
        assert not predict_inputs(found, [Input(p) for p in paths], tmp_path / out, PLAIN).failures
    assert sorted(together.calls) == [(2, 3, 64, 64), (2, 3, 64, 96), (3, 3, 64, 64)]
    for path in paths:
        name = f"{path.stem}_alpha.png"
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "together" / name).read_bytes()


def test_few_pictures_wait_for_others_of_their_size(tmp_path):
    given = [photos.Photo(Input(tmp_path), tmp_path, picture(32 * i, 32), ((32 * i, 32),)) for i in range(1, 30)]
    taken = 0

    def counted():
        nonlocal taken
        for taken, photo in enumerate(given, 1):  # noqa: B007
            yield photo

    for done, _ in enumerate(photos._matted(matter(batch=2), counted()), 1):
        assert taken - done <= photos.WAITING * 2


def test_threads_keep_the_order_and_their_distance():
    begun, lock = set(), threading.Lock()

    def work(item):
        with lock:
            begun.add(item)
        return item * 2

    made = in_order(work, itertools.count(), threads=3, ahead=5)
    for index in range(50):
        assert next(made) == 2 * index
        assert max(begun) <= index + 5
    made.close()


def test_what_a_thread_raises_is_raised_here():
    def work(item):
        if item == 3:
            raise ValueError("three")
        return item

    made = in_order(work, range(10), 2, 4)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(made)

    def broken():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(made_ahead(broken(), 3))
    assert list(made_ahead(iter("abc"), 2)) == ["a", "b", "c"]
