"""COCO: persons, as polygons and run-length codes in one JSON for each part; other data sets in its format, too."""

from __future__ import annotations

import contextlib
import logging
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as codes

from wsshm.config import Section
from wsshm.data.label_files import count, find_folder, look_through
from wsshm.data.layouts import Annotated, Drawing, Layout, register
from wsshm.data.layouts.annotations import points, read_json, whole
from wsshm.data.layouts.folders import PHOTOS, below, is_loose, joined, lacks, relative
from wsshm.data.manifest import Sample
from wsshm.errors import UserError

log = logging.getLogger(__name__)

START = "instances_"
SPLITS = ("train", "val", "test")
CORNERS = 3  # of a polygon; pycocotools takes two points for a box
MOST_BITS = 32  # of a run's length
LISTS = ("images", "annotations", "categories")
Entry = dict[str, Any]


class Options(Section):
    """What becomes a mask."""

    per: Literal["picture", "person"] = "picture"
    """One mask a picture, of all its persons, or one a person, the others being background."""
    crowds: Literal["skip", "person"] = "skip"
    """What to do with regions of many people (iscrowd), which are drawn coarsely, gaps and all: leave out their pictures,
    or count the regions as person. One mask a person never has them."""
    category: str = "person"
    """The name of the category, for other data sets in this format."""


@dataclass(frozen=True)
class Picture:
    """An entry of `images`, with the annotations of its persons."""

    file: str
    width: int
    height: int
    persons: list[Entry]
    crowds: list[Entry]


def read(root: Path, split: str, domain: str | None, options: Options) -> Annotated:
    """Photos with persons, and their masks as drawings; photos without one are left out."""
    parts: dict[str, list[Sample]] = {}
    masks: list[Drawing] = []
    sources: list[str] = []
    for path, folder in _parts(root):
        part = path.stem.removeprefix(START)
        published = next((name for name in SPLITS if part.lower().startswith(name)), split)
        pictures = _pictures(path, options.category)
        if options.per == "picture" and options.crowds == "skip":
            pictures = _without_crowds(pictures, path)
        files, names = _files(root, folder, pictures, path), _names(pictures)
        parts[part] = []
        sources.append(str(path))
        for picture in pictures:
            place, size = relative(root, files[picture.file]), (picture.width, picture.height)
            origin = f"{path}, picture {picture.file}"
            for name, shapes, attributes in _masks(picture, names[picture.file], options, path):
                parts[part].append(Sample(name, published, "photo", domain, place, attributes=attributes))
                masks.append(Drawing(*size, origin, partial(draw, shapes, *size, origin)))
    samples = joined(parts)
    if not samples:
        raise UserError(
            f"{', '.join(sources)}: no {options.category} is annotated, or left by the layout's options; give others"
        )
    return Annotated(samples, {sample.id: mask for sample, mask in zip(samples, masks, strict=True)})


def draw(shapes: list[Any], width: int, height: int, origin: str) -> NDArray[np.uint8]:
    """The union of `segmentation`s, polygons and run-length codes of both kinds, as H x W, 0 or 1, as pycocotools draws them.

    UserError for a code of another size, and for what is no shape.
    """
    mask = np.zeros((height, width), np.uint8)
    polygons: list[list[float]] = []
    for shape in shapes:
        if isinstance(shape, dict):
            mask |= _decoded(shape, width, height, origin)
            continue
        if not isinstance(shape, list):
            raise UserError(f"{origin} has a segmentation that is neither polygons nor a run-length code; correct it")
        for polygon in shape:
            corners = points(polygon, width, height, origin)
            if len(corners) >= CORNERS:
                polygons.append(corners.ravel().tolist())
    if polygons:
        mask |= codes.decode(codes.merge(codes.frPyObjects(polygons, height, width)))
    return mask


