"""Distance consistency against every pixel's window, and against what it is meant to reward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import distance_consistency as reference
from wsshm import distance_consistency as module
from wsshm.distance_consistency import distance_consistency, similar_on_cpu, similar_on_device


def _maps(seed: int, height: int, width: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mattes (2,H,W), pictures (2,H,W,3) without two pixels alike, and a band (2,H,W)."""
    rng = np.random.default_rng(seed)
    return (
        rng.random((2, height, width)),
        rng.random((2, height, width, 3)),
        (rng.random((2, height, width)) < share).astype(np.float64),
    )


def _ours(matte: np.ndarray, image: np.ndarray, band: np.ndarray, *options: object) -> np.ndarray:
    maps = (torch.from_numpy(each) for each in (matte[:, None], image.transpose(0, 3, 1, 2), band[:, None]))
    return distance_consistency(*maps, *options)[:, 0].numpy()  # type: ignore[arg-type]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(4, 12),
    st.integers(4, 12),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([(3, 1), (3, 3), (5, 4), (7, 15)]),
    st.booleans(),
)
def test_it_is_its_definition(
    seed: int, height: int, width: int, share: float, sizes: tuple[int, int], scaled: bool
) -> None:
    matte, image, band = _maps(seed, height, width, share)
    found = _ours(matte, image, band, *sizes, scaled)
    for n in range(2):
        expected = reference.distance_consistency(matte[n], image[n], band[n], *sizes, scaled)
        np.testing.assert_allclose(found[n], expected, atol=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_devices_way_finds_the_same(monkeypatch: pytest.MonkeyPatch, scaled: bool) -> None:
    _, image, band = _maps(0, 16, 20, 0.5)
    images, pixels = torch.from_numpy(image.transpose(0, 3, 1, 2)), torch.from_numpy(band).flatten().nonzero()[:, 0]
    ours = similar_on_cpu(images, pixels, 5, 4, scaled)
    for chunk in (module.CHUNK, 7):
        monkeypatch.setattr(module, "CHUNK", chunk)
        theirs = similar_on_device(images, pixels, 5, 4, scaled)
        order = theirs.distances.argsort(1)
        assert torch.equal(theirs.others.gather(1, order), ours.others)
        assert torch.allclose(theirs.distances.gather(1, order), ours.distances)
        assert torch.allclose(theirs.contrast, ours.contrast)


def test_threads_share_the_work() -> None:
    maps = _maps(0, 32, 32, 0.5)
    alone = _ours(*maps, 5, 4, True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_array_equal(_ours(*maps, 5, 4, True), alone)
    finally:
        torch.set_num_threads(before)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_it_knows_neither_level_nor_sides(seed: int, scaled: bool, down: bool) -> None:
    """Only differences of alpha count, and what lies left counts as what lies right."""
    matte, image, band = _maps(seed, 9, 9, 0.4)
    plain = _ours(matte, image, band, 5, 6, scaled)
    np.testing.assert_allclose(_ours(matte + 0.25, image, band, 5, 6, scaled), plain, atol=1e-12)
    turned = [np.ascontiguousarray(np.flip(each, 1 if down else 2)) for each in (matte, image, band)]
    np.testing.assert_allclose(np.flip(_ours(*turned, 5, 6, scaled), 1 if down else 2), plain, atol=1e-12)


def _edge(at: int, size: int = 16) -> torch.Tensor:
    """A matte or picture (1,1,H,W), 1 to the left of a column."""
    return (torch.arange(size) < at).float().expand(1, 1, size, size)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_edge_belongs_where_the_picture_has_it(scaled: bool) -> None:
    """Two plain colours: a matte that changes where they do costs nothing, one that is a pixel off does."""
    picture = 0.2 + 0.5 * _edge(8).expand(1, 3, -1, -1)
    band = torch.ones(1, 1, 16, 16)
    losses = [distance_consistency(_edge(at), picture, band, 5, 6, scaled).mean().item() for at in (6, 7, 8, 9, 10)]
    assert losses[2] == pytest.approx(0, abs=1e-6)
    assert losses[0] > 0.01
    assert min(losses[1], losses[3]) > 0.01


def test_scaled_a_matte_may_change_from_0_to_1_where_foreground_and_background_are_alike() -> None:
    """A picture made by a matte of two near colours: unscaled, the matte that made it costs far more than a flat one."""
    matte = torch.from_numpy(np.random.default_rng(0).random((1, 1, 24, 24), np.float32))
    picture = (0.3 + 0.2 * matte).expand(1, 3, -1, -1)
    costs = {
        (scaled, part): distance_consistency(part * matte, picture, torch.ones_like(matte), 11, 10, scaled)
        .mean()
        .item()
        for scaled in (False, True)
        for part in (0, 1)
    }
    assert costs[False, 1] > 2 * costs[False, 0]
    assert costs[True, 1] == pytest.approx(costs[True, 0], rel=0.1)


def test_gradients_are_those_of_the_matte_and_reach_pixels_outside_the_band() -> None:
    matte, image, band = (torch.from_numpy(each) for each in _maps(3, 6, 6, 0.2))
    matte, image, band = matte[:, None].requires_grad_(), image.permute(0, 3, 1, 2).requires_grad_(), band[:, None]
    for scaled in (False, True):
        assert torch.autograd.gradcheck(distance_consistency, (matte, image.detach(), band, 5, 4, scaled))
    distance_consistency(matte, image, band, 5, 4).sum().backward()
    assert image.grad is None
    assert matte.grad is not None
    assert ((matte.grad != 0) & (band == 0)).any()


def test_a_picture_without_a_band_costs_nothing() -> None:
    matte = torch.rand(2, 1, 8, 8, requires_grad=True)
    for scaled in (False, True):
        loss = distance_consistency(matte, torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8), 5, 4, scaled)
        assert loss.shape == matte.shape
        assert not loss.any()
        loss.sum().backward()


@pytest.mark.parametrize(("window", "neighbours", "size"), [(5, 9, 16), (11, 4, 5)])
def test_a_window_with_too_few_pixels_is_refused(window: int, neighbours: int, size: int) -> None:
    matte = torch.zeros(1, 1, size, size)
    with pytest.raises(ValueError, match=rf"a window of {window} px in the corner .* has too few pixels"):
        distance_consistency(matte, matte.expand(1, 3, -1, -1), matte, window, neighbours)
