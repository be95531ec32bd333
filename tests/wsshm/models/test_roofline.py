"""`wsshm models roofline`: operations and bytes of networks that are small enough to be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from wsshm.cli import app
from wsshm.errors import UserError
from wsshm.models.roofline import GPUS, Gpu, Kernel, Roofline, kernels
from wsshm.models.trial import on_meta

SLOW = Gpu("made up", tensor=2e6, vector=1e6, memory=1e6, bus=4e3)


class ByHand(nn.Module):
    """A convolution of stride 2 with batch norm and ReLU, a depthwise one, their sum, and that at the image's size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        return nn.functional.interpolate(x + self.depthwise(x), scale_factor=2.0, mode="bilinear")


def counted(network: nn.Module, *shape: int, width: int = 2) -> list[Kernel]:
    with torch.device("meta"):
        return kernels(network.to("meta").eval(), torch.zeros(shape), width)


def test_kernels_are_those_counted_by_hand() -> None:
    stem, depthwise, enlarged = counted(ByHand(), 1, 3, 8, 8)
    assert (stem.module, stem.operator, stem.shape, stem.grouped) == ("stem.0", "convolution", (1, 4, 4, 4), False)
    assert stem.macs == 4 * 4 * 4 * 3 * 3 * 3
    assert stem.read == 2 * (3 * 8 * 8 + 4 * 3 * 3 * 3), "the image and the weights; batch norm is folded into them"
    assert stem.written == 2 * 4 * 4 * 4
    assert (depthwise.module, depthwise.grouped) == ("depthwise", True)
    assert depthwise.macs == 4 * 4 * 4 * 3 * 3
    assert depthwise.read == 2 * (2 * 4 * 4 * 4 + 4 * 3 * 3), "its input, its weights, and what it is added to"
    assert (enlarged.operator, enlarged.macs) == ("upsample_bilinear2d", 0)
    assert (enlarged.read, enlarged.written) == (2 * 4 * 4 * 4, 2 * 4 * 8 * 8)


def test_deterministic_algorithms_change_nothing() -> None:
    """Training asks for them, and torch then takes interpolation apart."""
    before = counted(ByHand(), 1, 3, 8, 8)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert counted(ByHand(), 1, 3, 8, 8) == before
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_batch_reads_its_weights_once() -> None:
    one, four = (counted(ByHand(), number, 3, 8, 8)[0] for number in (1, 4))
    weights = 2 * 4 * 3 * 3 * 3
    assert four.macs == 4 * one.macs
    assert four.read - weights == 4 * (one.read - weights)


def test_the_roofline_is_the_slower_of_arithmetic_and_memory_for_each_kernel() -> None:
    busy = Kernel("", "convolution", (1,), macs=3_000_000, read=500_000, written=500_000)
    moving = Kernel("", "cat", (1,), macs=0, read=1_000_000, written=1_000_000)
    grouped = Kernel("", "convolution", (1,), macs=1_500_000, read=1, written=1, grouped=True)
    found = Roofline(SLOW, batch=2, kernels=[busy, moving, grouped], picture=400)
    rates = dict(found.rates())
    assert rates["roofline, kernel by kernel"] == pytest.approx(2 / (3 + 2 + 3))
    assert rates["memory alone"] == pytest.approx(2 / 3, rel=1e-5)
    assert rates["arithmetic alone"] == pytest.approx(2 / (3 + 3))
    assert rates["bus, pictures in and mattes out in 8 bits"] == pytest.approx(10)


def test_an_encoder_moves_about_what_was_computed_for_it_apart() -> None:
    """tf_efficientnet_lite0 at 512 px in 16 bits: 141 MB where each convolution's output is written once and read once."""
    found = counted(on_meta("tf_efficientnet_lite0", {}).network.encoder, 1, 3, 512, 512)
    assert 2 * sum(kernel.written for kernel in found) / 1e6 == pytest.approx(141, rel=0.02)
    assert sum(kernel.read + kernel.written for kernel in found) / 1e6 == pytest.approx(141, rel=0.1)


def test_all_operations_are_counted() -> None:
    model = on_meta("test_efficientnet", {}, "fast")
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 128, 128))
    assert sum(kernel.macs for kernel in counted(model, 1, 3, 128, 128)) == counter.get_total_flops() // 2


def test_it_is_printed_as_computed() -> None:
    arguments = ["models", "roofline", "test_efficientnet", "--architecture", "{name: fast, width: 2}", "--layers", "3"]
    done = CliRunner().invoke(app, [*arguments, "--size", "96", "--gpu", "H100"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "computed for an H100 at its peaks, 16 bits, batches of 32; nothing was timed:" in done.output
    assert done.output.count("memory") == 3 + 1, "three layers, and the rate that memory alone would allow"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "H300"], "--gpu does not know 'H300'; .*H200"),
        (["--architecture", "fats"], "--architecture does not know 'fats'; .*'fast'"),
        (["--architecture", "{name: fats}"], "--architecture does not know 'fats'; .*'fast'"),
        (["--architecture", "{name: fast, with: 2}"], "with"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(app, ["models", "roofline", "test_efficientnet", *arguments], catch_exceptions=False)
    assert len(GPUS) == 3
