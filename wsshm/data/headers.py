"""What a picture's header says, read without decoding a pixel: size, depth, orientation, frames.

Pillow's own classes read JPEG and BMP headers. PNG, WebP and TIFF are walked through here: Pillow decodes a PNG to find
what stands behind its pixels, allocates a WebP's canvas, and knows no TIFF of several float or signed channels.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO

from PIL import BmpImagePlugin, Image, JpegImagePlugin, TiffImagePlugin

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_CHUNK, PNG_SUM = struct.Struct(">I4s"), struct.Struct(">I")
FIRST_SMALL = ord("a")  # chunks that a picture can do without have names that begin with a small letter
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)
DAMAGED = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
SIGNS = {
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"\x93NUMPY": "NumPy",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
}
MOST_CHUNKS, MOST_PAGES = 1 << 20, 1000
MOST_EXIF = 1 << 24  # bytes
PALETTE, GREY_ALPHA = 3, 4  # colour types of PNG
INVERTED, PALETTE_TIFF, CMYK = 0, 3, 5  # photometric interpretations of TIFF
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # sample formats of TIFF
SMALLER_COPY = 1 | 4  # flags of a TIFF page that is a thumbnail or a transparency mask of another

warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")  # damaged tags, which are refused or do not matter


class Foreign(ValueError):
    """A picture, or something else that is known, of a format that is not read; the message names it."""


@dataclass(frozen=True)
class Header:
    """A picture's size in px as it is when upright, and how its file holds it.

    `bits` are those of one sample. `inks`: CMYK. `inverted`: 0 is white. `drops_alpha`: an alpha channel that OpenCV
    does not decode.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    is_float: bool = False
    signed: bool = False
    palette: bool = False
    inks: bool = False
    inverted: bool = False
    drops_alpha: bool = False
    frames: int = 1

    @property
    def kind(self) -> str:
        """The samples' type in words."""
        return f"{self.bits}-bit {'floats' if self.is_float else 'signed numbers' if self.signed else 'numbers'}"


def read_header(file: BinaryIO, *, behind: bool = True) -> Header:
    """The header of an open file. Raises `Foreign`, or one of `DAMAGED` where it cannot be made out.

    What a PNG has behind its pixels is left out where `behind` is False: `whole_png` reads it.
    """
    start = file.read(16)
    file.seek(0)
    if start.startswith(PNG_START):
        header = _png(file, behind)
    elif start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        header = _webp(file)
    elif start[:4] in TIFF_STARTS:
        header = _tiff(file, start)
    elif start[:2] == b"\xff\xd8":
        header = _jpeg(file)
    elif start[:2] == b"BM":
        header = _bmp(file)
    else:
        raise Foreign(_name(start))
    if header.width < 1 or header.height < 1:
        raise ValueError("no pixels")
    return _standing(header, header.orientation)


def whole_png(content: bytes, header: Header) -> Header | None:
    """A PNG's header, of which `header` is what stands before the pixels; None where the file is damaged.

    All chunks that a picture needs must have the checksums that they say.
    """
    view, place, exif = memoryview(content), len(PNG_START), None
    while place + 12 <= len(view):
        length, kind = PNG_CHUNK.unpack_from(view, place)
        end = place + 8 + length
        if end + 4 > len(view):
            return None
        if kind[0] < FIRST_SMALL and PNG_SUM.unpack_from(view, end)[0] != zlib.crc32(view[place + 4 : end]):
            return None
        if kind == b"eXIf":
            exif = view[place + 8 : end]
        if kind == b"IEND":
            return header if exif is None else _turned(header, _orientation(bytes(exif[:MOST_EXIF])))
        place = end + 4
    return None


def _standing(header: Header, orientation: int) -> Header:
    """A header whose size is that of the file, with the upright one."""
    width, height = header.width, header.height
    if orientation in QUARTER_TURNS:
        width, height = height, width
    return replace(header, width=width, height=height, orientation=orientation)


def _turned(header: Header, orientation: int) -> Header:
    """A header whose size is upright by its own orientation, by another."""
    return _standing(_standing(header, header.orientation), orientation)


