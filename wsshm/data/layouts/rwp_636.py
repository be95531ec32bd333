"""RealWorldPortrait-636: a test set of portraits with mattes."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, has, lacks, pair_up
from wsshm.data.manifest import Sample


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Photos with mattes; what detailmap/ holds is no label of ours."""
    folders = {"image": below(root, "image"), "matte": below(root, "alpha")}
    if not all(folders.values()):
        raise lacks(root, "rwp-636", "image/ and alpha/")
    return pair_up(root, folders, needs="matte", kind="photo", split="test", domain=domain)


def fits(root: Path) -> bool:
    """Whether detail maps lie beside photos and mattes."""
    return has(root, ["image"], ["alpha"], ["detailmap"])


register(
    Layout(
        "rwp-636",
        "636 portraits with mattes to test on",
        "ROOT/image/*.jpg, alpha/*.png, detailmap/ (not read; there are no trimaps)",
        read,
        fits,
        terms="research only",
        source="RWP-636",
        obtained="https://github.com/yucornetto/MGMatting",
        domain="natural",
    )
)
