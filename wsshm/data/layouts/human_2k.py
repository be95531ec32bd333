"""Human-2k: people as cut-outs."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, cutout_parts, has
from wsshm.data.manifest import Sample

SPLITS = {"train": "train", "val": "test", "test": "test"}
"""The splits of its folders: its publishers test on val/."""


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Colours and mattes of both parts."""
    return cutout_parts(root, "human-2k", SPLITS, "fg", "alpha", domain)


def fits(root: Path) -> bool:
    """Whether colours lie beside mattes in train/."""
    return has(below(root, "train"), ["fg"], ["alpha"])


register(
    Layout(
        "human-2k",
        "people as cut-outs: 2,000 to train on, 100 to test on",
        "ROOT/train/{fg,alpha}, val/{fg,alpha} (these go to the split test)",
        read,
        fits,
        terms="research only",
        source="Human-2k",
        obtained="by the authors of Tripartite Information Mining and Integration for Image Matting (TIMI-Net, ICCV 2021)",
        domain="synthetic",
    )
)
