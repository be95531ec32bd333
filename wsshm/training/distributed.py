"""What the workers of one run exchange: their ranks, exact sums, and batch norm over all of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import timm.layers
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wsshm.models.network import MattingModel


@dataclass(frozen=True)
class World:
    """This worker's place among the workers of a run, and its device."""

    rank: int
    size: int
    device: torch.device

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all workers, the same on each."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """Every worker's picklable `value`, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_first(self, value: Any) -> Any:
        """The first worker's picklable `value`, on every worker."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


@torch.library.custom_op("wsshm::sum_over_workers", mutates_args=())
def _sum_over_workers(values: Tensor) -> Tensor:
    """All-reduce whose gradient is the all-reduced gradient; one step of a compiled network."""
    values = values.clone()
    dist.all_reduce(values)
    return values


@_sum_over_workers.register_fake
def _like(values: Tensor) -> Tensor:
    return torch.empty_like(values)


_sum_over_workers.register_autograd(lambda context, gradient: _sum_over_workers(gradient))


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the global batch, on any backend (torch's own is for CUDA only).

    `share` is this worker's samples over the mean number of a worker's: 1 where all hold as many. `drop` and `act` carry
    over what timm fuses into its batch norms.
    """

    share = 1.0

    def __init__(self, like: nn.BatchNorm2d) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine)
        self.weight, self.bias = like.weight, like.bias
        self.running_mean, self.running_var = like.running_mean, like.running_var
        self.num_batches_tracked = like.num_batches_tracked
        fused: Any = like if isinstance(like, timm.layers.BatchNormAct2d) else None
        self.drop: nn.Module = fused.drop if fused else nn.Identity()
        self.act: nn.Module = fused.act if fused else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return self.act(self.drop(super().forward(x)))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        moments = torch.stack([wide.mean((0, 2, 3)), wide.square().mean((0, 2, 3))])
        mean, square = _sum_over_workers(moments * self.share) / dist.get_world_size()
        variance = (square - mean.square()).clamp_min(0)
        with torch.no_grad():
            count = x.numel() / x.shape[1] * dist.get_world_size() / self.share
            momentum = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        result = (wide - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1)
        if self.bias is not None:
            result = result + self.bias.view(1, -1, 1, 1)
        return self.act(self.drop(result.to(x.dtype)))


def synchronise_batchnorm(model: nn.Module, world: World) -> Any:
    """Replace batch norms by ones over all workers; nothing to do for one worker."""
    if world.size == 1:
        return model
    if world.device.type == "cuda":
        return timm.layers.convert_sync_batchnorm(model)
    return _replaced(model)


def hold_share(model: nn.Module, share: float) -> None:
    """Tell all `SyncedBatchNorm` of a network how much this worker holds of the samples to come."""
    for module in model.modules():
        if isinstance(module, SyncedBatchNorm):
            module.share = share


def _replaced(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d):
        return SyncedBatchNorm(module).train(module.training)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module


def over_workers(run: nn.Module, model: MattingModel, world: World) -> nn.Module:
    """`run`, which computes `model`, with its gradients averaged over all workers; `run` itself for one worker.

    Buffers are not broadcast at each step: synced batch norms have the same anyway, frozen ones do not change.
    """
    if world.size == 1:
        return run
    with warnings.catch_warnings():
        # The argument's new name is not known to the oldest torch that this suite admits.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(run, broadcast_buffers=False, find_unused_parameters=model.network.encoder.idles)


def freeze_batchnorm(model: nn.Module) -> None:
    """Put every batch norm in eval mode: its statistics stay, its scale and shift still learn."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
