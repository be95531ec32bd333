"""From cut 8-bit pieces to a batch: what loader processes hand over, and the arithmetic on the device that trains.

On a CPU sample by sample, so that what a sample becomes depends, bit for bit, on nothing else in its batch; on a GPU the
whole batch at once, within 1e-4 of that (but for coefficients of compressed pictures that lie between two steps).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from wsshm.data import arithmetic
from wsshm.data.cutting import Canvas
from wsshm.data.looks import FigureLook, Look, blur_reach

Numbers = NDArray[Any]
"""Numbers for each sample, as NumPy arrays: handed over as tensors, each would have a file of shared memory of its own."""


class Batch(NamedTuple):
    """One worker's share of a step, on its device.

    `images` (N,3,S,S) as the network sees them, channels last, `plain` the same without recolouring, compression and its
    noise where a teacher is asked or a label has a loss of its own, `labels` (N,1,S,S) mattes or binary masks (zeros where
    a stage reads none), `is_matte` (N,) bool: composites (or other matte samples), not natural pictures. Where labels were
    made ahead there are also `share` and `weight` (N,1,S,S), the teacher's share and the loss weight (0 and 1 for matte
    samples).
    """

    ids: list[str]
    images: Tensor
    plain: Tensor | None
    labels: Tensor
    is_matte: Tensor
    share: Tensor | None = None
    weight: Tensor | None = None


class CutSample(NamedTuple):
    """One sample's pieces: the ground, which fills it, with label maps (`roles`) after its colours, and figures in front.

    The ground has no maps where figures are its label, or a stage reads none. Figures are premultiplied RGBA, the last
    in front.
    """

    id: str
    is_matte: bool
    size: int
    ground: Canvas
    roles: tuple[str, ...]
    figures: list[tuple[Canvas, FigureLook]]
    look: Look

    @property
    def canvases(self) -> list[Canvas]:
        """Of all its pieces."""
        return [self.ground, *(canvas for canvas, _ in self.figures)]


class _Room:
    """Memory for a batch's pixels, all of it one file where processes share it."""

    def __init__(self, size: int, shared: bool) -> None:
        empty = torch.empty(0, dtype=torch.uint8)
        # As torch's own collate function makes it.
        self.free = empty.set_(torch.UntypedStorage._new_shared(size)) if shared else empty.resize_(size)

    def taken(self, size: int) -> Tensor:
        """The next so many bytes."""
        part, self.free = self.free[:size], self.free[size:]
        return part


class Pieces(NamedTuple):
    """Canvases of one kind: their pixels one after the other, uint8, their shapes (n,3) as (h, w, C), the samples (n,) that
    they are of, and the maps (n,2,3) from samples to them.
    """

    rows: Numbers
    pixels: Tensor
    shapes: Numbers
    matrices: Numbers

    @classmethod
    def of(cls, rows: list[int], canvases: list[Canvas], room: _Room) -> Pieces:
        """Canvases written one after the other into the room that there is for them."""
        shapes = np.array([canvas.shape for canvas in canvases])
        ends = shapes.prod(1).cumsum()
        pixels = room.taken(int(ends[-1]))
        for canvas, part in zip(canvases, np.split(pixels.numpy(), ends[:-1]), strict=True):
            canvas.written(part.reshape(canvas.shape))
        return cls(np.array(rows), pixels, shapes, _floats([canvas.matrix for canvas in canvases]))

    def seen(self, size: int, device: torch.device, beyond: str) -> tuple[Tensor, Tensor]:
        """The samples they are of, and what these see of them (n,C,S,S)."""
        shown = None if (self.shapes == self.shapes[0]).all() else _on(device, _floats(self.shapes[:, 1::-1]))
        matrices = _on(device, self.matrices)
        seen = arithmetic.warped(self._canvases(device), matrices, size, beyond=beyond, shown=shown)
        return _on(device, self.rows), seen

    def of_row(self, row: int) -> tuple[Pieces, slice]:
        """That of a sample, as if it were the only one, and its place here; none where the sample has none."""
        found = np.flatnonzero(self.rows == row)
        place = slice(int(found[0]), int(found[0]) + 1) if len(found) else slice(0)
        start, number = int(self.shapes[: place.start].prod(1).sum()), int(self.shapes[place].prod(1).sum())
        pixels = self.pixels[start : start + number]
        return Pieces(np.zeros_like(self.rows[place]), pixels, self.shapes[place], self.matrices[place]), place

    def _canvases(self, device: torch.device) -> Tensor:
        """(n,H,W,C) on the device, H and W the largest of them; each lies in the upper left, with zeros beside it."""
        pixels = self.pixels.to(device, non_blocking=True)
        number, largest = len(self.shapes), self.shapes.max(0).tolist()
        if (self.shapes == self.shapes[0]).all():
            return pixels.view(number, *largest)
        canvases = pixels.new_zeros(number, *largest)
        parts = pixels.split(self.shapes.prod(1).tolist())
        for canvas, part, (height, width, channels) in zip(canvases, parts, self.shapes.tolist(), strict=True):
            canvas[:height, :width] = part.view(height, width, channels)
        return canvases


