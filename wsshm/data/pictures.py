"""Reading and writing pictures: the one place that knows about channel order, bit depth, orientation and palettes.

`decoding` opens and decodes; here pixels become photos, mattes, masks and trimaps, or one sentence says why not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.data.class_masks import (
    VOID,
    check_indices,
    check_levels,
    check_one_colour,
    chosen,
    format_classes,
    parse_classes,
)
from wsshm.data.cutting import reduced
from wsshm.data.decoding import BYTE, BrokenPicture, Pixels, decode_label, decode_photo, header_of, refuse_small
from wsshm.errors import UserError
from wsshm.files.whole import write_whole

__all__ = [  # what readers of pictures need, whichever file it is written in
    "SUFFIXES",
    "UNREAD",
    "BrokenPicture",
    "check_same_size",
    "check_size",
    "check_unit",
    "find_pictures",
    "format_classes",
    "mask_values",
    "matte_of",
    "pairing_name",
    "parse_classes",
    "read_cutout",
    "read_image",
    "read_mask",
    "read_mask_values",
    "read_matte",
    "read_matte_bytes",
    "read_orientation",
    "read_size",
    "read_trimap",
    "write_png",
]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
UNREAD = frozenset(
    {".heic", ".heif", ".avif", ".gif", ".jxl", ".jp2", ".psd", ".exr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".jfif"}
)
"""Endings of pictures that are not read, to be named where they are left out."""
GREY_SHARE = 2 / 255  # of the range: by so much the colours of a grey picture may differ after a lossy WebP
ROUNDING = 1e-6  # how far beyond [0, 1] a resampled alpha may lie; it is clipped
NEAR_LEVEL, FEW = 16, 0.01  # a trimap's values are near one of three levels, but for a few
LOSSY = ("JPEG", "WEBP")

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]


def find_pictures(folder: Path) -> list[Path]:
    """The pictures directly inside a folder, by name; folders, hidden files and other endings are left out."""
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and not p.is_dir()
    )


def pairing_name(path: Path) -> str:
    """The name under which files pair: without its ending, in Unicode's composed form.

    macOS writes an accented letter as two characters (NFD) where Linux and Windows write one (NFC).
    """
    return unicodedata.normalize("NFC", path.stem)


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture as all readers return it, turned upright, from the header alone."""
    header = header_of(path)
    return header.width, header.height


def read_orientation(path: Path) -> int:
    """The orientation tag of a picture, 1 (upright) to 8; all readers turn by it."""
    return header_of(path).orientation