def _decoded(code: Entry, width: int, height: int, origin: str) -> NDArray[np.uint8]:
    size, runs = code.get("size"), code.get("counts")
    if not isinstance(size, list) or list(size) != [height, width]:
        said = "x".join(str(side) for side in reversed(size)) if isinstance(size, list) else "no size"
        raise UserError(
            f"{origin} has a run-length code of {said[:40]} for a picture of {width}x{height}; correct the annotation"
        )
    lengths = _unpacked(runs, origin) if isinstance(runs, str) else runs if isinstance(runs, list) else []
    lengths = [whole(run, f"{origin}: a run's length") for run in lengths]
    if sum(lengths) != width * height:
        raise UserError(
            f"{origin} has a run-length code of {sum(lengths):,} pixels for a picture of {width}x{height}; correct it"
        )
    values = np.arange(len(lengths)) % 2
    return np.repeat(values, lengths).astype(np.uint8).reshape(width, height).T


def _unpacked(text: str, origin: str) -> list[int]:
    """The run lengths of a compressed code: groups of 5 bits, the sixth says that more follow, the last holds the sign.

    From the fourth on, a number is the difference to the one before the last. pycocotools decodes them, too, but a damaged
    code makes it write beyond its memory.
    """
    lengths: list[int] = []
    number = bits = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or bits > MOST_BITS:
            raise UserError(f"{origin} has a run-length code that cannot be read; fetch the annotations again")
        number |= (group & 31) << bits
        bits += 5
        if not group & 32:
            number -= (group & 16) << (bits - 4)
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number = bits = 0
    return lengths


def _parts(root: Path) -> Iterator[tuple[Path, Path]]:
    """Each annotation file and the folder of its pictures."""
    annotations = find_folder(root, ["annotations"])
    found = sorted(annotations.glob(f"{START}*.json")) if annotations else []
    if not found:
        raise lacks(root, "coco-persons", f"annotations/{START}*.json")
    photos = find_folder(root, PHOTOS)
    flat = photos if photos and is_loose(photos) else None
    missing = []
    for path in found:
        part = path.stem.removeprefix(START).lower()
        folder = find_folder(root, [part]) or (photos and find_folder(photos, [part])) or flat
        if folder:
            yield path, folder
        else:
            missing.append(f"{path.name} (no folder {path.stem.removeprefix(START)}/)")
    if len(missing) == len(found):
        raise UserError(f"{root} has annotations, but not their pictures: {', '.join(missing[:3])}; put them there")
    if missing:
        log.warning("%s: skipped annotations whose pictures are not there: %s", root, ", ".join(missing))


def _pictures(path: Path, category: str) -> list[Picture]:
    """The pictures that have a person, in the file's order."""
    log.info("reading %s (%.0f MB)", path, path.stat().st_size / 1e6)
    document = read_json(path, _packed)
    if not isinstance(document, dict) or not all(isinstance(document.get(k), list) for k in LISTS):
        raise UserError(f"{path} holds no lists {', '.join(LISTS)}, as COCO's format has; fetch it again")
    images, annotations, categories = ([e for e in document[k] if isinstance(e, dict)] for k in LISTS)
    persons: dict[Any, list[Entry]] = {}
    try:
        ids = {entry.get("id") for entry in categories if entry.get("name") == category}
        entries = {entry.get("id"): entry for entry in images}
        for annotation in annotations:
            if annotation.get("category_id") in ids:
                persons.setdefault(annotation.get("image_id"), []).append(annotation)
    except TypeError:  # lists and mappings
        raise UserError(f"{path} has ids that are no numbers; correct it") from None
    if not ids:
        others = ", ".join(str(entry.get("name")) for entry in categories[:8]) or "none"
        raise UserError(f"{path} has no category {category!r} (but {others}); --option category=NAME chooses another")
    if unknown := persons.keys() - entries.keys():
        raise UserError(f"{path} annotates the picture {min(map(str, unknown))}, which its images lack; fetch it again")
    pictures = [_picture(entry, persons[key], path) for key, entry in entries.items() if key in persons]
    if len({picture.file for picture in pictures}) < len(pictures):
        doubled = Counter(picture.file for picture in pictures).most_common(1)[0][0]
        raise UserError(f"{path} lists the picture {doubled} twice; keep one of them")
    log.info("%s: a %s in %d of %s", path.name, category, len(pictures), count(images, "picture"))
    return pictures


