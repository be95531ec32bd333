"""What a manifest's pictures and labels are like: sizes, people's share, softness of mattes, how good masks are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wsshm.console import track
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.manifest_table import SPLITS
from wsshm.data.parallel import Room, on_threads
from wsshm.data.pictures import read_mask_values, read_matte, read_size
from wsshm.errors import UserError
from wsshm.files.filesystems import RemoteError
from wsshm.grades import ATTRIBUTE, DEFAULT, GRADES, like
from wsshm.metrics import score_mask
from wsshm.metrics.trimap import BOUNDARY

ALL = "all"
NEARLY_EXACT = 3.0  # thousandths of the shorter side: where a blend gained nothing (reports/findings.md)
EXACT = "; but masks this exact gained nothing from a blend: compare joint and seg_only first"


@dataclass(frozen=True)
class Measured:
    """One sample. `width` and `height` in px; None where it has no such label, or one that cannot be read.

    `person` is the mean of the matte, else of the mask: people's share of the picture. `soft` is the share of a person's
    pixels (above 0.05) that are fractional (below 0.95). `mask_iou`, `mask_boundary_f` and `mask_boundary_error` (the mean
    distance between the outlines, in thousandths of the shorter side) compare a mask with its matte, both cut at 0.5.
    `mask_grade` is the grade that the manifest states.
    """

    id: str
    split: str
    kind: str
    domain: str | None
    width: int | None
    height: int | None
    person: float | None = None
    soft: float | None = None
    mask_iou: float | None = None
    mask_boundary_f: float | None = None
    mask_boundary_error: float | None = None
    mask_grade: str | None = None
    unread: str = ""

    @property
    def megapixels(self) -> float | None:
        """Size of the picture."""
        return self.width * self.height / 1e6 if self.width and self.height else None


@dataclass(frozen=True)
class Spread:
    """The distribution of one quantity: number of values, mean, and quantiles."""

    count: int
    mean: float
    low: float  # 5 %
    median: float
    high: float  # 95 %

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread | None:
        """Of those that there are; None of none."""
        known = np.array([value for value in values if value is not None], float)
        if not known.size:
            return None
        low, median, high = np.quantile(known, (0.05, 0.5, 0.95))
        return cls(len(known), float(known.mean()), float(low), float(median), float(high))


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "split", "kind", "domain")),
        *((name, pa.int32()) for name in ("width", "height")),
        *((name, pa.float64()) for name in ("person", "soft", "mask_iou", "mask_boundary_f", "mask_boundary_error")),
        ("mask_grade", pa.string()),
        ("unread", pa.string()),
    ]
)


def measure(manifest: Manifest) -> list[Measured]:
    """Every sample measured, in the manifest's order. A file that cannot be read leaves its values out and its sentence
    in `unread`. RemoteError where an object store does not answer.
    """
    manifest = manifest.hashed() if manifest.stored_apart else manifest
    room = Room()

    def measured(sample: Sample) -> Measured:
        with room.taken(sample.width * sample.height):
            return _measured(manifest, sample)

    return list(track(on_threads(measured, manifest.samples), len(manifest), "measuring"))


def by_split(samples: Sequence[Measured]) -> dict[str, list[Measured]]:
    """The samples of every split that has some, and of `all` if there are several."""
    groups = {split: [each for each in samples if each.split == split] for split in SPLITS}
    groups = {split: group for split, group in groups.items() if group}
    return groups if len(groups) == 1 else groups | {ALL: list(samples)}


def as_table(samples: Sequence[Measured], manifest: Manifest) -> pa.Table:
    """One row a sample, the columns of `Measured`; the metadata hold `schema_version`, `fingerprint` and `units`."""
    units = {"width": "px", "height": "px", "person": "share of the picture", "soft": "share of the person's pixels"}
    units["mask_boundary_error"] = "thousandths of the shorter side"
    metadata = {"schema_version": "1", "fingerprint": manifest.fingerprint, "units": json.dumps(units)}
    return pa.Table.from_pylist([asdict(each) for each in samples], SCHEMA.with_metadata(metadata))


def _measured(manifest: Manifest, sample: Sample) -> Measured:
    width, height = sample.width, sample.height
    row = Measured(sample.id, sample.split, sample.kind, sample.domain, width or None, height or None)
    try:
        with manifest.told_by_address(sample):
            if not (width and height):
                width, height = read_size(manifest.path(sample, "image" if sample.image else "foreground"))
            matte = read_matte(manifest.path(sample, "matte")) if sample.matte else None
            mask = read_mask_values(manifest.path(sample, "mask")) if sample.mask else None
    except UserError as error:
        if isinstance(error, RemoteError) and error.passing:
            raise  # no fault of the data
        return replace(row, unread=str(error))
    row = replace(
        row, width=width, height=height, mask_grade=sample.attributes.get(ATTRIBUTE) if mask is not None else None
    )
    if matte is not None:
        row = replace(row, person=float(matte.mean(dtype=np.float64)))
        seen = np.count_nonzero(matte > BOUNDARY[0])
        if seen:
            row = replace(row, soft=np.count_nonzero((matte > BOUNDARY[0]) & (matte < BOUNDARY[1])) / seen)
    elif mask is not None:
        row = replace(row, person=np.count_nonzero(mask >= 0.5) / mask.size)
    if matte is not None and mask is not None and matte.shape == mask.shape:
        scores = score_mask(mask, matte)
        apart = boundary_error(mask, matte)
        row = replace(row, mask_iou=scores.iou, mask_boundary_f=scores.boundary_f, mask_boundary_error=apart)
    return row


def boundary_error(mask: NDArray[Any], matte: NDArray[Any]) -> float | None:
    """The mean distance between two outlines, in thousandths of the shorter side; None where one of the two has none.

    Of every pixel along either outline the distance to the nearest of the other is taken, and the two means are averaged.
    Both are HxW in [0,1], cut at 0.5; an outline is the person's pixels that touch another one, not at the picture's edge.
    """
    outlines = [_outline(part >= 0.5) for part in (mask, matte)]
    if not all(outline.any() for outline in outlines):
        return None
    far = [
        cv2.distanceTransform(np.where(o, 0, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for o in outlines
    ]
    means = far[1][outlines[0]].mean(), far[0][outlines[1]].mean()
    return float(1000 * np.mean(means) / min(mask.shape))


def _outline(person: NDArray[np.bool_]) -> NDArray[np.bool_]:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return person & ~cv2.erode(person.astype(np.uint8), cross, borderValue=1).astype(bool)


def grade_sentences(samples: Sequence[Measured]) -> Iterator[str]:
    """What masks of each stated grade (or of none) are like where there are mattes, a sentence for each."""
    for grade in (*GRADES, None):
        own = [each for each in samples if each.mask_grade == grade and each.mask_iou is not None]
        if not own:
            continue
        iou = float(np.mean([each.mask_iou for each in own]))
        errors = [each.mask_boundary_error for each in own if each.mask_boundary_error is not None]
        outline = ""
        if errors:
            far = float(np.mean(errors))
            outline = f", boundary error {far:.1f} thousandths of the shorter side"
            if far >= 0.1:  # a band has a width
                outline += (
                    f" (a blend as wide: method.blend.band={far / 1000:.4f}{EXACT if far <= NEARLY_EXACT else ''})"
                )
        found, (low, high) = like(iou), like(iou).iou
        where = "within" if low <= iou <= high else "outside of"
        stated = f"stated to be {grade}" if grade else f"of unstated grade (they count as {DEFAULT})"
        yield (
            f"{len(own):,} {'mask' if len(own) == 1 else 'masks'} with mattes, {stated}: mean IoU {iou:.3f}{outline}; most like"
            f" {found.name} ({where} its {low:.2f} to {high:.2f})"
        )


def middle_size(samples: Sequence[Measured]) -> tuple[int, int] | None:
    """Median width and height in px; None where no size is known."""
    known = [(each.width, each.height) for each in samples if each.width and each.height]
    if not known:
        return None
    width, height = np.median(np.array(known), axis=0)
    return math.ceil(width), math.ceil(height)
