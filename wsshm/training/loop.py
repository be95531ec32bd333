"""Training one stage, on one worker of one or many: the loop, its checkpoints, its validation."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from wsshm.config import RunConfig, TrainConfig
from wsshm.data.sources import Sources
from wsshm.files.sealed import Damaged
from wsshm.losses import sample_losses
from wsshm.methods.stage import Stage
from wsshm.models.checkpoint import (
    ModelCard,
    Progress,
    TrainingState,
    card_of,
    first_not_finite,
    load_model,
    save_model,
    save_training_state,
)
from wsshm.models.network import MattingModel, MattingOutput, build_model
from wsshm.targets import sample_weights, target_of
from wsshm.training.batches import Batch, CutBatch, StepDataset, loader
from wsshm.training.distributed import World, freeze_batchnorm, hold_share, over_workers, synchronise_batchnorm
from wsshm.training.stages import RESULT, StageFolder
from wsshm.training.validation import validation_errors
from wsshm.training.workload import epochs_of

log = logging.getLogger(__name__)
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number. The message names the step and the samples."""


def train_stage(
    stage: Stage,
    config: RunConfig,
    sources: Sources,
    folder: StageFolder,
    upstream: dict[str, Path],
    world: World,
    on_step: Callable[[int], None],
    on_epoch: Callable[[dict[str, float]], None],
    labels: Path | None = None,
    say: Callable[[str], None] = log.warning,
) -> None:
    """Train a stage to its end, from its last checkpoint where there is one, and write `folder.final`.

    `upstream` maps earlier stages' names to their models' folders, `labels` is that of the labels made ahead where the
    stage reads them. A checkpoint that is damaged is left out, and the first worker passes that to `say`. Raises
    TrainingDiverged on a loss or weights that are NaN or infinite. All workers call this together; `on_step` and
    `on_epoch` are called on each.
    """
    model, card = _initial_model(stage, config, upstream)
    model = synchronise_batchnorm(model, world) if config.train.batchnorm == "sync" else model
    model = model.to(world.device).to(memory_format=torch.channels_last)
    teacher = None
    if stage.asks_teacher:
        assert stage.teacher is not None
        teacher = load_model(upstream[stage.teacher])[0].to(world.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), config.train.lr, weight_decay=config.train.weight_decay)
    ema = _moving_average(model, stage, config)
    if ema and stage.asks_its_average:
        teacher = ema.module
    progress = _resume(folder, model, optimiser, ema, world, say)
    wrapped = over_workers(model, world)
    step_fn = _Steps(wrapped, model, teacher, optimiser, stage, config, world)
    if progress.scaler:
        step_fn.scaler.load_state_dict(progress.scaler)
    dataset = StepDataset(sources, stage, config, labels)
    began = time.perf_counter() - progress.seconds
    for batches in loader(dataset, config, world.rank, world.size, progress.step):
        step_fn(batches, progress.step)
        progress.step += 1
        if ema:
            ema.update(model, step=progress.step)
        on_step(progress.step)
        if progress.step % config.train.epoch_steps == 0 or progress.step == stage.steps:
            train_loss = step_fn.mean_loss()
            progress.seconds = time.perf_counter() - began
            row = {
                "train_loss": train_loss,
                "lr": lr_at(progress.step - 1, stage.steps, config.train),
            }
            row |= validation_errors(ema.module if ema else model, sources.val, config, world)
            epoch = epochs_of(progress.step, config)
            progress.history += [{"epoch": epoch, "key": key, "value": value} for key, value in row.items()]
            progress.scaler = step_fn.scaler.state_dict()
            progress.teacher_forward_s += step_fn.clock.seconds()
            if world.rank == 0:
                averaged = ema.module.state_dict() if ema else None
                with folder.new_state(progress.step) as temporary:
                    save_training_state(temporary, model, optimiser, averaged, progress)
            on_epoch({"epoch": epoch, **row})
    progress.seconds = time.perf_counter() - began
    final = {k: v.detach().cpu() for k, v in (ema.module if ema else model).state_dict().items()}
    if broken := next((key for key in world.gather(first_not_finite(final)) if key), None):
        raise TrainingDiverged(
            f"the weights became NaN or infinite ({broken}) in the last step of stage {stage.name!r}; lower train.lr"
        )
    if world.rank == 0:
        with folder.final.new_folder(last=RESULT) as temporary:
            save_model(temporary, final, card)
            folder.write_result(temporary, stage, progress)
        folder.clear_states()


