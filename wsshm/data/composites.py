"""A set of composites as files: cut-outs over backgrounds, with the alpha that they were made with.

Training makes its composites anew each time. A test set is made once, from cut-outs and backgrounds that no training
saw, so that its mattes are exact however the cut-outs' own alpha came about.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsshm.commandline import track
from wsshm.data import pictures
from wsshm.data.compose import Cutout, composite
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.errors import UserError


def write_composites(
    cutouts: Manifest, backgrounds: Manifest, out: Path, *, each: int, size: int, seed: int, split: str
) -> Path:
    """Write `each` composites of every cut-out to OUT/images and OUT/mattes (PNG, `size` x `size`), all of `split`.

    Every picture has its own random numbers, from (seed, cut-out's place, number), so that more of them leave the
    others as they are. `out` is there whole or not at all; returns its manifest, OUT/NAME.parquet with OUT's name.
    Raises UserError where `out` is there already, or either manifest has no row of the kind and the split.
    """
    people = _of(cutouts, "cutout", split)
    behind = _of(backgrounds, "background", split)
    if out.exists():
        raise UserError(f"{out} is there already; give another folder by --out, or remove it")
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        rows = []
        jobs = [(place, number) for place in range(len(people)) for number in range(each)]
        for place, number in track(jobs, len(jobs), "compositing"):
            rng = np.random.default_rng([seed, place, number])
            background = behind[int(rng.integers(len(behind)))]
            row = _row(people[place], background, number, size, split)
            figure = Cutout(
                pictures.read_image(cutouts.path(people[place], "foreground")),
                pictures.read_matte(cutouts.path(people[place], "matte")),
            )
            image, matte = composite([figure], pictures.read_image(backgrounds.path(background, "image")), size, rng)
            assert row.image is not None
            assert row.matte is not None
            pictures.write_png(unfinished / row.image, np.rint(image * 255).astype(np.uint8))
            pictures.write_png(unfinished / row.matte, np.rint(matte * 255).astype(np.uint8))
            rows.append(replace(row, sha256=content_hash(unfinished, row)))
        Manifest(unfinished, rows).write(unfinished / f"{out.name}.parquet")
        os.rename(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out / f"{out.name}.parquet"


def _of(manifest: Manifest, kind: str, split: str) -> list[Sample]:
    samples = sorted((s for s in manifest.samples if s.kind == kind and s.split == split), key=lambda s: s.id)
    if not samples:
        raise UserError(
            f"no {kind} of the manifest under {manifest.root} is of the split {split}; `wsshm data split` holds some back"
        )
    return samples


def _row(person: Sample, background: Sample, number: int, size: int, split: str) -> Sample:
    name = f"{person.id}-{number:02d}"
    return Sample(
        id=name,
        split=split,
        kind="photo",
        domain="synthetic",
        image=f"images/{name}.png",
        matte=f"mattes/{name}.png",
        width=size,
        height=size,
        source="; ".join(dict.fromkeys(filter(None, (person.source, background.source)))),
        licence="; ".join(dict.fromkeys(filter(None, (person.licence, background.licence)))),
        attributes={**person.attributes, "cutout": person.id, "background": background.id},
    )
