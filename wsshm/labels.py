"""From a batch to what the network is to learn: matte samples as they are, natural pictures as the stage says."""

from __future__ import annotations

import torch
from torch import Tensor

from wsshm.blending import band_radius, blend, boundary_of, edge_band
from wsshm.config import BlendConfig
from wsshm.data.loading import Batch
from wsshm.losses import Target
from wsshm.methods.stage import Stage
from wsshm.models import MattingOutput


def target_of(batch: Batch, stage: Stage, teacher: MattingOutput | None) -> Target:
    """The target of each sample, each map (N,1,H,W) on the labels' device; `teacher` is its output for `plain`."""
    boundary, ones = boundary_of(batch.labels), torch.ones_like(batch.labels)
    target = Target(batch.labels, boundary, ones, ones)
    if stage.photo_label in (None, "truth") or bool(batch.is_matte.all()):
        return target
    if stage.photo_label == "mask":
        # Along a mask's edge the boundary lies somewhere: unknown in the band, none outside.
        band = edge_band(batch.labels, band_radius(batch.labels, BlendConfig().band))
        photo = Target(batch.labels, torch.zeros_like(boundary), ones, 1 - band)
    else:
        assert teacher is not None
        photo = _blended(batch, stage, teacher)
    is_matte = batch.is_matte.to(batch.labels.device).view(-1, 1, 1, 1)
    return Target(*(torch.where(is_matte, a, b) for a, b in zip(target, photo, strict=True)))


def _blended(batch: Batch, stage: Stage, output: MattingOutput) -> Target:
    assert stage.blend is not None, "a stage with blended labels has a blend"
    blended = blend(batch.labels, output.matte, output.boundary, stage.blend)
    label = batch.labels if stage.photo_label == "masklabel" else blended.label
    return Target(label, blended.share, blended.weight, blended.weight)


def sample_weights(batch: Batch, stage: Stage) -> Tensor:
    """Weight of each sample's loss (N,): `photo_weight` for natural pictures, 1 for matte samples."""
    return torch.where(batch.is_matte, 1.0, stage.photo_weight)
