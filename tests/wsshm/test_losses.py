"""The loss against slow sums, and its promise that a batch may be split."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wsshm.config import LossConfig
from wsshm.losses import Target, laplacian_l1, sample_losses
from wsshm.models.network import MattingOutput

NONE = {"l1": 0.0, "boundary_gain": 0.0, "cross_entropy": 0.0, "laplacian": 0.0, "boundary": 0.0}


def example(n: int = 3, size: int = 8) -> tuple[MattingOutput, Target]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, n, 1, size, size, generator=generator)
    matte = torch.rand(n, 1, size, size, generator=generator)
    boundary = (torch.rand(n, 1, size, size, generator=generator) > 0.5).float()
    weight = (torch.rand(n, 1, size, size, generator=generator) > 0.2).float()
    return MattingOutput(logits[0], logits[1]), Target(matte, boundary, weight, 1 - weight)


def test_each_term_is_a_plain_mean_over_pixels() -> None:
    output, target = example()
    p, m, b, w, bw = (
        x.double().numpy() for x in (output.matte, target.matte, target.boundary, target.weight, target.boundary_weight)
    )
    q = output.boundary.double().numpy()
    n = p.shape[0]
    expected = {
        "l1": [np.mean(np.abs(p[i] - m[i]) * w[i]) for i in range(n)],
        "cross_entropy": [np.mean(-(m[i] * np.log(p[i]) + (1 - m[i]) * np.log(1 - p[i])) * w[i]) for i in range(n)],
        "boundary": [np.mean(-(3 * b[i] * np.log(q[i]) + (1 - b[i]) * np.log(1 - q[i])) * bw[i]) for i in range(n)],
    }
    for term, values in expected.items():
        config = LossConfig(**(NONE | {term: 2.0}))
        assert sample_losses(output, target, config).tolist() == pytest.approx([2 * v for v in values], rel=1e-5)
    gained = sample_losses(output, target, LossConfig(**(NONE | {"l1": 1.0, "boundary_gain": 4.0})))
    by_hand = [np.mean(np.abs(p[i] - m[i]) * (1 + 4 * b[i]) * w[i]) for i in range(n)]
    assert gained.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_the_laplacian_of_a_hand_worked_error() -> None:
    # One bright pixel in a 2x2 map: its mean 0.25 is the coarse level, so the detail is 0.75, -0.25, -0.25, -0.25.
    error = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert laplacian_l1(error, 1).item() == pytest.approx((0.75 + 3 * 0.25) / 4)
    assert laplacian_l1(error, 5).item() == pytest.approx((0.75 + 3 * 0.25) / 4)  # a 1x1 level has no more detail


def test_a_constant_error_has_no_laplacian() -> None:
    assert laplacian_l1(torch.full((2, 1, 16, 16), 0.3), 3).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_pixels_of_weight_zero_do_not_count() -> None:
    output, target = example()
    changed = torch.where(target.weight > 0, target.matte, 1 - target.matte)
    a = sample_losses(output, target, LossConfig())
    b = sample_losses(output, target._replace(matte=changed), LossConfig())
    assert torch.equal(a, b)


def test_a_batchs_samples_are_independent() -> None:
    output, target = example(4)
    whole = sample_losses(output, target, LossConfig())
    parts = [
        sample_losses(
            MattingOutput(*(o[i : i + 1] for o in output[:2])), Target(*(t[i : i + 1] for t in target)), LossConfig()
        )
        for i in range(4)
    ]
    assert torch.allclose(whole, torch.cat(parts), rtol=1e-6)
    assert all(math.isfinite(v) for v in whole.tolist())
