"""The embedded data set on disk: manifests and PNG files, made in parallel, resumable, cached."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.procedural import annotator
from wsshm.data.procedural.backgrounds import background
from wsshm.data.procedural.camera import to_8bit
from wsshm.data.procedural.masks import annotate, trimap
from wsshm.data.procedural.pictures import Cutout, Photo, draw_cutout, draw_photo
from wsshm.data.procedural.processes import draw_all
from wsshm.data.procedural.recipe import (
    MASK_STREAM,
    PARTS,
    STREAMS,
    Counts,
    Job,
    Masks,
    Recipe,
    checked,
    folder_name,
    hashed,
    jobs,
    kinds,
    picture_id,
    planned,
)
from wsshm.data.procedural.shifted import ShiftedPhoto, draw_shifted
from wsshm.data.procedural.texture import Array
from wsshm.errors import UserError, nearest
from wsshm.files.cache import cache_folder, usual_cache
from wsshm.files.whole import write_whole
from wsshm.grades import DEFAULT

INLINE = 6  # so few pictures are drawn without starting processes

log = logging.getLogger(__name__)


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
    number = checked(size, counts, seed, masks, workers)
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
    number = checked(size, counts, seed, masks, workers)
    recipe = Recipe(part, size, seed, masks)
    name = folder_name(recipe, number)
    if drawn := _drawn(recipe, number, cache):
        return drawn  # though nothing can be written there, perhaps
    home = cache_folder("procedural") if cache is None else cache / "procedural"
    home.mkdir(parents=True, exist_ok=True)
    manifest = home / name / f"{part}.parquet"
    with _lock(home / f".{name}.lock"):
        if not manifest.is_file():
            total = len(jobs(recipe, number))
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
    """A part from the cache (`ensure`), each sample's `sha256` that of its recipe and id (`recipe.hashed`)."""
    path = ensure(recipe.part, recipe.size, counts=counts, seed=recipe.seed, masks=recipe.masks, cache=cache)
    return _embedded(path, recipe)


@functools.lru_cache(maxsize=16)
def _embedded(path: Path, recipe: Recipe) -> Manifest:
    """A process opens it once: what lies at `path` is never another part."""
    manifest = Manifest.read(path)
    return Manifest(manifest.root, hashed(recipe, manifest.samples))


def outline(recipe: Recipe, counts: Counts | None = None) -> Manifest:
    """The same samples as `embedded`'s, of the same identities, whether or not they are drawn: without a file, perhaps."""
    number = checked(recipe.size, counts, recipe.seed, recipe.masks)
    drawn = _drawn(recipe, number)
    return _embedded(drawn, recipe) if drawn else _outline(recipe, tuple(jobs(recipe, number)))


@functools.lru_cache(maxsize=16)
def _outline(recipe: Recipe, of: tuple[Job, ...]) -> Manifest:
    rows = (planned(recipe, job)[0] for job in of)
    told = track(rows, len(of), f"planning {recipe.part} at {recipe.size} px")
    return Manifest(Path("not-drawn"), hashed(recipe, told))


def _drawn(recipe: Recipe, number: Counts, cache: Path | None = None) -> Path | None:
    """The manifest of a part that lies in the cache."""
    usual = cache or usual_cache()
    if not usual:
        return None
    manifest = usual / "procedural" / folder_name(recipe, number) / f"{recipe.part}.parquet"
    return manifest if manifest.is_file() else None


def _make_part(out: Path, recipe: Recipe, number: Counts, workers: int | None) -> Path:
    manifest = out / f"{recipe.part}.parquet"
    wanted = jobs(recipe, number)
    by_grade = {kind: dict(count) for kind in kinds(recipe.part) if isinstance(count := number[kind], Mapping)}
    if not _prepare(out, recipe, {**recipe.asdict(), **by_grade}, manifest) and manifest.is_file():
        known = Manifest.read(manifest)
        if len(known) == len(wanted) and {s.id for s in known.samples} == {picture_id(*job[:2]) for job in wanted}:
            return manifest
    draw = partial(make_sample, out, recipe)
    processes = min(workers or usable_cores(), max(len(wanted) // 2, 1))
    label = f"drawing {recipe.part} at {recipe.size} px"
    made = map(draw, wanted) if processes == 1 or len(wanted) <= INLINE else draw_all(draw, wanted, processes)
    Manifest(out, track(made, len(wanted), label)).write(manifest)
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


def make_sample(out: Path, recipe: Recipe, job: Job) -> Sample:
    """Draw and write one sample, or only what is missing of it; returns its manifest row."""
    row, rng, plan = planned(recipe, job)
    if isinstance(plan, Photo):
        _draw_photo(out, recipe, job, row, plan)
    elif _missing(out, row.files):
        if isinstance(plan, Cutout):
            colours, alpha = draw_cutout(plan, recipe.size)
            _png(out / row.files["foreground"], colours)
            _png(out / row.files["matte"], alpha)
        else:
            _png(out / row.files["image"], to_8bit(background(rng, plan, recipe.size)))
    return replace(row, sha256=content_hash(out, row))


def _draw_photo(out: Path, recipe: Recipe, job: Job, row: Sample, plan: Photo) -> None:
    _, index, drawn = job
    files, size = row.files, recipe.size
    if _missing(out, {column: files[column] for column in ("image", "matte", "trimap")}):
        image, alpha = draw_shifted(plan, size) if isinstance(plan, ShiftedPhoto) else draw_photo(plan, size)
        _png(out / files["image"], image)
        _png(out / files["trimap"], trimap(alpha))
        _png(out / files["matte"], alpha)
    if _missing(out, {"mask": files["mask"]}):
        alpha = np.asarray(cv2.imread(str(out / files["matte"]), cv2.IMREAD_GRAYSCALE))
        random = np.random.default_rng([recipe.seed, STREAMS[recipe.part] + MASK_STREAM, index])
        _png(out / files["mask"], draw_mask(random, alpha, drawn))


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
