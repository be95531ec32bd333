"""MODNet's own losses: what its semantic and its detail branch are taught, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsshm.config import ModelConfig
from wsshm.losses import Target
from wsshm.models.architectures.modnet import blurred, boundary_region
from wsshm.models.network import MattingOutput, build_model

STRIDE = 16


def slowly_blurred(matte: Tensor, weight: Tensor) -> Tensor:
    """For every cell, the mean over it and its neighbours, 1 2 1 in either direction, of pixels by their weight."""
    rows, columns = (side // STRIDE for side in matte.shape)
    result = torch.zeros(rows, columns)
    for row in range(rows):
        for column in range(columns):
            total = counted = 0.0
            for y in range(max(0, row - 1), min(rows, row + 2)):
                for x in range(max(0, column - 1), min(columns, column + 2)):
                    near = (2 - abs(y - row)) * (2 - abs(x - column))
                    cell = (slice(y * STRIDE, (y + 1) * STRIDE), slice(x * STRIDE, (x + 1) * STRIDE))
                    total += near * float((matte[cell] * weight[cell]).sum())
                    counted += near * float(weight[cell].sum())
            result[row, column] = total / counted if counted else 0.0
    return result


@pytest.mark.parametrize("weighted", [False, True])
def test_semantics_are_a_small_blurred_matte(weighted: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    matte = torch.rand(2, 1, 64, 96, generator=rng)
    weight = (torch.rand(2, 1, 64, 96, generator=rng) < 0.3).float() if weighted else torch.ones_like(matte)
    weight[0, 0, :, 48:] *= 0 if weighted else 1
    small, cells = blurred(matte, weight)
    for sample in range(2):
        torch.testing.assert_close(small[sample, 0], slowly_blurred(matte[sample, 0], weight[sample, 0]))
    torch.testing.assert_close(cells, torch.nn.functional.avg_pool2d(weight, STRIDE))


def test_the_boundary_region_is_around_the_outline_and_where_the_matte_is_fractional() -> None:
    matte = torch.zeros(1, 1, 1, 200).expand(1, 1, 100, 200).clone()
    matte[..., 100:] = 1  # an outline between columns 99 and 100, a band of 2 px on either side
    matte[..., 20] = 0.3  # far from it a veil
    matte[..., 30] = 0.04
    (row,) = boundary_region(matte)[0, 0].unique(dim=0)
    assert row.nonzero().flatten().tolist() == [20, 98, 99, 100, 101]


def test_its_losses_by_hand() -> None:
    torch.manual_seed(0)
    choice = {"name": "modnet", "semantic": 2.0, "detail": 3.0}
    network = build_model(ModelConfig(architecture=choice, backbone="test_resnet", weights="none")).network
    matte = torch.zeros(1, 1, 32, 32)
    matte[..., 16:] = 1
    blank = torch.zeros(1, 1, 32, 32)
    # Semantics say half a person everywhere, the detail nobody anywhere.
    auxiliary = {"semantic": torch.zeros(1, 1, 2, 2), "detail": torch.full_like(blank, -100.0)}
    weight = torch.ones_like(matte)
    weight[..., 8:, :] = 0.5
    target = Target(matte, blank, weight, weight)
    terms = network.auxiliary_losses(MattingOutput(blank, blank, auxiliary), target)  # type: ignore[operator,union-attr]
    # Cells of 16 px are 1/3 and 2/3 blurred, 1/6 from a half; weights are (8 + 8 / 2) / 16 = 3/4 above, 1/2 below.
    assert terms["semantic"].item() == pytest.approx(2 * 0.5 * (1 / 6) ** 2 * 5 / 8)
    # A band of 1 px: column 16 is wrong by 1 and column 15 right; of 32 columns one, its pixels weigh 8 + 24 / 2 of 32.
    assert terms["detail"].item() == pytest.approx(3 * (1 / 32) * 20 / 32)
