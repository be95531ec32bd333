"""How a picture becomes a network's input: the test-time protocols, whose names are stored with every score."""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsshm.data.pictures import read_size
from wsshm.errors import UserError, nearest

SMALLEST_SIDE = 32
MOST_ENLARGED = 1 << 22  # pixels that a small picture is enlarged to at most, or four squares of the protocol's side
LARGEST_P3M = 1600  # px a side, as P3M's and GFM's evaluations have it
MULTIPLE = 32
SURE = 0.05  # a matte is sure of a pixel up to here, and from 1 minus this on

Size = tuple[int, int]
"""(height, width) in px."""


class Prediction(NamedTuple):
    """What a model says about one picture: matte and boundary, both H x W float32 in [0, 1]."""

    matte: NDArray[np.float32]
    boundary: NDArray[np.float32]


class Protocol(ABC):
    """A test-time input rule: the sizes at which the network sees a picture, and what is made of its answers.

    Two of the same name are equal.
    """

    @abstractmethod
    def __str__(self) -> str:
        """The name, as `parse_protocol` reads it and the store keeps it."""

    @abstractmethod
    def sizes(self, height: int, width: int) -> tuple[Size, ...]:
        """Of each pass (height, width) in px of the network's input before padding; UserError for what cannot be."""

    def merged(self, answers: Sequence[Prediction]) -> Prediction:
        """One prediction from those of the passes, all of the picture's own size."""
        return answers[0]

    def shorter_sides(self, pictures: Iterable[Path]) -> list[int]:
        """The shorter sides in px of the inputs, those of each readable picture's first pass."""
        sides = []
        for picture in pictures:
            with contextlib.suppress(UserError):
                width, height = read_size(picture)
                sides.append(min(self.sizes(height, width)[0]))
        return sides


@dataclass(frozen=True)
class Native(Protocol):
    """A picture at its own size."""

    def __str__(self) -> str:
        return "native"

    def sizes(self, height: int, width: int) -> tuple[Size, ...]:
        return ((height, width),)


@dataclass(frozen=True)
class Short(Protocol):
    """`shortN`: the shorter side resized to N px, aspect kept."""

    side: int

    def __str__(self) -> str:
        return f"short{self.side}"

    def sizes(self, height: int, width: int) -> tuple[Size, ...]:
        scale = self.side / min(height, width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        _refuse_huge(self, (height, width), (rows, columns), self.side)
        return ((rows, columns),)

    def shorter_sides(self, pictures: Iterable[Path]) -> list[int]:
        return [self.side]


@dataclass(frozen=True)
class P3MResize(Protocol):
    """P3M's and GFM's RESIZE: half the size, each side at most 1600 px and floored to a multiple of 32.

    Beside the publications' `core/test.py`: a side that would come out as 0 is 32.
    """

    def __str__(self) -> str:
        return "p3m-resize"

    def sizes(self, height: int, width: int) -> tuple[Size, ...]:
        return (_p3m(height // 2, width // 2),)


@dataclass(frozen=True)
class P3MHybrid(Protocol):
    """P3M's HYBRID: semantics at half the size, detail at the full size, both limited as RESIZE is.

    Their networks answer with a trimap and a detail matte; ours with a matte and its boundary. The half-size answer's
    unknown region is where its matte is neither below 0.05 nor above 0.95, or its boundary is likely; there the
    full-size matte stands, elsewhere the half-size one.
    """

    def __str__(self) -> str:
        return "p3m-hybrid"

    def sizes(self, height: int, width: int) -> tuple[Size, ...]:
        return _p3m(height // 2, width // 2), _p3m(height, width)

    def merged(self, answers: Sequence[Prediction]) -> Prediction:
        semantics, detail = answers
        unsure = (semantics.matte > SURE) & (semantics.matte < 1 - SURE) | (semantics.boundary >= 0.5)
        return Prediction(*(np.where(unsure, fine, coarse) for fine, coarse in zip(detail, semantics, strict=True)))


@dataclass(frozen=True)
class ModNet(Protocol):
    """MODNet's: the shorter side at 512 px, both floored to multiples of 32."""

    side = 512

    def __str__(self) -> str:
        return "modnet"

    def sizes(self, height: int, width: int) -> tuple[Size, ...]:
        scale = self.side / min(height, width)
        size = _floored(int(height * scale)), _floored(int(width * scale))
        _refuse_huge(self, (height, width), size, self.side)
        return (size,)

    def shorter_sides(self, pictures: Iterable[Path]) -> list[int]:
        return [self.side]


NATIVE = Native()
NAMED: dict[str, Protocol] = {str(rule): rule for rule in (NATIVE, P3MResize(), P3MHybrid(), ModNet())}


def parse_protocol(name: str) -> Protocol:
    """A protocol by its name, for example `short512`; UserError for anything else."""
    if name in NAMED:
        return NAMED[name]
    match = re.fullmatch(r"short(\d+)", name)
    if match and int(match[1]) >= SMALLEST_SIDE:
        return Short(int(match[1]))
    close = nearest(name, NAMED)
    hint = f"; {close}" if close.startswith("the nearest") and not name.startswith("short") else ""
    raise UserError(
        f"there is no protocol {name!r}{hint}; write {', '.join(NAMED)}, or shortN with N the shorter side in px from "
        f"{SMALLEST_SIDE} on, for example short512"
    )


def _p3m(height: int, width: int) -> Size:
    return _floored(min(height, LARGEST_P3M)), _floored(min(width, LARGEST_P3M))


def _floored(side: int) -> int:
    return max(MULTIPLE, side - side % MULTIPLE)


def _refuse_huge(rule: Protocol, given: Size, enlarged: Size, side: int) -> None:
    """UserError for a strip that would grow huge."""
    if max(enlarged) > max(given) and enlarged[0] * enlarged[1] > max(MOST_ENLARGED, 4 * side**2):
        raise UserError(
            f"a picture of {given[1]} x {given[0]} px would be enlarged to {enlarged[1]} x {enlarged[0]} at {rule}; crop "
            "it, or give --protocol native"
        )
