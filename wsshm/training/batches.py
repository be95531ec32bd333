"""Samples that are functions of (seed, stage, step, slot) alone, cut by loader processes, and the batches made of them.

So a run that goes on from a checkpoint, or is split over another number of workers, sees exactly the same samples. What a
sample shows is drawn before anything is decoded, so that no more is decoded and cut than it shows; the arithmetic is left
to the device (`rendering`).
"""

from __future__ import annotations

import functools
import math
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
from torch.utils.data import DataLoader, Dataset

from wsshm.blended_labels.labels import file_of, kinds_of
from wsshm.config import RunConfig
from wsshm.data import pictures
from wsshm.data.compose import SECOND_PERSON
from wsshm.data.cutting import Float64, UInt8, cut, reduced, reduction_of
from wsshm.data.looks import figure_look, look
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.placing import CUT_OFF, Placement, Size, background_map, photo_map
from wsshm.data.sources import Sources, budgeted, budgeted_masks
from wsshm.errors import UserError
from wsshm.methods.stage import Stage
from wsshm.training.fetch_ahead import FetchAhead
from wsshm.training.rendering import Batch, CutBatch, CutSample, collate

__all__ = ["Batch", "CutBatch", "CutSample", "Drawn", "StepDataset", "collate", "in_processes", "loader"]

CACHE_BYTES = 1 << 30
LOADER_TIMEOUT_S = 300
MEAN_STEP = 8  # px: as closely as a mean grey value need be known
T = TypeVar("T")


class Piece(NamedTuple):
    """Files of one size that a sample shows the same part of, by what they are, and by how much they may be shrunk.

    `place` is the map from the sample, or for a cut-out what makes it, once it is known whether it is cut off below.
    """

    files: dict[str, Path]
    size: Size
    reduction: int
    place: Float64 | Placement


class Chosen(NamedTuple):
    """Whose pictures a sample will show, people from back to front; a background is for cut-outs. `rng` draws the rest."""

    is_matte: bool
    people: list[Sample]
    background: Sample | None
    rng: np.random.Generator

    def of(self, sources: Sources) -> list[tuple[Manifest, Sample]]:
        """The samples, each with the manifest that lists it."""
        people = sources.mattes if self.is_matte else sources.masks
        scenes = [(sources.backgrounds, self.background)] if self.background else []
        return [*((people, person) for person in self.people), *scenes]


