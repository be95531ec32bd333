"""Pictures without people, to composite cut-outs on."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.label_files import find_folder
from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import PHOTOS, is_loose, loose_pictures, refuse_other_layouts
from wsshm.data.manifest import Sample


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """All pictures; labels beside images/ are left alone."""
    if not find_folder(root, PHOTOS):
        refuse_other_layouts(root, "backgrounds")
    return [
        Sample(id=name, split=split, domain=domain, kind="background", image=path)
        for name, path in loose_pictures(root)
    ]


register(
    Layout(
        "backgrounds",
        "pictures without people",
        "pictures at or below ROOT or its images/",
        read,
        is_loose,
        general=True,
    )
)
