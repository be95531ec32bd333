"""P3M-Net's integrations: what guides which decoder."""

from __future__ import annotations

import pytest
import torch

from wsshm.config import ModelConfig
from wsshm.models.architectures.p3mnet import BipartiteIntegration, MattingDecoder, TripartiteIntegration
from wsshm.models.network import build_model


@pytest.mark.parametrize(("guide_stride", "side"), [(2, 32), (8, 8), (32, 2)], ids=["shallow", "same", "deep"])
def test_a_bipartite_integration_is_a_residual_of_the_guide_at_the_decoders_stride(
    guide_stride: int, side: int
) -> None:
    torch.manual_seed(0)
    integrate = BipartiteIntegration(8, 8, 5, guide_stride).eval()
    x, guide = torch.randn(1, 8, 8, 8), torch.randn(1, 5, side, side)
    resized = torch.zeros(1, 5, 8, 8)
    if guide_stride <= 8:
        step = 8 // guide_stride
        for row in range(8):
            for column in range(8):
                cell = guide[:, :, row * step : (row + 1) * step, column * step : (column + 1) * step]
                resized[:, :, row, column] = cell.amax((2, 3))
    else:  # a projection of 1 x 1 and a bilinear enlargement change places
        resized = torch.nn.functional.interpolate(guide, size=(8, 8), mode="bilinear", align_corners=False)
    expected = x + integrate.merge(torch.cat([integrate.project(x), integrate.project_guide(resized)], 1))
    torch.testing.assert_close(integrate(x, guide), expected)


def test_a_tripartite_integration_reads_all_three() -> None:
    torch.manual_seed(0)
    integrate = TripartiteIntegration((3, 4, 5), 8)
    parts = [torch.randn(2, channels, 4, 4, requires_grad=True) for channels in (3, 4, 5)]
    found = integrate(*parts)
    assert found.shape == (2, 8, 4, 4)
    found.square().sum().backward()
    assert all(part.grad.abs().sum() > 0 for part in parts)


def test_segmentation_reads_the_coarsest_map_and_matting_reads_segmentation() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(architecture="p3mnet", backbone="test_efficientnet", weights="none")).eval()
    network = model.network
    channels = dict(zip(network.encoder.strides, network.encoder.channels, strict=True))
    assert isinstance(network.matting, MattingDecoder)
    images = torch.randn(1, 3, 64, 64)
    maps = {stride: torch.randn(1, count, 64 // stride, 64 // stride) for stride, count in channels.items()}
    deep = maps[32].clone().requires_grad_()
    glance, semantic = network.segmentation(deep)
    assert glance.shape == (1, 3, 64, 64)
    assert sorted(semantic) == [4, 8, 16]
    leaves = {stride: values.detach().requires_grad_() for stride, values in semantic.items()}
    network.matting(images, maps, deep.detach(), leaves).square().sum().backward()
    assert all(values.grad.abs().sum() > 0 for values in leaves.values())
