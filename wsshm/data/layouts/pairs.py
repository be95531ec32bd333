"""Photos in images/, and their labels in folders beside it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsshm.data.label_files import count, find_folder, look_through, paired, shown
from wsshm.data.layouts import Layout, better_named, register
from wsshm.data.layouts.folders import MASKS, MATTES, PHOTOS, TRIMAPS, relative
from wsshm.data.manifest import Sample
from wsshm.data.sample_table import with_table
from wsshm.errors import UserError

log = logging.getLogger(__name__)

LABELS = {"mask": MASKS, "matte": MATTES, "trimap": TRIMAPS}
"""The folders of each label's column."""


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Photos that have a label, paired by name (`label_files.paired`); those without one are logged."""
    images = find_folder(root, PHOTOS)
    if images is None:
        remedy = better_named(root, "pairs") or f"; name it {PHOTOS[0]}/, beside masks/ or mattes/"
        raise UserError(f"{root} has no folder of photos{remedy}")
    folders = {column: find_folder(root, names) for column, names in LABELS.items()}
    photos, labels = paired(look_through(images), {c: look_through(f) for c, f in folders.items() if f})
    unlabelled = [stem for stem in photos if not any(stem in found for found in labels.values())]
    if len(unlabelled) == len(photos):
        raise UserError(f"no photo in {images} has a label; put masks into masks/ or mattes into mattes/ beside it")
    if unlabelled:
        log.warning(
            "skipped %s without a label: %s", count(unlabelled, "photo"), shown([photos[stem] for stem in unlabelled])
        )
    samples = []
    for stem in photos.keys() - set(unlabelled):
        sample = Sample(id=stem, split=split, domain=domain, kind="photo", image=relative(root, photos[stem]))
        found: dict[str, Any] = {c: relative(root, paths[stem]) for c, paths in labels.items() if stem in paths}
        samples.append(replace(sample, **found))
    return with_table(root, samples)


def fits(root: Path) -> bool:
    """Whether photos lie beside mattes or masks."""
    return bool(find_folder(root, PHOTOS) and (find_folder(root, MATTES) or find_folder(root, MASKS)))


register(
    Layout(
        "pairs",
        "photos with masks, mattes or trimaps",
        "photos in images/, and labels of the same names in any of masks/, mattes/ and trimaps/; a label's name may have"
        " an ending such as _mask",
        read,
        fits,
    )
)
