"""Anybody's alpha files: found by stem, read as floats in [0, 1], broken ones told apart from mistaken ones.

A broken file cannot be decoded (cut off, empty, another format): `BrokenFile`, which a caller counts. A mistaken one
decodes into something that is no matte (NaN, colours, another shape): `UserError`, because scoring it would be wrong.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from wsshm.data import pictures
from wsshm.errors import UserError

T = TypeVar("T")
Depth = Literal["uint8", "uint16", "float"]
FULL = {"uint8": 255, "uint16": 65535}
NPY = ".npy"
ROUNDING = 1e-6  # how far beyond [0, 1] a resampled alpha may lie; it is clipped
NEAR_LEVEL, FEW = 16, 0.01  # a trimap's values are near one of three levels, but for a few
BITS_PER_SAMPLE = 258  # TIFF tag
PNG_DEPTH_AT = 24  # byte of the header chunk


class BrokenFile(Exception):
    """A file that cannot be decoded; the message says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path


@dataclass(frozen=True)
class Alpha:
    """An HxW float alpha in [0, 1] and how its file held it."""

    values: NDArray[np.floating]
    depth: Depth


def natural(name: str) -> tuple[list[str | int], str]:
    """A sorting key by which frame2 comes before frame10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", name))], name


def find_files(folder: Path, role: str, suffixes: frozenset[str]) -> dict[str, Path]:
    """The files directly inside `folder` by stem, in natural order; hidden files and other endings are left out.

    Raises UserError where there is no such folder, nothing in it, or two files share a stem.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give the folder of the {role}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (natural(path.stem), path.name)):
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in found:
            raise UserError(
                f"{folder} holds both {found[path.stem].name} and {path.name}, which pair with the same file; "
                "move one of them away"
            )
        found[path.stem] = path
    if not found:
        endings = ", ".join(sorted(suffixes))
        raise UserError(f"{folder} holds no file of the {role} ({endings}); give the folder that holds them directly")
    return found


def read_alpha(path: Path) -> Alpha:
    """A matte, prediction or label, from a picture (see `pictures.read_matte`) or a .npy file.

    An .npy array has shape (H,W), (H,W,1) or (1,H,W) and holds floats in [0, 1], uint8, uint16 or truth values.
    """
    if path.suffix.lower() == NPY:
        array = _load_npy(path)
        depth: Depth = "float" if array.dtype.kind == "f" else "uint16" if array.dtype == np.uint16 else "uint8"
        if array.dtype.kind == "f":
            return Alpha(_checked(array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32), path), depth)
        return Alpha(array.astype(np.float32) / np.float32(FULL[depth]), depth)
    depth = _decodable(path)
    return Alpha(_read(pictures.read_matte, path), depth)


def read_mask(path: Path) -> NDArray[np.float32]:
    """A person mask as HxW of 0 and 1: at least half of the range; a file of only 0 and 1 is read as labels."""
    if path.suffix.lower() == NPY:
        array = _load_npy(path)
        if array.dtype.kind == "f":
            return (_checked(array, path) >= 0.5).astype(np.float32)
        return (array >= (1 if array.max() <= 1 else FULL[array.dtype.name] / 2)).astype(np.float32)
    _decodable(path)
    return _read(pictures.read_mask, path).astype(np.float32)


def read_trimap(path: Path) -> NDArray[np.uint8]:
    """A trimap as HxW uint8 of 0, 128 and 255. Raises UserError where it is plainly something else.

    Values beside these three go to the nearest, as JPG leaves some; where there are many it is no trimap.
    """
    _decodable(path)
    values = _read(pictures.read_matte, path) * np.float32(255)
    beside = np.minimum.reduce([np.abs(values - level) for level in (0, 128, 255)]) > NEAR_LEVEL
    if beside.mean() > FEW or 0 < values.max() < NEAR_LEVEL:
        levels = ", ".join(f"{value:g}" for value in np.unique(values.round())[:6])
        raise UserError(
            f"the trimap {path} holds values such as {levels}; give 0 (background), 128 (unknown) and 255 (foreground), "
            "or move it and its label away to score the rest"
        )
    return np.select([values < 64, values < 192], [np.uint8(0), np.uint8(128)], np.uint8(255)).astype(np.uint8)


def read_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as `read_alpha` returns it, from the header alone; None for a broken file."""
    try:
        if path.suffix.lower() == NPY:
            height, width = _plane(_open_npy(path), path).shape
            return width, height
        with Image.open(path) as header:
            return header.size
    except (BrokenFile, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _read(read: Callable[[Path], T], path: Path) -> T:
    try:
        return read(path)
    except UserError as refused:
        try:
            pictures.read_mask_values(path)  # takes whatever can be decoded
        except UserError:
            raise BrokenFile(path, "cannot be decoded; it may be cut off or of another format") from refused
        raise UserError(f"{refused}, or move it away to score the rest") from refused


def _decodable(path: Path) -> Depth:
    """The depth of a picture's values. Raises BrokenFile where its header, or a PNG's checksums, are damaged.

    Other formats' pixels are checked in decoding, where OpenCV 5 refuses a file that is cut off; for PNG it does so
    too, but only after libpng has written to the terminal.
    """
    try:
        with Image.open(path) as header:
            if header.format == "PNG":
                header.verify()
                with path.open("rb") as file:
                    return "uint16" if file.read(PNG_DEPTH_AT + 1)[PNG_DEPTH_AT] == 16 else "uint8"
            if not isinstance(header, TiffImagePlugin.TiffImageFile):
                return "uint8"
            if header.mode == "F":
                _checked(np.asarray(header), path)  # pictures.read_matte would clip
                return "float"
            return "uint16" if max(header.tag_v2.get(BITS_PER_SAMPLE, (8,))) > 8 else "uint8"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = "is empty" if path.is_file() and not path.stat().st_size else "is no whole picture"
        raise BrokenFile(path, why) from error


def _load_npy(path: Path) -> NDArray[Any]:
    plane = _plane(_open_npy(path), path)
    if plane.dtype == np.bool_:
        return plane.astype(np.uint8) * np.uint8(FULL["uint8"])
    if plane.dtype.kind != "f" and plane.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} holds {plane.dtype}; save floats in [0, 1], uint8 or uint16, or move it away")
    return np.array(plane)


def _open_npy(path: Path) -> NDArray[Any]:
    """The file's array, not read yet; its header is held against the file's size, and nothing is unpickled."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, OverflowError, tokenize.TokenError) as error:
        raise BrokenFile(path, "is no whole .npy file") from error


def _plane(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The one HxW plane of an array of shape (H,W), (H,W,1) or (1,H,W)."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[..., 0] if array.shape[2] == 1 else array[0]
    if array.ndim != 2 or not array.size:
        raise UserError(f"{path} has shape {array.shape}; save one height x width matte, or move it away")
    return array


def _checked(values: NDArray[np.floating], path: Path) -> NDArray[np.floating]:
    """`values` without what rounding left beyond [0, 1]."""
    low, high = float(values.min()), float(values.max())
    if np.isnan(low) or np.isnan(high):
        raise UserError(f"{path} holds NaN; give alpha in [0, 1], or move it away to score the rest")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise UserError(
            f"{path} holds values from {low:g} to {high:g}; give alpha in [0, 1], or move it away to score the rest"
        )
    return values.clip(0, 1)
