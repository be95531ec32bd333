"""A contact sheet of training samples: what a network is shown and what it is to answer, stage by stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsshm.config import RunConfig
from wsshm.console import track
from wsshm.data.pictures import write_png
from wsshm.data.preview import FAINT, GAP, INK, LINE, MARGIN, PAGE, shortened
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.methods.stage import Stage
from wsshm.training.batches import StepDataset
from wsshm.training.rendering import Batch

ACROSS = 4
"""Samples in a row, each its image and its label."""


def draw_samples(config: RunConfig, out: Path, step: int = 0, count: int = 16) -> Path:
    """Write a PNG that shows up to `count` samples of a step of every stage of a run, as they are trained on.

    Labels made ahead of a stage are not asked for: its photos are shown with their masks.
    """
    sources = open_sources(config.data)
    stages = stages_of(config)
    batches = [
        _samples(StepDataset(sources, _in_loop(s), config), step, count) for s in track(stages, len(stages), "cutting")
    ]
    side = max(batch.images.shape[-1] for batch in batches)
    rows = [-(-len(batch.ids) // ACROSS) for batch in batches]
    width = MARGIN + ACROSS * (2 * (side + GAP) + MARGIN)
    height = MARGIN + sum(LINE + GAP + number * (side + 2 * LINE + GAP) + MARGIN for number in rows)
    sheet = Image.new("RGB", (width, height), PAGE)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    top = MARGIN
    for stage, batch, number in zip(stages, batches, rows, strict=True):
        draw.text((MARGIN, top), f"stage {stage.name}, step {step % stage.steps}", fill=INK, font=font)
        top += LINE + GAP
        for k, name in enumerate(batch.ids):
            x, y = MARGIN + k % ACROSS * (2 * (side + GAP) + MARGIN), top + k // ACROSS * (side + 2 * LINE + GAP)
            sheet.paste(Image.fromarray(_bytes(batch.images[k])), (x, y))
            sheet.paste(Image.fromarray(_bytes(batch.labels[k].expand(3, -1, -1))), (x + side + GAP, y))
            kind = "matte" if batch.is_matte[k] else "photo"
            draw.text((x, y + side + 2), shortened(draw, font, f"{name} ({kind})", 2 * side), fill=FAINT, font=font)
        top += number * (side + 2 * LINE + GAP) + MARGIN
    return write_png(out, np.asarray(sheet))


def _samples(dataset: StepDataset, step: int, count: int) -> Batch:
    """Samples of a step, spread over its slots: the first of these are mattes, the others photos."""
    batch = dataset.config.train.batch
    slots = np.unique(np.linspace(0, batch - 1, min(count, batch)).round().astype(int))
    first = step % dataset.stage.steps * batch
    samples = [dataset[first + int(slot)] for slot in slots]
    return dataset.collate(samples).render(torch.device("cpu"))


def _in_loop(stage: Stage) -> Stage:
    blend = stage.blend.model_copy(update={"when": "loop"}) if stage.blend else None
    return replace(stage, blend=blend)


def _bytes(picture: torch.Tensor) -> NDArray[np.uint8]:
    return np.rint(picture.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
