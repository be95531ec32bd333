"""PPM-100: a test set of portraits with mattes."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, has, holds, lacks, pair_up
from wsshm.data.manifest import Sample


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Photos with mattes."""
    folders = _folders(root)
    if folders is None:
        raise lacks(root, "ppm-100", "image/ and matte/, nor val/fg and val/alpha")
    return pair_up(root, folders, needs="matte", kind="photo", split="test", domain=domain)


def fits(root: Path) -> bool:
    """Whether photos lie beside mattes that are JPEGs, as few mattes are, and nothing is there to train on."""
    folders = _folders(root)
    return bool(folders and holds(folders["matte"], ".jpg") and not has(root, ["train"]))


def _folders(root: Path) -> dict[str, Path] | None:
    for place in (("image",), ("matte",)), (("val", "fg"), ("val", "alpha")):
        photos, mattes = (below(root, *names) for names in place)
        if photos and mattes:
            return {"image": photos, "matte": mattes}
    return None


register(
    Layout(
        "ppm-100",
        "100 portraits with mattes to test on",
        "ROOT/image/*.jpg, matte/*.jpg\nor ROOT/val/fg/*.jpg, val/alpha/*.jpg",
        read,
        fits,
        terms="mattes CC BY-NC-SA 4.0",
        source="PPM-100",
        obtained="https://github.com/ZHKKKe/PPM",
        domain="natural",
    )
)
