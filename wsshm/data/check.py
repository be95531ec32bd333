"""Opening and checking every file of a manifest, before a long training trips over one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.data.decoding import most_pixels
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.mask_import import has_wide_edge
from wsshm.data.pictures import read_image, read_mask_values, read_matte, read_trimap
from wsshm.errors import UserError

READERS: dict[str, Callable[[Path], NDArray]] = {
    "image": read_image,
    "matte": read_matte,
    "mask": read_mask_values,
    "trimap": read_trimap,
    "foreground": read_image,
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one sample. `path` is relative to the manifest's root."""

    id: str
    column: str
    path: str
    problem: str


def check(manifest: Manifest) -> list[Fault]:
    """Every fault of a manifest, in its order; empty if there is none.

    Looked for: missing and unreadable files, labels of another size than the picture, mattes and masks that are empty
    or full, masks that are not binary, files changed since import, and the same picture listed twice. UserError where
    `WSSHM_MAX_PIXELS` is no number.
    """
    most_pixels()  # an impossible limit is no fault of the files
    faults: list[Fault] = []
    first_with: dict[str, Sample] = {}
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        judged = pool.map(lambda sample: _judge(manifest, sample), manifest.samples)
        for sample, (found, digest) in zip(manifest.samples, track(judged, len(manifest), "checking"), strict=True):
            faults += found
            twin = first_with.setdefault(digest, sample) if digest else sample
            if twin is not sample:
                column = _main_column(sample)
                problem = f"the same picture as {twin.id} ({twin.split})"
                faults.append(Fault(sample.id, column, sample.files[column], problem))
    return faults


def _main_column(sample: Sample) -> str:
    return "foreground" if sample.image is None and sample.foreground else "image"


def _judge(manifest: Manifest, sample: Sample) -> tuple[list[Fault], str]:
    """A sample's own faults, and the sha256 of its picture's bytes ("" where that cannot be read)."""
    main = _main_column(sample)
    if main not in sample.files:
        return [Fault(sample.id, main, "", f"none; a {sample.kind} needs an image or a foreground")], ""
    faults: list[Fault] = []
    pixels: dict[str, NDArray] = {}
    unusable: set[str] = set()  # a cut-out's one file fills two columns
    for column, relative in sample.files.items():
        if relative in unusable:
            continue
        path = None
        try:
            path = manifest.path(sample, column)
            pixels[column] = READERS[column](path)
        except UserError as error:
            unusable.add(relative)
            missing = path is not None and not path.is_file()
            problem = "missing" if missing else str(error).removeprefix(f"{path} ")
            faults.append(Fault(sample.id, column, relative, problem))
    faults += [Fault(sample.id, c, sample.files[c], problem) for c, problem in _problems(sample, main, pixels)]
    complete = not unusable and all(manifest.path(sample, column).is_file() for column in sample.files)
    if sample.sha256 and complete and manifest.content_hash(sample) != sample.sha256:
        faults.append(Fault(sample.id, main, sample.files[main], "changed since import; import the data again"))
    digest = hashlib.sha256(manifest.path(sample, main).read_bytes()).hexdigest() if main in pixels else ""
    return faults, digest


def _problems(sample: Sample, main: str, pixels: dict[str, NDArray]) -> Iterator[tuple[str, str]]:
    """What is wrong with files that could be read, as (column, problem)."""
    for column, values in pixels.items():
        size = _size(values)
        if column == main and sample.width and sample.height and size != (sample.width, sample.height):
            yield column, f"{_by(size)}, but the manifest says {_by((sample.width, sample.height))}"
        if column != main and main in pixels and size != _size(pixels[main]):
            yield column, f"{_by(size)}, but the {main} is {_by(_size(pixels[main]))}"
        if column in ("matte", "mask") and values.min() == values.max() and values.min() in (0, 1):
            yield column, f"{values.min():.0f} everywhere"
        elif column in ("matte", "mask") and _inverted(values):
            yield column, "1 along the whole border and 0 inside: it may be inverted; the person is 1 (255)"
        if column == "mask":
            between = np.count_nonzero((values > 0) & (values < 1)) / values.size
            if between:
                what = (
                    "it may be a matte, so import the data again with --masks-as matte"
                    if has_wide_edge(values)
                    else "it is cut at half; save it as 0 and 255"
                )
                yield column, f"not binary, {max(between, 0.0001):.2%} of its pixels are neither 0 nor 1; {what}"


def _inverted(values: NDArray) -> bool:
    """Whether all four edges are the person, which no photo of one shows, and something inside is not."""
    edges = (values[0], values[-1], values[:, 0], values[:, -1])
    return all(float(edge.min()) >= 0.95 for edge in edges) and float(values.min()) <= 0.05


def _size(values: NDArray) -> tuple[int, int]:
    return values.shape[1], values.shape[0]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
