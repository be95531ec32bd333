"""What a network costs layer by layer, and how fast that could be on a GPU: operations, bytes and a roofline, all computed.

Nothing is timed: the network runs on torch's meta device, without memory or arithmetic. The rules are those of an engine
that fuses what can be fused (torch.compile, TensorRT):

- A convolution, product, reduction, resizing, shuffle or concatenation is a kernel: it reads its inputs and weights, and
  writes its output, each once.
- Batch norm, padding and what works value by value happen inside the kernel before them; of a sum of two maps the second
  is read.
- A kernel takes the longer of its operations at the GPU's peak and its bytes at the peak of its memory. Convolutions in
  groups (depthwise ones) do not run on tensor cores.

No GPU reaches its peaks, so the rate is an upper bound. Caches that hold a map between two kernels are left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker

from wsshm.errors import UserError, first_line
from wsshm.models import Choice, families
from wsshm.models.trial import on_meta, stride_of

LAUNCH_US = (2, 4)
"""What a kernel costs beside its work, from a CUDA graph and launched one by one: it bounds single images."""
FUSED = {
    getattr(torch.ops.aten, name)
    for name in (
        *("_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm", "constant_pad_nd"),
        *("hardswish", "hardswish_", "gelu_", "mish_", "prelu"),
    )
}
"""Operators that are part of the kernel before or after them, beside those that torch marks as pointwise."""


@dataclass(frozen=True)
class Gpu:
    """A GPU's peaks, from its data sheet: operations per second in 16 bits with tensor cores (dense) and without, bytes per
    second of its memory and of its bus in one direction."""

    name: str
    tensor: float
    vector: float
    memory: float
    bus: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("H100", 989e12, 134e12, 3.35e12, 64e9),
        Gpu("H200", 989e12, 134e12, 4.8e12, 64e9),
        Gpu("A100", 312e12, 78e12, 2.04e12, 32e9),
    )
}
"""SXM modules; the A100 is the one of 80 GB."""


@dataclass(frozen=True)
class Kernel:
    """One kernel: the module that it belongs to, its operator, its output's shape, and what it does for the whole batch.

    `macs` are multiply-adds; `read` and `written` bytes; `grouped` ones do without tensor cores.
    """

    module: str
    operator: str
    shape: tuple[int, ...]
    macs: int
    read: int
    written: int
    grouped: bool = False

    def seconds(self, gpu: Gpu) -> float:
        """The longer of arithmetic and memory at the GPU's peaks."""
        return max(self.arithmetic(gpu), (self.read + self.written) / gpu.memory)

    def arithmetic(self, gpu: Gpu) -> float:
        """Seconds of the operations alone."""
        return 2 * self.macs / (gpu.vector if self.grouped else gpu.tensor)


def kernels(network: nn.Module, images: Tensor, width: int = 2) -> list[Kernel]:
    """The kernels of a network in eval mode for `images` (N,3,H,W), both on the meta device, in turn.

    `width` is how many bytes a value has.
    """
    with torch.no_grad(), _as_by_default(), ModuleTracker() as modules, _Counter(modules, width) as counter:
        network(images)
    return counter.found


@contextlib.contextmanager
def _as_by_default() -> Iterator[None]:
    """Without deterministic algorithms, for which torch takes some operators apart."""
    deterministic, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn)


class _Counter(TorchDispatchMode):
    def __init__(self, modules: ModuleTracker, width: int) -> None:
        super().__init__()
        self.modules, self.width = modules, width
        self.found: list[Kernel] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        inputs = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        written = [value for value in tree_leaves(output) if isinstance(value, Tensor)]
        if not inputs or not written or func.is_view or func._schema.name.startswith("prim::"):
            return output
        packet = func.overloadpacket
        if packet in FUSED:
            return output
        if torch.Tag.pointwise in func.tags:
            self._beside(inputs)
            return output
        count = flop_registry.get(packet)
        self.found.append(
            Kernel(
                # Of nested modules the innermost; the first word is the whole network's class.
                max(self.modules.parents, key=len).partition(".")[2],
                packet.__name__.strip("_"),
                tuple(written[0].shape),
                count(*args, **(kwargs or {}), out_val=output) // 2 if count else 0,
                self._bytes(inputs),
                self._bytes(written[:1]),
                grouped=packet is torch.ops.aten.convolution and args[8] > 1,
            )
        )
        return output

    def _beside(self, inputs: list[Tensor]) -> None:
        """Add what a fused operator reads beside what the kernel before it has made."""
        if self.found and len(inputs) > 1:
            last = self.found[-1]
            more = self._bytes(inputs) - max(self._bytes([value]) for value in inputs)
            self.found[-1] = Kernel(**{**vars(last), "read": last.read + more})

    def _bytes(self, tensors: list[Tensor]) -> int:
        return self.width * sum(prod(tensor.shape) for tensor in tensors)


@dataclass(frozen=True)
class Roofline:
    """What the kernels of a batch amount to on a GPU."""

    gpu: Gpu
    batch: int
    kernels: list[Kernel]
    picture: int
    """Bytes of one picture and its matte in 8 bits."""

    @property
    def macs(self) -> float:
        """Multiply-adds of one image."""
        return sum(kernel.macs for kernel in self.kernels) / self.batch

    @property
    def bytes(self) -> float:
        """Bytes that are read and written for one image."""
        return sum(kernel.read + kernel.written for kernel in self.kernels) / self.batch

    def rates(self) -> Iterator[tuple[str, float]]:
        """(what limits, images per second) of the roofline and of each limit alone."""
        gpu = self.gpu
        yield "roofline, kernel by kernel", self.batch / sum(kernel.seconds(gpu) for kernel in self.kernels)
        yield "memory alone", gpu.memory / self.bytes
        yield "arithmetic alone", self.batch / max(1e-30, sum(kernel.arithmetic(gpu) for kernel in self.kernels))
        yield "bus, pictures in and mattes out in 8 bits", gpu.bus / self.picture


def of(backbone: str, architecture: Choice, size: int, batch: int, gpu: Gpu) -> Roofline:
    """Of an architecture over a timm backbone for square pictures of `size` px, rounded up to the network's stride.

    Raises UserError for a network that cannot be built, and for one whose cost depends on values (some transformers).
    """
    stride = stride_of(backbone, {}, architecture)
    side = -(-size // stride) * stride
    model = on_meta(backbone, families.fitted(backbone, {}, side), architecture)
    try:
        with torch.device("meta"):
            found = kernels(model, torch.zeros(batch, 3, side, side))
    except (RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"the cost of {backbone!r} cannot be computed ({first_line(error)}); time it instead"
        ) from error
    return Roofline(gpu, batch, found, picture=(3 + 1) * side**2)
