"""Optimiser steps: the parts that each is made of, one method each."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wsshm.config import RunConfig, TrainConfig
from wsshm.losses import sample_losses
from wsshm.methods.stage import Stage
from wsshm.models.network import MattingModel, MattingOutput
from wsshm.targets import own_term, sample_weights, target_of
from wsshm.training.batches import Batch, CutBatch
from wsshm.training.clock import Clock
from wsshm.training.compiling import compiled
from wsshm.training.distributed import World, freeze_batchnorm, hold_share, over_workers, synchronise_batchnorm

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number. The message names the step and the samples."""


def placed(model: MattingModel, config: RunConfig, world: World) -> MattingModel:
    """A network to be trained, on its worker's device, its batch norms over all workers where they are synced.

    It is laid out channels last, as samples are, which convolutions are faster in.
    """
    model = synchronise_batchnorm(model, world) if config.train.batchnorm == "sync" else model
    return model.to(world.device).to(memory_format=torch.channels_last)


def optimiser_of(model: nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over all weights."""
    return torch.optim.AdamW(model.parameters(), train.lr, weight_decay=train.weight_decay)


class Steps:
    """Optimiser steps: micro-batches, gradients averaged over workers, clipping.

    `model` is `placed`. What a step's loss was is asked for when the next one has been queued, so that a GPU never waits
    for the answer. What each micro-batch goes through is a method: `render`, `predict`, `losses`, `backward`; then
    `update`.
    """

    def __init__(
        self,
        model: MattingModel,
        teacher: MattingModel | None,
        optimiser: torch.optim.Optimizer,
        stage: Stage,
        config: RunConfig,
        world: World,
    ) -> None:
        self.model, self.optimiser, self.stage = model, optimiser, stage
        self.config, self.world = config, world
        self.wrapped = over_workers(compiled(model) if config.train.compile else model, model, world)
        self.teacher = compiled(teacher) if teacher and config.train.compile else teacher
        self.clock = Clock(world.device)
        self.asked: _Asked | None = None
        self.settled: list[float] = []
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=config.train.precision == "fp16")

    def __call__(self, batches: list[CutBatch], step: int) -> None:
        """Do step number `step` (from 0). TrainingDiverged if the loss of the one before was not finite."""
        train = self.config.train
        for group in self.optimiser.param_groups:
            group["lr"] = lr_at(step, self.stage.steps, train)
        self.wrapped.train()
        if train.batchnorm == "frozen":
            freeze_batchnorm(self.wrapped)
        # Whatever the network draws (stochastic depth, dropout) depends on the step alone, so that resuming is exact.
        torch.manual_seed(hash((train.seed, step, self.world.rank)) & 0x7FFFFFFF)
        self.optimiser.zero_grad(set_to_none=True)
        losses, samples = [], []
        for number, cut in enumerate(batches):
            last = number == len(batches) - 1
            quiet = contextlib.nullcontext() if last or self.world.size == 1 else self.wrapped.no_sync()  # type: ignore[operator]
            if self.world.size > 1:
                everyone = _samples_of(number, len(batches), self.world.size, train.batch)
                hold_share(self.model, len(cut.ids) * self.world.size / everyone)
            # Workers' gradients are averaged: a mean over more samples than others have counts more, over as many 1.
            weight = len(cut.ids) * self.world.size * len(batches) / train.batch
            with quiet:
                batch = self.render(cut)
                output, taught = self.predict(batch)
                per_sample = self.losses(batch, output, taught, step)
                loss = per_sample.mean() / len(batches) * weight
                self.backward(loss)
            losses.append(loss.detach().float())
            samples.append(per_sample.detach())
        self.update()
        summed = self.world.sum(torch.stack(losses))
        self._settle()
        self.asked = _Asked(step, summed, torch.cat(samples), [name for cut in batches for name in cut.ids])

    def mean_loss(self) -> float:
        """The mean of the steps' losses since it was last asked for, each averaged over the global batch."""
        self._settle()
        mean = sum(self.settled) / len(self.settled)
        self.settled.clear()
        return mean

    def render(self, cut: CutBatch) -> Batch:
        """Do a micro-batch's arithmetic on the device."""
        return cut.render(self.world.device)

    def predict(self, batch: Batch) -> tuple[MattingOutput, MattingOutput | None]:
        """What the network says of a micro-batch, and its teacher where there is one."""
        precision = self.config.train.precision
        with torch.autocast(self.world.device.type, DTYPES.get(precision), enabled=precision != "fp32"):
            taught = self._teacher_output(batch)
            return self.wrapped(batch.images), taught

    def losses(self, batch: Batch, output: MattingOutput, taught: MattingOutput | None, step: int) -> Tensor:
        """The loss (N,) of each sample of a micro-batch, weighted."""
        target = target_of(batch, self.stage, taught)
        losses = sample_losses(output, target, self.config.train.loss)
        for term in self.model.network.auxiliary_losses(output, target).values():
            losses = losses + term
        if self.stage.label and self.stage.label.term:
            losses = losses + own_term(batch, self.stage, output, taught)
        return losses * sample_weights(batch, self.stage, step)

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the step, averaged over workers at its last micro-batch."""
        self.scaler.scale(loss).backward()

    def update(self) -> None:
        """Clip the gradients and move the weights."""
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_grad)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    @torch.no_grad()
    def _teacher_output(self, batch: Batch) -> MattingOutput | None:
        """What the teacher says of the pictures before recolouring; its time is kept apart."""
        if self.teacher is None:
            return None
        assert batch.plain is not None, "a batch has its plain pictures where a teacher is asked"
        with self.clock:
            said: MattingOutput = self.teacher(batch.plain)
            if self.stage.label and self.stage.label.mirrored:
                said = averaged(said, self.teacher(batch.plain.flip(-1)))
            return said

    def _settle(self) -> None:
        """Note the loss of the last step, averaged over workers; if it is not finite all raise the same error."""
        asked, self.asked = self.asked, None
        if asked is None:
            return
        total = sum(summed / self.world.size for summed in asked.summed.tolist())
        if math.isfinite(total):
            self.settled.append(total)
            return
        values = asked.samples.tolist()
        bad = [name for name, value in zip(asked.ids, values, strict=True) if not math.isfinite(value)]
        named = sorted({name for names in self.world.gather(bad) for name in names})
        raise TrainingDiverged(
            f"the loss became {total} at step {asked.step + 1} of stage {self.stage.name!r} on the samples"
            f" {', '.join(named) or '(none alone)'}; lower train.lr, use train.precision: fp32, or look at these samples"
        )


def averaged(said: MattingOutput, of_mirrored: MattingOutput) -> MattingOutput:
    """The mean of what was said of pictures and of the same mirrored, in [0,1], as logits (N,1,H,W) float32."""
    matte = (said.matte + of_mirrored.matte.flip(-1)) / 2
    boundary = (said.boundary + of_mirrored.boundary.flip(-1)) / 2
    return MattingOutput(torch.logit(matte, eps=1e-6), torch.logit(boundary, eps=1e-6))


def lr_at(step: int, steps: int, train: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up over a share of the steps, then a cosine to a hundredth."""
    warm = max(1, round(train.warmup * steps))
    if step < warm:
        return train.lr * (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return train.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def _samples_of(part: int, parts: int, workers: int, batch: int) -> int:
    """How many of a step's samples all workers together have in one micro-batch."""
    return sum(slot // workers % parts == part for slot in range(batch))


class _Asked(NamedTuple):
    """A step whose loss is not known yet: of each micro-batch, summed over workers, and of each of this worker's samples."""

    step: int
    summed: Tensor
    samples: Tensor
    ids: list[str]
