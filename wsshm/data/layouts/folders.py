"""Folders by the names that data sets give them, and folders of loose pictures: what several layouts read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
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


def has(root: Path | None, *folders: Iterable[str]) -> bool:
    """Whether `root` is there and holds a folder of each kind, by any of its names; upper and lower case are alike."""
    there = {p.name.lower() for p in root.iterdir() if p.is_dir()} if root else set()
    return all(not there.isdisjoint(names) for names in folders)


def below(root: Path, *names: str) -> Path | None:
    """The folder `root/NAME/NAME...`, None if it is missing; upper and lower case are alike."""
    folder: Path | None = root
    for name in names:
        folder = find_folder(folder, [name.lower()]) if folder else None
    return folder


def pair_up(
    root: Path,
    folders: Mapping[str, Path | None],
    needs: str | None = None,
    alike: Callable[[str], str] | None = None,
    **common: Any,
) -> list[Sample]:
    """Samples of pictures and their labels, paired by name (`label_files.paired`), in order of id, which is their name.

    `folders` are those of the pictures' column (image or foreground), first, and of the columns of labels; None for a
    label that is not there. Pictures without the label `needs`, or without any, are left out and logged. `alike` makes
    a label's name its picture's; `common` is what all samples have. UserError for labels without a picture.
    """
    (column, place), *others = ((name, look_through(folder)) for name, folder in folders.items() if folder)
    pictures, labels = paired(place, dict(others), alike)
    wanted = [labels[needs]] if needs else list(labels.values())
    labelled = {name for name in pictures if any(name in found for found in wanted)}
    bare = [path for name, path in pictures.items() if name not in labelled]
    what = "foreground" if column == "foreground" else "photo"
    if not labelled:
        raise UserError(f"no {what} in {place.path} has a {needs or 'label'} of the same name beside it; add them")
    if bare:
        log.warning("skipped %s without a %s: %s", count(bare, what), needs or "label", shown(bare))
    samples = []
    for name in sorted(labelled):
        files: dict[str, Any] = {column: relative(root, pictures[name])}
        files |= {label: relative(root, found[name]) for label, found in labels.items() if name in found}
        samples.append(replace(Sample(id=name, **common), **files))
    return samples


def cutout_parts(
    root: Path, layout: str, splits: Mapping[str, str], colours: str, mattes: str, domain: str | None
) -> list[Sample]:
    """Cut-outs of the parts that `layout` reads: of each folder in `splits` that is there ("" is `root`), with its split.

    `colours` and `mattes` are the names of the folders in each. UserError where no part has them.
    """
    parts = {}
    for name, split in splits.items():
        folder = below(root, name) if name else root
        folders = {"foreground": below(folder, colours), "matte": below(folder, mattes)} if folder else {}
        if folders and all(folders.values()):
            parts[name] = pair_up(root, folders, needs="matte", kind="cutout", split=split, domain=domain)
    if not parts:
        raise lacks(root, layout, " or ".join(f"{name}/{{{colours},{mattes}}}" for name in splits))
    return joined(parts)


def joined(parts: Mapping[str, list[Sample]]) -> list[Sample]:
    """The samples of a data set's parts. Ids stay as they are where no two are the same, else all begin with PART/."""
    ids = [sample.id for samples in parts.values() for sample in samples]
    apart = len(set(ids)) == len(ids)
    return [s if apart else replace(s, id=f"{part}/{s.id}") for part, samples in parts.items() for s in samples]


def holds(folder: Path, *endings: str) -> bool:
    """Whether a file with one of the endings (in lower case) lies in a folder."""
    return any(p.suffix.lower() in endings and not p.name.startswith(".") for p in folder.iterdir())


def loose_pictures(root: Path) -> list[tuple[str, str]]:
    """(id, path below `root`) of the pictures at or below `root`, or its images/ if it has one; UserError for none."""
    folder = find_folder(root, PHOTOS) or root
    (pictures,) = keyed([look_through(folder)])
    if not pictures:
        raise UserError(f"{folder} holds no pictures (jpg, png, webp, bmp, tif); give the folder that holds them")
    return [(name, relative(root, path)) for name, path in sorted(pictures.items())]


def is_loose(root: Path, endings: Collection[str] = SUFFIXES) -> bool:
    """Whether pictures of these endings lie in `root` itself or its images/, and no folder of labels beside them."""
    if any(has(root, names) for names in (FOREGROUNDS, MATTES, MASKS, TRIMAPS)):
        return False
    places = [root, *(p for p in root.iterdir() if p.name.lower() in PHOTOS and p.is_dir())]
    return any(holds(place, *endings) for place in places)


def lacks(root: Path, layout: str, folders: str) -> UserError:
    """The error for a folder that has not what `layout` reads; it says which layout the folder fits, if any."""
    return UserError(f"{root} has no {folders}{better_named(root, layout) or '; give the folder that holds them'}")


def refuse_other_layouts(root: Path, layout: str) -> None:
    """UserError where the folder of loose pictures that `layout` reads is laid out in another way."""
    if other := better_named(root, layout):
        raise UserError(f"{root} is not a folder of loose pictures{other}")
