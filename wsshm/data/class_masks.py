"""Which values of a mask's file are the person: two levels, a soft edge, or class indices that somebody must choose from.

A mask of classes (a Pascal VOC palette, human parsing, Cityscapes) looks like any other grey or palette file. Read as a
grey picture it is empty or holds the wrong things, so it is recognised and refused unless classes are named.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError

VOID = 255  # what Pascal VOC and others leave unlabelled
MOST_CLASSES = 64  # in one picture; a soft edge has more levels, or is thin
NEARLY_FULL = 240 / 255  # of the range: what rounding or compression leaves of full
REGION = 0.25  # of the pixels between empty and full that have eight equal neighbours: none on an edge, most in regions
SHOWN = 8
COLOUR_APART = 64 / 255  # of the range: so far another colour's channels differ at the least
COLOUR_SHARE = 0.01
CHOOSE = "`wsshm data import` and `wsshm bench evaluate` take --class"


def parse_classes(text: str) -> tuple[int, ...]:
    """The class indices of `--class`: `15`, or several separated by commas, sorted; UserError for anything else."""
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(piece.isascii() and piece.isdecimal() and len(piece) <= 5 and int(piece) < 65536 for piece in pieces):
        raise UserError(f"--class needs whole numbers from 0 to 65535, not {text[:80]!r}; write for example --class 15")
    return tuple(sorted({int(piece) for piece in pieces}))


def format_classes(classes: Collection[int]) -> str:
    """Class indices as `parse_classes` reads them."""
    return ",".join(map(str, sorted(set(classes))))


def chosen(indices: NDArray, classes: Collection[int]) -> NDArray[np.float32]:
    """H x W of 0 and 1: where the index is one of `classes`."""
    return np.isin(indices, np.array(sorted(classes))).astype(np.float32)


def check_indices(indices: NDArray, path: Path) -> None:
    """UserError for palette indices beside 0 and 1."""
    if indices.max() > 1:
        raise _needs_choice(indices, path)


def check_levels(values: NDArray, path: Path, *, lossy: bool = False) -> None:
    """UserError for H x W uint8 or uint16 values that are no mask of two levels and no soft one.

    Those of a soft mask reach at least half of the range, and lie between empty and full on edges only: whole regions
    of a few such values are classes (or the unknown region of a trimap). `lossy` files may have them from compression.
    """
    full = np.iinfo(values.dtype).max
    high = int(values.max())
    if high <= 1:
        return
    if 2 * high < full:
        raise _needs_choice(values, path)
    between = cv2.inRange(values, 1, math.ceil(NEARLY_FULL * full) - 1) > 0
    if lossy or not between.any():
        return
    levels = np.unique(values[between])
    if len(np.unique(values)) > 2 and len(levels) <= MOST_CLASSES:
        square = np.ones((3, 3), np.uint8)
        inside = between & (cv2.erode(values, square) == cv2.dilate(values, square))
        if inside.sum() > REGION * between.sum():
            raise _needs_choice(values, path)


def check_one_colour(pixels: NDArray, path: Path) -> None:
    """UserError where the bright pixels of H x W x 3 have several colours, as classes painted over one another do."""
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    bright = pixels[pixels.max(axis=2) >= full / 2].astype(np.float32)
    if not len(bright):
        return
    apart = np.abs(bright - np.median(bright, axis=0)).max(axis=1) > COLOUR_APART * full
    if apart.mean() > COLOUR_SHARE:
        raise UserError(
            f"{path} has several colours, so it does not say which is the person; save the class indices and choose "
            f"from them ({CHOOSE}), or save a mask of 0 and 255"
        )


def _needs_choice(values: NDArray, path: Path) -> UserError:
    levels, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    shown = ", ".join(f"{levels[i]} ({counts[i]:,} px)" for i in sorted(order))
    more = f" and {len(levels) - SHOWN} more" if len(levels) > SHOWN else ""
    things = [int(levels[i]) for i in order if levels[i] not in (0, VOID)]
    example = f"--class {15 if 15 in things else things[0]}" if things else "--class 15"
    return UserError(
        f"{path} holds the values {shown}{more}, as class indices or a trimap do; name those that are the person, for example "
        f"{example} ({CHOOSE}), or save a mask of 0 and 255"
    )
