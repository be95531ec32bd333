"""The embedded data set on disk: manifests and PNG files, made in parallel, resumable, cached."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.procedural import annotator
from wsshm.data.procedural.backgrounds import KINDS, background
from wsshm.data.procedural.camera import to_8bit
from wsshm.data.procedural.masks import annotate, trimap
from wsshm.data.procedural.pictures import CUTOUT_SCALE, draw_cutout, draw_photo, plan_cutout, plan_photo
from wsshm.data.procedural.processes import draw_all
from wsshm.data.procedural.shifted import ShiftedPhoto, draw_shifted, plan_shifted
from wsshm.data.procedural.texture import Array
from wsshm.errors import UserError, nearest
from wsshm.files.cache import cache_folder, usual_cache
from wsshm.files.whole import write_whole
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
INLINE = 6  # so few pictures are drawn without starting processes

# Pictures of each kind; of natural ones also by the grade of their masks: the first so many have the first grade's, ...
Counts = Mapping[str, int | Mapping[str, int]]
# How masks are drawn: a grade's name, or a coarseness of the annotator of earlier releases (`masks.annotate`).
Masks = str | float

log = logging.getLogger(__name__)

# The streams of random numbers; a picture's generator is seeded by (seed, stream, index) and by nothing else.
_STREAMS = {"cutouts": 1, "backgrounds": 2, "natural": 3, "val": 4, "test": 5, SHIFTED: 6}
_MASK_STREAM = 10
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


def make(
    out: Path,
    size: int,
    *,
    counts: Counts | None = None,
    seed: int = 0,
    masks: Masks = DEFAULT,
    workers: int | None = None,
) -> dict[str, Path]:
    """Write all parts as `out/PART.parquet` and PNG folders; returns {part: manifest}.

    `size` is the pictures' side in pixels (cut-outs are 1.75 times as large), `counts` overrides `DEFAULT_COUNTS`,
    `masks` is the grade of all masks or a coarseness (see `Masks`), `workers` the number of processes (default: the CPUs this
    one may use).
    Rerun, it keeps the pictures that are there and adds those that are missing. Picture i is the same whatever
    the counts and workers. Raises UserError for impossible values.
    """
    number = _checked(size, counts, seed, masks, workers)
    out = Path(out)
    return {part: _make_part(out, Recipe(part, size, seed, masks), number, workers) for part in PARTS}


def ensure(
    part: str,
    size: int,
    *,
    counts: Counts | None = None,
    seed: int = 0,
    masks: Masks = DEFAULT,
    cache: Path | None = None,
    workers: int | None = None,
) -> Path:
    """The manifest of one part from the cache, made on first use.

    The cache is `cache`, else that of `wsshm.files.cache`. Several processes may ask at once: one makes the part, the others
    wait for it. A part whose making was killed is completed by the next one to ask.
    """
    if part not in PARTS:
        raise UserError(f"the embedded data set has no part {part!r}; {nearest(part, PARTS)}")
    number = _checked(size, counts, seed, masks, workers)
    recipe = Recipe(part, size, seed, masks)
    amount = "+".join(_amount(number[kind]) for kind in _kinds(part))
    name = f"{part}-v{GENERATOR_VERSION}-{size}px-seed{seed}-{amount}"
    if part != "synthetic":
        name += f"-{masks}-v{annotator.VERSION}" if isinstance(masks, str) else f"-coarse{masks:g}"
    usual = cache or usual_cache()
    if usual and (drawn := usual / "procedural" / name / f"{part}.parquet").is_file():
        return drawn  # though nothing can be written there, perhaps
    home = cache_folder("procedural") if cache is None else cache / "procedural"
    home.mkdir(parents=True, exist_ok=True)
    manifest = home / name / f"{part}.parquet"
    with _lock(home / f".{name}.lock"):
        if not manifest.is_file():
            total = sum(len(_masks_of(number[kind], masks)) for kind in _kinds(part))
            log.info(
                "drawing the %s part of the embedded data set once: %d pictures of %d px, kept in %s",
                part,
                total,
                size,
                home / name,
            )
            unfinished = home / f".{name}.partial"
            _make_part(unfinished, recipe, number, workers)
            os.rename(unfinished, home / name)
    return manifest


def embedded(recipe: Recipe, counts: Counts | None = None, cache: Path | None = None) -> Manifest:
    """A part from the cache (`ensure`), each sample's `sha256` that of its recipe and id in place of its files' bytes.

    OpenCV rounds otherwise on another kind of processor, by 1 of 255 here and there. With the bytes' hashes a run would be
    another run on another machine, or on two nodes of one cluster, and its rows would never be compared.
    """
    path = ensure(recipe.part, recipe.size, counts=counts, seed=recipe.seed, masks=recipe.masks, cache=cache)
    return _embedded(path, recipe)


@functools.lru_cache(maxsize=16)
def _embedded(path: Path, recipe: Recipe) -> Manifest:
    """A process opens it once: what lies at `path` is never another part."""
    manifest = Manifest.read(path)
    recipes = {grade: json.dumps(replace(recipe, masks=grade).asdict(), sort_keys=True) for grade in GRADES}
    usual = json.dumps(recipe.asdict(), sort_keys=True)
    drawn = [(s, recipes[s.attributes[ATTRIBUTE]] if ATTRIBUTE in s.attributes else usual) for s in manifest.samples]
    return Manifest(
        manifest.root,
        (replace(s, sha256=hashlib.sha256(f"{own}\0{s.id}".encode()).hexdigest()) for s, own in drawn),
    )


def _kinds(part: str) -> tuple[str, ...]:
    return ("cutouts", "backgrounds") if part == "synthetic" else (part,)


def _masks_of(count: int | Mapping[str, int], masks: Masks) -> list[Masks]:
    """How the mask of each picture is drawn, in the order of their numbers."""
    if isinstance(count, Mapping):
        return [grade for grade in GRADES for _ in range(count.get(grade, 0))]
    return [masks] * count


def _amount(count: int | Mapping[str, int]) -> str:
    """A number of pictures in a folder's name."""
    return (
        str(count)
        if isinstance(count, int)
        else "+".join(f"{count[grade]}{grade}" for grade in GRADES if count.get(grade))
    )


