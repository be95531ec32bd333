"""Opening one sample's files and saying what is wrong with them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.data.decoding import header_of, open_regular
from wsshm.data.fetching import Absent, Changed
from wsshm.data.findings import Finding
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.mask_import import has_wide_edge
from wsshm.data.near_duplicates import GREY, Likeness
from wsshm.data.pictures import read_image, read_mask_values, read_matte, read_trimap
from wsshm.errors import UserError
from wsshm.metrics.trimap import BACKGROUND, BOUNDARY, FOREGROUND, UNKNOWN

READERS: dict[str, Callable[[Path], NDArray]] = {
    "image": read_image,
    "matte": read_matte,
    "mask": read_mask_values,
    "trimap": read_trimap,
    "foreground": read_image,
}
LABELS = ("matte", "mask")
CHANGED = "changed since import; import the data again"
TINY = 0.001  # of the picture
LEAST_IOU = 0.7
SOFT_SHARE = 0.2
"""Fractional pixels for each of the outline's: an anti-aliased outline has about one, hair more, a mask none."""
CONTRADICTED = 0.001  # of the picture
LOST_ROWS = 8  # of a JPEG, whose blocks are at least so high


@dataclass(frozen=True)
class Look:
    """What one look at a sample's files gave.

    `state` is what changes when a file is written to (`state_of`), `digest` the sha256 of the picture's bytes ("" where it
    cannot be read), `likeness` what it is compared with others by.
    """

    state: str
    digest: str
    likeness: Likeness | None
    findings: tuple[Finding, ...]


def main_column(sample: Sample) -> str:
    """The column of the sample's picture: `image`, of a cut-out `foreground`."""
    return "foreground" if sample.image is None and sample.foreground else "image"


def state_of(manifest: Manifest, sample: Sample) -> str:
    """Sizes and times of change of a sample's files, or the hash that they are fetched by; "" where one is not there."""
    if manifest.stored_apart:
        return sample.sha256
    try:
        found = [os.stat(manifest.path(sample, column)) for column in sample.files]
    except (OSError, ValueError, UserError):
        return ""
    return " ".join(f"{each.st_size}:{each.st_mtime_ns}" for each in found)


def look(manifest: Manifest, sample: Sample) -> Look:
    """Open every file of a sample; all that can be found without its neighbours."""
    main = main_column(sample)
    if main not in sample.files:
        problem = f"none; a {sample.kind} needs an image or a foreground"
        return Look("", "", None, (Finding(sample.id, sample.split, main, "", "missing", problem),))
    state = state_of(manifest, sample)  # before anything is read: what is written meanwhile is looked at again
    pixels, found = _opened(manifest, sample)
    found += _problems(manifest, sample, main, pixels)
    whole = not any(kind in ("missing", "unreadable") for _, kind, _ in found)
    # What is fetched is compared with its hash by then.
    if sample.sha256 and whole and not manifest.stored_apart and manifest.content_hash(sample) != sample.sha256:
        found.append((main, "changed", CHANGED))
    if manifest.stored_apart and any(kind in ("missing", "changed") for _, kind, _ in found):
        state = ""  # what is put back there has the same hash, and is looked at again
    digest, likeness = "", None
    if main in pixels:
        with open_regular(manifest.path(sample, main)) as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        matte = pixels.get("matte") if sample.kind == "cutout" else None
        if matte is None or matte.shape == pixels[main].shape[:2]:
            likeness = Likeness.of(pixels[main], matte)
    findings = [Finding(sample.id, sample.split, c, sample.files[c], kind, problem) for c, kind, problem in found]
    return Look(state, digest, likeness, tuple(findings))


def _opened(manifest: Manifest, sample: Sample) -> tuple[dict[str, NDArray], list[tuple[str, str, str]]]:
    """The pixels of all files that can be read, by column, and what is wrong with the others: (column, kind, problem).

    UserError for what is no fault of the data: an object store that does not answer, a cache that is too small.
    """
    pixels: dict[str, NDArray] = {}
    found: list[tuple[str, str, str]] = []
    unusable: set[str] = set()  # a cut-out's one file fills two columns
    for column, relative in sample.files.items():
        if relative in unusable:
            continue
        try:
            path = manifest.path(sample, column)
        except Changed:
            return {}, [(column, "changed", CHANGED)]  # it is fetched with all files of its sample
        except Absent as error:
            return {}, [(column, "missing", str(error))]
        try:
            with manifest.told_by_address(sample):
                pixels[column] = READERS[column](path)
        except UserError as error:
            unusable.add(relative)
            if path.is_file():
                problem = str(error).removeprefix(f"{path} ").removeprefix(f"{manifest.address(sample, column)} ")
                found.append((column, "unreadable", problem))
            else:
                found.append((column, "missing", "missing"))
    return pixels, found


