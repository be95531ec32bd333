"""Coarser masks of the same photos: what labels cost less to draw, and whether a method bears them.

The masks of a data set are as good as its annotators were. Redrawn with fewer clicks by the simulated annotator of the
embedded data set, they ask of real photos what other masks would have done. The annotator is ours and simulated.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsshm.commandline import track
from wsshm.data import pictures
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.procedural.masks import annotate
from wsshm.errors import UserError


def write_coarser(manifest: Manifest, out: Path, *, coarseness: float, seed: int) -> Path:
    """Redraw every mask of a manifest to OUT/masks; returns OUT/NAME.parquet with OUT's name, all else in it as it was.

    `coarseness` is that of `masks.annotate`. Every mask has its own random numbers, from (seed, id): the same annotator
    at every coarseness, whatever else the manifest lists. `out` is there whole or not at all. Raises UserError where
    `out` is there already, the coarseness is impossible, or no sample has a mask.
    """
    if not 0 <= coarseness < float("inf"):
        raise UserError(f"mask coarseness {coarseness} is not possible; choose 0 or more, 1 is usual")
    if out.exists():
        raise UserError(f"{out} is there already; give another folder by --out, or remove it")
    masked = [sample for sample in manifest.samples if sample.mask is not None]
    if not masked:
        raise UserError("no sample of the manifest has a mask that could be redrawn; give one with masks")
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        redrawn = {}
        for sample in track(masked, len(masked), "redrawing masks"):
            solid = pictures.read_mask(manifest.path(sample, "mask")) * np.uint8(255)
            mask = annotate(np.random.default_rng([seed, *sample.id.encode()]), solid, coarseness)
            pictures.write_png(unfinished / _name(sample), mask)
            hashed = content_hash(manifest.root, _with_mask(sample, manifest.root, unfinished))
            attributes = sample.attributes | {"mask_coarseness": f"{coarseness:g}"}
            listed = _with_mask(sample, manifest.root, out)
            redrawn[sample.id] = replace(listed, sha256=hashed, attributes=attributes)
        samples = [redrawn.get(sample.id, sample) for sample in manifest.samples]
        Manifest(manifest.root, samples).write(unfinished / f"{out.name}.parquet")
        os.rename(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out / f"{out.name}.parquet"


def _name(sample: Sample) -> str:
    return f"masks/{sample.id}.png"


def _with_mask(sample: Sample, root: Path, folder: Path) -> Sample:
    """The sample whose mask lies in another folder; all paths stay relative to the manifest's root."""
    return replace(sample, mask=os.path.relpath((folder / _name(sample)).resolve(), root.resolve()))
