"""Cut-outs in one file each."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import is_loose, loose_pictures, refuse_other_layouts
from wsshm.data.manifest import Sample

WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """RGBA pictures; each is both the foreground and the matte."""
    refuse_other_layouts(root, "rgba")
    return [
        Sample(id=name, split=split, domain=domain, kind="cutout", foreground=path, matte=path)
        for name, path in loose_pictures(root)
    ]


def fits(root: Path) -> bool:
    """Whether loose pictures are there that may have an alpha channel."""
    return is_loose(root, WITH_ALPHA)


register(
    Layout("rgba", "cut-outs", "RGBA pictures of people, at or below ROOT or its images/", read, fits, general=True)
)
