"""Importing masks: unreadable ones are refused, and class indices become masks of 0 and 255.

A mask of classes is rewritten rather than noted in the manifest, so that any program that opens it, in this project or beside
it, sees the person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.data.manifest import Manifest, Sample, common_root
from wsshm.data.names import file_names
from wsshm.data.pictures import format_classes, read_mask, read_mask_values, write_png
from wsshm.errors import UserError
from wsshm.files.whole import whole_folder

log = logging.getLogger(__name__)

SOFT = (0.1, 0.9)
WIDE = 2.5
"""Soft pixels for each of the edge's: an edge drawn smoothly, or saved as JPG, has one or two; hair has many."""
FEW = 16
T = TypeVar("T")


def judged(manifest: Manifest, *, may_be_soft: bool = False) -> None:
    """Read every mask. Raises UserError for one of class indices, and for masks that look like mattes.

    A threshold would make masks of mattes without a word, so somebody must say so (`may_be_soft`).
    """
    masked = [s for s in manifest.samples if s.mask is not None]
    soft = [s for s, wide in _each(lambda s: has_wide_edge(read_mask_values(manifest.path(s, "mask"))), masked) if wide]
    if soft and not may_be_soft:
        raise UserError(
            f"{len(soft)} of {len(masked)} masks have wide soft edges, the first is {manifest.path(soft[0], 'mask')}, so they "
            "may be mattes; `wsshm data import` takes --masks-as matte where they are, and --masks-as mask to cut them at half"
        )


def write_binary(manifest: Manifest, classes: Collection[int], out: Path) -> Manifest:
    """Write the person of every mask of class indices to `out` as PNG of 0 and 255; the manifest that lists these.

    Every other value is background, an unlabelled outline (255) too. `out` is there whole or not at all. Raises UserError
    where it is there already, where no mask has one of the classes, and for masks that hold no indices.
    """
    masked = [s for s in manifest.samples if s.mask is not None]
    chosen = format_classes(classes)
    if not masked:
        raise UserError(f"--class {chosen} is for masks of class indices, and this data set has no masks; leave it out")
    if out.exists():
        raise UserError(f"{out} is there already, where masks are to be written; give another --out, or remove it")
    names = file_names(s.id for s in masked)
    manifest = manifest.rooted(common_root(manifest.root, out))
    place = out.resolve()
    with whole_folder(place) as unfinished:

        def write(sample: Sample) -> bool:
            person = read_mask(manifest.path(sample, "mask"), classes)
            write_png(unfinished / f"{names[sample.id]}.png", person * np.uint8(255))
            return bool(person.any())

        empty = [s.id for s, there in _each(write, [s for s in manifest.samples if s.mask]) if not there]
        if len(empty) == len(masked):
            raise UserError(f"no mask has a pixel of --class {chosen}; without it the values that are there are named")
    if empty:
        log.warning("%d of %d masks have no pixel of --class %s, such as %s", len(empty), len(masked), chosen, empty[0])

    def listed(sample: Sample) -> Sample:
        if sample.mask is None:
            return sample
        mask = (place / f"{names[sample.id]}.png").relative_to(manifest.root).as_posix()
        return replace(sample, mask=mask, attributes=sample.attributes | {"mask_classes": chosen})

    return Manifest(manifest.root, map(listed, manifest.samples))


def has_wide_edge(values: NDArray[np.float32]) -> bool:
    """Whether values in [0, 1] (H,W) have so many between 0 and 1 for their edge that they may be a matte."""
    solid = (values >= 0.5).astype(np.uint8)
    edge = np.count_nonzero(solid != cv2.erode(solid, np.ones((3, 3), np.uint8)))
    soft = np.count_nonzero((values > SOFT[0]) & (values < SOFT[1]))
    return bool(soft > FEW and soft > WIDE * edge)


def _each(do: Callable[[Sample], T], samples: list[Sample]) -> Iterator[tuple[Sample, T]]:
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        try:
            yield from zip(samples, track(pool.map(do, samples), len(samples), "reading masks"), strict=True)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
