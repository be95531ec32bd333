"""Errors on the validation set while a stage trains: every image once, shared out over the workers."""

from __future__ import annotations

import numpy as np
import torch

from wsshm.config import RunConfig
from wsshm.data import pictures
from wsshm.data.manifest import Manifest
from wsshm.distributed import World
from wsshm.models import MattingModel
from wsshm.predict import predict_matte

KEYS = ("val_sad", "val_mse", "val_mad")


def validation_errors(model: torch.nn.Module, manifest: Manifest, config: RunConfig, world: World) -> dict[str, float]:
    """Mean SAD (thousands), MSE and MAD over the validation images, equal on all workers whatever their number.

    An unpadded slice for each worker, and sums, so that no image counts twice.
    """
    assert isinstance(model, MattingModel)
    was_training = model.training
    model.eval()
    sums = torch.zeros(len(KEYS), dtype=torch.float64)
    for sample in manifest.samples[world.rank :: world.size]:
        image = pictures.read_image(manifest.path(sample, "image"))
        label = pictures.read_matte(manifest.path(sample, "matte"))
        pictures.check_same_size(image, label, manifest.path(sample, "matte"))
        matte = predict_matte(model, image, short_side=config.data.size, device=world.device).matte
        error = np.abs(matte.astype(np.float64) - label)
        sums += torch.tensor([error.sum() / 1000, np.square(error).mean(), error.mean()], dtype=torch.float64)
    model.train(was_training)
    means = world.sum(sums.to(world.device)) / len(manifest)
    return dict(zip(KEYS, means.tolist(), strict=True))