def _picture(entry: Entry, annotations: list[Entry], path: Path) -> Picture:
    file = entry.get("file_name")
    if not isinstance(file, str) or not file:
        raise UserError(f"{path}: the picture {str(entry.get('id'))[:40]} has no file_name; correct it")
    width, height = (whole(entry.get(side), f"{path}: the {side} of {file}") for side in ("width", "height"))
    crowds = [a for a in annotations if a.get("iscrowd")]
    return Picture(file, width, height, [a for a in annotations if not a.get("iscrowd")], crowds)


def _packed(entry: Entry) -> Entry:
    """An entry with its polygons as arrays: in lists of numbers the annotations of COCO take some gigabytes."""
    shape = entry.get("segmentation")
    if isinstance(shape, list):
        with contextlib.suppress(TypeError, OverflowError):  # no polygon; drawing says so
            entry["segmentation"] = [array("d", polygon) for polygon in shape]
    return entry


def _without_crowds(pictures: list[Picture], path: Path) -> list[Picture]:
    if crowded := [picture for picture in pictures if picture.crowds]:
        log.warning(
            "%s: left out %s with a crowd, whose region is drawn coarsely; --option crowds=person keeps them",
            path.name,
            count(crowded, "picture"),
        )
    return [picture for picture in pictures if not picture.crowds]


def _files(root: Path, folder: Path, pictures: list[Picture], path: Path) -> dict[str, Path]:
    """The file of each picture, by its name in the annotations: a path below the part's folder, or below `root`."""
    found: dict[str, Path] = {}
    for file in look_through(folder).pictures:
        for start in (root, folder):
            found[unicodedata.normalize("NFC", relative(start, file))] = file
    files = {p.file: found.get(unicodedata.normalize("NFC", p.file.replace("\\", "/"))) for p in pictures}
    if missing := [name for name, file in files.items() if file is None]:
        raise UserError(
            f"{path} annotates {count(missing, 'picture')} that {folder} lacks, the first is {missing[0]}; add what is"
            " missing, or take it out of the annotations"
        )
    return {name: file for name, file in files.items() if file}


def _names(pictures: list[Picture]) -> dict[str, str]:
    """The id of each picture: its file's stem, or its whole name where two have the same."""
    paths = {p.file: PurePosixPath(unicodedata.normalize("NFC", p.file.replace("\\", "/"))) for p in pictures}
    apart = len({path.stem for path in paths.values()}) == len(paths)
    return {file: path.stem if apart else path.as_posix() for file, path in paths.items()}


def _masks(
    picture: Picture, name: str, options: Options, path: Path
) -> Iterator[tuple[str, list[Any], dict[str, str]]]:
    """(id, shapes, attributes) of a picture's masks."""
    if options.per == "person":
        numbers = Counter(str(person.get("id")) for person in picture.persons)
        if doubled := next((number for number, times in numbers.items() if times > 1), None):
            raise UserError(f"{path} has two annotations {doubled[:40]} of {picture.file}; give each an id of its own")
        for person in picture.persons:
            number = whole(person.get("id"), f"{path}: the id of an annotation of {picture.file}")
            yield f"{name}-{number}", [person.get("segmentation")], {"picture": name}
        return
    counted = picture.persons + (picture.crowds if options.crowds == "person" else [])
    attributes = {"persons": str(len(picture.persons))} | (
        {"crowds": str(len(picture.crowds))} if picture.crowds else {}
    )
    yield name, [entry.get("segmentation") for entry in counted], attributes


def fits(root: Path) -> bool:
    """Whether annotations/instances_*.json is there."""
    annotations = below(root, "annotations")
    return bool(annotations and any(annotations.glob(f"{START}*.json")))


register(
    Layout(
        "coco-persons",
        "photos with masks of persons: of COCO 2017, 64,115 to train on",
        "ROOT/annotations/instances_train2017.json, instances_val2017.json (in COCO's format, of any data set)\n"
        "ROOT/train2017/*.jpg, val2017/*.jpg (or below ROOT/images), which become the splits train and val\n"
        "Polygons and both kinds of run-length codes are drawn into the folder OUT-masks.",
        read,
        fits,
        terms="annotations CC BY 4.0; photos by their Flickr licences",
        source="COCO 2017",
        obtained="https://cocodataset.org",
        domain="natural",
        options=Options,
    )
)