class Grounds(NamedTuple):
    """Grounds with the same label maps."""

    pieces: Pieces
    roles: tuple[str, ...]


class Figures(NamedTuple):
    """Figures of one depth, at most one a sample, with their light (n,3,4), curves and blurs (n,)."""

    pieces: Pieces
    light: Numbers
    curves: Numbers
    blurs: Numbers


class Looks(NamedTuple):
    """The samples' `Look`s, field by field."""

    blurs: Numbers
    grains: Numbers
    colours: Numbers
    offsets: Numbers
    noises: Numbers
    qualities: Numbers
    places: Numbers


class CutBatch(NamedTuple):
    """Samples before the arithmetic, as bytes and numbers; `maps` is 1, or 3 where labels were made ahead.

    `figures` are by depth, the rearmost first. Everything lies on the CPU.
    """

    ids: list[str]
    is_matte: Numbers
    size: int
    maps: int
    plain: bool
    grounds: list[Grounds]
    figures: list[Figures]
    looks: Looks

    def render(self, device: torch.device) -> Batch:
        """The batch as a network and its labels see it."""
        if device.type != "cpu" or len(self.ids) == 1:
            return _rendered(self, device)
        alone = [_rendered(self._only(row), device) for row in range(len(self.ids))]

        def joined(name: str, layout: torch.memory_format = torch.contiguous_format) -> Any:
            parts = [getattr(sample, name) for sample in alone]
            return None if parts[0] is None else torch.cat(parts).contiguous(memory_format=layout)

        pictures = (joined(name, torch.channels_last) for name in ("images", "plain"))
        return Batch(self.ids, *pictures, *(joined(name) for name in Batch._fields[3:]))

    def _only(self, row: int) -> CutBatch:
        one = slice(row, row + 1)
        grounds = [Grounds(group.pieces.of_row(row)[0], group.roles) for group in self.grounds]
        figures = []
        for group in self.figures:
            kept, place = group.pieces.of_row(row)
            figures.append(Figures(kept, *(numbers[place] for numbers in group[1:])))
        return self._replace(
            ids=self.ids[one],
            is_matte=self.is_matte[one],
            grounds=[group for group in grounds if len(group.pieces.rows)],
            figures=[group for group in figures if len(group.pieces.rows)],
            looks=Looks(*(numbers[one] for numbers in self.looks)),
        )


def collate(samples: list[CutSample], maps: int = 1, plain: bool = False, shared: bool | None = None) -> CutBatch:
    """Samples of one size to a batch; grounds are grouped by their label maps, figures by depth.

    Pixels are written into `shared` memory, by default in a loader process.
    """
    if shared is None:
        shared = get_worker_info() is not None
    room = _Room(sum(math.prod(canvas.shape) for sample in samples for canvas in sample.canvases), shared)
    by_roles: dict[tuple[str, ...], list[int]] = {}
    for row, sample in enumerate(samples):
        by_roles.setdefault(sample.roles, []).append(row)
    grounds = [
        Grounds(Pieces.of(rows, [samples[row].ground for row in rows], room), roles) for roles, rows in by_roles.items()
    ]
    figures = []
    for depth in range(max(len(sample.figures) for sample in samples)):
        rows = [row for row, sample in enumerate(samples) if len(sample.figures) > depth]
        canvases, faces = zip(*(samples[row].figures[depth] for row in rows), strict=True)
        figures.append(
            Figures(
                Pieces.of(rows, list(canvases), room),
                _floats([face.light for face in faces]),
                _floats([face.curve for face in faces]),
                _floats([face.blur for face in faces]),
            )
        )
    looks = [sample.look for sample in samples]
    return CutBatch(
        [sample.id for sample in samples],
        np.array([sample.is_matte for sample in samples]),
        samples[0].size,
        maps,
        plain,
        grounds,
        figures,
        Looks(
            _floats([look.blur for look in looks]),
            _floats([look.grain for look in looks]),
            _floats([look.colours.matrix for look in looks]),
            _floats([look.colours.offset for look in looks]),
            _floats([look.noise for look in looks]),
            _floats([look.quality for look in looks]),
            np.stack([look.offsets for look in looks]),
        ),
    )


