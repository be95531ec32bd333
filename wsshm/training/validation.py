"""Errors on the validation set while a stage trains: every image once, shared out over the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from wsshm.config import RunConfig
from wsshm.data import pictures
from wsshm.data.manifest import AHEAD, Manifest, Sample
from wsshm.data.pictures import Float32, UInt8
from wsshm.metrics.scores import summed_image
from wsshm.models.network import MattingModel
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import Short
from wsshm.training.batches import in_processes
from wsshm.training.distributed import World

T = TypeVar("T")
MEASURED = ("sad", "mse", "mad")
KEYS = tuple(f"val_{name}" for name in MEASURED)


def validation_errors(model: torch.nn.Module, manifest: Manifest, config: RunConfig, world: World) -> dict[str, float]:
    """Mean SAD (thousands), MSE and MAD over the validation images, equal on all workers whatever their number.

    An unpadded slice for each worker, and sums, so that no image counts twice.
    """
    assert isinstance(model, MattingModel)
    was_training = model.training
    model.eval()
    sums = torch.zeros(len(KEYS), dtype=torch.float64)
    mine = _Pictures(manifest, manifest.samples[world.rank :: world.size])
    # Read by other processes, if there are any, while this one predicts.
    for image, label in DataLoader(
        mine, batch_size=None, collate_fn=_as_it_is, **in_processes(config.loader_processes)
    ):
        matte = predict_matte(model, image, Short(config.data.size), device=world.device).matte
        summed, _ = summed_image(matte, label, None, "p3m", {"whole"}, grad=False, conn=False)
        sums += torch.tensor([summed.value(name, "whole") for name in MEASURED], dtype=torch.float64)
    model.train(was_training)
    means = world.sum(sums.to(world.device)) / len(manifest)
    return dict(zip(KEYS, means.tolist(), strict=True))


@dataclass(frozen=True)
class _Pictures(Dataset):
    """Pictures (H,W,3) uint8 and their mattes (H,W) float32."""

    manifest: Manifest
    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[UInt8, Float32]:
        if index % AHEAD == 0:
            self.manifest.prefetch(self.samples[index : index + 2 * AHEAD])
        sample = self.samples[index]
        with self.manifest.told_by_address(sample):
            image = pictures.read_image(self.manifest.path(sample, "image"))
            label = pictures.read_matte(self.manifest.path(sample, "matte"))
            pictures.check_same_size(image, label, self.manifest.path(sample, "matte"))
        return image, label


def _as_it_is(pair: T) -> T:
    return pair
