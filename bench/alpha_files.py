"""Anybody's alpha files: found by stem, read as floats in [0, 1], broken ones distinguished from mistaken ones.

A broken file cannot be decoded (cut off, empty, another format, no regular file): `BrokenFile`, which a caller counts. A
mistaken one decodes into something that is not a matte (NaN, colours, another shape): `UserError`, because scoring it would
be wrong.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsshm.data import pictures
from wsshm.data.decoding import check_pixels, decode_label, open_regular, refuse_small
from wsshm.errors import UserError

T = TypeVar("T")
Depth = Literal["uint8", "uint16", "float"]
FULL = {"uint8": 255, "uint16": 65535}
NPY = ".npy"
AWAY = "or move it away to score the rest"


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


def find_files(folder: Path, role: str, endings: frozenset[str], suffix: str = "") -> dict[str, Path]:
    """The files directly inside `folder` by the name that they pair by, in natural order.

    Hidden files and other endings are left out, and files whose names do not end in `suffix`, which is no part of the
    name that they pair by. Raises UserError if the folder is missing or empty, or two files share a name.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give the folder of the {role}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (natural(path.stem), path.name)):
        name = pictures.pairing_name(path)
        if path.suffix.lower() not in endings or path.name.startswith(".") or path.is_dir():
            continue
        if not name.endswith(suffix) or name == suffix:
            continue
        name = name.removesuffix(suffix)
        if name in found:
            raise UserError(
                f"{folder} holds both {found[name].name} and {path.name}, which pair with the same file; "
                "move one of them away"
            )
        found[name] = path
    if not found:
        named = f" whose names end in {suffix}" if suffix else ""
        raise UserError(
            f"{folder} holds no files of the {role}{named} ({', '.join(sorted(endings))}); "
            "give the folder that holds them directly"
        )
    return found


def read_alpha(path: Path) -> Alpha:
    """A matte, prediction or label, from a picture (see `pictures.read_matte`) or a .npy file.

    An .npy array has shape (H,W), (H,W,1) or (1,H,W) and holds floats in [0, 1], uint8, uint16 or truth values.
    """
    if path.suffix.lower() != NPY:
        pixels = _read(decode_label, path)
        values = pixels.values
        return Alpha(_read(lambda _: pictures.matte_of(pixels, path), path), _depth(values))
    array = _load_npy(path)
    if array.dtype.kind == "f":
        wide: NDArray[np.floating] = array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32)
        return Alpha(_read(lambda _: pictures.check_unit(wide, path), path), "float")
    _read(lambda _: refuse_small(array, path), path)
    return Alpha(array.astype(np.float32) / np.float32(FULL[_depth(array)]), _depth(array))


def read_mask(path: Path, classes: Collection[int] | None = None) -> NDArray[np.float32]:
    """A person mask as HxW of 0 and 1, from a picture (see `pictures.read_mask`) or a .npy file."""
    if path.suffix.lower() != NPY:
        return _read(lambda _: pictures.read_mask(path, classes), path).astype(np.float32)
    array = _load_npy(path)
    return (_read(lambda _: pictures.mask_values(array, path, classes), path) >= 0.5).astype(np.float32)


def read_trimap(path: Path) -> NDArray[np.uint8]:
    """A trimap as HxW uint8 of 0, 128 and 255. Raises UserError where it is plainly something else."""
    return _read(pictures.read_trimap, path)


def read_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as `read_alpha` returns it, from the header alone; None for a broken file."""
    try:
        if path.suffix.lower() == NPY:
            height, width = _plane(_open_npy(path), path).shape
            return width, height
        return pictures.read_size(path)
    except (BrokenFile, pictures.BrokenPicture):
        return None


def read_orientation(path: Path) -> int:
    """The orientation tag of a picture that can be read, 1 (upright) to 8; a .npy file has none."""
    return 1 if path.suffix.lower() == NPY else pictures.read_orientation(path)


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises BrokenFile where it cannot be read, and never waits for a pipe."""
    try:
        with open_regular(path) as file:
            return file.read()
    except pictures.BrokenPicture as error:
        raise BrokenFile(path, error.reason) from error
    except OSError as error:
        raise BrokenFile(path, f"cannot be read ({error.strerror})") from error


def _read(read: Callable[[Path], T], path: Path) -> T:
    try:
        return read(path)
    except pictures.BrokenPicture as broken:
        raise BrokenFile(path, broken.reason) from broken
    except UserError as refused:
        raise UserError(f"{refused}, {AWAY}") from refused


def _depth(values: NDArray[Any]) -> Depth:
    return "float" if values.dtype.kind == "f" else "uint16" if values.dtype == np.uint16 else "uint8"


def _load_npy(path: Path) -> NDArray[Any]:
    plane = _plane(_open_npy(path), path)
    if plane.dtype == np.bool_:
        return plane.astype(np.uint8) * np.uint8(FULL["uint8"])
    if plane.dtype.kind != "f" and plane.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} holds {plane.dtype}; save floats in [0, 1], uint8 or uint16, {AWAY}")
    return np.array(plane)


def _open_npy(path: Path) -> NDArray[Any]:
    """The file's array, not read yet; its header is compared with the file's size, and nothing is unpickled."""
    try:
        open_regular(path).close()
        return np.lib.format.open_memmap(path, mode="r")
    except pictures.BrokenPicture as broken:
        raise BrokenFile(path, broken.reason) from broken
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, OverflowError, tokenize.TokenError) as error:
        raise BrokenFile(path, "is no whole .npy file") from error


def _plane(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The one HxW plane of an array of shape (H,W), (H,W,1) or (1,H,W)."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[..., 0] if array.shape[2] == 1 else array[0]
    if array.ndim != 2 or not array.size:
        raise UserError(f"{path} has shape {array.shape}; save one height x width matte, {AWAY}")
    check_pixels(path, array.shape[1], array.shape[0])
    return array
