"""Glance and focus: how both become a matte, what the glance is to learn, and that weights keep a pixel out of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wsshm.config import ModelConfig
from wsshm.losses import Target
from wsshm.models.glance_focus import BACKGROUND, FOREGROUND, TRANSITION, losses, merged, trimap_of
from wsshm.models.network import build_model

LOGITS = st.floats(-30, 30, width=32)


def logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def target(matte: Tensor, boundary: Tensor, known: Tensor | None = None, weight: Tensor | None = None) -> Target:
    ones = torch.ones_like(matte)
    return Target(matte, boundary, ones if weight is None else weight, ones if known is None else known)


@given(LOGITS, LOGITS, LOGITS, LOGITS)
@settings(max_examples=50, deadline=None)
def test_the_matte_is_the_foreground_and_the_detail_of_the_transition(b: float, t: float, f: float, x: float) -> None:
    background, transition, foreground = torch.tensor([b, t, f]).double().softmax(0)
    detail, lack = torch.tensor([x, -x]).double().sigmoid()
    alpha, rest = foreground + transition * detail, background + transition * lack
    found = merged(logits(b, t, f), logits(x)).item()
    assert found == pytest.approx((alpha.log() - rest.log()).item(), abs=1e-4)


@pytest.mark.parametrize(
    ("glance", "focus", "matte"),
    [
        ((0, 0, 40), -40, 1.0),  # surely foreground: whatever the detail says
        ((40, 0, 0), 40, 0.0),
        ((0, 40, 0), 1.5, 0.8175745),  # surely the transition: the detail, sigmoid(1.5)
        ((0, 0, 0), 0, 0.5),
        ((-1e4, 1e4, -1e4), -1e4, 0.0),  # far beyond what half precision holds
        ((1e4, 0, 1e4), 0, 0.5),
    ],
)
def test_merging_by_hand(glance: tuple[float, float, float], focus: float, matte: float) -> None:
    inputs = [logits(*glance).requires_grad_(), logits(focus).requires_grad_()]
    found = merged(*inputs)
    assert found.sigmoid().item() == pytest.approx(matte, abs=1e-6)
    found.sum().backward()
    assert all(each.grad.isfinite().all() for each in inputs)
    assert merged(*(each.bfloat16() for each in inputs)).dtype == torch.float32


def row(*values: float) -> Tensor:
    return torch.tensor([values] * 9).view(1, 1, 9, len(values))


def test_the_trimap_of_a_matte() -> None:
    """Nine columns, so that the transition is one pixel wider than the boundary."""
    matte = row(0, 0, 0, 0, 0.3, 1, 1, 1, 1)
    classes, weight = trimap_of(target(matte, row(0, 0, 0, 0, 1, 0, 0, 0, 0)))
    assert classes[0].tolist() == [[BACKGROUND] * 3 + [TRANSITION] * 3 + [FOREGROUND] * 3] * 9
    assert weight.min() == 1


def test_the_trimap_of_a_mask_is_not_known_near_its_edge() -> None:
    matte, nowhere = row(0, 0, 0, 0, 1, 1, 1, 1, 1), row(*(0,) * 9)
    classes, weight = trimap_of(target(matte, nowhere, known=row(1, 1, 1, 0, 0, 0, 1, 1, 1)))
    assert classes[0].tolist() == [[BACKGROUND] * 4 + [FOREGROUND] * 5] * 9
    assert weight[0, 0].tolist() == [[1, 1, 0, 0, 0, 0, 0, 1, 1]] * 9
    # A boundary that is known makes what is near it known too; a pixel that is left out stays so.
    boundary, left_out = row(0, 1, 0, 0, 0, 0, 0, 0, 0), row(0, 1, 1, 1, 1, 1, 1, 1, 1)
    classes, weight = trimap_of(target(matte, boundary, known=row(1, 1, 1, 0, 0, 0, 1, 1, 1), weight=left_out))
    assert classes[0, 0, :4].tolist() == [TRANSITION] * 3 + [BACKGROUND]
    assert weight[0, 0, 0].tolist() == [0, 1, 1, 0, 0, 0, 0, 1, 1]


def test_losses_against_a_slow_reference() -> None:
    torch.manual_seed(0)
    glance, focus = torch.randn(2, 3, 9, 9), torch.randn(2, 1, 9, 9)  # odd sides: the pyramid has no level
    matte = torch.rand(2, 1, 9, 9)
    weight = (torch.rand(2, 1, 9, 9) > 0.3).float()
    goal = target(matte, (torch.rand(2, 1, 9, 9) > 0.9).float(), weight=weight)
    classes, _ = trimap_of(goal)
    found = losses(glance, focus, goal)
    for sample in range(2):
        entropies, errors = [], []
        for y in range(9):
            for x in range(9):
                if not weight[sample, 0, y, x]:
                    continue
                of = int(classes[sample, y, x])
                entropies.append(-glance[sample, :, y, x].softmax(0)[of].log().item())
                if of == TRANSITION:
                    errors.append(abs(focus[sample, 0, y, x].sigmoid() - matte[sample, 0, y, x]).item())
        assert found["glance"][sample].item() == pytest.approx(sum(entropies) / 81, rel=1e-4)
        assert found["focus"][sample].item() == pytest.approx(sum(errors) / len(errors), rel=1e-4)


def test_what_does_not_count_has_no_gradient() -> None:
    glance, focus = torch.randn(1, 3, 64, 64, requires_grad=True), torch.randn(1, 1, 64, 64, requires_grad=True)
    matte, zeros = torch.rand(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    for goal in (target(matte, 1 - zeros, weight=zeros), target(matte, 1 - zeros, known=zeros)):
        terms = losses(glance, focus, goal)
        assert [term.tolist() for term in terms.values()] == [[0.0], [0.0]]
        sum(terms.values()).sum().backward()  # type: ignore[union-attr]
        assert not glance.grad.any()
        assert not focus.grad.any()


def test_the_network_gives_the_matte_of_its_own_glance_and_focus() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(architecture="gfm", backbone="test_efficientnet", weights="none"))
    output = model(torch.rand(2, 3, 64, 64))
    _, transition, foreground = output.auxiliary["glance"].softmax(1).split(1, 1)
    expected = foreground + transition * output.auxiliary["focus"].sigmoid()
    torch.testing.assert_close(output.matte, expected)
