"""LIP (Look into Person): people with masks of twenty classes, the person's parts and clothes."""

from __future__ import annotations

import os
from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import joined, lacks, pair_up
from wsshm.data.manifest import Sample

PARTS = ("train", "val")
DEEPEST = 3  # TrainVal_images/TrainVal_images/train_images


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Photos with masks of classes."""
    found = _folders(root)
    parts = {
        name: pair_up(root, {"image": photos, "mask": masks}, needs="mask", kind="photo", split=name, domain=domain)
        for name in PARTS
        if (photos := found.get(f"{name}_images")) and (masks := found.get(f"{name}_segmentations"))
    }
    if not parts:
        raise lacks(root, "lip", "train_images/ and train_segmentations/")
    return joined(parts)


def fits(root: Path) -> bool:
    """Whether photos lie beside segmentations, by its names for these."""
    found = _folders(root)
    return any({f"{name}_images", f"{name}_segmentations"} <= found.keys() for name in PARTS)


def _folders(root: Path) -> dict[str, Path]:
    """The folders near `root` by name."""
    found: dict[str, Path] = {}
    for place, folders, _ in os.walk(root):
        depth = len(Path(place).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX"))) if depth < DEEPEST else []
        for name in folders:
            found.setdefault(name.lower(), Path(place, name))
    return found


register(
    Layout(
        "lip",
        "people with masks: 30,462 to train on, 10,000 to validate on",
        "ROOT/train_images/*.jpg, train_segmentations/*.png, val_images, val_segmentations, at any depth\n"
        "Its classes 1 to 19 are the person; --class chooses others. ATR and other data sets of human parsing are `pairs`:"
        " images/*.jpg and masks/*.png, with --class for the person's classes.",
        read,
        fits,
        terms="non-commercial research",
        source="LIP",
        obtained="by the authors of Look into Person (CVPR 2017)",
        domain="natural",
        classes=tuple(range(1, 20)),
    )
)
