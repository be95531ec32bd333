"""Training one stage, on one worker of one or many: the loop, its checkpoints, its validation."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from wsshm.checkpoint import (
    ModelCard,
    card_of,
    load_model,
    load_training_state,
    save_model,
    save_training_state,
)
from wsshm.config import RunConfig, TrainConfig
from wsshm.data.loading import Batch, StepDataset, loader
from wsshm.data.sources import Sources
from wsshm.distributed import World, freeze_batchnorm, over_workers, synchronise_batchnorm
from wsshm.labels import sample_weights, target_of
from wsshm.losses import sample_losses
from wsshm.methods.stage import Stage
from wsshm.models import MattingModel, MattingOutput, build_model
from wsshm.stages import RESULT, StageFolder
from wsshm.validate import validation_errors
from wsshm.work import epochs_of

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number. The message names the step and the samples."""


@dataclass
class Progress:
    """How far a stage is: steps done, seconds spent (and how many of them in the teacher's forward passes), one row per
    epoch and key, and the gradient scaler's state."""

    step: int = 0
    seconds: float = 0.0
    teacher_forward_s: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)


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
) -> None:
    """Train a stage to its end, from its last checkpoint where there is one, and write `folder.final`.

    `upstream` maps earlier stages' names to their models' folders, `labels` is that of the labels made ahead where the
    stage reads them. Raises TrainingDiverged on a loss that is NaN or infinite. All workers call this together;
    `on_step` and `on_epoch` are called on each.
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
    progress = _resume(folder, model, optimiser, ema, world)
    wrapped = over_workers(model, world)
    step_fn = _Step(wrapped, model, teacher, optimiser, stage, config, world)
    if progress.scaler:
        step_fn.scaler.load_state_dict(progress.scaler)
    dataset = StepDataset(sources, stage, config, labels)
    losses = torch.zeros(2, dtype=torch.float64)
    began = time.perf_counter() - progress.seconds
    for batches in loader(dataset, config, world.rank, world.size, progress.step):
        losses += torch.tensor([step_fn(batches, progress.step), 1.0], dtype=torch.float64)
        progress.step += 1
        if ema:
            ema.update(model, step=progress.step)
        on_step(progress.step)
        if progress.step % config.train.epoch_steps == 0 or progress.step == stage.steps:
            progress.seconds = time.perf_counter() - began
            row = {
                "train_loss": float(losses[0] / losses[1]),
                "lr": lr_at(progress.step - 1, stage.steps, config.train),
            }
            row |= validation_errors(ema.module if ema else model, sources.val, config, world)
            epoch = epochs_of(progress.step, config)
            progress.history += [{"epoch": epoch, "key": key, "value": value} for key, value in row.items()]
            losses.zero_()
            progress.scaler = step_fn.scaler.state_dict()
            progress.teacher_forward_s += step_fn.teacher_forward_s
            step_fn.teacher_forward_s = 0.0
            if world.rank == 0:
                averaged = ema.module.state_dict() if ema else None
                with folder.new_state(progress.step) as temporary:
                    save_training_state(temporary, model, optimiser, averaged, asdict(progress))
            on_epoch({"epoch": epoch, **row})
    progress.seconds = time.perf_counter() - began
    if world.rank == 0:
        _finish(folder, ema.module if ema else model, card, stage, progress)


class _Step:
    """One optimiser step: micro-batches, gradients averaged over workers, clipping."""

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
        self.teacher_forward_s = 0.0
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=config.train.precision == "fp16")

    def __call__(self, batches: list[Batch], step: int) -> float:
        """Do step number `step` (from 0); the loss averaged over the global batch."""
        train = self.config.train
        for group in self.optimiser.param_groups:
            group["lr"] = lr_at(step, self.stage.steps, train)
        self.wrapped.train()
        if train.batchnorm == "frozen":
            freeze_batchnorm(self.wrapped)
        # Whatever the network draws (stochastic depth, dropout) depends on the step alone, so that resuming is exact.
        torch.manual_seed(hash((train.seed, step, self.world.rank)) & 0x7FFFFFFF)
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            quiet = contextlib.nullcontext() if last or self.world.size == 1 else self.wrapped.no_sync()  # type: ignore[operator]
            with quiet:
                per_sample = self._losses(batch, step)
                loss = per_sample.mean() / len(batches)
                self.scaler.scale(loss).backward()
            total += self._agreed(loss.detach(), per_sample.detach(), batch, step)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), train.clip_grad)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return total

    def _losses(self, batch: Batch, step: int) -> Tensor:
        batch = batch.to(self.world.device)
        precision = self.config.train.precision
        with torch.autocast(self.world.device.type, DTYPES.get(precision), enabled=precision != "fp32"):
            taught = self._teacher_output(batch)
            output = self.wrapped(batch.images)
        target = target_of(batch, self.stage, taught)
        return sample_losses(output, target, self.config.train.loss) * sample_weights(batch, self.stage, step)

    @torch.no_grad()
    def _teacher_output(self, batch: Batch) -> MattingOutput | None:
        """What the teacher says of the pictures before recolouring; its time is kept apart."""
        if self.teacher is None:
            return None
        began = time.perf_counter()
        output = self.teacher(batch.plain)
        if self.world.device.type == "cuda":
            torch.cuda.synchronize()
        self.teacher_forward_s += time.perf_counter() - began
        return output

    def _agreed(self, loss: Tensor, per_sample: Tensor, batch: Batch, step: int) -> float:
        """The loss averaged over workers; where it is not finite all workers raise the same error."""
        mean = float(self.world.sum(loss.float())) / self.world.size
        if math.isfinite(mean):
            return mean
        bad = [name for name, value in zip(batch.ids, per_sample.tolist(), strict=True) if not math.isfinite(value)]
        named = sorted({name for names in self.world.gather(bad) for name in names})
        raise TrainingDiverged(
            f"the loss became {mean} at step {step + 1} of stage {self.stage.name!r} on the samples"
            f" {', '.join(named) or '(none alone)'}; lower train.lr, use train.precision: fp32, or look at these samples"
        )


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
        card = card_of(model, config.model, config.model.weights, config.data.size, config.method.name)
    return model, card


def _moving_average(model: MattingModel, stage: Stage, config: RunConfig) -> ModelEmaV3 | None:
    if stage.ema_decay:  # its decay after step t (from 0): min(1 - 1/(t+1), ema_decay)
        return ModelEmaV3(model, decay=stage.ema_decay, use_warmup=True, warmup_gamma=1.0, warmup_power=1.0)
    return ModelEmaV3(model, decay=config.train.ema) if config.train.ema else None


def _resume(
    folder: StageFolder, model: MattingModel, optimiser: torch.optim.Optimizer, ema: ModelEmaV3 | None, world: World
) -> Progress:
    # The first worker says from which state: what the others see of shared storage may be older.
    states = folder.states() if world.rank == 0 else []
    name = world.from_first(states[-1].name if states else None)
    if name is None:
        return Progress()
    progress, averaged = load_training_state((folder.place / name).fetched(folder.scratch), model, optimiser)
    if ema is not None and averaged is not None:
        ema.module.load_state_dict(averaged)
    return Progress(**progress)


def _finish(folder: StageFolder, model: nn.Module, card: ModelCard, stage: Stage, progress: Progress) -> None:
    with folder.final.new_folder(last=RESULT) as temporary:
        save_model(temporary, {k: v.detach().cpu() for k, v in model.state_dict().items()}, card)
        description = asdict(stage) | {"blend": stage.blend.model_dump() if stage.blend else None}
        (temporary / RESULT).write_text(
            json.dumps(
                {
                    "stage": description,
                    "seconds": progress.seconds,
                    "teacher_forward_s": progress.teacher_forward_s,
                    "history": progress.history,
                },
                indent=1,
            )
        )
    folder.clear_states()
