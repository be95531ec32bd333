"""A trained model as one graph: normalisation inside, sizes and batch left open where the network allows it."""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from wsshm.errors import UserError, first_line
from wsshm.models.families import Sizes
from wsshm.models.network import MattingModel

IMAGE, MATTE, BOUNDARY = "image", "matte", "boundary"
LARGEST_BATCH, LARGEST_SIDE = 1024, 16384
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Traced:
    """A model's graph, and the images that it takes: `size` (height, width) in px, None for any multiples of `stride`."""

    program: ExportedProgram
    uint8: bool
    stride: int
    size: tuple[int, int] | None

    @property
    def takes(self) -> str:
        """What images the graph takes, in words."""
        values = "uint8, 0 to 255" if self.uint8 else "float32, 0 to 1"
        sides = (
            f"height and width multiples of {self.stride}" if self.size is None else f"{self.size[1]}x{self.size[0]} px"
        )
        return f"RGB, N x 3 x height x width, {values}; any N, {sides}"


class Deployed(nn.Module):
    """What is exported: images (N,3,H,W), float32 in [0,1] or uint8, in; matte and boundary (N,1,H,W) in [0,1] out."""

    def __init__(self, model: MattingModel, uint8: bool) -> None:
        super().__init__()
        self.model = reparameterize_model(copy.deepcopy(model)).eval()
        self.uint8 = uint8

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(image.float() / 255 if self.uint8 else image)
        return output.matte, output.boundary


def trace(model: MattingModel, *, size: tuple[int, int] | None, trained: int, uint8: bool) -> Traced:
    """The graph of a model in eval mode, for images of one `size` (height, width), or with None for any that it can take.

    A network that is tied to one size is traced for a square of `trained` px, rounded up to its stride, which is logged.
    Raises UserError for a size that the network cannot take.
    """
    stride = model.stride
    if size is not None and any(side % stride for side in size):
        rows, columns = (max(stride, round(side / stride) * stride) for side in size)
        raise UserError(
            f"--size {size[1]}x{size[0]} does not fit this network, which takes multiples of {stride} px; give"
            f" {columns}x{rows}"
        )
    deployed = Deployed(model, uint8)
    if size is None and model.network.encoder.sizes is Sizes.ANY:
        try:
            return Traced(_graph(deployed, uint8, stride), uint8, stride, None)
        except Exception as error:  # torch refuses sizes that a network is tied to in many ways
            log.info("traced for one size, as the graph does not allow any: %s", first_line(error))
    if size is None:
        side = -(-trained // stride) * stride
        size = (side, side)
        log.warning(
            "this backbone is tied to sizes, so the export takes pictures of %dx%d px alone; --size HxW names others",
            *size,
        )
    try:
        return Traced(_graph(deployed, uint8, stride, size), uint8, stride, size)
    except Exception as error:
        raise UserError(
            f"torch cannot trace this network at {size[1]}x{size[0]} px ({first_line(error)}); give another --size, or export"
            " a model with another backbone or architecture"
        ) from error


def fixed(network: nn.Module, images: Tensor) -> ExportedProgram:
    """The graph of a network, in eval mode, for images (N,3,H,W) of this one shape."""
    with torch.no_grad(), _padding_by_constants():
        return torch.export.export(network, (images,))


def flexible(network: nn.Module, stride: int) -> ExportedProgram:
    """The graph of a network, in eval mode, for images (N,3,H,W) of any size in multiples of its stride.

    UserError for a network that is tied to sizes.
    """
    try:
        return _graph(network, False, stride)
    except Exception as error:  # torch refuses them in many ways
        raise UserError(
            f"torch cannot trace this network for any size ({first_line(error)}); score it in eager PyTorch, or by another"
            " architecture or backbone"
        ) from error


def example(size: tuple[int, int], uint8: bool, batch: int = 2) -> Tensor:
    """Random images (batch, 3, *size), from a fixed seed."""
    values = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    return (values * 255).round().to(torch.uint8) if uint8 else values


def _graph(deployed: nn.Module, uint8: bool, stride: int, size: tuple[int, int] | None = None) -> ExportedProgram:
    dynamic: dict[int, Any] = {0: Dim("batch", min=1, max=LARGEST_BATCH)}
    if size is None:
        rows, columns = (Dim(name, min=1, max=LARGEST_SIDE // stride) for name in ("rows", "columns"))
        dynamic |= {2: stride * rows, 3: stride * columns}
    images = example(size or (3 * stride, 5 * stride), uint8)
    with torch.no_grad(), _padding_by_constants():
        return torch.export.export(deployed, (images,), dynamic_shapes=(dynamic,))


@contextlib.contextmanager
def _padding_by_constants() -> Iterator[None]:
    """TensorFlow's SAME padding by constants, while a graph is traced.

    timm computes it from the input's size, which leaves formulas in a graph of open sizes that take many minutes to
    simplify. Where an input is a multiple of a layer's stride, as all are here, it depends on the layer alone.
    """
    names = [name for name, module in sys.modules.items() if name.startswith("timm.") and hasattr(module, "pad_same")]
    with contextlib.ExitStack() as patches:
        for name in names:
            patches.enter_context(mock.patch.object(sys.modules[name], "pad_same", _pad_same))
        yield


def _pad_same(
    x: Tensor, kernel_size: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1), value: float = 0
) -> Tensor:
    sides: list[int] = []
    for kernel, step, apart in zip(kernel_size, stride, dilation, strict=True):
        total = max(0, (kernel - 1) * apart + 1 - step)
        sides = [total // 2, total - total // 2, *sides]
    return F.pad(x, sides, value=value)
