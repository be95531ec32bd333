"""Alpha inside an unknown band by closed-form matting: Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image
Matting (PAMI 2008), as pymatting has it.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

SIDE = 1024
"""Longer side in px at which it is solved at most: time and memory grow with the area."""
STRETCH = (0.03, 0.97)
"""What becomes 0 and 1: the solution comes near them, but smears a little of one into the other."""
SHIFTS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3, 1e5)
"""Diagonal shifts of the preconditioner, tried in turn: without one it may fail, of which pymatting prints a warning."""
ROOM = 8
"""Pixels around the band: the solution looks at neighbours."""

log = logging.getLogger(__name__)
_LOCK = threading.Lock()


def matte_in_band(image: UInt8, trimap: UInt8) -> Float32:
    """Alpha (H, W) in [0, 1] of a picture (H, W, 3) where its trimap (H, W; 0, 128, 255) does not know it.

    The smallest rectangle that holds the band is solved; where its longer side is above `SIDE`, it is shrunk to that, and
    the solution enlarged. What is not joined to the known foreground is dropped. Raises ValueError where there is no
    solution, such as without foreground or background.
    """
    alpha = (trimap == 255).astype(np.float32)
    unknown = trimap == 128
    if not unknown.any():
        return alpha
    part = _around(unknown, trimap)
    height, width = trimap[part].shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(3, round(width * scale)), max(3, round(height * scale))
    colours = cv2.resize(image[part], size, interpolation=cv2.INTER_AREA) if scale < 1 else image[part]
    known = _shrunk(trimap[part], size) if scale < 1 else trimap[part]
    solved = np.asarray(_solver()(colours / 255.0, known / 255.0), np.float32)
    whole = cv2.resize(solved, (width, height), interpolation=cv2.INTER_LINEAR) if scale < 1 else solved
    low, high = STRETCH
    stretched = np.clip((whole - low) / (high - low), 0, 1)
    alpha[part] = np.where(unknown[part], stretched, alpha[part])
    return _joined(alpha, trimap == 255)


def _around(unknown: NDArray[np.bool_], trimap: UInt8) -> tuple[slice, slice]:
    """The rectangle of the band, with room; the whole picture where that lacks foreground or background."""
    sides = []
    for axis in (1, 0):
        at = np.flatnonzero(unknown.any(axis))
        sides.append(slice(max(0, int(at[0]) - ROOM), int(at[-1]) + 1 + ROOM))
    part = trimap[sides[0], sides[1]]
    if (part == 0).any() and (part == 255).any():
        return sides[0], sides[1]
    return slice(None), slice(None)


def _shrunk(trimap: UInt8, size: tuple[int, int]) -> UInt8:
    """A trimap at a smaller size (width, height): a pixel is known where all that it stands for is."""
    sure = [
        cv2.resize((trimap == level).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
        for level in (255, 0)
    ]
    return np.select(sure, [np.uint8(255), np.uint8(0)], np.uint8(128)).astype(np.uint8)


def _joined(alpha: Float32, foreground: NDArray[np.bool_]) -> Float32:
    """The matte without what no path of more than 5 % leads to from the known foreground."""
    _, parts = cv2.connectedComponents((alpha > 0.05).astype(np.uint8), connectivity=8)
    joined = np.isin(parts, np.unique(parts[foreground]))
    return np.where(joined | (parts == 0), alpha, 0).astype(np.float32)


def _solver() -> Callable[..., NDArray[np.float64]]:
    with _LOCK:
        return _loaded()


@functools.cache
def _loaded() -> Callable[..., NDArray[np.float64]]:
    """Pymatting's estimation; only now, as importing it compiles."""
    place = Path(importlib.util.find_spec("pymatting").submodule_search_locations[0])  # type: ignore[union-attr,index]
    if not any(place.rglob("cf_laplacian*.nbi")):
        log.info("compiling closed-form matting, which takes a while, once")
    from pymatting.alpha.estimate_alpha_cf import estimate_alpha_cf
    from pymatting.preconditioner.ichol import ichol

    return functools.partial(estimate_alpha_cf, preconditioner=functools.partial(ichol, shifts=SHIFTS))
