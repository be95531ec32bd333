"""What is to be matted: photos and videos, named one by one, by folders or by patterns; and where each one's mattes go."""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.data.decoding import BrokenPicture, check_pixels, open_regular
from wsshm.data.pictures import SUFFIXES, UNREAD, pairing_name, read_image
from wsshm.errors import UserError, first_line, printable

VIDEOS = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp")
)
GIF = ".gif"
HEIF = frozenset({".heic", ".heif"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
NAMED = 5


@dataclass(frozen=True)
class Input:
    """A photo or a video, and the folder below OUT where what is made of it goes."""

    path: Path
    kind: Literal["photo", "video"] = "photo"
    place: Path = field(default_factory=Path)


@dataclass(frozen=True)
class Inputs:
    """Photos and videos to matte, and what else lies in the folders that were given: folders and files not read."""

    found: list[Input]
    left_out: list[Path]

    def left_out_line(self) -> str:
        """How many things are left out of the folders, of which kind, and their names; empty for none."""
        kinds: dict[str, list[Path]] = {"folder": [], "file of a format that is not read": [], "other file": []}
        for path in self.left_out:
            unread = "file of a format that is not read" if path.suffix.lower() in UNREAD else "other file"
            kinds["folder" if path.is_dir() else unread].append(path)
        parts = []
        for kind, paths in kinds.items():
            if paths:
                names = ", ".join(path.name for path in paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")
                plural = kind if len(paths) == 1 else kind.replace("folder", "folders").replace("file", "files", 1)
                parts.append(f"{len(paths)} {plural} ({names})")
        hints = []
        if kinds["folder"]:
            hints.append("--recursive enters folders")
        if any(path.suffix.lower() in HEIF for path in self.left_out):
            hints.append("pip install pillow-heif to read HEIC")
        told = f"; {', '.join(hints)}" if hints else ""
        return printable(f"left out: {', '.join(parts)}{told}") if parts else ""


def find_inputs(inputs: Iterable[Path], recursive: bool = False, out: Path | None = None) -> Inputs:
    """The photos and videos named, folders opened and patterns matched, each once.

    What lies in folders below a given one (`recursive`) or matches a pattern such as `shots/**/*.jpg` keeps its folder.
    Nothing of the folder `out` is taken from folders. UserError for what does not exist or holds nothing to matte.
    """
    found: dict[Path, Input] = {}
    left_out: dict[Path, Path] = {}
    for path in inputs:
        if path.exists() or path.is_symlink():
            taken, beside = _folder(path, recursive, out) if path.is_dir() else ([Input(path, _kind(path))], [])
            nothing = f"{path} holds no pictures (jpg, png, webp, bmp, tif) or videos (mp4, mov, mkv, webm, avi, gif)"
        elif glob.has_magic(str(path)):
            taken, beside = _pattern(path, out)
            nothing = f"no picture or video matches {path}"
        else:
            raise UserError(f"there is no picture, video or folder at {path}; check the path")
        if not taken:
            below = "; --recursive enters its folders" if any(p.is_dir() for p in beside) else "; give one that does"
            raise UserError(nothing + below)
        for one in taken:
            found.setdefault(_where(one.path), one)
        left_out.update({_where(p): p for p in beside})
    return Inputs(list(found.values()), [p for where, p in left_out.items() if where not in found])


def plan_outputs(inputs: Iterable[Input], out: Path) -> dict[Input, Path]:
    """{input: OUT/FOLDER/STEM} that the names of its outputs begin with; NAME.ENDING for those that share a stem.

    Raises UserError where two inputs would still collide.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out must name a folder")
    given = list(inputs)
    outputs: dict[Input, Path] = {}
    first: dict[Path, Path] = {}
    sharing = Counter((one.place, pairing_name(one.path)) for one in given)
    for one in given:
        name = one.path.name if sharing[one.place, pairing_name(one.path)] > 1 else one.path.stem
        target = out / one.place / name
        twin = first.setdefault(target, one.path)
        if twin is not one.path:
            raise UserError(f"{twin} and {one.path} would both write {name}_alpha.png; matte them separately")
        outputs[one] = target
    return outputs


def check_no_input_is_overwritten(inputs: Iterable[Input], targets: Iterable[Path]) -> None:
    """UserError if what is written would replace what is read."""
    given = {_where(one.path) for one in inputs}
    for target in targets:
        if _where(target) in given:
            raise UserError(f"{target} is an input and would be overwritten; give another folder by --out")


def read_photo(path: Path) -> NDArray[np.uint8]:
    """A photo as H x W x 3 uint8 RGB, upright: what `pictures.read_image` reads, and HEIC if pillow-heif is installed."""
    with open_regular(path) as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return _read_heif(path)
    return read_image(path)


def _read_heif(path: Path) -> NDArray[np.uint8]:
    try:
        import pillow_heif
    except ImportError:
        raise UserError(f"{path} is a HEIC picture; pip install pillow-heif to read it, or save it as JPG") from None
    try:
        picture = pillow_heif.open_heif(path)  # upright, as HEIF's own transformations are part of decoding
        check_pixels(path, *picture.size)
        pixels = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError) as error:
        reason = f"cannot be decoded ({first_line(error)})"
        raise BrokenPicture(f"{path} {reason}; fetch it again", reason) from error
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB).astype(np.uint8)
    return np.ascontiguousarray(pixels[..., :3])


def _kind(path: Path) -> Literal["photo", "video"]:
    """What a file is by its ending; a GIF's pictures are a video's frames."""
    return "video" if path.suffix.lower() in VIDEOS | {GIF} else "photo"


def _taken(path: Path) -> bool:
    return path.suffix.lower() in _endings() and not path.name.startswith(".") and not path.is_dir()


@functools.cache
def _endings() -> frozenset[str]:
    return SUFFIXES | VIDEOS | {GIF} | (HEIF if importlib.util.find_spec("pillow_heif") else frozenset())


def _folder(folder: Path, recursive: bool, out: Path | None) -> tuple[list[Input], list[Path]]:
    """What a folder holds to matte, and what else; hidden things are passed over in silence."""
    taken: list[Input] = []
    left_out: list[Path] = []
    for inside in _walked(folder, out) if recursive else [folder]:
        for path in sorted(inside.iterdir()):
            if path.name.startswith(".") or _same(path, out) or (recursive and path.is_dir()):
                continue
            if _taken(path):
                taken.append(Input(path, _kind(path), inside.relative_to(folder)))
            else:
                left_out.append(path)
    return taken, left_out


def _walked(folder: Path, out: Path | None) -> Iterator[Path]:
    for name, folders, _ in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not _same(Path(name, f), out))
        yield Path(name)


def _pattern(pattern: Path, out: Path | None) -> tuple[list[Input], list[Path]]:
    """What matches a pattern, below the folder that stands before its first wildcard."""
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    matches = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    matches = [p for p in matches if not p.is_dir() and not (out and _where(out) in _where(p).parents)]
    return (
        [Input(p, _kind(p), p.parent.relative_to(root)) for p in matches if _taken(p)],
        [p for p in matches if not _taken(p)],
    )


def _same(path: Path, out: Path | None) -> bool:
    return out is not None and path.is_dir() and _where(path) == _where(out)


def _where(path: Path) -> Path:
    """Where a path leads, or the path itself where links lead nowhere."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path.absolute()
