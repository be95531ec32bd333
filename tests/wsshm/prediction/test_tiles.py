"""Tiles: they cover a picture, and where a network sees no further than the margin, they answer as the whole does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.wsshm.prediction.echo import Echo, Output, matter, picture
from wsshm.prediction import tiles
from wsshm.prediction.forward import Forward
from wsshm.prediction.tiles import Memory, in_tiles, spans


class Blur(Echo):
    """Averages over a square: sees `reach` px around a pixel, and zeros beyond the edge of what it is shown."""

    reach = 8

    def forward(self, images):
        self.calls.append(tuple(images.shape))
        side = 2 * self.reach + 1
        rows = F.avg_pool2d(images, (side, 1), 1, (self.reach, 0))
        blurred = F.avg_pool2d(rows, (1, side), 1, (0, self.reach))
        return Output(blurred[:, :1], blurred[:, 1:2])


class Wide(Blur):
    reach = 24


class Mean(Echo):
    """Sees all that it is shown: the worst that can happen to tiles."""

    def forward(self, images):
        mean = images.mean((2, 3), keepdim=True).expand_as(images)
        return Output(mean[:, :1], mean[:, 1:2])


@given(st.integers(1, 60), st.integers(1, 600), st.sampled_from([16, 32, 64]))
def test_tiles_cover_a_side_and_overlap(cells, tile, stride):
    side = cells * stride
    found = spans(side, tile, stride)
    assert found[0][0] == 0
    assert found[-1][1] == side
    assert all(begin % stride == end % stride == 0 for begin, end in found)
    assert all(end - begin <= max(tile, 4 * stride) for begin, end in found) or len(found) == 1
    assert all(after[0] <= before[1] - stride for before, after in pairwise(found))
    total = sum(np.pad(tiles._fade(b, e, side, found), (b, side - e)) for b, e in found)
    assert total.min() > 0.1


def test_tiled_is_as_whole_where_the_network_sees_no_further_than_the_margin():
    forward, image = Forward(Blur(), "cpu"), picture(352, 480)
    whole, _ = forward([image])
    found, _ = in_tiles(forward, [image], 128)
    assert len(forward.model.calls) > 5
    assert max(rows for _, _, rows, _ in forward.model.calls[1:]) == 128
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("network", [Wide, Mean])
def test_no_seam_shows_where_it_sees_further(network, monkeypatch):
    forward, image = Forward(network(), "cpu"), picture(224, 256)
    whole, _ = forward([image])

    def largest_step():
        error = (in_tiles(forward, [image], 128)[0] - whole)[0, 0] * 255
        return max(np.abs(np.diff(error, axis=axis)).max() for axis in (0, 1))

    blended = largest_step()
    monkeypatch.setattr(tiles, "_ramp", lambda length, shared: (np.arange(length) >= shared / 2).astype(np.float32))
    assert largest_step() > 10  # where tiles are cut off and joined
    assert blended < largest_step() * 2 / 3  # about half, which rounding may exceed


def test_a_limit_is_kept_and_padding_is_that_of_the_whole():
    network, image = Blur(), picture(150, 310)
    whole = matter(Blur())(image)
    tiled = matter(network, tile=128)(image)
    assert max(max(shape[2:]) for shape in network.calls) == 128
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_memory_decides_by_what_is_free(monkeypatch):
    network = Blur()
    memory = Memory(Forward(network, "cpu"))
    assert memory.tile_for(1000, 1000) is None
    assert network.calls == []  # nothing is tried out for small pictures
    a_pixel = memory.bytes_a_pixel()
    assert 3 * 4 <= a_pixel <= 20 * 4  # the picture's three channels as floats and a few copies
    monkeypatch.setattr(tiles, "free_bytes", lambda device: int(a_pixel * 700 * 700 / tiles.OF_FREE))
    assert memory.tile_for(2000, 3000) == 512
    assert memory.tile_for(2000, 3000, count=8) == 256
    monkeypatch.setattr(tiles, "free_bytes", lambda device: int(a_pixel * 1e8))
    assert memory.tile_for(2000, 3000) == 512  # as before, for all frames of a video
    assert memory.tile_for(2000, 3001) is None


def test_bytes_that_are_alive_are_counted():
    with tiles._Alive() as alive:
        kept = torch.ones(1000) * 2
        for _ in range(5):
            torch.ones(3000)
        assert kept.view(10, 100).sum() == 2000
    assert 4000 + 12000 <= alive.most <= 4000 * 2 + 12000 + 100


def test_a_large_picture_is_tiled_by_itself(monkeypatch):
    network, image = Blur(), picture(96, 128)
    monkeypatch.setattr(tiles, "ALWAYS_WHOLE", 0)
    monkeypatch.setattr(tiles, "free_bytes", lambda device: 0)
    monkeypatch.setattr(tiles, "SMALLEST_TILE", 128)
    whole = matter(Blur())(image)
    large = np.tile(image, (3, 3, 1))
    matter(network)(large)
    assert network.calls[-1] == (1, 3, 128, 128)
    assert whole.shape == (96, 128)
