"""Importing masks: unreadable ones are refused, and class indices and annotations become masks of 0 and 255.

A mask of classes is rewritten, and an annotation drawn, rather than noted in the manifest, so that any program that opens
it, in this project or beside it, sees the person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.data.decoding import header_of, upright
from wsshm.data.headers import QUARTER_TURNS, Header
from wsshm.data.label_files import count, shown
from wsshm.data.layouts import Drawing
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.names import file_names
from wsshm.data.parallel import each
from wsshm.data.pictures import format_classes, read_mask, read_mask_values, write_png
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location

log = logging.getLogger(__name__)

SOFT = (0.1, 0.9)
WIDE = 2.5
"""Soft pixels for each of the edge's: an edge drawn smoothly, or saved as JPG, has one or two; hair has many."""
FEW = 16
UInt8 = NDArray[np.uint8]


def judged(manifest: Manifest, *, may_be_soft: bool = False) -> None:
    """Read every mask. Raises UserError for one of class indices, and for masks that look like mattes.

    A threshold would make masks of mattes without a word, so somebody must say so (`may_be_soft`).
    """
    masked = [s for s in manifest.samples if s.mask is not None]

    def may_be_matte(sample: Sample) -> bool:
        with manifest.told_by_address(sample):
            return has_wide_edge(read_mask_values(manifest.path(sample, "mask")))

    soft = [s for s, wide in each(may_be_matte, masked, "reading masks") if wide]
    if soft and not may_be_soft:
        raise UserError(
            f"{len(soft)} of {len(masked)} masks have wide soft edges, the first is {manifest.address(soft[0], 'mask')}, so"
            " they may be mattes; `wsshm data import` takes --masks-as matte where they are, and --masks-as mask to cut them at"
            " half"
        )


def write_binary(manifest: Manifest, classes: Collection[int], out: Location) -> Manifest:
    """Write the person of every mask of class indices to `out` as PNG of 0 and 255; the manifest that lists these.

    Every other value is background, an unlabelled outline (255) too. `out` is there whole or not at all. Raises UserError
    where it is there already, where no mask has one of the classes, and for masks that hold no indices.
    """
    masked = [s for s in manifest.samples if s.mask is not None]
    chosen = format_classes(classes)
    if not masked:
        raise UserError(f"--class {chosen} is for masks of class indices, and this data set has no masks; leave it out")

    def person(sample: Sample) -> UInt8:
        return read_mask(manifest.path(sample, "mask"), classes)

    with _writing(manifest, masked, person, out) as (written, empty):
        if len(empty) == len(masked):
            raise UserError(f"no mask has a pixel of --class {chosen}; without it the values that are there are named")
    if empty:
        log.warning("%d of %d masks have no pixel of --class %s, such as %s", len(empty), len(masked), chosen, empty[0])
    return Manifest(
        written.root,
        (replace(s, attributes=s.attributes | {"mask_classes": chosen}) if s.mask else s for s in written.samples),
    )


def write_drawn(manifest: Manifest, drawings: Mapping[str, Drawing], out: Location) -> Manifest:
    """Draw masks from annotations and write them to `out` as PNG of 0 and 255, upright; the manifest that lists these.

    `out` is there whole or not at all. Raises UserError where it is there already, where no mask has a pixel, and for
    annotations of another size than their picture's.
    """
    drawn = [s for s in manifest.samples if s.id in drawings]
    undecided = []

    def person(sample: Sample) -> UInt8:
        drawing, picture = drawings[sample.id], manifest.path(sample, "image")
        turn, sure = turn_of(drawing, header_of(picture), picture)
        if not sure:
            undecided.append(Path(sample.id))
        mask = drawing.draw()
        if mask.shape != (drawing.height, drawing.width):
            raise UserError(
                f"{drawing.origin} describes a mask of {mask.shape[1]}x{mask.shape[0]} for a picture of"
                f" {drawing.width}x{drawing.height}; correct the annotation"
            )
        return upright(mask, turn)

    with _writing(manifest, drawn, person, out) as (written, empty):
        if len(empty) == len(drawn):
            raise UserError(f"no annotation, such as {drawings[drawn[0].id].origin}, has a pixel of a person")
    if empty:
        log.warning("%d of %d masks are empty, such as that of %s", len(empty), len(drawn), empty[0])
    if undecided:
        log.warning(
            "%s turned by an orientation tag, and the annotation's size does not say whether it is for the picture as it is"
            " stored or as it is seen: %s; the masks were turned with the pictures, see with `wsshm data preview` that they"
            " fit",
            count(undecided, "picture"),
            shown(sorted(undecided)),
        )
    return written


def turn_of(drawing: Drawing, header: Header, picture: Path) -> tuple[int, bool]:
    """The orientation (EXIF's, 1 to 8) by which an annotation's mask becomes upright as its picture, and whether that is sure.

    An annotation is for the picture as it is stored, which programs see that pass over the tag (pycocotools), or as it is
    seen; its size tells, unless both are the same size. UserError where it is neither.
    """
    seen = (header.width, header.height)
    stored = seen[::-1] if header.orientation in QUARTER_TURNS else seen
    annotated = (drawing.width, drawing.height)
    if annotated not in (seen, stored):
        raise UserError(
            f"{drawing.origin} is for a picture of {drawing.width}x{drawing.height}, but {picture} has"
            f" {seen[0]}x{seen[1]}; give the picture that was annotated"
        )
    if annotated != stored:
        return 1, True
    return header.orientation, header.orientation == 1 or seen != stored


def check_free(manifest: Manifest, out: Location) -> None:
    """Raise UserError where masks cannot be written to `out`, since it is there or on another filesystem than the pictures."""
    if out.exists():
        raise UserError(
            f"{redacted(out)} is there already, where masks are to be written; give another --out, or remove it"
        )
    manifest.around(out)


@contextmanager
def _writing(
    manifest: Manifest, samples: list[Sample], person: Callable[[Sample], UInt8], out: Location
) -> Iterator[tuple[Manifest, list[str]]]:
    """Write the masks that `person` gives (H x W, 0 or 1) to `out`, which is there once the block ends well.

    Gives the manifest that lists them, and the ids of those that are empty.
    """
    check_free(manifest, out)
    names = file_names(s.id for s in samples)
    moved = manifest.around(out)
    with out.new_folder(last=f"{list(names.values())[-1]}.png") as unfinished:

        def write(sample: Sample) -> bool:
            with manifest.told_by_address(sample):
                mask = person(sample)
            write_png(unfinished / f"{names[sample.id]}.png", mask * np.uint8(255))
            return bool(mask.any())

        empty = [s.id for s, there in each(write, samples, "writing masks") if not there]
        paths = {name: moved.below(out / f"{file}.png") for name, file in names.items()}
        yield Manifest(moved.root, (_with_mask(s, paths) for s in moved.samples)), empty


def _with_mask(sample: Sample, paths: Mapping[str, str]) -> Sample:
    return replace(sample, mask=paths[sample.id], sha256="") if sample.id in paths else sample


def has_wide_edge(values: NDArray[np.float32]) -> bool:
    """Whether values in [0, 1] (H,W) have so many between 0 and 1 for their edge that they may be a matte."""
    solid = (values >= 0.5).astype(np.uint8)
    edge = np.count_nonzero(solid != cv2.erode(solid, np.ones((3, 3), np.uint8)))
    soft = np.count_nonzero((values > SOFT[0]) & (values < SOFT[1]))
    return bool(soft > FEW and soft > WIDE * edge)
