"""A set of composites as files: cut-outs over backgrounds, with the alpha that they were made with.

Training makes new composites each time. A test set is made once, from cut-outs and backgrounds that no training
saw, so that its mattes are exact however the cut-outs' own alpha came about.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from wsshm.console import track
from wsshm.data import pictures
from wsshm.data.compose import Cutout, composite
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.names import file_names
from wsshm.errors import UserError, redacted
from wsshm.files.whole import whole_folder


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
    names = file_names(person.id for person in people)
    with whole_folder(out) as unfinished:
        rows = []
        jobs = [(place, number) for place in range(len(people)) for number in range(each)]
        for place, number in track(jobs, len(jobs), "compositing"):
            rng = np.random.default_rng([seed, place, number])
            person, background = people[place], behind[int(rng.integers(len(behind)))]
            file = f"{names[person.id]}-{number:02d}.png"
            row = replace(_row(person, background, number, size, split), image=f"images/{file}", matte=f"mattes/{file}")
            figure = Cutout(
                pictures.read_image(cutouts.path(person, "foreground")),
                pictures.read_matte(cutouts.path(person, "matte")),
            )
            image, matte = composite([figure], pictures.read_image(backgrounds.path(background, "image")), size, rng)
            pictures.write_png(unfinished / "images" / file, np.rint(image * 255).astype(np.uint8))
            pictures.write_png(unfinished / "mattes" / file, np.rint(matte * 255).astype(np.uint8))
            rows.append(replace(row, sha256=content_hash(unfinished, row)))
        Manifest(unfinished, rows).write(unfinished / f"{out.name}.parquet")
    return out / f"{out.name}.parquet"


def _of(manifest: Manifest, kind: str, split: str) -> list[Sample]:
    samples = sorted((s for s in manifest.samples if s.kind == kind and s.split == split), key=lambda s: s.id)
    if not samples:
        raise UserError(
            f"no {kind} of the manifest under {redacted(manifest.root)} is of the split {split}; `wsshm data split` holds some"
            " back"
        )
    return samples


def _row(person: Sample, background: Sample, number: int, size: int, split: str) -> Sample:
    return Sample(
        id=f"{person.id}-{number:02d}",
        split=split,
        kind="photo",
        domain="synthetic",
        width=size,
        height=size,
        source="; ".join(dict.fromkeys(filter(None, (person.source, background.source)))),
        licence="; ".join(dict.fromkeys(filter(None, (person.licence, background.licence)))),
        attributes={**person.attributes, "cutout": person.id, "background": background.id},
    )
