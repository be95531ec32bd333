"""From a path to pixels, for every reader: what lies there is looked at before it is opened, read and decoded.

Nothing but a regular file is opened, a header says how many pixels there will be before any is decoded, and every
picture is turned upright by its orientation tag. All that can be wrong is a `UserError`; `BrokenPicture` is one for
what cannot be read or decoded at all, whatever it was meant to be.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, PngImagePlugin, TiffImagePlugin

from wsshm.data.cutting import reduced
from wsshm.data.headers import DAMAGED, Foreign, Header, read_header, whole_png
from wsshm.errors import UserError

PIXELS_KEY = "WSSHM_MAX_PIXELS"
MAX_PIXELS = 300_000_000  # a phone's 200 megapixels (16,320 x 12,240) and a half more
OPENCV_PIXELS, OPENCV_SIDE = 1 << 30, 1 << 20  # what OpenCV decodes at most
BYTES_A_PIXEL = 16  # RGBA of 32-bit floats, not compressed
BESIDE_PIXELS = 256 << 20  # bytes of thumbnails, profiles and the film behind a "motion" photo
DEEP, BYTE, SHORT = 16, 255, 65535
FEWER_BITS = {2**bits - 1: bits for bits in (10, 12, 14)}  # of scanners and cameras; a person is opaque somewhere
FETCH = "it may be cut off or of another format, so fetch it again"
FRAMES = "give its frames, written for example by `ffmpeg -i FILM frames/%06d.png`"
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
INDEXED: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what it would say of a file becomes a sentence


class BrokenPicture(UserError):
    """A file that cannot be opened or decoded, whatever it was meant to hold; `reason` is what is wrong with it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Pixels(NamedTuple):
    """What a label's file holds, upright.

    `values` is H x W, or H x W x 3 or 4 (BGR, BGRA), in the file's own type; with `palette` (N x 3 RGB), its indices.
    """

    values: NDArray
    header: Header
    palette: NDArray[np.uint8] | None = None


def most_pixels() -> int:
    """The largest number of pixels that is read: `WSSHM_MAX_PIXELS`, by default 300 million."""
    text = os.environ.get(PIXELS_KEY, "")
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text)):
        raise UserError(f"{PIXELS_KEY} must be a number of pixels, not {text[:40]!r}; unset it to read {MAX_PIXELS:,}")
    return int(text)


def check_pixels(path: Path, width: int, height: int) -> None:
    """UserError for more pixels than are read, or than OpenCV can decode."""
    said = f"{path} has {width:,} x {height:,} pixels"
    if max(width, height) > OPENCV_SIDE or width * height > OPENCV_PIXELS:
        raise UserError(f"{said}, more than can be decoded; give a smaller copy of it")
    if width * height > most_pixels():
        raise UserError(
            f"{said}, more than the {most_pixels():,} that are read; give a smaller copy of it, or set "
            f"{PIXELS_KEY}={width * height} where memory allows"
        )


def open_regular(path: Path) -> BinaryIO:
    """A regular file opened for reading. Raises BrokenPicture for anything else, such as a pipe, and never waits for it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except OSError as error:
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from error
    except ValueError as error:  # a null byte in the name
        raise _unreadable(path, str(error)) from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise _unreadable(path, "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")


def header_of(path: Path) -> Header:
    """A picture's header, whose number of pixels is within the limit."""
    with open_regular(path) as file:
        return _header(file, path)


def decode_photo(path: Path, reduction: int = 1) -> NDArray[np.uint8]:
    """H x W x 3 uint8 BGR, upright; UserError for samples that cannot be read as what they mean.

    With a `reduction` of 2, 4 or 8 blocks of so many pixels a side become one: a JPEG's as it is decoded.
    """
    content, header = _content(path)
    if header.is_float or header.signed or header.bits > DEEP:
        raise UserError(f"{path} holds {header.kind}, which is not a photo; save it with 8 or 16 bits a channel")
    _refuse_inverted(header, path)
    # Turned round, the blocks that the edge cuts would be at the other edge.
    whole_blocks = header.orientation == 1 or not (header.width % reduction or header.height % reduction)
    at_once = header.format == "JPEG" and whole_blocks
    pixels = _decoded(content, REDUCED[reduction] if at_once else cv2.IMREAD_COLOR, header, path)
    if header.bits == DEEP and not pixels.any():
        refuse_small(_decoded(content, cv2.IMREAD_UNCHANGED, header, path), path)
    return reduced(pixels.astype(np.uint8, copy=False), 1 if at_once else reduction)


