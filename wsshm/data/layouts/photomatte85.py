"""PhotoMatte85, and frames of VideoMatte240K: people as cut-outs, shot before green screens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, cutout_parts, has, holds, is_loose, loose_pictures, refuse_other_layouts
from wsshm.data.manifest import Sample

NAME = "photomatte85"
SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Cut-outs of RGBA files, or of colours and mattes; those of a clip have the attribute `clip`."""
    if has(root, ["fgr"], ["pha"]):
        samples = cutout_parts(root, NAME, {"": split}, "fgr", "pha", domain)
    elif _parts(root):
        samples = cutout_parts(root, NAME, SPLITS, "fgr", "pha", domain)
    else:
        if not is_loose(root):
            refuse_other_layouts(root, NAME)
        common = {"split": split, "kind": "cutout", "domain": domain}
        samples = [Sample(id=name, foreground=p, matte=p, **common) for name, p in loose_pictures(root)]  # type: ignore[arg-type]
    return [_of_clip(sample) for sample in samples]


def fits(root: Path) -> bool:
    """Whether colours lie beside mattes by its names for these, or RGBA files in a folder that is named so."""
    named = "photomatte" in root.name.lower() and holds(root, ".png")
    return has(root, ["fgr"], ["pha"]) or bool(_parts(root)) or named


def _parts(root: Path) -> list[str]:
    return [name for name in SPLITS if has(below(root, name), ["fgr"], ["pha"])]


def _of_clip(sample: Sample) -> Sample:
    """With the folder between fgr/ and the frame as its clip."""
    parts = PurePosixPath(sample.foreground or "").parts
    inside = [part.lower() for part in parts]
    after = parts[inside.index("fgr") + 1 : -1] if "fgr" in inside else ()
    return replace(sample, attributes={"clip": "/".join(after)}) if after else sample


register(
    Layout(
        NAME,
        "people as cut-outs: 85 photos, or frames of VideoMatte240K, with their clip as an attribute",
        "RGBA PNGs in ROOT\n"
        "or ROOT/fgr/*, pha/* (frames of clips in folders: fgr/0001/00000.jpg)\n"
        "or these in ROOT/train, ROOT/valid and ROOT/test, which are the splits",
        read,
        fits,
        terms="research only",
        source="PhotoMatte85",
        obtained="https://grail.cs.washington.edu/projects/background-matting-v2/",
        domain="synthetic",
    )
)
