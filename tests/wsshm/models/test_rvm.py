"""RVM: its recurrence over frames, the frames that training makes of a still, and the guided filter."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from wsshm.config import ModelConfig
from wsshm.models.architectures.rvm import RVM, DeepGuidedFilter, _moved, guided_statistics
from wsshm.models.network import MattingModel, build_model


def model_of(**options: object) -> MattingModel:
    torch.manual_seed(0)
    choice = {"name": "rvm", **options}
    return build_model(ModelConfig(architecture=choice, backbone="test_efficientnet", weights="none")).eval()


@torch.inference_mode()
def test_a_still_is_the_first_frame_of_a_video() -> None:
    model, frame = model_of(), torch.rand(2, 3, 64, 96)
    still = model(frame)
    first, state = model.step(frame)
    nothing = tuple(torch.zeros_like(values) for values in state)
    again, _ = model.step(frame, nothing)
    assert [tuple(values.shape[-2:]) for values in state] == [(64 // s, 96 // s) for s in (32, 16, 8, 4, 2)]
    for output in (first, again):
        assert torch.equal(output.matte_logits, still.matte_logits)
        assert torch.equal(output.boundary_logits, still.boundary_logits)


@torch.inference_mode()
def test_later_frames_depend_on_those_before_in_their_own_video_alone() -> None:
    model = model_of()
    videos = torch.rand(2, 3, 3, 64, 64)  # video, frame
    together, alone, state = [], [], ()
    for frame in videos.unbind(1):
        output, state = model.step(frame, state)
        together.append(output.matte_logits)
    for video in videos:
        state = ()
        for frame in video:
            output, state = model.step(frame[None], state)
            alone.append(output.matte_logits)
    torch.testing.assert_close(torch.stack(together, 1).flatten(0, 1), torch.cat(alone), atol=1e-5, rtol=1e-4)
    assert (together[2] - model(videos[:, 2]).matte_logits).abs().max() > 1e-4


@torch.inference_mode()
def test_a_video_of_a_still_settles() -> None:
    model, frame, state = model_of(), torch.rand(1, 3, 64, 64), ()
    logits: list[Tensor] = []
    for _ in range(40):
        output, state = model.step(frame, state)
        logits.append(output.matte_logits)
    changes = [(b - a).abs().max().item() for a, b in itertools.pairwise(logits)]
    assert changes[-1] < changes[0] / 100


def test_training_begins_sequences_at_a_random_frame() -> None:
    """Of three frames a third of the samples have seen none before, as a still; the rest have, and of all states a sample
    has all or none."""
    network = model_of(frames=3, width=0.25).network.train()
    assert isinstance(network, RVM)
    states = network._seen_before(torch.randn(48, 3, 32, 32))
    seen = torch.stack([values.abs().sum((1, 2, 3)) > 0 for values in states])
    assert torch.equal(seen.all(0), seen.any(0))
    assert 0.15 < 1 - seen[0].float().mean().item() < 0.55


def test_the_recurrence_is_trained() -> None:
    """The columns of a unit's weights that read the state get a gradient, which from stills alone they cannot."""
    for frames, trained in ((1, False), (2, True)):
        model = model_of(frames=frames).train()
        model(torch.rand(8, 3, 64, 64)).matte_logits.square().sum().backward()
        for recurrent in model.network.decoder.recurrent.values():  # type: ignore[union-attr]
            gradient = recurrent.gru.candidate.weight.grad
            of_state = gradient[:, gradient.shape[1] // 2 :]
            assert (of_state.abs().sum() > 0) == trained


def test_moving_a_picture() -> None:
    picture = torch.rand(1, 3, 32, 64)
    assert torch.allclose(_moved(picture, torch.zeros(1, 4)), picture, atol=1e-5)
    shifted = _moved(picture, torch.tensor([[2 / 64, 3 / 32, 0, 0]]))
    assert torch.allclose(shifted[..., :-3, :-2], picture[..., 3:, 2:], atol=1e-5)
    # A quarter turn about the centre keeps pixels square: the middle of the picture is as if turned by numpy.
    turned = _moved(picture, torch.tensor([[0, 0, 0, torch.pi / 2]]))
    square = picture[..., 16:48]
    assert any(torch.allclose(turned[..., 16:48], torch.rot90(square, k, (2, 3)), atol=1e-4) for k in (1, 3))


def test_statistics_of_windows_against_a_slow_reference() -> None:
    torch.manual_seed(0)
    guide, values = torch.rand(1, 3, 4, 5), torch.rand(1, 2, 4, 5)
    mean_guide, mean_values, covariance, variance = guided_statistics(guide, values)
    for row in range(4):
        for column in range(5):
            window = (slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2))
            colours, targets = guide[0][:, *window].flatten(1), values[0][:, *window].flatten(1)
            here = (0, slice(None), row, column)
            torch.testing.assert_close(mean_guide[here], colours.mean(1))
            torch.testing.assert_close(mean_values[here], targets.mean(1))
            torch.testing.assert_close(variance[here], colours.var(1, correction=0), atol=1e-5, rtol=1e-4)
            expected = [torch.cov(torch.stack([c, t]), correction=0)[0, 1] for t in targets for c in colours]
            torch.testing.assert_close(covariance[here], torch.stack(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("factor", [2, 4])
def test_the_guided_filter_restores_what_depends_linearly_on_the_colours(factor: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 8 * factor, 6 * factor)
    small = torch.nn.functional.avg_pool2d(images, factor)
    slopes, shifts = torch.randn(2, 3), torch.randn(2)

    def linear(colours: Tensor) -> Tensor:
        return torch.einsum("kc,nchw->nkhw", slopes, colours) + shifts.view(1, 2, 1, 1)

    refine = DeepGuidedFilter(4, factor).eval()
    last = refine.slopes[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():  # as if the slopes had been learnt
        last.weight.zero_()
        last.bias.copy_(slopes.flatten())
        found = refine(images, small, linear(small), torch.rand(1, 4, 8, 6))
    torch.testing.assert_close(found, linear(images), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_picture_that_is_seen_smaller_is_padded_and_returned_whole() -> None:
    model = model_of(downsample=2)
    assert model.stride == 64
    output, state = model.step(torch.rand(1, 3, 64, 128))
    assert output.matte.shape == output.boundary.shape == (1, 1, 64, 128)
    assert [tuple(values.shape[-2:]) for values in state] == [(32 // s, 64 // s) for s in (32, 16, 8, 4, 2)]
