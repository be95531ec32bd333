"""Coarser masks of the same photos: what labels cost less to draw, and whether a method tolerates them.

The masks of a data set are as good as its annotators were. Redrawn at a grade by the simulated annotator of the embedded
data set, they ask of real photos what other masks would have done. The annotator is ours and simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsshm.console import track
from wsshm.data import pictures
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.names import file_names
from wsshm.data.procedural.dataset import draw_mask
from wsshm.data.procedural.recipe import Masks
from wsshm.data.roots import common_root
from wsshm.errors import UserError
from wsshm.files.whole import whole_folder
from wsshm.grades import ATTRIBUTE, named

COARSENESS = "mask_coarseness"


def write_coarser(manifest: Manifest, out: Path, *, masks: Masks, seed: int) -> Path:
    """Redraw every mask of a manifest to OUT/masks; returns OUT/NAME.parquet with OUT's name, all else in it as it was.

    `masks` is a grade's name, or a coarseness (`procedural.masks.annotate`). Every mask has its own random numbers, from
    (seed, id): the same annotator at every grade, whatever else the manifest lists. `out` is there whole or not at all.
    Raises UserError where `out` is there already, the grade or coarseness is impossible, or no sample has a mask.
    """
    if isinstance(masks, str):
        said = {ATTRIBUTE: named(masks).name}
    elif not 0 <= masks < float("inf"):
        raise UserError(f"mask coarseness {masks} is not possible; choose 0 or more")
    else:
        said = {COARSENESS: f"{masks:g}"}
    if out.exists():
        raise UserError(f"{out} is there already; give another folder by --out, or remove it")
    masked = [sample for sample in manifest.samples if sample.mask is not None]
    if not masked:
        raise UserError("no sample of the manifest has a mask that could be redrawn; give one with masks")
    names = file_names(sample.id for sample in masked)
    manifest = manifest.rooted(common_root(manifest.folder, out))
    folder = out.resolve()
    with whole_folder(folder) as unfinished:
        redrawn = {}
        for sample in track(filter(lambda s: s.mask, manifest.samples), len(masked), "redrawing masks"):
            solid = pictures.read_mask(manifest.path(sample, "mask")) * np.uint8(255)
            mask = draw_mask(np.random.default_rng([seed, *sample.id.encode()]), solid, masks)
            file = f"masks/{names[sample.id]}.png"
            pictures.write_png(unfinished / file, mask)
            redrawn[sample.id] = replace(
                _with_mask(sample, manifest.folder, folder / file),
                sha256=content_hash(manifest.folder, _with_mask(sample, manifest.folder, unfinished / file)),
                attributes=_without(sample.attributes, ATTRIBUTE, COARSENESS) | said,
            )
        samples = [redrawn.get(sample.id, sample) for sample in manifest.samples]
        Manifest(manifest.root, samples).write(unfinished / f"{out.name}.parquet")
    return out / f"{out.name}.parquet"


def _with_mask(sample: Sample, root: Path, mask: Path) -> Sample:
    return replace(sample, mask=mask.relative_to(root).as_posix())


def _without(attributes: Mapping[str, str], *names: str) -> dict[str, str]:
    """What an earlier mask was is not said of the new one."""
    return {name: value for name, value in attributes.items() if name not in names}
