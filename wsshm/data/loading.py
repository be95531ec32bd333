"""Batches whose every sample is a function of (seed, stage, step, slot) alone.

So a run that goes on from a checkpoint, or is split over another number of workers, sees exactly the same samples.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wsshm.config import RunConfig
from wsshm.data import pictures
from wsshm.data.compose import SECOND_PERSON, Cutout, composite
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.sources import Sources, budgeted
from wsshm.data.transforms import cropped, recoloured
from wsshm.methods.stage import Stage

CACHE_BYTES = 1 << 30
LOADER_TIMEOUT_S = 300
T = TypeVar("T")


class Batch(NamedTuple):
    """One worker's share of a step.

    `images` (N,3,S,S) as the network sees them, `plain` the same without recolouring (for a teacher), `labels`
    (N,1,S,S) mattes or binary masks, `is_matte` (N,) bool: composites (or other matte samples), not natural pictures.
    """

    ids: list[str]
    images: Tensor
    plain: Tensor
    labels: Tensor
    is_matte: Tensor


class StepDataset(Dataset):
    """Sample i of a stage is slot i % batch of step i // batch."""

    def __init__(self, sources: Sources, stage: Stage, config: RunConfig) -> None:
        self.stage, self.config = stage, config
        self.sources = sources
        self.mattes = (
            budgeted(sources.mattes, config.budget.mattes, config.train.seed, "mattes") if stage.uses_mattes else ()
        )
        photos = budgeted(sources.masks, config.budget.masks, config.train.seed, "masks") if stage.uses_photos else ()
        self.photos = photos
        self.photo_column = "matte" if stage.photo_label == "truth" else "mask"
        self.matte_slots = round(stage.matte_share * config.train.batch)
        self.salt = zlib.crc32(stage.name.encode())
        self.decoded = _Decoded(CACHE_BYTES // max(1, config.train.loader_workers))

    def __len__(self) -> int:
        return self.stage.steps * self.config.train.batch

    def size_at(self, step: int) -> int:
        """The training size at a step: half in the first `train.half_resolution` of the stage's steps."""
        halved = step < self.config.train.half_resolution * self.stage.steps
        return self.config.data.size // 2 if halved else self.config.data.size

    def __getitem__(self, index: int) -> tuple[str, Tensor, Tensor, Tensor, bool]:
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
            manifest = self.sources.mattes if is_matte else self.sources.masks
            image, label = self._photo(manifest, sample, "matte" if is_matte else self.photo_column, size, rng)
        return sample.id, recoloured(image, int(rng.integers(1 << 62))), image, label, is_matte

    def _in_turn(self, samples: tuple[Sample, ...], turn: int) -> Sample:
        """The sample at a place in an endless sequence that goes through all of them, shuffled anew each time."""
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

    def _photo(
        self, manifest: Manifest, sample: Sample, column: str, size: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        image = self._read(pictures.read_image, manifest.path(sample, "image"))
        read: Callable[[Path], NDArray] = pictures.read_mask if column == "mask" else pictures.read_matte
        label = self._read(read, manifest.path(sample, column))
        pictures.check_same_size(image, label, manifest.path(sample, column))
        tensor = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        picture, target = cropped(tensor, torch.from_numpy(label)[None].float(), size, int(rng.integers(1 << 62)))
        return picture.clamp(0, 1), (target > 0.5).float() if column == "mask" else target.clamp(0, 1)

    def _read(self, read: Callable[[Path], T], path: Path) -> T:
        return self.decoded.get((read.__name__, path), lambda: read(path))


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


def collate(items: list[tuple[str, Tensor, Tensor, Tensor, bool]]) -> Batch:
    """Samples of one size to a `Batch`."""
    ids, images, plain, labels, is_matte = zip(*items, strict=True)
    return Batch(list(ids), torch.stack(images), torch.stack(plain), torch.stack(labels), torch.tensor(is_matte))


def loader(dataset: StepDataset, config: RunConfig, rank: int, workers: int, first_step: int) -> Iterator[list[Batch]]:
    """One worker's micro-batches for every step from `first_step` on: a list of `train.accumulate` batches a step.

    Slots are dealt in turn, so that each worker and micro-batch gets the same mix of mattes and photos.
    """
    batch, parts = config.train.batch, config.train.accumulate
    share = [
        [step * batch + slot for slot in range(rank + workers * part, batch, workers * parts)]
        for step in range(first_step, dataset.stage.steps)
        for part in range(parts)
    ]
    several = config.train.loader_workers > 0
    batches = iter(
        DataLoader(
            dataset,
            batch_sampler=share,
            collate_fn=collate,
            num_workers=config.train.loader_workers,
            multiprocessing_context="forkserver" if several else None,
            timeout=LOADER_TIMEOUT_S if several else 0,
            pin_memory=torch.cuda.is_available(),
        )
    )
    for _ in range(first_step, dataset.stage.steps):
        yield [next(batches) for _ in range(parts)]