def decode_label(path: Path, *, indices: bool = False) -> Pixels:
    """A matte's, mask's or trimap's pixels; of a palette picture its colours, or with `indices` its indices.

    Raises UserError for signed and for 32-bit whole numbers, for floats of 16 bits, and for what OpenCV reads otherwise
    than it is meant.
    """
    content, header = _content(path)
    if header.signed or (header.bits < 32 if header.is_float else header.bits > DEEP):
        raise UserError(f"{path} holds {header.kind}; save a label in 8 or 16 bits without sign, or as 32-bit floats")
    if header.inks or header.drops_alpha:
        what = "CMYK inks" if header.inks else "grey and alpha in a TIFF"
        raise UserError(f"{path} holds {what}, which is not read as a label; save it as a PNG")
    _refuse_inverted(header, path)
    if indices and header.palette:
        values, palette = _indices(path, header)
        return Pixels(values, header, palette)
    return Pixels(_decoded(content, cv2.IMREAD_UNCHANGED, header, path), header)


def refuse_small(values: NDArray, path: Path) -> None:
    """UserError for 16-bit values that were meant as fewer bits: none above 255, or the largest 10, 12 or 14 bits hold."""
    if values.dtype != np.uint16 or not (high := int(values.max(initial=0))):
        return
    if high <= BYTE:
        meant, remedy = "an 8-bit picture", "save it in 8 bits, or multiply it by 257"
    elif high in FEWER_BITS:
        meant, remedy = f"a {FEWER_BITS[high]}-bit picture", f"multiply it by {SHORT / high:.3f}"
    else:
        return
    raise UserError(f"{path} has 16 bits but no value above {high} (of {SHORT}), as {meant} saved in 16 bits; {remedy}")


def _content(path: Path) -> tuple[NDArray[np.uint8], Header]:
    with open_regular(path) as file:
        header = _header(file, path, behind=False)
        size = os.fstat(file.fileno()).st_size
        if size > BYTES_A_PIXEL * header.width * header.height + BESIDE_PIXELS:
            raise UserError(
                f"{path} has {size:,} bytes for {header.width} x {header.height} pixels, more than any picture needs; "
                "save it again"
            )
        file.seek(0)
        content = file.read()
    if header.format == "PNG":
        sound = whole_png(content, header)
        if sound is None:  # of which libpng would write to the terminal
            raise _broken(path)
        header = sound
    return np.frombuffer(content, dtype=np.uint8), header


def _header(file: BinaryIO, path: Path, *, behind: bool = True) -> Header:
    try:
        header = read_header(file, behind=behind)
    except Foreign as foreign:
        what = str(foreign)
        if what:
            reason = f"is of a format that is not read ({what})"
            remedy = FRAMES if what.startswith("MP4") else "save it as JPG or PNG"
            raise BrokenPicture(f"{path} {reason}; {remedy}", reason) from None
        raise _broken(path) from None
    except DAMAGED as error:
        raise _broken(path) from error
    check_pixels(path, header.width, header.height)
    if header.frames > 1:
        raise UserError(
            f"{path} holds {header.frames} pictures (frames or pages); save the one that is meant as a file of its own"
        )
    return header


def _decoded(content: NDArray[np.uint8], flags: int, header: Header, path: Path) -> NDArray:
    try:
        pixels = cv2.imdecode(
            content, flags if flags == cv2.IMREAD_UNCHANGED else flags | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        pixels = None
    if pixels is None:
        raise _broken(path)
    return pixels if header.format == "TIFF" else upright(pixels, header.orientation)  # OpenCV turns a TIFF itself


def _indices(path: Path, header: Header) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        with open_regular(path) as file:
            picture = INDEXED[header.format](file)
            values = np.array(picture)  # Pillow, too, turns a TIFF itself
            palette = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    except DAMAGED as error:
        raise _broken(path) from error
    if values.ndim != 2 or values.max(initial=0) >= len(palette):
        raise _broken(path)
    return (values if header.format == "TIFF" else upright(values, header.orientation)), palette


def upright(pixels: NDArray, orientation: int) -> NDArray:
    """Pixels as they are meant to be seen; `orientation` is EXIF's, 1 to 8."""
    if orientation == 1:
        return pixels
    swapped = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    rows, columns = (-1 if orientation in (3, 4, 7, 8) else 1), (-1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(swapped[::rows, ::columns])


def _refuse_inverted(header: Header, path: Path) -> None:
    if header.inverted and header.bits > 8:  # OpenCV inverts only up to 8 bits
        raise UserError(f"{path} holds 0 for white in {header.bits} bits; save it with 0 for black")


def _missing(path: Path) -> BrokenPicture:
    return BrokenPicture(
        f"there is no picture at {path}; check the path, or import the data again if it was moved", "is missing"
    )


def _unreadable(path: Path, why: str) -> BrokenPicture:
    reason = f"cannot be read ({why})"
    return BrokenPicture(f"{path} {reason}; give a picture that can", reason)


def _broken(path: Path) -> BrokenPicture:
    reason = "is not a readable picture"
    return BrokenPicture(f"{path} {reason}; {FETCH}", reason)
