"""From a batch to the network's targets: matte samples as they are, natural pictures as the stage says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wsshm.blending import band_radius, blend, boundary_of, edge_band
from wsshm.errors import UserError, first_line
from wsshm.losses import Target
from wsshm.methods.stage import Stage
from wsshm.models.network import MattingOutput
from wsshm.training.batches import Batch

EDGE = 0.04
"""Radius, as a share of the shorter side, of what is along a mask's edge: there it does not say that there is no boundary."""


def target_of(batch: Batch, stage: Stage, teacher: MattingOutput | None) -> Target:
    """The target of each sample, each map (N,1,H,W) on the labels' device; `teacher` is its output for `plain`."""
    boundary, ones = boundary_of(batch.labels), torch.ones_like(batch.labels)
    target = Target(batch.labels, boundary, ones, ones)
    if stage.photo_label in (None, "truth") or bool(batch.is_matte.all()):
        return target
    if stage.label and stage.label.target:
        photo = stage.label.target(batch, stage, teacher)
    elif stage.photo_label == "mask":
        photo = Target(batch.labels, torch.zeros_like(boundary), ones, _without_boundary(batch.labels))
    elif stage.reads_labels:
        assert batch.share is not None, "a stage that reads labels has them in its batches"
        assert batch.weight is not None, "a stage that reads labels has them in its batches"
        return Target(batch.labels, torch.where(_column(batch), boundary, batch.share), batch.weight, batch.weight)
    else:
        assert teacher is not None, "a stage that is taught in the loop has a teacher"
        photo = _taught(batch, stage, teacher)
    return Target(*(torch.where(_column(batch), a, b) for a, b in zip(target, photo, strict=True)))


def confident(mask: Tensor, band: float) -> Target:
    """A binary mask (N,1,H,W) as target where it can be trusted: further from its edge than `band` x the shorter side.

    Nearer to it neither matte nor boundary counts.
    """
    sure = _away_from_edge(mask, band)
    return Target(mask, torch.zeros_like(mask), sure, sure)


def own_term(batch: Batch, stage: Stage, output: MattingOutput, taught: MattingOutput | None) -> Tensor:
    """The loss (N,) that a stage's label adds for the natural pictures, which alone it is given; 0 for matte samples."""
    assert stage.label is not None, "a stage with a loss of its own has a label"
    assert stage.label.term is not None, "a stage with a loss of its own has a label with one"
    values = output.matte.new_zeros(len(batch.ids))
    rows = (~batch.is_matte).nonzero().squeeze(1)
    if not len(rows):
        return values
    ids, plain = [batch.ids[row] for row in rows.tolist()], None if batch.plain is None else batch.plain[rows]
    photos = Batch(ids, batch.images[rows], plain, batch.labels[rows], batch.is_matte[rows])
    term = stage.label.term(photos, stage, _of(output, rows), _of(taught, rows) if taught else None)
    return values.index_copy(0, rows, term.float())


def try_label(stage: Stage, size: int) -> None:
    """Make a label's own target and loss once, of two made-up pictures of `size` px, before anything is trained.

    UserError for one that fails, or is not what it should be.
    """
    if not stage.uses_photos or stage.label is None or stage.label.target is None:
        return
    shape, asked = (2, 1, size, size), stage.passes > 0
    labels, pictures = torch.zeros(shape), torch.full((2, 3, size, size), 0.5)
    if stage.label.reads:
        labels[..., size // 4 : size // 2, size // 4 : size // 2] = 1
    batch = Batch(
        ["a", "b"], pictures, pictures if stage.sees_plain else None, labels, torch.zeros(2, dtype=torch.bool)
    )
    said = MattingOutput(labels - 0.5, labels - 0.5)
    hint = "" if asked else " (output is None where the label is not taught=True and the stage has no teacher)"
    name = f"the target of the label {stage.label.name!r}"
    target = _tried(name, hint, stage.label.target, batch, stage, said if asked else None)
    if not isinstance(target, Target):
        raise UserError(f"{name} is a {type(target).__name__}; return a wsshm.losses.Target of four maps (N,1,H,W)")
    for field, value in target._asdict().items():
        if not isinstance(value, Tensor) or value.shape != shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise UserError(f"{name} has as {field} {found} where the batch has {shape}; return four maps (N,1,H,W)")
    if stage.label.term is None:
        return
    name = f"the term of the label {stage.label.name!r}"
    term = _tried(name, hint.replace("output", "taught"), stage.label.term, batch, stage, said, said if asked else None)
    if not isinstance(term, Tensor) or term.shape != (2,):
        found = tuple(term.shape) if isinstance(term, Tensor) else f"a {type(term).__name__}"
        raise UserError(f"{name} is {found} for two pictures; return a loss for each, (N,)")


def _tried(name: str, hint: str, made: Callable[..., Any], *given: Any) -> Any:
    try:
        return made(*given)
    except Exception as error:  # whatever a file of the user's own raises
        raise UserError(f"{name} fails: {type(error).__name__}: {first_line(error)}{hint}; correct its file") from error


def _of(output: MattingOutput, rows: Tensor) -> MattingOutput:
    return MattingOutput(output.matte_logits[rows], output.boundary_logits[rows])


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
    return _away_from_edge(mask, EDGE)


def _away_from_edge(mask: Tensor, band: float) -> Tensor:
    return 1 - edge_band(mask, band_radius(mask, band))


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
