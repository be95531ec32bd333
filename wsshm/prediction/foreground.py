"""Colours of cut-outs and composites: what a person looks like without what was behind, and something else behind."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from wsshm.data.pictures import SUFFIXES
from wsshm.errors import UserError
from wsshm.prediction.inputs import read_photo

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

FOREGROUNDS = ("multilevel", "none")
log = logging.getLogger(__name__)


def foreground_of(image: UInt8, matte: Float32, how: str) -> UInt8:
    """The foreground colours (H,W,3) of a picture with its matte (H,W).

    `none` keeps the picture's: where a pixel is partly transparent, what was behind shows in them. `multilevel` estimates
    them by Germer et al., Fast Multi-Level Foreground Estimation (2006.14970), as pymatting has it; where the matte is 1
    they are the picture's.
    """
    if how == "none" or not (matte > 0).any() or (matte == 1).all() or matte.size == 1:
        return image
    estimated = _estimate()(image.astype(np.float32) / 255, matte)
    colours = np.rint(np.clip(estimated, 0, 1) * 255).astype(np.uint8)
    return np.where((matte == 1)[..., None], image, colours)


@dataclass(frozen=True)
class Background:
    """What a composite has behind the person: a colour (RGB), or a picture that covers the frame, cut in its middle."""

    name: str
    colour: tuple[int, int, int] | None = None
    picture: Path | None = None

    def digest(self) -> str:
        """A hash of what it looks like."""
        return hashlib.sha256(self.picture.read_bytes() if self.picture else str(self.colour).encode()).hexdigest()

    def at(self, height: int, width: int) -> UInt8:
        """The background (H,W,3) of a size."""
        return _covering(self, height, width)


def parse_background(text: str) -> Background:
    """A picture's path, or a colour as CSS has them: `green`, `#00ff00`, `rgb(0, 255, 0)`; UserError for neither."""
    path = Path(text)
    if path.is_file():
        read_photo(path)  # says now what is wrong with it
        return Background(text, picture=path)
    try:
        red, green, blue = ImageColor.getcolor(text, "RGB")  # type: ignore[misc]
    except ValueError:
        if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
            raise UserError(f"there is no picture at {text} for --background; check the path") from None
        raise UserError(
            f"{text!r} is neither a colour nor a picture for --background; give a path, or a colour such as green or "
            "'#00b140'"
        ) from None
    return Background(text, colour=(red, green, blue))


def composite(foreground: UInt8, matte: Float32, background: UInt8) -> UInt8:
    """alpha F + (1 - alpha) B of 8-bit values as they are stored, as data sets of composites are made."""
    alpha = matte[..., None]
    return np.rint(foreground * alpha + background * (1 - alpha)).astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _covering(background: Background, height: int, width: int) -> UInt8:
    if background.picture is None:
        return np.full((height, width, 3), background.colour, np.uint8)
    picture = read_photo(background.picture)
    scale = max(height / picture.shape[0], width / picture.shape[1])
    rows, columns = max(height, round(picture.shape[0] * scale)), max(width, round(picture.shape[1] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(picture, (columns, rows), interpolation=how).astype(np.uint8, copy=False)
    top, left = (rows - height) // 2, (columns - width) // 2
    return picture[top : top + height, left : left + width]


_LOCK = threading.Lock()


@functools.cache
def _loaded() -> tuple[Any, bool]:
    """Pymatting's estimation, and whether several threads may be in it at once."""
    import numba

    place = Path(importlib.util.find_spec("pymatting").submodule_search_locations[0])  # type: ignore[union-attr,index]
    if not any(place.rglob("estimate_foreground_ml*.nbi")):
        log.info("compiling the estimation of foreground colours, which takes a while, once")
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

    estimate_foreground_ml(np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.float32))
    return estimate_foreground_ml, numba.threading_layer() != "workqueue"  # that layer ends the process


def _estimate() -> Any:
    """The estimation, on one thread: its own threads write where others read, and would not repeat their result."""
    import numba

    with _LOCK:
        estimate, parallel = _loaded()

    def run(image: Float32, matte: Float32) -> Float32:
        numba.set_num_threads(1)  # of this thread
        if parallel:
            return estimate(image, matte)
        with _LOCK:
            return estimate(image, matte)

    return run
