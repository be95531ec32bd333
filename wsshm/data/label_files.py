"""Finding pictures in a tree, and which label belongs to which: by name, below like folders, or with a usual ending."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wsshm.data.manifest_table import UNPRINTABLE
from wsshm.data.pictures import SUFFIXES, UNREAD, pairing_name
from wsshm.errors import UserError, printable

log = logging.getLogger(__name__)

_ENDING = re.compile(r"[_.-](masks?|mattes?|alphas?|pha|trimaps?|labels?|seg|segmentation)$", re.IGNORECASE)
SHOWN = 5
LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})  # Windows; macOS hides its own
LISTS = (".csv", ".tsv", ".parquet")  # tables and manifests, which may lie beside pictures

Files = dict[str, Path]


@dataclass(frozen=True)
class Folder:
    """The pictures at or below `path`, sorted, and what else lies there: pictures of other formats, and other files."""

    path: Path
    pictures: list[Path]
    unread: list[Path]
    others: list[Path]


def look_through(path: Path) -> Folder:
    """What lies at or below a folder; hidden files and folders are passed over, links to folders are not followed.

    Logs what is not a picture. Raises UserError for a folder that cannot be read and for a name that cannot be shown.
    """
    pictures: list[Path] = []
    unread: list[Path] = []
    others: list[Path] = []
    for place, folders, files in os.walk(path, onerror=_unreadable):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted([*files, *links]):
            found = Path(place, name)
            ending = found.suffix.lower()
            if name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS or ending in LISTS:
                continue
            if UNPRINTABLE.search(name):
                raise UserError(f"{printable(str(found))} has a name that cannot be shown or is not UTF-8; rename it")
            readable = ending in SUFFIXES and found.is_file()  # no pipe, device or broken link
            (pictures if readable else unread if ending in UNREAD else others).append(found)
    for what, left in (("in formats that are not read", unread), ("other than pictures", others)):
        if left:
            log.warning("skipped in %s: %s %s: %s", path, count(left, "file"), what, shown(left))
    return Folder(path, pictures, unread, others)


def find_folder(root: Path, names: Iterable[str]) -> Path | None:
    """The folder of `root` that has one of the names, in upper or lower case; UserError where there are two."""
    names = list(names)
    found = sorted(p for p in root.iterdir() if p.name.lower() in names and p.is_dir())
    if len(found) > 1:
        raise UserError(f"{root} has both {found[0].name}/ and {found[1].name}/; keep the one that is meant")
    return found[0] if found else None


def keyed(folders: Iterable[Folder]) -> list[Files]:
    """Each folder's pictures by name: the stem where that is enough in all of them, else the path below the folder."""
    folders = list(folders)
    enough = all(max(Counter(map(pairing_name, f.pictures)).values(), default=1) == 1 for f in folders)
    return [_named(folder.path, folder.pictures, enough) for folder in folders]


def paired(
    photos: Folder, labels: Mapping[str, Folder], alike: Callable[[str], str] | None = None
) -> tuple[Files, dict[str, Files]]:
    """Photos by name, and the labels of each column by the names of their photos.

    A label is its photo's whose name it has, or has with an ending such as `_mask`; `alike` first makes a photo's name of
    the label's. UserError for labels without a photo.
    """
    images, *found = keyed([photos, *labels.values()])
    matched = {}
    for (column, folder), files in zip(labels.items(), found, strict=True):
        meant = {name: alike(name) if alike else name for name in files}
        names = {name: like if like in images else _ENDING.sub("", like) for name, like in meant.items()}
        orphans = sorted(name for name, photo in names.items() if photo not in images)
        if orphans:
            raise _orphaned(photos, folder, [files[name] for name in orphans])
        double = next((p for p, n in Counter(names.values()).items() if n > 1), None)
        if double is not None:
            both = [files[name].name for name, photo in names.items() if photo == double]
            raise UserError(f"{folder.path} holds two labels of {double}: {' and '.join(both)}; keep one of them")
        ended = [name for name, photo in names.items() if meant[name] != photo]
        if ended:
            log.info("%s of %s paired by the name without its ending, such as %s", len(ended), column, ended[0])
        matched[column] = {photo: files[name] for name, photo in names.items()}
    return images, matched


def count(items: list, noun: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def shown(paths: list[Path]) -> str:
    """The first names of a list."""
    return ", ".join(path.name for path in paths[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")


def _named(folder: Path, pictures: list[Path], by_stem: bool) -> Files:
    files: Files = {}
    for path in pictures:
        below = path.parent.relative_to(folder)
        name = pairing_name(path)
        if not by_stem:
            name = unicodedata.normalize("NFC", (below / name).as_posix())
        if name in files:
            raise UserError(f"{files[name]} and {path.name} have the same name; rename or remove one of them")
        files[name] = path
    return files


def _orphaned(photos: Folder, labels: Folder, orphans: list[Path]) -> UserError:
    said = f"{count(orphans, 'label')} in {labels.path} without a photo of the same name in {photos.path.name}/"
    stems = {pairing_name(path): path for path in photos.unread}
    for label in orphans:
        photo = stems.get(pairing_name(label)) or stems.get(_ENDING.sub("", pairing_name(label)))
        if photo:
            return UserError(
                f"{said} that can be read: {label.name} belongs to {photo.name}, whose format is not read; save such "
                "photos as JPG or PNG"
            )
    return UserError(f"{said}, the first is {orphans[0].name}; add the photos or take the labels away")


def _unreadable(error: OSError) -> None:
    raise error
