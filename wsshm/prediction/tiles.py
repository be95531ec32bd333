"""Pictures too large for memory, shown to a network in overlapping tiles whose answers are blended.

In an overlap the outer quarter of a tile, where its network saw too little beyond the edge, counts nothing; over the
half in the middle one tile fades into the next. A network that sees no further than that quarter answers as it does for
the whole picture. One that sees further may answer otherwise in each tile; no seam shows, but what a tile shows of a
person is all that it knows.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wsshm.models.network import State
from wsshm.prediction.forward import Float32, Forward, UInt8

OVERLAP = 4  # a tile shares one part in so many with each neighbour
SMALLEST_TILE = 256  # px that a tile is made when memory is short
ALWAYS_WHOLE = 1 << 20  # pixels that no memory is asked for
PROBE = 256  # px: the side of the picture that shows how much memory a pixel takes
OF_FREE = 0.4  # of the free memory may be taken by what a network keeps; libraries' own workspace is beside it

States = dict[tuple[int, int], State]
"""What a recurrent network remembers, by the top left corner of each tile; {} before the first frame."""


def in_tiles(
    forward: Forward, pictures: Sequence[UInt8], tile: int, states: States | None = None
) -> tuple[Float32, States]:
    """As `Forward`, in tiles of at most `tile` px a side (multiples of the network's stride)."""
    height, width = pictures[0].shape[:2]
    rows, columns = spans(height, tile, forward.stride), spans(width, tile, forward.stride)
    if len(rows) == len(columns) == 1:
        maps, state = forward(pictures, None if states is None else states.get((0, 0), ()))
        return maps, {(0, 0): state}
    total = np.zeros((len(pictures), 2, height, width), np.float32)
    weights = np.zeros((height, width), np.float32)
    after: States = {}
    for (top, bottom), (left, right) in product(rows, columns):
        before = None if states is None else states.get((top, left), ())
        maps, after[top, left] = forward([picture[top:bottom, left:right] for picture in pictures], before)
        weight = np.outer(_fade(top, bottom, height, rows), _fade(left, right, width, columns))
        total[..., top:bottom, left:right] += maps * weight
        weights[top:bottom, left:right] += weight
    return total / weights, after


def spans(side: int, tile: int, stride: int) -> list[tuple[int, int]]:
    """[(begin, end)] of tiles along a side, all of one size and multiples of the stride, each overlapping the next.

    A tile is at least four strides long, so that there is something to overlap.

    >>> spans(256, 128, 32)
    [(0, 128), (64, 192), (128, 256)]
    """
    tile = max(OVERLAP * stride, tile - tile % stride)
    if tile >= side:
        return [(0, side)]
    shared = tile // OVERLAP // stride * stride
    count = -(-(side - shared) // (tile - shared))
    room = (side - tile) // stride
    starts = [stride * round(room * index / (count - 1)) for index in range(count)]
    return [(start, start + tile) for start in starts]


def _fade(begin: int, end: int, side: int, all_spans: Sequence[tuple[int, int]]) -> Float32:
    """A tile's weight at each pixel along a side: 1, falling to 0 over the overlaps with its neighbours."""
    weight = np.ones(end - begin, np.float32)
    before = [other for _, other in all_spans if begin < other < end]
    after = [other for other, _ in all_spans if begin < other < end]
    if before:
        weight *= _ramp(end - begin, max(before) - begin)
    if after:
        weight *= _ramp(end - begin, end - min(after))[::-1]
    return weight


def _ramp(length: int, shared: int) -> Float32:
    """0 over the first quarter of the shared pixels, half a cosine up to 1 over the next half, 1 from there on."""
    place = (np.arange(length) + 0.5) / shared * 2 - 0.5
    rise: NDArray = 0.5 - 0.5 * np.cos(np.pi * np.clip(place, 0, 1))
    return rise.astype(np.float32)


class Memory:
    """How much of a device's memory a network takes for a picture, found out when it is first asked."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self._a_pixel: float | None = None
        self._tiles: dict[tuple[int, int, int], int | None] = {}

    def tile_for(self, height: int, width: int, count: int = 1) -> int | None:
        """The side in px of tiles by which `count` inputs of a size fit into memory; None if they fit whole.

        Decided by what is free when a size is first met, so that all frames of a video are cut alike.
        """
        size = height, width, count
        if size not in self._tiles:
            self._tiles[size] = None if height * width * count <= ALWAYS_WHOLE else self._decided(*size)
        return self._tiles[size]

    def _decided(self, height: int, width: int, count: int) -> int | None:
        pixels = OF_FREE * free_bytes(self.forward.device) / self.bytes_a_pixel() / count
        if height * width <= pixels:
            return None
        side = SMALLEST_TILE
        while (2 * side) ** 2 <= pixels:
            side *= 2
        return side

    def bytes_a_pixel(self) -> float:
        """The most bytes that the network keeps at a time for a pixel, as a small picture shows."""
        if self._a_pixel is None:
            stride = self.forward.stride
            side = -(-PROBE // stride) * stride
            with _Alive() as alive:
                self.forward([np.zeros((side, side, 3), np.uint8)])
            self._a_pixel = max(1.0, alive.most / side**2)
        return self._a_pixel


def free_bytes(device: torch.device) -> int:
    """Bytes of memory that are free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


class _Alive(TorchDispatchMode):
    """Counts the bytes of tensors that operators return, as long as each is kept; `most` is their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size
