"""Training one stage, on one worker of one or many: the loop, its checkpoints, its validation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from timm.utils import ModelEmaV3

from wsshm.config import RunConfig
from wsshm.data.sources import Sources
from wsshm.files.sealed import Damaged
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
from wsshm.models.network import MattingModel, build_model
from wsshm.training import compiling
from wsshm.training.batches import StepDataset, loader
from wsshm.training.distributed import World
from wsshm.training.stages import RESULT, StageFolder
from wsshm.training.steps import Steps, TrainingDiverged, lr_at, optimiser_of, placed
from wsshm.training.validation import validation_errors
from wsshm.training.workload import epochs_of

log = logging.getLogger(__name__)


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
    if config.train.compile:
        compiling.forget()  # the stages before
    model, card = _initial_model(stage, config, upstream)
    model = placed(model, config, world)
    teacher = None
    if stage.asks_teacher:
        assert stage.teacher is not None
        teacher = load_model(upstream[stage.teacher])[0].to(world.device).to(memory_format=torch.channels_last)
    optimiser = optimiser_of(model, config.train)
    ema = _moving_average(model, stage, config)
    if ema and stage.asks_its_average:
        teacher = ema.module
    progress = _resume(folder, model, optimiser, ema, world, say)
    steps = Steps(model, teacher, optimiser, stage, config, world)
    if progress.scaler:
        steps.scaler.load_state_dict(progress.scaler)
    dataset = StepDataset(sources, stage, config, labels)
    began = time.perf_counter() - progress.seconds
    for batches in loader(dataset, config, world.rank, world.size, progress.step):
        steps(batches, progress.step)
        progress.step += 1
        if ema:
            ema.update(model, step=progress.step)
        on_step(progress.step)
        if progress.step % config.train.epoch_steps == 0 or progress.step == stage.steps:
            train_loss = steps.mean_loss()
            progress.seconds = time.perf_counter() - began
            row = {
                "train_loss": train_loss,
                "lr": lr_at(progress.step - 1, stage.steps, config.train),
            }
            row |= validation_errors(ema.module if ema else model, sources.val, config, world)
            epoch = epochs_of(progress.step, config)
            progress.history += [{"epoch": epoch, "key": key, "value": value} for key, value in row.items()]
            progress.scaler = steps.scaler.state_dict()
            progress.teacher_forward_s += steps.clock.seconds()
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
