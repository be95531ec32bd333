"""What the embedded data set is made of, before anything is drawn: recipes, and the manifest rows that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from wsshm.data.manifest import Sample
from wsshm.data.procedural import annotator
from wsshm.data.procedural.backgrounds import KINDS
from wsshm.data.procedural.pictures import CUTOUT_SCALE, Cutout, Photo, plan_cutout, plan_photo
from wsshm.data.procedural.shifted import plan_shifted
from wsshm.errors import UserError, nearest
from wsshm.grades import ATTRIBUTE, DEFAULT, GRADES
from wsshm.grades import named as grade_named

SHIFTED = "test-shifted"
"""People as natural as those of `test`, unlike any to train on; see `shifted`."""
PARTS = ("synthetic", "natural", "val", "test", SHIFTED)
DEFAULT_COUNTS: dict[str, int] = {
    "cutouts": 100,
    "backgrounds": 200,
    "natural": 1000,
    "val": 60,
    "test": 100,
    SHIFTED: 100,
}
GENERATOR_VERSION = 2  # part of the cache's key: raise it whenever the pictures change
SMALLEST = 32
LICENCE = "Apache-2.0"

# Pictures of each kind; of natural ones also by the grade of their masks: the first so many have the first grade's, ...
Counts = Mapping[str, int | Mapping[str, int]]
# How masks are drawn: a grade's name, or a coarseness of the annotator of earlier releases (`masks.annotate`).
Masks = str | float
# A picture's kind, its number, and how its mask is drawn if it has one.
Job = tuple[str, int, Masks]

# The streams of random numbers; a picture's generator is seeded by (seed, stream, index) and by nothing else.
STREAMS = {"cutouts": 1, "backgrounds": 2, "natural": 3, "val": 4, "test": 5, SHIFTED: 6}
MASK_STREAM = 10
_HELD_BACK = {"val": "val", "test": "test", SHIFTED: "test"}


@dataclass(frozen=True)
class Recipe:
    """All that one part's pictures depend on, their number apart."""

    part: str
    size: int
    seed: int
    masks: Masks = DEFAULT

    def asdict(self) -> dict[str, float | int | str]:
        pictures: dict[str, float | int | str] = {
            "generator": GENERATOR_VERSION,
            "part": self.part,
            "size": self.size,
            "seed": self.seed,
        }
        if self.part == "synthetic":
            return pictures
        if isinstance(self.masks, str):
            return {**pictures, "masks": self.masks, "annotator": annotator.VERSION}
        return {**pictures, "mask_coarseness": float(self.masks)}


def checked(
    size: int, counts: Counts | None, seed: int, drawn: Masks, workers: int | None = None
) -> dict[str, int | Mapping[str, int]]:
    """How many pictures of each kind. UserError for what cannot be drawn."""
    if size < SMALLEST:
        raise UserError(f"pictures of {size} px are too small to show a person; choose a size of at least {SMALLEST}")
    if seed < 0:
        raise UserError(f"the seed {seed} is negative; choose 0 or more")
    if isinstance(drawn, str):
        grade_named(drawn)
    elif not 0 <= drawn < float("inf"):
        raise UserError(f"mask coarseness {drawn} is not possible; choose 0 (exact) or more")
    if workers is not None and workers < 1:
        raise UserError(f"{workers} workers cannot draw; choose 1 or more")
    for kind, count in (counts or {}).items():
        if kind not in DEFAULT_COUNTS:
            raise UserError(f"the embedded data set has no {kind!r} to count; {nearest(kind, DEFAULT_COUNTS)}")
        if isinstance(count, Mapping) and (kind != "natural" or not isinstance(drawn, str)):
            raise UserError(f"{kind} are counted by one number here, not by grade; give one number")
        for grade in count if isinstance(count, Mapping) else ():
            grade_named(grade)
        for one in count.values() if isinstance(count, Mapping) else (count,):
            if one < 0:
                raise UserError(f"{one} {kind} cannot be made; choose a count of 0 or more")
    return {**DEFAULT_COUNTS, **(counts or {})}


