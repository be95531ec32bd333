"""Folders by the names that data sets give them, and folders of loose pictures: what several layouts read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsshm.data.label_files import count, find_folder, keyed, look_through, paired, shown
from wsshm.data.layouts import better_named
from wsshm.data.manifest import Sample
from wsshm.data.pictures import SUFFIXES
from wsshm.errors import UserError

log = logging.getLogger(__name__)

PHOTOS = ("images", "image", "photos", "photo", "imgs", "img", "clip_img")
FOREGROUNDS = ("fg", "fgr", "foreground", "foregrounds")
MATTES = ("mattes", "matte", "alphas", "alpha", "pha", "matting")
MASKS = ("masks", "mask")
TRIMAPS = ("trimaps", "trimap")


def relative(root: Path, path: Path) -> str:
    """A file's path below `root`, as a manifest has it."""
    return path.relative_to(root).as_posix()


def has(root: Path, *folders: Iterable[str]) -> bool:
    """Whether `root` holds a folder of each kind, by any of its names; upper and lower case are alike."""
    there = {p.name.lower() for p in root.iterdir() if p.is_dir()} if root.is_dir() else set()
    return all(not there.isdisjoint(names) for names in folders)


def pair_up(
    root: Path, folders: Mapping[str, Path], needs: str | None = None, prefix: str = "", **common: Any
) -> list[Sample]:
    """Samples of pictures and their labels, paired by name (`label_files.paired`), in order of id.

    `folders` are those of the pictures' column (image or foreground), first, and of the columns of labels. Pictures
    without the label `needs`, or without any, are left out and logged. Ids are names behind `prefix`; `common` is what
    all samples have. UserError for labels without a picture.
    """
    (column, place), *others = folders.items()
    pictures, labels = paired(look_through(place), {name: look_through(folder) for name, folder in others})
    wanted = [labels[needs]] if needs else list(labels.values())
    labelled = {name for name in pictures if any(name in found for found in wanted)}
    bare = [path for name, path in pictures.items() if name not in labelled]
    what = "foreground" if column == "foreground" else "photo"
    if not labelled:
        raise UserError(f"no {what} in {place} has a {needs or 'label'} of the same name beside it; add them")
    if bare:
        log.warning("skipped %s without a %s: %s", count(bare, what), needs or "label", shown(bare))
    samples = []
    for name in sorted(labelled):
        files: dict[str, Any] = {column: relative(root, pictures[name])}
        files |= {label: relative(root, found[name]) for label, found in labels.items() if name in found}
        samples.append(replace(Sample(id=prefix + name, **common), **files))
    return samples


def loose_pictures(root: Path) -> list[tuple[str, str]]:
    """(id, path below `root`) of the pictures at or below `root`, or its images/ if it has one; UserError for none."""
    folder = find_folder(root, PHOTOS) or root
    (pictures,) = keyed([look_through(folder)])
    if not pictures:
        raise UserError(f"{folder} holds no pictures (jpg, png, webp, bmp, tif); give the folder that holds them")
    return [(name, relative(root, path)) for name, path in sorted(pictures.items())]


def is_loose(root: Path) -> bool:
    """Whether pictures lie in `root` itself, and no folder of labels beside them."""
    return not any(has(root, names) for names in (MATTES, MASKS)) and any(
        p.suffix.lower() in SUFFIXES and not p.name.startswith(".") for p in root.iterdir()
    )


def refuse_other_layouts(root: Path, layout: str) -> None:
    """UserError where the folder of loose pictures that `layout` reads is laid out in another way."""
    if other := better_named(root, layout):
        raise UserError(f"{root} is not a folder of loose pictures{other}")
