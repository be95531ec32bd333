"""PhotoMatte85, and frames of VideoMatte240K: people as cut-outs, shot before green screens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, cutout_parts, has, holds, loose_pictures, refuse_other_layouts
from wsshm.data.manifest import Sample

COLOURS, MATTES = ("fgr",), ("pha",)
SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Cut-outs of RGBA files, or of colours and mattes; those of a clip have the attribute `clip`."""
    if has(root, COLOURS, MATTES):
        samples = cutout_parts(root, {"": split}, COLOURS, MATTES, domain)
    elif _parts(root):
        samples = cutout_parts(root, SPLITS, COLOURS, MATTES, domain)
    else:
        refuse_other_layouts(root, "photomatte85")
        common = {"split": split, "kind": "cutout", "domain": domain}
        samples = [Sample(id=name, foreground=p, matte=p, **common) for name, p in loose_pictures(root)]  # type: ignore[arg-type]
    return [_of_clip(sample) for sample in samples]


def fits(root: Path) -> bool:
    """Whether colours lie beside mattes by its names for these, or RGBA files in a folder that is named so."""
    named = "photomatte" in root.name.lower() and holds(root, ".png")
    return has(root, COLOURS, MATTES) or bool(_parts(root)) or named


def _parts(root: Path) -> list[str]:
    return [name for name in SPLITS if has(below(root, name), COLOURS, MATTES)]


def _of_clip(sample: Sample) -> Sample:
    """With the folder between fgr/ and the frame as its clip."""
    parts = PurePosixPath(sample.foreground or "").parts
    inside = [part.lower() for part in parts]
    after = parts[inside.index(COLOURS[0]) + 1 : -1] if COLOURS[0] in inside else ()
    return replace(sample, attributes={"clip": "/".join(after)}) if after else sample


register(
    Layout(
        "photomatte85",
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
