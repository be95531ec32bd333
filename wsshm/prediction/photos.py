"""Photos: read, matted and written at the same time, those of equal input size in batches."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.data.pictures import write_png
from wsshm.errors import UserError
from wsshm.prediction.forward import Float32, UInt8
from wsshm.prediction.inputs import Input, read_photo
from wsshm.prediction.layers import Options, layers
from wsshm.prediction.matter import Matter
from wsshm.prediction.pipeline import in_order
from wsshm.prediction.protocols import Size

WAITING = 4  # batches' worth of pictures that wait for others of their size


@dataclass(frozen=True)
class Photo:
    """A photo to matte and the beginning of its outputs' names; then its pixels, its matte, or what is wrong with it."""

    input: Input
    base: Path
    image: UInt8 | None = None
    sizes: tuple[Size, ...] = ()
    matte: Float32 | None = None
    problem: str = ""


def outputs_of(base: Path, options: Options) -> dict[str, Path]:
    """{layer: file} of a photo: `BASE_alpha.png` and so on."""
    return {layer: base.with_name(f"{base.name}_{layer}.png") for layer in options.layers()}


def matte_photos(matter: Matter, photos: Sequence[Photo], options: Options) -> Iterator[Photo]:
    """Write the outputs of photos and yield each when it is done, with its `problem` if it could not be.

    UserError where memory does not suffice, and for a model that answers with NaN.
    """

    def read(photo: Photo) -> Photo:
        path = photo.input.path
        try:
            image = read_photo(path)
            return Photo(photo.input, photo.base, image, matter.protocol.sizes(*image.shape[:2]))
        except UserError as error:
            problem = str(error) if str(path) in str(error) else f"{path}: {error}"
            return Photo(photo.input, photo.base, problem=problem)

    def write(photo: Photo) -> Photo:
        if photo.image is None or photo.matte is None:
            return photo
        targets = outputs_of(photo.base, options)
        made = layers(photo.image, photo.matte, targets, options)
        try:
            for layer in sorted(targets, key=len, reverse=True):  # a name that is too long is the first
                write_png(targets[layer], made[layer])
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            problem = f"{targets[layer]} is too long a name to be written; rename {photo.input.path}"
            return Photo(photo.input, photo.base, problem=problem)
        return Photo(photo.input, photo.base)

    threads, ahead = usable_cores(), matter.batch + 2
    opened = in_order(read, photos, min(threads, 4), ahead)
    written = in_order(write, _matted(matter, opened), threads, ahead + threads)
    yield from track(written, len(photos), "matting", unit="pictures")


def _matted(matter: Matter, photos: Iterable[Photo]) -> Iterator[Photo]:
    """Photos with their mattes, in batches of equal input size; those with problems as they come."""
    waiting: dict[tuple[Size, ...], list[Photo]] = {}
    for photo in photos:
        if photo.image is None:
            yield photo
            continue
        alike = waiting.setdefault(photo.sizes, [])
        alike.append(photo)
        if len(alike) >= matter.batch:
            yield from _batch(matter, waiting.pop(photo.sizes))
        elif sum(map(len, waiting.values())) > WAITING * matter.batch:
            yield from _batch(matter, waiting.pop(max(waiting, key=lambda sizes: len(waiting[sizes]))))
    for alike in waiting.values():
        yield from _batch(matter, alike)


def _batch(matter: Matter, photos: Sequence[Photo]) -> Iterator[Photo]:
    images = [photo.image for photo in photos if photo.image is not None]
    answers = matter.alike(images, [str(photo.input.path) for photo in photos])
    for photo, answer in zip(photos, answers, strict=True):
        yield Photo(photo.input, photo.base, photo.image, matte=answer.matte)