class Drawn(NamedTuple):
    """What a sample will show, before any of its pictures is decoded; figures from back to front.

    What is left to draw, `rng` draws.
    """

    id: str
    is_matte: bool
    size: int
    ground: Piece
    figures: list[Piece]
    rng: np.random.Generator


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
        photos = budgeted_masks(sources, config.budget, config.train.seed) if stage.uses_photos else ()
        self.photos = photos
        self.matte_slots = round(stage.matte_share * config.train.batch)
        self.salt = zlib.crc32(stage.name.encode())
        self.cache = _Decoded(CACHE_BYTES // max(1, config.train.loader_workers))
        self.ahead = FetchAhead()

    def __len__(self) -> int:
        return self.stage.steps * self.config.train.batch

    def size_at(self, step: int) -> int:
        """The training size at a step: half in the first `train.half_resolution` of the stage's steps."""
        halved = step < self.config.train.half_resolution * self.stage.steps
        return self.config.data.size // 2 if halved else self.config.data.size

    def __getitem__(self, index: int) -> CutSample:
        drawn = self.drawn(index)
        return self.cut(drawn, self.decoded(drawn))

    def __getitems__(self, indices: list[int]) -> list[CutSample]:
        """The samples of a micro-batch, those of the next ones being fetched meanwhile where they have to be."""
        self.ahead.of(self, indices)
        try:
            return [self[index] for index in indices]
        except UserError as error:
            for index in indices:
                for manifest, sample in self.chosen(index).of(self.sources):
                    manifest.retell(error, sample)
            raise

    @property
    def collate(self) -> functools.partial[CutBatch]:
        """Makes batches of this stage's samples."""
        return functools.partial(collate, maps=3 if self.labels else 1, plain=self.stage.sees_plain)

    def chosen(self, index: int) -> Chosen:
        """Choose whose pictures a sample shows."""
        batch = self.config.train.batch
        step, slot = divmod(index, batch)
        rng = np.random.default_rng([self.config.train.seed, self.salt, index])
        is_matte = slot < self.matte_slots
        if is_matte:
            sample = self._in_turn(self.mattes, step * self.matte_slots + slot)
        else:
            turn = step * (batch - self.matte_slots) + slot - self.matte_slots
            sample = self._in_turn(self.photos, turn)
        if sample.kind != "cutout":
            return Chosen(is_matte, [sample], None, rng)
        people = [sample]
        if rng.random() < SECOND_PERSON:
            people.insert(0, self.mattes[rng.integers(len(self.mattes))])
        backgrounds = self.sources.backgrounds
        return Chosen(is_matte, people, backgrounds.samples[rng.integers(len(backgrounds))], rng)

    def drawn(self, index: int) -> Drawn:
        """Choose a sample's pictures and what it shows of them."""
        size = self.size_at(index // self.config.train.batch)
        is_matte, people, scene, rng = self.chosen(index)
        sample = people[-1]
        if scene is None:
            return Drawn(sample.id, is_matte, size, self._photo(sample, is_matte, size, rng), [], rng)
        background = self.sources.backgrounds.path(scene, "image")
        behind = self._size(scene, background)
        place = background_map(behind, size, rng)
        ground = Piece({"image": background}, behind, reduction_of(place), place)
        figures = [self._figure(person, size, rng) for person in people if person.kind == "cutout"]
        return Drawn(sample.id, is_matte, size, ground, figures, rng)

    def decoded(self, drawn: Drawn) -> list[list[UInt8]]:
        """The pixels of a sample's pieces, ground first: of each its planes, shrunk as far as it may be."""
        ground = drawn.ground
        return [
            [self._pixels(kind, path, ground) for kind, path in ground.files.items()],
            *([self._cutout(figure)] for figure in drawn.figures),
        ]

    def cut(self, drawn: Drawn, pixels: list[list[UInt8]]) -> CutSample:
        """Cut what a sample shows out of its decoded pictures, and draw what it looks like."""
        ground, size, rng = drawn.ground, drawn.size, drawn.rng
        assert not isinstance(ground.place, Placement), "a ground has a map"
        canvas = cut(pixels[0], ground.place, size, ground.reduction)
        figures = []
        for figure, (cutout,) in zip(drawn.figures, pixels[1:], strict=True):
            assert isinstance(figure.place, Placement), "a figure has a placement"
            cut_off = bool(cutout[-1, :, 3].max() > 255 * CUT_OFF)
            place = figure.place.map(figure.size, size, cut_off)
            figures.append((cut([cutout], place, size, figure.reduction), figure_look(size, rng)))
        mean = float(canvas.planes[0][::MEAN_STEP, ::MEAN_STEP].mean()) / 255
        roles = tuple(ground.files)[1:]
        return CutSample(drawn.id, drawn.is_matte, size, canvas, roles, figures, look(size, mean, bool(figures), rng))

    def _in_turn(self, samples: tuple[Sample, ...], turn: int) -> Sample:
        """The sample at a place in an endless sequence that goes through all of them, reshuffled each time."""
        epoch, place = divmod(turn, len(samples))
        order = self.cache.get(
            ("order", len(samples), epoch),
            lambda: np.random.default_rng([self.config.train.seed, self.salt, 1, epoch]).permutation(len(samples)),
        )
        return samples[order[place]]

    def _figure(self, sample: Sample, size: int, rng: np.random.Generator) -> Piece:
        mattes, place = self.sources.mattes, Placement.drawn(rng)
        files = {"foreground": mattes.path(sample, "foreground"), "matte": mattes.path(sample, "matte")}
        of = self._size(sample, files["foreground"])
        return Piece(files, of, reduction_of(place.map(of, size, cut_off=False)), place)

    def _photo(self, sample: Sample, is_matte: bool, size: int, rng: np.random.Generator) -> Piece:
        manifest = self.sources.mattes if is_matte else self.sources.masks
        labels = {"matte": manifest.path(sample, "matte")} if is_matte else self._label_files(sample)
        image = manifest.path(sample, "image")
        of = self._size(sample, image)
        place = photo_map(of, size, rng)
        return Piece({"image": image, **labels}, of, reduction_of(place), place)

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

    def _size(self, sample: Sample, path: Path) -> Size:
        """A sample's size as its manifest has it; where that is unknown, or may be wrong, its picture's."""
        if sample.width and sample.height and not self.config.data.allow_faults:
            return sample.width, sample.height
        return self.cache.get(("size", path), lambda: pictures.read_size(path))

    def _pixels(self, kind: str, path: Path, piece: Piece) -> UInt8:
        """A picture (H,W,3), or a label map (H,W) of 0 to 255, shrunk by the piece's reduction."""
        return self.cache.get((kind, path, piece.reduction), lambda: _read(kind, path, piece))

    def _cutout(self, piece: Piece) -> UInt8:
        paths = piece.files["foreground"], piece.files["matte"]
        return self.cache.get(
            (*paths, piece.reduction), lambda: _of_size(pictures.read_cutout(*paths, piece.reduction), piece, paths[0])
        )


def _read(kind: str, path: Path, piece: Piece) -> UInt8:
    if kind == "image":
        return _of_size(pictures.read_image(path, piece.reduction), piece, path)
    values = pictures.read_mask(path) * np.uint8(255) if kind == "mask" else pictures.read_matte_bytes(path)
    pictures.check_size(values.shape, piece.size, path)
    return reduced(values, piece.reduction)


def _of_size(pixels: UInt8, piece: Piece, path: Path) -> UInt8:
    """Pixels of a picture that were shrunk, where it has the size by which what is shown of it was chosen."""
    width, height = piece.size
    if pixels.shape[:2] != tuple(math.ceil(side / piece.reduction) for side in (height, width)):
        raise UserError(
            f"{path} is not of {width}x{height} px, as its manifest says; `wsshm data check` lists all such files"
        )
    return pixels


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


def loader(
    dataset: StepDataset, config: RunConfig, rank: int, workers: int, first_step: int
) -> Iterator[list[CutBatch]]:
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
                collate_fn=dataset.collate,
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
