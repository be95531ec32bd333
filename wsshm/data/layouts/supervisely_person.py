"""Supervisely Person: photos with masks of persons, polygons and bitmaps in one JSON for each photo."""

from __future__ import annotations

import base64
import binascii
import io
import logging
import os
import unicodedata
import zlib
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.config import Section
from wsshm.console import track
from wsshm.data.headers import DAMAGED, read_header, whole_png
from wsshm.data.label_files import count, look_through, shown
from wsshm.data.layouts import Annotated, Drawing, Layout, register
from wsshm.data.layouts.annotations import points, read_json, whole
from wsshm.data.layouts.folders import below, has, lacks, pair_up, relative
from wsshm.data.manifest import Sample
from wsshm.data.pictures import pairing_name
from wsshm.errors import UserError

log = logging.getLogger(__name__)

DEEPEST = 3  # ROOT/PROJECT/GROUP/ann
PERSON = "person"
Shape = tuple[Any, ...]


class Options(Section):
    """What counts as person."""

    classes: tuple[str, ...] = ()
    """Titles of the classes that are the person; by default all that begin with `person` (person_bmp, person_poly). The
    data set's class `neutral` is background."""


def read(root: Path, split: str, domain: str | None, options: Options) -> list[Sample] | Annotated:
    """Photos with persons, and their masks: drawings of raw annotations, or the pictures of seg/."""
    groups = _groups(root)
    if not groups:
        folders = {"image": below(root, "img"), "mask": below(root, "seg")}
        if not all(folders.values()):
            raise lacks(root, "supervisely-person", "img/ and ann/, nor img/ and seg/")
        return pair_up(root, folders, needs="mask", kind="photo", split=split, domain=domain)
    found = [pair for group in groups for pair in _annotated(group)]
    stems = Counter(pairing_name(photo) for photo, _ in found)
    samples, drawings, empty = [], {}, []
    for photo, annotation in track(found, len(found), "reading annotations"):
        width, height, shapes = _shapes(annotation, options)
        if not shapes:
            empty.append(photo)
            continue
        name = pairing_name(photo)
        if stems[name] > 1:
            name = unicodedata.normalize("NFC", relative(root, photo))
        samples.append(Sample(name, split, "photo", domain, relative(root, photo)))
        origin = str(annotation)
        drawings[name] = Drawing(width, height, origin, partial(draw, shapes, width, height, origin))
    if empty:
        log.warning("left out %s without a person: %s", count(empty, "picture"), shown(empty))
    if not samples:
        raise UserError(
            f"no annotation in {root} has a person; --option classes=[TITLE] names the classes that are one"
        )
    return Annotated(samples, drawings)


def draw(shapes: list[Shape], width: int, height: int, origin: str) -> NDArray[np.uint8]:
    """The union of polygons with holes and bitmaps as H x W, 0 or 1.

    A polygon holds the pixels that its outline passes through, and so do its holes. UserError for a bitmap that leaves
    the picture.
    """
    mask = np.zeros((height, width), np.uint8)
    for shape in shapes:
        if shape[0] == "bitmap":
            _, packed, left, top = shape
            bitmap = _bitmap(packed, width - left, height - top, origin)
            mask[top : top + bitmap.shape[0], left : left + bitmap.shape[1]] |= bitmap
            continue
        _, outline, holes = shape
        figure = np.zeros_like(mask)
        cv2.fillPoly(figure, [_corners(outline, width, height, origin)], 1)
        for hole in holes:
            cv2.fillPoly(figure, [_corners(hole, width, height, origin)], 0)
        mask |= figure
    return mask


def _corners(values: Any, width: int, height: int, origin: str) -> NDArray[np.int32]:
    return np.rint(points(values, width, height, origin)).astype(np.int32)


def _bitmap(packed: bytes, width: int, height: int, origin: str) -> NDArray[np.uint8]:
    """A zlib-packed PNG, at most `width` x `height` px, as 0 and 1."""
    try:
        content = zlib.decompressobj().decompress(packed, 16 * max(width, 1) * max(height, 1) + (1 << 20))
        header = read_header(io.BytesIO(content))
    except DAMAGED:
        raise _broken(origin) from None
    if header.width > width or header.height > height:
        raise UserError(f"{origin} has a bitmap that leaves its picture; correct the annotation")
    sound = header.format == "PNG" and whole_png(content, header)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if sound else None
    if pixels is None:
        raise _broken(origin)
    plane = pixels if pixels.ndim == 2 else pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    return (plane > 0).astype(np.uint8)


