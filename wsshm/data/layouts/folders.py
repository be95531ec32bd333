"""Folders by the names that data sets give them, and folders of loose pictures: what several layouts read."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.label_files import find_folder, keyed, look_through
from wsshm.data.layouts import better_named
from wsshm.errors import UserError

PHOTOS = ("images", "image", "photos", "photo", "imgs", "img", "clip_img")
FOREGROUNDS = ("fg", "fgr", "foreground", "foregrounds")
MATTES = ("mattes", "matte", "alphas", "alpha", "pha", "matting")
MASKS = ("masks", "mask")
TRIMAPS = ("trimaps", "trimap")


def relative(root: Path, path: Path) -> str:
    """A file's path below `root`, as a manifest has it."""
    return path.relative_to(root).as_posix()


def loose_pictures(root: Path) -> list[tuple[str, str]]:
    """(id, path below `root`) of the pictures at or below `root`, or its images/ if it has one; UserError for none."""
    folder = find_folder(root, PHOTOS) or root
    (pictures,) = keyed([look_through(folder)])
    if not pictures:
        raise UserError(f"{folder} holds no pictures (jpg, png, webp, bmp, tif); give the folder that holds them")
    return [(name, relative(root, path)) for name, path in pictures.items()]


def refuse_other_layouts(root: Path, layout: str) -> None:
    """UserError where the folder of loose pictures that `layout` reads is laid out in another way."""
    if other := better_named(root, layout):
        raise UserError(f"{root} is not a folder of loose pictures{other}")
