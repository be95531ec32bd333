"""BG-20k: backgrounds without people."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, is_loose, joined, lacks, loose_pictures
from wsshm.data.manifest import Sample

SPLITS = {"train": "train", "testval": "test"}


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Backgrounds of both parts."""
    parts = {name: folder for name in SPLITS if (folder := below(root, name)) and is_loose(folder)}
    if not parts:
        raise lacks(root, "bg-20k", "train/ and testval/ with pictures")
    return joined(
        {
            name: [
                Sample(id=stem, split=SPLITS[name], domain=domain, kind="background", image=f"{folder.name}/{path}")
                for stem, path in loose_pictures(folder)
            ]
            for name, folder in parts.items()
        }
    )


def fits(root: Path) -> bool:
    """Whether pictures lie in testval/."""
    folder = below(root, "testval")
    return bool(folder and is_loose(folder))


register(
    Layout(
        "bg-20k",
        "backgrounds without people: 15,000 to train on, 5,000 to test on",
        "ROOT/train/*.jpg, testval/*.jpg (these go to the split test)",
        read,
        fits,
        terms="by the publishers' release agreement",
        source="BG-20k",
        obtained="https://github.com/JizhiziLi/GFM",
    )
)