def jobs(recipe: Recipe, number: Counts) -> list[Job]:
    """A part's pictures, in the order of their rows."""
    return [
        (kind, index, drawn)
        for kind in kinds(recipe.part)
        for index, drawn in enumerate(_masks_of(number[kind], recipe.masks))
    ]


def kinds(part: str) -> tuple[str, ...]:
    return ("cutouts", "backgrounds") if part == "synthetic" else (part,)


def _masks_of(count: int | Mapping[str, int], masks: Masks) -> list[Masks]:
    """How the mask of each picture is drawn, in the order of their numbers."""
    if isinstance(count, Mapping):
        return [grade for grade in GRADES for _ in range(count.get(grade, 0))]
    return [masks] * count


def folder_name(recipe: Recipe, number: Counts) -> str:
    """The name of a part's folder in the cache: all that its files depend on."""
    amount = "+".join(_amount(number[kind]) for kind in kinds(recipe.part))
    name = f"{recipe.part}-v{GENERATOR_VERSION}-{recipe.size}px-seed{recipe.seed}-{amount}"
    if recipe.part == "synthetic":
        return name
    if isinstance(recipe.masks, str):
        return f"{name}-{recipe.masks}-v{annotator.VERSION}"
    return f"{name}-coarse{recipe.masks:g}"


def _amount(count: int | Mapping[str, int]) -> str:
    """A number of pictures in a folder's name."""
    return (
        str(count)
        if isinstance(count, int)
        else "+".join(f"{count[grade]}{grade}" for grade in GRADES if count.get(grade))
    )


def planned(recipe: Recipe, job: Job) -> tuple[Sample, np.random.Generator, Photo | Cutout | str]:
    """The row of a picture but for its hash, the generator that goes on to draw it, and what it is to show: of a background
    its pattern.
    """
    kind, index, drawn = job
    rng = np.random.default_rng([recipe.seed, STREAMS[kind], index])
    row = Sample(
        id=picture_id(kind, index),
        split=_HELD_BACK.get(kind, "train"),
        kind={"cutouts": "cutout", "backgrounds": "background"}.get(kind, "photo"),
        source=f"wsshm procedural v{GENERATOR_VERSION}",
        licence=LICENCE,
    )

    def path(column: str) -> str:
        return f"{recipe.part}/{column}/{index:05d}.png"

    side = recipe.size
    if kind == "backgrounds":
        pattern = str(rng.choice(KINDS))
        row = replace(row, image=path("background"), attributes={"pattern": pattern}, width=side, height=side)
        return row, rng, pattern
    if kind == "cutouts":
        cutout, side = plan_cutout(rng), round(side * CUTOUT_SCALE)
        row = replace(row, foreground=path("foreground"), matte=path("matte"), domain="synthetic")
        return replace(row, attributes=cutout.attributes(), width=side, height=side), rng, cutout
    photo = plan_shifted(rng) if recipe.part == SHIFTED else plan_photo(rng)
    attributes = photo.attributes() | ({ATTRIBUTE: drawn} if isinstance(drawn, str) else {})
    row = replace(row, image=path("image"), matte=path("matte"), mask=path("mask"), trimap=path("trimap"))
    return replace(row, domain="natural", attributes=attributes, width=side, height=side), rng, photo


def picture_id(kind: str, index: int) -> str:
    """The id of a kind's picture in manifests."""
    return f"{kind.rstrip('s')}-{index:05d}"


def hashed(recipe: Recipe, samples: Iterable[Sample]) -> Iterator[Sample]:
    """Rows with the hash of their recipe and id as `sha256`, in place of that of their files' bytes.

    OpenCV rounds otherwise on another kind of processor, by 1 of 255 here and there. With the bytes' hashes a run would be
    another run on another machine, or on two nodes of one cluster, and its rows would never be compared.
    """
    recipes = {grade: json.dumps(replace(recipe, masks=grade).asdict(), sort_keys=True) for grade in GRADES}
    usual = json.dumps(recipe.asdict(), sort_keys=True)
    for sample in samples:
        own = recipes[sample.attributes[ATTRIBUTE]] if ATTRIBUTE in sample.attributes else usual
        yield replace(sample, sha256=hashlib.sha256(f"{own}\0{sample.id}".encode()).hexdigest())