def read_image(path: Path, reduction: int = 1) -> UInt8:
    """A photo as H x W x 3 uint8 RGB, turned upright by its EXIF orientation; an alpha channel is dropped.

    With a `reduction` of 2, 4 or 8 it is shrunk by that, both sides rounded up; a JPEG is then decoded so, which is faster.
    """
    return cv2.cvtColor(decode_photo(path, reduction), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def read_cutout(colours: Path, matte: Path, reduction: int = 1) -> UInt8:
    """A cut-out as H x W x 4 uint8, RGBA with premultiplied colours, from its colours' and its matte's files.

    Often they are one, which is decoded once. With a `reduction` blocks of so many pixels a side become one. UserError
    where the two are not of one size.
    """
    both = decode_label(matte).values if colours == matte else np.zeros(0)
    if both.dtype == np.uint8 and both.shape[2:] == (4,) and _is_clear_somewhere(both[..., 3]):
        straight = both
    else:
        image, alpha = decode_photo(colours), read_matte_bytes(matte)
        check_same_size(image, alpha, matte)
        straight = cv2.merge([image, alpha])
    premultiplied = cv2.cvtColor(straight, cv2.COLOR_RGBA2mRGBA).astype(np.uint8, copy=False)  # in any order of colours
    smaller = reduced(premultiplied, reduction, fill=0)
    return cv2.cvtColor(smaller, cv2.COLOR_BGRA2RGBA).astype(np.uint8, copy=False)


def _is_clear_somewhere(alpha: NDArray) -> bool:
    few = alpha[::16, ::16]  # of most cut-outs enough
    return bool(few.min() < BYTE or alpha.min() < BYTE)


def read_matte_bytes(path: Path) -> UInt8:
    """What `read_matte` reads as H x W uint8, 255 being 1: as fine as training needs."""
    pixels = decode_label(path)
    if pixels.values.dtype == np.uint8 and pixels.values.ndim == 2:
        return pixels.values
    return np.rint(matte_of(pixels, path) * BYTE).astype(np.uint8)


def read_matte(path: Path) -> Float32:
    """A matte as H x W float32 in [0, 1], upright: 8 or 16 bit grey, 32 or 64 bit float, or the alpha channel of RGBA.

    An opaque RGBA whose colours are grey holds its matte in the colours. Raises UserError where colours differ (an
    opaque composite is not a matte either), for NaN, infinity and floats outside [0, 1], and for 16-bit values that were
    meant as 8 bits.
    """
    return matte_of(decode_label(path), path)


def matte_of(pixels: Pixels, path: Path) -> Float32:
    """`read_matte` of what was decoded from `path`."""
    values = pixels.values
    if values.ndim == 2:
        return _unit(values, path)
    colours, full = values[..., :3], _full(values)
    grey = bool((np.ptp(colours, axis=2) <= GREY_SHARE * full).all())
    if values.shape[2] == 4 and (values[..., 3] != full).any():
        return _unit(values[..., 3], path)
    if not grey:
        why = "has an alpha channel that is full everywhere, over colours" if values.shape[2] == 4 else "has colours"
        raise UserError(f"{path} {why}, so it is not a matte; give a grey picture or one with an alpha channel")
    return _unit(values[..., 1], path)


def read_mask(path: Path, classes: Collection[int] | None = None) -> UInt8:
    """A person mask as H x W uint8, 0 or 1: at least half of the file's range, in any colour channel.

    A file whose values are all 0 or 1 is read as labels; boolean and palette PNGs work, palettes by their indices. With
    `classes` the person is where the index or grey value is one of them. Raises UserError for a file of class indices
    without `classes`, see `class_masks`.
    """
    pixels = decode_label(path, indices=True)
    values = pixels.values
    if classes is None and pixels.palette is None and values.dtype == np.uint8 and values.ndim == 2:  # as most are
        check_levels(values, path, lossy=pixels.header.format in LOSSY)
        half = BYTE // 2 if values.max() > 1 else 0
        return cv2.threshold(values, half, 1, cv2.THRESH_BINARY)[1].astype(np.uint8, copy=False)
    return (_mask_values(pixels, path, classes) >= 0.5).astype(np.uint8)


def read_mask_values(path: Path, classes: Collection[int] | None = None) -> Float32:
    """What `read_mask` thresholds: H x W float32 in [0, 1]."""
    return _mask_values(decode_label(path, indices=True), path, classes)


def _mask_values(pixels: Pixels, path: Path, classes: Collection[int] | None) -> Float32:
    values, palette = pixels.values, pixels.palette
    if palette is not None:
        if classes is not None:
            return chosen(values, classes)
        if np.ptp(palette[np.unique(values)], axis=1).any():
            check_indices(values, path)
            return values.astype(np.float32)
        values = palette[values][..., 0]  # grey: black and white in whichever order
    if values.ndim == 3:
        values = _mask_channel(values, path, classes)
    return mask_values(values, path, classes, lossy=pixels.header.format in LOSSY)


def mask_values(values: NDArray, path: Path, classes: Collection[int] | None, *, lossy: bool = False) -> Float32:
    """H x W uint8, uint16 or float values of the file `path` as `read_mask_values` has them."""
    if classes is not None:
        if values.dtype.kind == "f" and not (values == np.rint(values)).all():
            raise UserError(f"{path} holds floats, so no class can be chosen from it; leave out --class")
        if VOID not in classes and values.max() == VOID and set(np.unique(values)) <= {0, VOID}:
            raise UserError(f"{path} holds 0 and 255 only, as a mask without classes does; leave out --class")
        return chosen(values, classes)
    if values.dtype.kind == "f":
        return check_unit(values, path).astype(np.float32)
    check_levels(values, path, lossy=lossy)
    return values.astype(np.float32) if values.max() <= 1 else _unit(values, path)


def read_trimap(path: Path) -> UInt8:
    """A trimap as H x W uint8: 0 background, 128 unknown, 255 foreground.

    Values beside these three go to the nearest, as JPG leaves some; where there are many, UserError lists them.
    """
    values = read_matte(path) * np.float32(255)
    beside = np.minimum.reduce([np.abs(values - level) for level in (0, 128, 255)]) > NEAR_LEVEL
    if beside.mean() > FEW:
        levels, counts = np.unique(values[beside].round(), return_counts=True)
        listed = ", ".join(f"{levels[i]:g} ({counts[i]:,} px)" for i in sorted(np.argsort(-counts, kind="stable")[:6]))
        raise _no_trimap(path, f"holds values such as {listed}, in {beside.mean():.1%} of its pixels")
    if 0 < values.max() < NEAR_LEVEL:
        raise _no_trimap(path, f"holds no value above {values.max():g}")
    return np.select([values < 64, values < 192], [np.uint8(0), np.uint8(128)], np.uint8(255)).astype(np.uint8)


def check_unit(values: NDArray[np.floating], path: Path) -> NDArray[np.floating]:
    """Floats of the file `path` without what rounding left beyond [0, 1]; UserError for others, NaN and infinity."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        what = "NaN" if np.isnan(low) or np.isnan(high) else "infinity"
        raise UserError(f"{path} holds {what}; give alpha in [0, 1]")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise UserError(f"{path} holds values from {low:g} to {high:g}; give alpha in [0, 1]")
    return values.clip(0, 1)


def check_same_size(image: NDArray, label: NDArray, path: Path) -> None:
    """UserError unless the label that lies at `path` has its picture's height and width."""
    check_size(label.shape, (image.shape[1], image.shape[0]), path)


def check_size(shape: tuple[int, ...], size: tuple[int, int], path: Path) -> None:
    """UserError unless the label that lies at `path`, of the shape (height, width), has its picture's (width, height)."""
    if size != (shape[1], shape[0]):
        raise UserError(
            f"the label {path} is {shape[1]}x{shape[0]} but its picture is {size[0]}x{size[1]};"
            " `wsshm data check` lists all such files"
        )


def write_png(path: Path, array: NDArray) -> Path:
    """Write H x W (uint8 or uint16), H x W x 3 RGB or H x W x 4 RGBA as PNG, whole or not at all."""
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", array)
    return write_whole(path, encoded.tobytes())


def _mask_channel(values: NDArray, path: Path, classes: Collection[int] | None) -> NDArray:
    """The one plane of H x W x 3 or 4 that says where the person is."""
    full = _full(values)
    if values.shape[2] == 4 and (values[..., 3] != full).any():
        plane = values[..., 3]
    else:
        colours = values[..., :3]
        if (np.ptp(colours, axis=2) <= GREY_SHARE * full).all():
            return colours[..., 1]
        check_one_colour(colours, path)
        plane = colours.max(axis=2)
    if classes is not None:
        raise UserError(f"{path} has colours or an alpha channel, but no class indices; leave out --class")
    return plane


def _full(values: NDArray) -> float:
    return float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 1.0


def _unit(values: NDArray, path: Path) -> Float32:
    if values.dtype.kind == "f":
        return check_unit(values, path).astype(np.float32)
    refuse_small(values, path)
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)


def _no_trimap(path: Path, why: str) -> UserError:
    return UserError(f"the trimap {path} {why}; give 0 (background), 128 (unknown) and 255 (foreground)")