def _checked(
    size: int, counts: Counts | None, seed: int, drawn: Masks, workers: int | None
) -> dict[str, int | Mapping[str, int]]:
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


def _make_part(out: Path, recipe: Recipe, number: Counts, workers: int | None) -> Path:
    manifest = out / f"{recipe.part}.parquet"
    jobs = [
        (kind, index, drawn)
        for kind in _kinds(recipe.part)
        for index, drawn in enumerate(_masks_of(number[kind], recipe.masks))
    ]
    by_grade = {kind: dict(count) for kind in _kinds(recipe.part) if isinstance(count := number[kind], Mapping)}
    if not _prepare(out, recipe, {**recipe.asdict(), **by_grade}, manifest) and manifest.is_file():
        known = Manifest.read(manifest)
        if len(known) == len(jobs) and {s.id for s in known.samples} == {_id(*job[:2]) for job in jobs}:
            return manifest
    draw = partial(make_sample, out, recipe)
    processes = min(workers or usable_cores(), max(len(jobs) // 2, 1))
    label = f"drawing {recipe.part} at {recipe.size} px"
    made = map(draw, jobs) if processes == 1 or len(jobs) <= INLINE else draw_all(draw, jobs, processes)
    Manifest(out, track(made, len(jobs), label)).write(manifest)
    return manifest


def _prepare(out: Path, recipe: Recipe, wanted: Mapping[str, object], manifest: Path) -> bool:
    """Make `out` ready, dropping pictures of another recipe than `wanted`; returns whether any were dropped."""
    folder = out / recipe.part
    note = folder / "recipe.json"
    if note.is_file():
        found = json.loads(note.read_text())
        if found == wanted:
            return False
        manifest.unlink(missing_ok=True)
        of_pictures = ("generator", "part", "size", "seed")
        only_masks = all(found.get(key) == wanted[key] for key in of_pictures)
        for sub in folder.iterdir():
            if sub.is_dir() and (sub.name == "mask" or not only_masks):
                shutil.rmtree(sub)
    elif folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds files that are not this data set's; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps(wanted))
    return True


def _id(kind: str, index: int) -> str:
    return f"{kind.rstrip('s')}-{index:05d}"


def make_sample(out: Path, recipe: Recipe, job: tuple[str, int, Masks]) -> Sample:
    """Draw and write one sample, or only what is missing of it; returns its manifest row.

    `job` is its kind, its number, and how its mask is drawn if it has one.
    """
    kind, index, drawn = job
    rng = np.random.default_rng([recipe.seed, _STREAMS[kind], index])
    side = recipe.size
    row = Sample(
        id=_id(kind, index),
        split=_HELD_BACK.get(kind, "train"),
        kind={"cutouts": "cutout", "backgrounds": "background"}.get(kind, "photo"),
        source=f"wsshm procedural v{GENERATOR_VERSION}",
        licence=LICENCE,
    )

    def path(column: str) -> str:
        return f"{recipe.part}/{column}/{index:05d}.png"

    if kind == "backgrounds":
        files = {"image": path("background")}
        pattern = str(rng.choice(KINDS))
        if _missing(out, files):
            _png(out / files["image"], to_8bit(background(rng, pattern, side)))
        row = replace(row, image=files["image"], attributes={"pattern": pattern})
    elif kind == "cutouts":
        plan = plan_cutout(rng)
        files = {"foreground": path("foreground"), "matte": path("matte")}
        if _missing(out, files):
            colours, alpha = draw_cutout(plan, side)
            _png(out / files["foreground"], colours)
            _png(out / files["matte"], alpha)
        side = round(side * CUTOUT_SCALE)
        row = replace(
            row,
            foreground=files["foreground"],
            matte=files["matte"],
            domain="synthetic",
            attributes=plan.attributes(),
        )
    else:
        files = {column: path(column) for column in ("image", "matte", "mask", "trimap")}
        row = _photo(out, replace(recipe, masks=drawn), rng, row, files, index)
    row = replace(row, width=side, height=side)
    return replace(row, sha256=content_hash(out, row))


def _photo(
    out: Path, recipe: Recipe, rng: np.random.Generator, row: Sample, files: dict[str, str], index: int
) -> Sample:
    plan = plan_shifted(rng) if recipe.part == SHIFTED else plan_photo(rng)
    pictures = {c: files[c] for c in ("image", "matte", "trimap")}
    if _missing(out, pictures):
        size = recipe.size
        image, alpha = draw_shifted(plan, size) if isinstance(plan, ShiftedPhoto) else draw_photo(plan, size)
        _png(out / files["image"], image)
        _png(out / files["trimap"], trimap(alpha))
        _png(out / files["matte"], alpha)
    if _missing(out, {"mask": files["mask"]}):
        alpha = np.asarray(cv2.imread(str(out / files["matte"]), cv2.IMREAD_GRAYSCALE))
        random = np.random.default_rng([recipe.seed, _STREAMS[recipe.part] + _MASK_STREAM, index])
        _png(out / files["mask"], draw_mask(random, alpha, recipe.masks))
    return replace(
        row,
        image=files["image"],
        matte=files["matte"],
        mask=files["mask"],
        trimap=files["trimap"],
        domain="natural",
        attributes=plan.attributes() | ({ATTRIBUTE: recipe.masks} if isinstance(recipe.masks, str) else {}),
    )


def draw_mask(random: np.random.Generator, alpha: Array, drawn: Masks) -> Array:
    """A mask (H, W) of 0 and 255 of a grade, or by the annotator of earlier releases, after 8-bit alpha (H, W)."""
    return annotator.draw(random, alpha, drawn) if isinstance(drawn, str) else annotate(random, alpha, drawn)


def _missing(out: Path, files: Mapping[str, str]) -> bool:
    return any(not (out / name).is_file() for name in files.values())


def _png(path: Path, pixels: Array) -> None:
    """Write RGB or grey pixels as PNG, whole or not at all."""
    _, packed = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    write_whole(path, packed.tobytes())


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; released by the system even when the holder is killed."""
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise UserError(
            "the cache of the embedded data set needs a system with file locks; write it with "
            "`wsshm data make procedural --out DIR` and give data.root"
        ) from error
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
