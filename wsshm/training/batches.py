"""Batches whose every sample is a function of (seed, stage, step, slot) alone.

So a run that goes on from a checkpoint, or is split over another number of workers, sees exactly the same samples.
"""

from __future__ import annotations

import multiprocessing
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wsshm.blended_labels.labels import file_of, kinds_of
from wsshm.config import RunConfig
from wsshm.data import pictures
from wsshm.data.compose import SECOND_PERSON, Cutout, composite
from wsshm.data.manifest import Sample
from wsshm.data.sources import Sources, budgeted
from wsshm.data.transforms import cropped, recoloured
from wsshm.methods.stage import Stage

CACHE_BYTES = 1 << 30
LOADER_TIMEOUT_S = 300
T = TypeVar("T")


class Batch(NamedTuple):
    """One worker's share of a step.

    `images` (N,3,S,S) as the network sees them, `plain` the same without recolouring where a teacher is asked, `labels`
    (N,1,S,S) mattes or binary masks (zeros where a stage reads none), `is_matte` (N,) bool: composites (or other matte
    samples), not natural pictures. Where labels were made ahead there are also `share` and `weight` (N,1,S,S), the
    teacher's share and the loss weight (0 and 1 for matte samples).
    """

    ids: list[str]
    images: Tensor
    plain: Tensor | None
    labels: Tensor
    is_matte: Tensor
    share: Tensor | None = None
    weight: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, its pictures channels-last."""
        last, plainly = torch.channels_last, torch.preserve_format

        def moved(maps: Tensor | None, layout: torch.memory_format) -> Any:
            return None if maps is None else maps.to(device, non_blocking=True, memory_format=layout)

        pictures = (moved(self.images, last), moved(self.plain, last))
        return Batch(self.ids, *pictures, *(moved(maps, plainly) for maps in self[3:]))


class Item(NamedTuple):
    """One sample of a `Batch`; `label` (C,S,S) has one channel, or three where labels were made ahead."""

    id: str
    image: Tensor
    plain: Tensor | None
    label: Tensor
    is_matte: bool


class StepDataset(Dataset):
    """Sample i of a stage is slot i % batch of step i // batch.

    `labels` is the folder of the labels that were made ahead, for a stage that reads them.
    """

    def __init__(self, sources: Sources, stage: Stage, config: RunConfig, labels: Path | None = None) -> None:
        self.stage, self.config = stage, config
        self.sources = sources
        self.labels = labels
        if stage.reads_labels and labels is None:
            raise ValueError(f"the stage {stage.name!r} reads labels made ahead; give their folder")
        self.mattes = (
            budgeted(sources.mattes, config.budget.mattes, config.train.seed, "mattes") if stage.uses_mattes else ()
        )
        photos = budgeted(sources.masks, config.budget.masks, config.train.seed, "masks") if stage.uses_photos else ()
        self.photos = photos
        self.matte_slots = round(stage.matte_share * config.train.batch)
        self.salt = zlib.crc32(stage.name.encode())
        self.decoded = _Decoded(CACHE_BYTES // max(1, config.loader_processes))

    def __len__(self) -> int:
        return self.stage.steps * self.config.train.batch

    def size_at(self, step: int) -> int:
        """The training size at a step: half in the first `train.half_resolution` of the stage's steps."""
        halved = step < self.config.train.half_resolution * self.stage.steps
        return self.config.data.size // 2 if halved else self.config.data.size

    def __getitem__(self, index: int) -> Item:
        batch = self.config.train.batch
        step, slot = divmod(index, batch)
        rng = np.random.default_rng([self.config.train.seed, self.salt, index])
        is_matte = slot < self.matte_slots
        if is_matte:
            sample = self._in_turn(self.mattes, step * self.matte_slots + slot)
        else:
            turn = step * (batch - self.matte_slots) + slot - self.matte_slots
            sample = self._in_turn(self.photos, turn)
        size = self.size_at(step)
        if sample.kind == "cutout":
            image, label = self._composite(sample, size, rng)
        else:
            image, label = self._photo(sample, is_matte, size, rng)
        if self.labels:  # what a sample does not have: no share of a teacher, full weight
            blank = [torch.zeros_like(label[:1]), torch.ones_like(label[:1])]
            label = torch.cat([label, *blank[len(label) - 1 :]])
        plain = image if self.stage.asks_teacher or self.stage.asks_its_average else None
        return Item(sample.id, recoloured(image, int(rng.integers(1 << 62))), plain, label, is_matte)

    def _in_turn(self, samples: tuple[Sample, ...], turn: int) -> Sample:
        """The sample at a place in an endless sequence that goes through all of them, reshuffled each time."""
        epoch, place = divmod(turn, len(samples))
        order = self.decoded.get(
            ("order", len(samples), epoch),
            lambda: np.random.default_rng([self.config.train.seed, self.salt, 1, epoch]).permutation(len(samples)),
        )
        return samples[order[place]]

    def _composite(self, sample: Sample, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        people = [sample]
        if rng.random() < SECOND_PERSON:
            people.insert(0, self.mattes[rng.integers(len(self.mattes))])
        backgrounds = self.sources.backgrounds
        background = backgrounds.samples[rng.integers(len(backgrounds))]
        image, matte = composite(
            [self._cutout(person) for person in people if person.kind == "cutout"],
            self._read(pictures.read_image, backgrounds.path(background, "image")),
            size,
            rng,
        )
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(matte)[None]

    def _cutout(self, sample: Sample) -> Cutout:
        mattes = self.sources.mattes
        colours = self._read(pictures.read_image, mattes.path(sample, "foreground"))
        return Cutout(colours, self._read(pictures.read_matte, mattes.path(sample, "matte")))

    def _photo(self, sample: Sample, is_matte: bool, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        manifest = self.sources.mattes if is_matte else self.sources.masks
        image = self._read(pictures.read_image, manifest.path(sample, "image"))
        files = {"matte": manifest.path(sample, "matte")} if is_matte else self._label_files(sample)
        maps: list[NDArray] = []
        for kind, path in files.items():
            read: Callable[[Path], NDArray] = pictures.read_mask if kind == "mask" else pictures.read_matte
            maps.append(self._read(read, path))
            pictures.check_same_size(image, maps[-1], path)
        maps = maps or [np.zeros(image.shape[:2], np.uint8)]
        picture, target = cropped(image, maps, size, int(rng.integers(1 << 62)))
        target = target.clamp(0, 1)
        if "label" in files:
            target = _resharpened(target)
        elif "mask" in files:
            target[:1] = (target[:1] > 0.5).float()
        return picture.clamp(0, 1), target

    def _label_files(self, sample: Sample) -> dict[str, Path]:
        """A natural picture's labels as this stage reads them, the label itself first."""
        masks, stage = self.sources.masks, self.stage
        if not stage.uses_masks:
            return {"matte": masks.path(sample, "matte")} if stage.uses_true_mattes else {}
        files = {"mask": masks.path(sample, "mask")}
        if self.labels and stage.blend:
            ahead = {kind: self.labels / file_of(kind, sample) for kind in kinds_of(stage.blend)}
            label = ahead.pop("label")
            files = (files | ahead) if stage.photo_label == "masklabel" else {"label": label} | ahead | files
        return files

    def _read(self, read: Callable[[Path], T], path: Path) -> T:
        return self.decoded.get((read.__name__, path), lambda: read(path))


def _resharpened(maps: Tensor) -> Tensor:
    """Resized label, share A (and weight), and last the mask, as (C,S,S): the same without the mask.

    A mask is thresholded after it was resized, and so is then its part of the label: (1 - A) S with the S of a stage that
    blends in its loop. Left soft, every edge that the teacher has no say in would be taught as half transparent.
    """
    label, share, soft = maps[:1], maps[1:2], maps[-1:]
    sharp = label + (1 - share) * ((soft > 0.5).float() - soft)
    return torch.cat([sharp.clamp(0, 1), maps[1:-1]])


class _Decoded:
    """Decoded pictures, the least recently used dropped first where they outgrow a limit in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self.values: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What is held under `key`, made now where nothing is."""
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = make()
        self.values[key] = value
        self.held += getattr(value, "nbytes", 0)
        while self.held > self.limit:
            self.held -= getattr(self.values.popitem(last=False)[1], "nbytes", 0)
        return value


def collate(items: list[Item]) -> Batch:
    """Samples of one size to a `Batch`."""
    ids, images, plain, labels, is_matte = zip(*items, strict=True)
    label, *ahead = torch.stack(labels).split(1, 1)
    taught = None if plain[0] is None else torch.stack(plain)
    return Batch(list(ids), torch.stack(images), taught, label, torch.tensor(is_matte), *ahead)


@dataclass(frozen=True)
class _Share:
    """One worker's sample numbers, a list for each micro-batch, made as they are asked for: a run may have many steps."""

    batch: int
    parts: int
    rank: int
    workers: int
    steps: range

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            for part in range(self.parts):
                slots = range(self.rank + self.workers * part, self.batch, self.workers * self.parts)
                yield [step * self.batch + slot for slot in slots]

    def __len__(self) -> int:
        return len(self.steps) * self.parts


def loader(dataset: StepDataset, config: RunConfig, rank: int, workers: int, first_step: int) -> Iterator[list[Batch]]:
    """One worker's micro-batches for every step from `first_step` on: a list of `train.accumulate` batches a step.

    Slots are dealt in turn, so that each worker and micro-batch gets the same mix of mattes and photos.
    """
    batch, parts = config.train.batch, config.train.accumulate
    share = _Share(batch, parts, rank, workers, range(first_step, dataset.stage.steps))
    if config.data.loading == "ray":
        from wsshm.training.streaming import streamed

        batches = streamed(dataset, config, share, workers)
    else:
        batches = iter(
            DataLoader(
                dataset,
                batch_sampler=share,
                collate_fn=collate,
                pin_memory=torch.cuda.is_available(),
                **in_processes(config.loader_processes),
            )
        )
    for _ in range(first_step, dataset.stage.steps):
        yield [next(batches) for _ in range(parts)]


def in_processes(number: int) -> dict[str, Any]:
    """`DataLoader`'s options for a number of loader processes; without any the calling process reads.

    They are forked from one that has imported all they need, once for all stages.
    """
    if not number:
        return {}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return {
        "num_workers": number,
        "multiprocessing_context": context,
        "timeout": LOADER_TIMEOUT_S,
        "worker_init_fn": _one_thread,
    }


def _one_thread(_: int) -> None:
    """A loader process has a core of its own; OpenCV would start a thread for each core of the machine."""
    cv2.setNumThreads(0)
