"""From a batch to what the network is to learn: matte samples as they are, natural pictures as the stage says."""

from __future__ import annotations

import math

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
        photo = Target(batch.labels, torch.zeros_like(boundary), ones, _without_boundary(batch.labels))
    elif stage.reads_labels:
        assert batch.share is not None, "a stage that reads labels has them in its batches"
        assert batch.weight is not None, "a stage that reads labels has them in its batches"
        return Target(batch.labels, torch.where(_column(batch), boundary, batch.share), batch.weight, batch.weight)
    else:
        assert teacher is not None, "a stage that is taught in the loop has a teacher"
        photo = _taught(batch, stage, teacher)
    return Target(*(torch.where(_column(batch), a, b) for a, b in zip(target, photo, strict=True)))


def _column(batch: Batch) -> Tensor:
    return batch.is_matte.to(batch.labels.device).view(-1, 1, 1, 1)


def _taught(batch: Batch, stage: Stage, output: MattingOutput) -> Target:
    if stage.photo_label == "pseudo":
        return pseudo_label(output.matte, output.boundary, stage.confidence, stage.threshold)
    if stage.photo_label == "average":
        # A network that taught itself where boundaries are would find ever more of them (their term weighs them more).
        zeros = torch.zeros_like(output.matte)
        return Target(output.matte, zeros, torch.ones_like(output.matte), zeros)
    assert stage.blend is not None, "a stage with blended labels has a blend"
    blended = blend(batch.labels, output.matte, output.boundary, stage.blend)
    label = batch.labels if stage.photo_label == "masklabel" else blended.label
    if stage.asks_its_average:
        # As above composites alone teach boundaries, and what the network says of itself weighs no more than a mask does.
        # So the label is all that is not as `joint` has it.
        known = blended.weight * _without_boundary(batch.labels)
        return Target(label, torch.zeros_like(label), blended.weight, known)
    return Target(label, blended.share, blended.weight, blended.weight)


def _without_boundary(mask: Tensor) -> Tensor:
    """Where a mask tells that there is no boundary (1): along its edge there is one, somewhere (0)."""
    return 1 - edge_band(mask, band_radius(mask, BlendConfig().band))


def pseudo_label(matte: Tensor, boundary: Tensor, confidence: float, threshold: float) -> Target:
    """What a teacher's `matte` and `boundary` (N,1,H,W in [0,1]) teach without a mask.

    Where boundary > `threshold` the label is the matte's fractional value. Elsewhere it is 0 or 1, whichever is nearer,
    and counts only where max(matte, 1 - matte) >= `confidence`.
    """
    fractional = boundary > threshold
    sure = fractional | (torch.maximum(matte, 1 - matte) >= confidence)
    weight = sure.to(matte.dtype)
    label = torch.where(fractional, matte, (matte > 0.5).to(matte.dtype))
    return Target(label, fractional.to(matte.dtype), weight, weight)


def sample_weights(batch: Batch, stage: Stage, step: int) -> Tensor:
    """Weight of each sample's loss (N,) at a step: `photo_weight`, ramped up, for natural pictures, else 1."""
    return torch.where(batch.is_matte, 1.0, stage.photo_weight * ramp_at(step, stage.steps, stage.ramp))


def ramp_at(step: int, steps: int, share: float) -> float:
    """exp(-5 (1 - x)^2) with x rising from 0 to 1 over `share` of the steps, then 1 (Laine and Aila, arXiv 1610.02242)."""
    x = min(1.0, step / (share * steps)) if share else 1.0
    return math.exp(-5 * (1 - x) ** 2)