def _rendered(cut: CutBatch, device: torch.device) -> Batch:
    number, looks = len(cut.ids), cut.looks
    images = torch.empty(number, 3, cut.size, cut.size, device=device)
    labels = torch.zeros(number, cut.maps, cut.size, cut.size, device=device)
    labels[:, 2:] = 1  # full weight, but where a file says otherwise
    for pieces, roles in cut.grounds:
        rows, seen = pieces.seen(cut.size, device, "border")
        images[rows] = seen[:, :3]
        if roles:
            target = _label_of(seen[:, 3:], roles)
            labels[rows, : target.shape[1]] = target
    images = _some_blurred(images, looks.blurs)
    for figures in cut.figures:
        _put_in_front(images, labels, figures, cut.size, device)
    if looks.grains.any():
        grains = _on(device, looks.grains)[..., None, None]
        strength = torch.lerp(grains[:, :1], grains[:, 1:], labels[:, :1])
        images += arithmetic.noise(looks.places[:, 0], cut.size, device) * strength
    images.clamp_(0, 1)
    plain = images.contiguous(memory_format=torch.channels_last) if cut.plain else None
    images = arithmetic.coloured(images, _on(device, looks.colours), _on(device, looks.offsets)).clamp_(0, 1)
    if len(compressed := np.flatnonzero(looks.qualities)):
        there = _on(device, compressed)
        images[there] = arithmetic.compressed(images[there], torch.tensor(looks.qualities[compressed]))
    fields = arithmetic.noise(looks.places[:, 1], cut.size, device)
    images = images.addcmul_(fields, _on(device, looks.noises).view(-1, 1, 1, 1)).clamp_(0, 1)
    images = images.contiguous(memory_format=torch.channels_last)
    label, *ahead = labels.clamp_(0, 1).split(1, 1)
    return Batch(cut.ids, images, plain, label, _on(device, cut.is_matte), *ahead)


def _put_in_front(images: Tensor, labels: Tensor, figures: Figures, size: int, device: torch.device) -> None:
    """Composite figures. One out of focus has its alpha blurred with it, which is then the truth: so does a lens."""
    rows, seen = figures.pieces.seen(size, device, "zeros")
    seen = _some_blurred(seen, figures.blurs)
    alpha = seen[:, 3:]
    colours = arithmetic.coloured(seen, _on(device, figures.light)).clamp_(min=0).minimum(alpha)
    if figures.curves.any():
        colours = arithmetic.curved(colours, _on(device, figures.curves), alpha)
    images[rows] = arithmetic.over(colours, alpha, images[rows])
    labels[rows, :1] = arithmetic.over(alpha, alpha, labels[rows, :1])


def _some_blurred(pictures: Tensor, sigmas: Numbers) -> Tensor:
    """Pictures, those with a sigma above 0 blurred."""
    rows, reach = np.flatnonzero(sigmas), blur_reach(pictures.shape[-1])
    if len(rows) == len(pictures):
        return arithmetic.blurred(pictures, torch.tensor(sigmas), reach)
    if len(rows):
        there = _on(pictures.device, rows)
        pictures[there] = arithmetic.blurred(pictures[there], torch.tensor(sigmas[rows]), reach)
    return pictures


def _label_of(maps: Tensor, roles: tuple[str, ...]) -> Tensor:
    """What a photo is labelled with: its first map, a mask thresholded after it was resized, and those made ahead."""
    if roles[0] == "label":
        return _resharpened(maps)
    if roles[0] == "mask":
        maps[:, :1] = (maps[:, :1] > 0.5).float()
    return maps


def _resharpened(maps: Tensor) -> Tensor:
    """Resized label, share A (and weight), and last the mask, as (N,C,S,S): the same without the mask.

    A mask is thresholded after it was resized, and so is then its part of the label: (1 - A) S with the S of a stage that
    blends in its loop. Left soft, every edge that the teacher has no say in would be taught as half transparent.
    """
    label, share, soft = maps[:, :1], maps[:, 1:2], maps[:, -1:]
    sharp = label + (1 - share) * ((soft > 0.5).float() - soft)
    return torch.cat([sharp.clamp(0, 1), maps[:, 1:-1]], 1)


def _on(device: torch.device, numbers: Numbers) -> Tensor:
    """Numbers copied to a device; those of a batch may lie in memory that is only for reading."""
    return torch.tensor(numbers).to(device, non_blocking=True)


def _floats(values: Any) -> Numbers:
    return np.array(values, np.float32)
