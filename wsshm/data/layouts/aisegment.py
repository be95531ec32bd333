"""AISegment matting human: half-length portraits with mattes."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, has, lacks, pair_up
from wsshm.data.manifest import Sample


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Photos, and mattes in the alpha channel of cut-outs; a matte's folder matting_X is its photo's clip_X."""
    folders = {"image": below(root, "clip_img"), "matte": below(root, "matting")}
    if not all(folders.values()):
        raise lacks(root, "aisegment", "clip_img/ and matting/")
    return pair_up(root, folders, "matte", _photo_of, kind="photo", split=split, domain=domain)


def fits(root: Path) -> bool:
    """Whether its folders are there."""
    return has(root, ["clip_img"], ["matting"])


def _photo_of(name: str) -> str:
    *folders, stem = name.split("/")
    return "/".join([*(folder.replace("matting_", "clip_", 1) for folder in folders), stem])


register(
    Layout(
        "aisegment",
        "34,427 half-length portraits with mattes",
        "ROOT/clip_img/GROUP/clip_X/*.jpg, matting/GROUP/matting_X/*.png (the matte is the fourth channel)\n"
        "Photos without a matte are left out and named.",
        read,
        fits,
        terms="academic use only",
        source="AISegment",
        obtained="https://github.com/aisegmentcn/matting_human_datasets",
        domain="natural",
    )
)