class _Steps:
    """Optimiser steps: micro-batches, gradients averaged over workers, clipping.

    What a step's loss was is asked for when the next one has been queued, so that a GPU never waits for the answer.
    """

    def __init__(
        self,
        wrapped: nn.Module,
        model: MattingModel,
        teacher: MattingModel | None,
        optimiser: torch.optim.Optimizer,
        stage: Stage,
        config: RunConfig,
        world: World,
    ) -> None:
        self.wrapped, self.model, self.teacher, self.optimiser = wrapped, model, teacher, optimiser
        self.stage, self.config, self.world = stage, config, world
        self.clock = _Clock(world.device)
        self.asked: _Asked | None = None
        self.losses: list[float] = []
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
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            quiet = contextlib.nullcontext() if last or self.world.size == 1 else self.wrapped.no_sync()  # type: ignore[operator]
            if self.world.size > 1:
                everyone = _samples_of(number, len(batches), self.world.size, train.batch)
                hold_share(self.model, len(batch.ids) * self.world.size / everyone)
            # Workers' gradients are averaged: a mean over more samples than others have counts more, over as many 1.
            weight = len(batch.ids) * self.world.size * len(batches) / train.batch
            with quiet:
                per_sample = self._losses(batch, step)
                loss = per_sample.mean() / len(batches) * weight
                self.scaler.scale(loss).backward()
            losses.append(loss.detach().float())
            samples.append(per_sample.detach())
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), train.clip_grad)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        summed = self.world.sum(torch.stack(losses))
        self._settle()
        self.asked = _Asked(step, summed, torch.cat(samples), [name for batch in batches for name in batch.ids])

    def mean_loss(self) -> float:
        """The mean of the steps' losses since it was last asked for, each averaged over the global batch."""
        self._settle()
        mean = sum(self.losses) / len(self.losses)
        self.losses.clear()
        return mean

    def _losses(self, cut: CutBatch, step: int) -> Tensor:
        batch = cut.render(self.world.device)
        precision = self.config.train.precision
        with torch.autocast(self.world.device.type, DTYPES.get(precision), enabled=precision != "fp32"):
            taught = self._teacher_output(batch)
            output = self.wrapped(batch.images)
        target = target_of(batch, self.stage, taught)
        losses = sample_losses(output, target, self.config.train.loss)
        for term in self.model.network.auxiliary_losses(output, target).values():
            losses = losses + term
        return losses * sample_weights(batch, self.stage, step)

    @torch.no_grad()
    def _teacher_output(self, batch: Batch) -> MattingOutput | None:
        """What the teacher says of the pictures before recolouring; its time is kept apart."""
        if self.teacher is None:
            return None
        assert batch.plain is not None, "a batch has its plain pictures where a teacher is asked"
        with self.clock:
            return self.teacher(batch.plain)

    def _settle(self) -> None:
        """Note the loss of the last step, averaged over workers; if it is not finite all raise the same error."""
        asked, self.asked = self.asked, None
        if asked is None:
            return
        total = sum(summed / self.world.size for summed in asked.summed.tolist())
        if math.isfinite(total):
            self.losses.append(total)
            return
        values = asked.samples.tolist()
        bad = [name for name, value in zip(asked.ids, values, strict=True) if not math.isfinite(value)]
        named = sorted({name for names in self.world.gather(bad) for name in names})
        raise TrainingDiverged(
            f"the loss became {total} at step {asked.step + 1} of stage {self.stage.name!r} on the samples"
            f" {', '.join(named) or '(none alone)'}; lower train.lr, use train.precision: fp32, or look at these samples"
        )


def _samples_of(part: int, parts: int, workers: int, batch: int) -> int:
    """How many of a step's samples all workers together have in one micro-batch."""
    return sum(slot // workers % parts == part for slot in range(batch))


class _Asked(NamedTuple):
    """A step whose loss is not known yet: of each micro-batch, summed over workers, and of each of this worker's samples."""

    step: int
    summed: Tensor
    samples: Tensor
    ids: list[str]


class _Clock:
    """The seconds spent in `with` blocks on a device: a GPU's by its own events, for which nobody waits."""

    def __init__(self, device: torch.device) -> None:
        self.gpu = device.type == "cuda"
        self.spent: list[tuple[Any, Any]] = []

    def __enter__(self) -> None:
        self.spent.append((self._now(), None))

    def __exit__(self, *_: object) -> None:
        self.spent[-1] = (self.spent[-1][0], self._now())

    def _now(self) -> Any:
        if not self.gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """All since it was last asked for, on a GPU once they are over."""
        if self.gpu and self.spent:
            self.spent[-1][1].synchronize()
        between = [begin.elapsed_time(end) / 1000 if self.gpu else end - begin for begin, end in self.spent]
        self.spent.clear()
        return sum(between)


def lr_at(step: int, steps: int, train: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up over a share of the steps, then a cosine to a hundredth."""
    warm = max(1, round(train.warmup * steps))
    if step < warm:
        return train.lr * (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return train.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def _initial_model(stage: Stage, config: RunConfig, upstream: dict[str, Path]) -> tuple[MattingModel, ModelCard]:
    torch.manual_seed(config.train.seed)
    if stage.start:
        model, card = load_model(upstream[stage.start])
        card = replace(card, method=config.method.name)
    else:
        model = build_model(config.model)
        card = card_of(
            model,
            config.model,
            config.model.weights,
            config.data.size,
            config.method.name,
            halved=config.train.half_resolution > 0,
        )
    return model, card


def _moving_average(model: MattingModel, stage: Stage, config: RunConfig) -> ModelEmaV3 | None:
    if stage.ema_decay:  # its decay after step t (from 0): min(1 - 1/(t+1), ema_decay)
        return ModelEmaV3(model, decay=stage.ema_decay, use_warmup=True, warmup_gamma=1.0, warmup_power=1.0)
    return ModelEmaV3(model, decay=config.train.ema) if config.train.ema else None


def _resume(
    folder: StageFolder,
    model: MattingModel,
    optimiser: torch.optim.Optimizer,
    ema: ModelEmaV3 | None,
    world: World,
    say: Callable[[str], None],
) -> Progress:
    average = ema.module if ema else None
    state = None
    # The first worker says from which state: what the others see of shared storage may be older.
    for place in reversed(folder.states()) if world.rank == 0 else ():
        try:
            state = TrainingState.read(place.fetched(folder.scratch), model, optimiser, average)
            break
        except Damaged as error:
            say(f"{error}; training resumes from the state before it, or starts over if there is none")
            place.forget(folder.scratch)
            place.delete()
    name = world.from_first(place.name if state else None)
    if name is None:
        return Progress()
    if state is None:
        state = TrainingState.read((folder.place / name).fetched(folder.scratch), model, optimiser, average)
    return state.restore(model, optimiser, average)