def _problems(
    manifest: Manifest, sample: Sample, main: str, pixels: dict[str, NDArray]
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with files that could be read, as (column, kind, problem)."""
    sizes = {column: (values.shape[1], values.shape[0]) for column, values in pixels.items()}
    for column, size in sizes.items():
        if column == main and sample.width and sample.height and size != (sample.width, sample.height):
            yield column, "size", f"{_by(size)}, but the manifest says {_by((sample.width, sample.height))}"
        if column != main and main in pixels and size != sizes[main]:
            yield column, "size", f"{_by(size)}, but the {main} is {_by(sizes[main])}"
    if main in pixels and (rows := _lost_rows(pixels[main])) and _is_jpeg(manifest.path(sample, main)):
        yield main, "cut-off", f"its lowest {rows} rows are plain grey, as where data were lost; look at it"
    for column in LABELS:
        if column in pixels:
            for kind, problem in _label_problems(column, pixels[column]):
                yield column, kind, problem
    yield from _contradictions(pixels)


def _label_problems(column: str, values: NDArray[np.float32]) -> Iterator[tuple[str, str]]:
    """What is wrong with a matte or mask (H,W) in [0,1], as (kind, problem)."""
    person = BOUNDARY[0] if column == "matte" else 0.5
    low, high = float(values.min()), float(values.max())
    share = np.count_nonzero(values >= person) / values.size
    if not share:
        yield "empty", "0 everywhere" if high == 0 else f"without a person: no value above {high:.2f}"
    elif low == 1:
        yield "full", "1 everywhere"
    elif _inverted(values):
        yield "inverted", "1 along the whole border and 0 inside: it may be inverted; the person is 1 (255)"
    elif share < TINY:
        yield "tiny", f"the person covers {share:.3%} of the picture"
    if column == "mask":
        between = np.count_nonzero((values > 0) & (values < 1)) / values.size
        if between:
            what = (
                "it may be a matte, so import the data again with --masks-as matte"
                if has_wide_edge(values)
                else "it is cut at half; save it as 0 and 255"
            )
            yield "grey-mask", f"not binary, {max(between, 0.0001):.2%} of its pixels are neither 0 nor 1; {what}"
    elif share and low < 1 and (soft := _softness(values)) < SOFT_SHARE:
        yield "binary-matte", f"a mask rather than a matte: {soft:.2f} soft pixels for each of its outline's"


def _contradictions(pixels: dict[str, NDArray]) -> Iterator[tuple[str, str, str]]:
    """Labels of one picture that cannot both be right, as (column, kind, problem)."""
    matte, mask, trimap = (pixels.get(column) for column in ("matte", "mask", "trimap"))
    if matte is not None and mask is not None and matte.shape == mask.shape:
        a, b = matte >= 0.5, mask >= 0.5
        if a.any() and b.any() and (iou := _iou(a, b)) < LEAST_IOU:
            yield "mask", "misfit", f"does not fit the matte: their IoU is {iou:.2f}"
    if trimap is None:
        return
    if not (trimap == UNKNOWN).any():
        yield "trimap", "trimap", "has no unknown pixel (128)"
    if matte is not None and matte.shape == trimap.shape:
        against = (trimap == BACKGROUND) & (matte >= 0.5) | (trimap == FOREGROUND) & (matte < 0.5)
        if (share := np.count_nonzero(against) / against.size) > CONTRADICTED:
            yield "trimap", "trimap", f"contradicts the matte in {share:.1%} of the picture"


def _inverted(values: NDArray) -> bool:
    """Whether all four edges are the person, which no photo of one shows, and something inside is not."""
    edges = (values[0], values[-1], values[:, 0], values[:, -1])
    return all(float(edge.min()) >= 0.95 for edge in edges) and float(values.min()) <= 0.05


def _softness(matte: NDArray[np.float32]) -> float:
    """Fractional pixels of a matte (H,W) for each pixel along its outline at half."""
    solid = (matte >= 0.5).astype(np.uint8)
    outline = np.count_nonzero(solid != cv2.erode(solid, np.ones((3, 3), np.uint8)))
    soft = np.count_nonzero((matte > BOUNDARY[0]) & (matte < BOUNDARY[1]))
    return soft / outline if outline else float("inf")


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def _lost_rows(image: NDArray[np.uint8]) -> int:
    """How many of the lowest rows of a picture (H,W,3) are plain grey, which a JPEG's missing blocks are read as."""
    if not (image[-LOST_ROWS:] == GREY).all():
        return 0
    return int(np.argmin((image[::-1] == GREY).all(axis=(1, 2)))) % len(image)


def _is_jpeg(path: Path) -> bool:
    return header_of(path).format == "JPEG"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