def _broken(origin: str) -> UserError:
    return UserError(f"{origin} has a bitmap that cannot be read; fetch the annotation again")


def _shapes(path: Path, options: Options) -> tuple[int, int, list[Shape]]:
    """Width and height of the annotated picture, and what is a person in it, bitmaps still packed."""
    document = read_json(path)
    size = document.get("size") if isinstance(document, dict) else None
    objects = document.get("objects") if isinstance(document, dict) else None
    if not isinstance(size, dict) or not isinstance(objects, list):
        raise UserError(f"{path} has no `size` and `objects`, as Supervisely's annotations have; fetch it again")
    width, height = (whole(size.get(side), f"{path}: the {side}") for side in ("width", "height"))
    shapes = []
    for entry in objects:
        title = str(entry.get("classTitle", "")) if isinstance(entry, dict) else ""
        if title in options.classes or (not options.classes and title.lower().startswith(PERSON)):
            shapes.append(_shape(entry, path))
    return width, height, shapes


def _shape(entry: dict[str, Any], path: Path) -> Shape:
    bitmap, outline = entry.get("bitmap"), entry.get("points")
    if isinstance(bitmap, dict):
        origin = bitmap.get("origin")
        if not isinstance(origin, list) or len(origin) != 2:
            raise UserError(f"{path} has a bitmap without an origin; correct the annotation")
        left, top = (whole(value, f"{path}: a bitmap's origin") for value in origin)
        try:
            return "bitmap", base64.b64decode(bitmap.get("data", ""), validate=True), left, top
        except (binascii.Error, TypeError, ValueError):
            raise _broken(str(path)) from None
    if isinstance(outline, dict) and outline.get("exterior"):
        holes = outline.get("interior") or []
        if not isinstance(holes, list):
            raise UserError(f"{path} has a polygon whose holes are no list; correct the annotation")
        return "polygon", outline["exterior"], holes
    raise UserError(
        f"{path} has a person that is neither a polygon nor a bitmap but {str(entry.get('geometryType'))[:40]!r};"
        " --option classes=[TITLE] names the classes to draw"
    )


def _groups(root: Path) -> list[Path]:
    """The folders that hold img/ and ann/, at or near `root`."""
    found = []
    for place, folders, _ in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        if has(Path(place), ["img"], ["ann"]):
            found.append(Path(place))
            folders.clear()
        elif len(Path(place).relative_to(root).parts) == DEEPEST - 1:
            folders.clear()
    return found


def _annotated(group: Path) -> list[tuple[Path, Path]]:
    """The photos of a group with their annotations: `a.jpg` with `a.jpg.json`, or `a.json`."""
    images, annotations = below(group, "img") or group, below(group, "ann") or group
    photos = {unicodedata.normalize("NFC", photo.name): photo for photo in look_through(images).pictures}
    stems = {pairing_name(photo): photo for photo in photos.values()}
    doubled = {name for name, times in Counter(map(pairing_name, photos.values())).items() if times > 1}
    pairs = []
    for path in sorted(annotations.glob("*.json")):
        if path.name.startswith("."):
            continue
        name = pairing_name(path)
        photo = photos.get(name) or stems.get(name)
        if name in doubled and name not in photos:
            raise UserError(f"{path} may annotate any of several pictures {name} in {images}; keep one of them")
        if photo is None:
            raise UserError(f"{path} annotates a picture that {images} lacks; add {name}, or take the annotation away")
        pairs.append((photo, path))
    if bare := sorted(set(photos.values()) - {photo for photo, _ in pairs}):
        log.warning("skipped %s without an annotation: %s", count(bare, "photo"), shown(bare))
    return pairs


def fits(root: Path) -> bool:
    """Whether img/ lies beside ann/ in a folder at or near `root`, or beside seg/."""
    return has(root, ["img"], ["seg"]) or any(any((below(g, "ann") or g).glob("*.json")) for g in _groups(root))


register(
    Layout(
        "supervisely-person",
        "5,711 photos with masks of persons",
        "ROOT/GROUP/img/*, GROUP/ann/*.json: polygons with holes, and bitmaps, drawn into the folder OUT-masks\n"
        "or ROOT/img/*, seg/*: the same after preprocessing",
        read,
        fits,
        terms="research only",
        source="Supervisely Person",
        obtained="https://github.com/dataset-ninja/supervisely-persons",
        domain="natural",
        options=Options,
    )
)
