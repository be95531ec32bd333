"""Pictures that look alike: perceptual hashes, and the search among all pairs of them.

A picture's hash is imagehash's `phash` (64 bits: signs of the lowest DCT frequencies of its grey values, against their
median). Two pictures are near-duplicates if at most `NEAR_BITS` bits differ and their thumbnails correlate: hashes of
pictures that share little but their layout do meet by chance, thumbnails then do not. A picture of one colour has no
frequencies for a hash to see, so it is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.console import track
from wsshm.data.parallel import on_threads

NEAR_BITS = 8
NEAR_CORRELATION = 0.8
COPY_BITS, COPY_LEVELS = 4, 5
"""A copy that was saved again, or resized, differs by no more: in bits, and in grey levels anywhere in the thumbnail."""
FLAT = 4.0
"""Standard deviation, in grey levels, of the thumbnail of a picture that is too flat for a hash."""
THUMBNAIL, REDUCED = 16, 64
GREY = 128
TRIED = 8
"""Candidates whose thumbnails are compared, for each picture and tile; frames of a film have thousands."""
ROWS, COLUMNS = 128, 4096  # a tile of distances stays in a core's cache
CANDIDATES = 1 << 14


@dataclass(frozen=True)
class Likeness:
    """What pictures are compared by: `bits`, the perceptual hash, and a grey thumbnail (THUMBNAIL^2 bytes)."""

    bits: int
    thumbnail: bytes

    @classmethod
    def of(cls, image: NDArray[np.uint8], matte: NDArray[np.float32] | None = None) -> Likeness | None:
        """Of an image (H,W,3), of a cut-out over grey with its matte (H,W); None for a picture of one colour."""
        import imagehash
        from PIL import Image

        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if matte is not None:
            grey = cv2.convertScaleAbs((grey.astype(np.float32) - GREY) * matte + GREY)
        thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        if thumbnail.std() < FLAT:
            return None
        reduced = cv2.resize(grey, (REDUCED, REDUCED), interpolation=cv2.INTER_AREA)
        bits = imagehash.phash(Image.fromarray(reduced)).hash
        return cls(int.from_bytes(np.packbits(bits).tobytes(), "big"), thumbnail.tobytes())


@dataclass(frozen=True)
class Twin:
    """`row` is like `other`, the nearest of those that it was compared with: by `distance` bits. `copy`: saved again."""

    row: int
    other: int
    distance: int
    copy: bool


class Likenesses:
    """Many pictures' likenesses as arrays, to be searched. None is like no other."""

    def __init__(self, likenesses: Sequence[Likeness | None]) -> None:
        self.known = np.array([each is not None for each in likenesses], bool)
        self.bits = np.array([each.bits if each else 0 for each in likenesses], np.uint64)
        blank = bytes(THUMBNAIL * THUMBNAIL)
        joined = b"".join(each.thumbnail if each else blank for each in likenesses)
        self.thumbnails = np.frombuffer(joined, np.uint8).reshape(-1, THUMBNAIL * THUMBNAIL)

    def among(self, members: NDArray[np.intp]) -> list[Twin]:
        """For each of `members` (ascending) its nearest twin before it, if it has one."""
        members = members[self.known[members]]
        return self._searched(members, members, above=True)

    def between(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> list[Twin]:
        """For each of `rows` its nearest twin in `others`, if it has one."""
        return self._searched(rows[self.known[rows]], others[self.known[others]], above=False)

    def _searched(self, rows: NDArray[np.intp], others: NDArray[np.intp], above: bool) -> list[Twin]:
        starts = range(0, len(rows), ROWS)
        strips = on_threads(
            lambda start: self._strip(rows[start : start + ROWS], others, start if above else None), starts
        )
        return [twin for twins in track(strips, len(starts), "comparing pictures") for twin in twins]

    def _strip(self, rows: NDArray[np.intp], others: NDArray[np.intp], start: int | None) -> list[Twin]:
        """The twins of a strip of rows; with `start`, the strip's place in `others`, only those before each row."""
        end = len(others) if start is None else start + len(rows)
        best: dict[int, Twin] = {}
        own = self.bits[rows][:, None]
        for first in range(0, end, COLUMNS):
            columns = others[first : min(first + COLUMNS, end)]
            distances = np.bitwise_count(own ^ self.bits[columns][None])
            if start is not None:
                places = np.arange(first, first + len(columns))
                distances[places[None] >= np.arange(start, start + len(rows))[:, None]] = 255
            for row, other, distance, copy in self._verified(rows, columns, distances):
                known = best.get(row)
                if known is None or (not copy, distance, other) < (not known.copy, known.distance, known.other):
                    best[row] = Twin(row, other, distance, copy)
        return list(best.values())

    def _verified(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], distances: NDArray[np.uint8]
    ) -> Iterator[tuple[int, int, int, bool]]:
        """(row, other, distance, copy) of a tile's candidates whose thumbnails are alike as well."""
        hit = np.flatnonzero((distances <= NEAR_BITS).any(axis=1))
        if not hit.size:
            return
        tile = distances[hit]
        tried = min(TRIED, tile.shape[1])
        nearest = np.argpartition(tile, tried - 1, axis=1)[:, :tried]
        at, place = np.nonzero(np.take_along_axis(tile, nearest, 1) <= NEAR_BITS)
        chosen = nearest[at, place]
        distance = tile[at, chosen]
        for some in np.array_split(np.arange(len(at)), math.ceil(len(at) / CANDIDATES)):
            a, b = rows[hit[at[some]]], columns[chosen[some]]
            first, second = (self.thumbnails[index].astype(np.float32) for index in (a, b))
            apart = np.abs(first - second).max(1)
            first, second = (each - each.mean(1, keepdims=True) for each in (first, second))
            alike = (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1)) >= NEAR_CORRELATION
            copy = alike & (distance[some] <= COPY_BITS) & (apart <= COPY_LEVELS)
            for k in np.flatnonzero(alike):
                yield int(a[k]), int(b[k]), int(distance[some][k]), bool(copy[k])
