"""Reading and writing pictures: the one place that knows about channel order, bit depth and EXIF orientation."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsshm.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
EXIF_ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)
GREY_SHARE = 2 / 255  # of the range: by so much the colours of a grey picture may differ after a lossy WebP

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]


def find_pictures(folder: Path) -> list[Path]:
    """The pictures directly inside a folder, by name; hidden files are left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture as `read_image` returns it, from the header alone."""
    try:
        with Image.open(path) as header:
            width, height = header.size
            # Pillow already turns TIFF sizes; asking a PNG without the tag for EXIF would decode all of it.
            if header.format != "TIFF" and "exif" in header.info:
                turned = header.getexif().get(EXIF_ORIENTATION) in QUARTER_TURNS
                width, height = (height, width) if turned else (width, height)
    except FileNotFoundError:
        raise _missing(path) from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise _broken(path) from error
    return width, height


def read_image(path: Path) -> UInt8:
    """A photo as H x W x 3 uint8 RGB, turned upright by its EXIF orientation; an alpha channel is dropped."""
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def read_matte(path: Path) -> Float32:
    """A matte as H x W float32 in [0, 1], from 8 or 16 bit grey, or from the alpha channel of RGBA.

    An opaque RGBA whose colours are grey holds its matte in the colours. Raises UserError where colours differ.
    """
    pixels = _decode(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 2:
        return _unit(pixels)
    colours = pixels[..., :3]
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    grey = bool((np.ptp(colours, axis=2) <= GREY_SHARE * full).all())
    if pixels.shape[2] == 4:
        opaque = bool((pixels[..., 3] == np.iinfo(pixels.dtype).max).all())
        return _unit(pixels[..., 1] if opaque and grey else pixels[..., 3])
    if not grey:
        raise UserError(f"{path} has colours, so it is no matte; give a grey picture or one with an alpha channel")
    return _unit(pixels[..., 1])


def read_mask(path: Path) -> UInt8:
    """A person mask as H x W uint8, 0 or 1: at least half of the file's range, in any colour channel.

    A file whose values are all 0 or 1 is read as labels. Boolean and palette PNGs work.
    """
    values = read_mask_values(path)
    return (values >= 0.5).astype(np.uint8)


def read_mask_values(path: Path) -> Float32:
    """What `read_mask` thresholds: H x W float32 in [0, 1]."""
    pixels = _decode(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        translucent = pixels.shape[2] == 4 and pixels[..., 3].min() < np.iinfo(pixels.dtype).max
        pixels = pixels[..., 3] if translucent else pixels[..., :3].max(axis=2)
    return pixels.astype(np.float32) if pixels.max() <= 1 else _unit(pixels)


def read_trimap(path: Path) -> UInt8:
    """A trimap as H x W uint8: 0 background, 128 unknown, 255 foreground; other values go to the nearest."""
    values = read_matte(path)
    return np.select([values < 0.25, values < 0.75], [np.uint8(0), np.uint8(128)], np.uint8(255)).astype(np.uint8)


def check_same_size(image: NDArray, label: NDArray, path: Path) -> None:
    """UserError unless the label that lies at `path` has its picture's height and width."""
    if image.shape[:2] != label.shape[:2]:
        raise UserError(
            f"the label {path} is {label.shape[1]}x{label.shape[0]} but its picture is {image.shape[1]}x{image.shape[0]};"
            " `wsshm data check` lists all such files"
        )


def write_png(path: Path, array: NDArray) -> Path:
    """Write H x W (uint8 or uint16), H x W x 3 RGB or H x W x 4 RGBA as PNG, whole or not at all."""
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", array)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(encoded.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _decode(path: Path, flags: int) -> NDArray:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise _missing(path) from None
    except (IsADirectoryError, PermissionError) as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a picture that can") from error
    try:
        pixels = cv2.imdecode(content, flags) if content.size else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise _broken(path)
    return pixels


def _unit(values: NDArray) -> Float32:
    if values.dtype == np.uint8 or values.dtype == np.uint16:
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return np.clip(values, 0, 1).astype(np.float32)


def _missing(path: Path) -> UserError:
    return UserError(f"there is no picture at {path}; check the path, or import the data again if it was moved")


def _broken(path: Path) -> UserError:
    return UserError(f"{path} is not a readable picture; it may be cut off or of another format, so fetch it again")
