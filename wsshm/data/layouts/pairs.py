"""Photos in images/, and their labels in folders beside it."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.label_files import find_folder
from wsshm.data.layouts import Layout, better_named, register
from wsshm.data.layouts.folders import MASKS, MATTES, PHOTOS, TRIMAPS, has, pair_up
from wsshm.data.manifest import Sample
from wsshm.errors import UserError

LABELS = {"mask": MASKS, "matte": MATTES, "trimap": TRIMAPS}
"""The folders of each label's column."""


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Photos that have a label, paired by name; those without one are logged."""
    images = find_folder(root, PHOTOS)
    if images is None:
        remedy = better_named(root, "pairs") or f"; name it {PHOTOS[0]}/, beside masks/ or mattes/"
        raise UserError(f"{root} has no folder of photos{remedy}")
    folders = {column: folder for column, names in LABELS.items() if (folder := find_folder(root, names))}
    if not folders:
        raise UserError(f"no photo in {images} has a label; put masks into masks/ or mattes into mattes/ beside it")
    return pair_up(root, {"image": images, **folders}, kind="photo", split=split, domain=domain)


def fits(root: Path) -> bool:
    """Whether photos lie beside mattes or masks."""
    return has(root, PHOTOS, (*MATTES, *MASKS))


register(
    Layout(
        "pairs",
        "photos with masks, mattes or trimaps",
        "photos in images/, and labels of the same names in any of masks/, mattes/ and trimaps/; a label's name may have"
        " an ending such as _mask",
        read,
        fits,
        general=True,
    )
)