def _name(start: bytes) -> str:
    brand = start[8:12]
    if start[4:8] == b"ftyp":
        known = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}
        return known.get(brand, "MP4 or another of its family")
    return next((name for sign, name in SIGNS.items() if start.startswith(sign)), "")


def _png(file: BinaryIO, behind: bool) -> Header:
    file.seek(len(PNG_START))
    header = None
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break  # cut off, which decoding notices
        length, kind = PNG_CHUNK.unpack(head)
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", file.read(10))
            header = Header("PNG", width, height, bits=bits, palette=colour == PALETTE)
            length -= 10
        elif header is None or kind == b"IEND" or (kind == b"IDAT" and not behind):
            break
        elif kind == b"acTL":
            header = replace(header, frames=struct.unpack(">I", file.read(4))[0])
            length -= 4
        elif kind == b"eXIf":
            content = file.read(min(length, MOST_EXIF))
            header = replace(header, orientation=_orientation(content))
            length -= len(content)
        file.seek(length + 4, 1)
    if header is None:
        raise ValueError("no IHDR")
    return header


def _webp(file: BinaryIO) -> Header:
    file.seek(12)
    size: tuple[int, int] | None = None
    orientation, frames = 1, 0
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        after = file.tell() + length + length % 2
        if kind == b"VP8X":
            body = file.read(10)
            size = 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
        elif kind == b"VP8L":
            packed = struct.unpack("<xI", file.read(5))[0]
            size, frames = size or (1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)), frames + 1
        elif kind == b"VP8 ":
            width, height = struct.unpack("<6xHH", file.read(10))
            size, frames = size or (width & 0x3FFF, height & 0x3FFF), frames + 1
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            orientation = _orientation(file.read(min(length, MOST_EXIF)))
        file.seek(after)
    if size is None:
        raise ValueError("no picture")
    return Header("WEBP", size[0], size[1], orientation, frames=frames)


def _tiff(file: BinaryIO, start: bytes) -> Header:
    first = TiffImagePlugin.ImageFileDirectory_v2(start if start[2:4] in (b"+\0", b"\0+") else start[:8])
    at, seen, pages = first.next, set[int](), []
    while at and at not in seen and len(seen) < MOST_PAGES:
        seen.add(at)
        page = TiffImagePlugin.ImageFileDirectory_v2(start if start[2:4] in (b"+\0", b"\0+") else start[:8])
        file.seek(at)
        page.load(file)
        pages.append(page)
        at = page.next
    tags, others = pages[0], pages[1:]
    bits, formats = _each(tags, 258, 1), _each(tags, 339, UNSIGNED)
    colours, samples = tags.get(262), int(tags.get(277, 1))
    orientation = tags.get(ORIENTATION, 1)
    return Header(
        "TIFF",
        int(tags[256]),
        int(tags[257]),
        orientation=orientation if orientation in range(1, 9) else 1,
        bits=max(bits),
        is_float=FLOAT in formats,
        signed=SIGNED in formats,
        palette=colours == PALETTE_TIFF,
        inks=colours == CMYK,
        inverted=colours == INVERTED,
        drops_alpha=colours in (0, 1) and samples == 2,
        frames=1 + sum(not int(page.get(254, 0)) & SMALLER_COPY for page in others),
    )


def _each(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(map(int, value)) if isinstance(value, tuple) else (int(value),)


def _jpeg(file: BinaryIO) -> Header:
    picture = JpegImagePlugin.JpegImageFile(file)
    orientation = _orientation(picture.info.get("exif", b""))
    return Header("JPEG", *picture.size, orientation=orientation, bits=picture.bits)


def _bmp(file: BinaryIO) -> Header:
    picture = BmpImagePlugin.BmpImageFile(file)
    return Header("BMP", *picture.size, palette=picture.mode == "P")


def _orientation(content: bytes) -> int:
    """1 to 8 from an EXIF block; 1 where it says nothing that can be made out, as all viewers have it."""
    exif = Image.Exif()
    try:
        exif.load(content)
        value = exif.get(ORIENTATION, 1)
    except DAMAGED:
        return 1
    return int(value) if value in range(1, 9) else 1
