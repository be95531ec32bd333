"""Tiny data sets of random pictures, for tests of where data may lie."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from wsshm.data.manifest import Manifest, Sample

SIDE = 24


def small_set(folder: Path, ids: list[str], seed: int = 0) -> Manifest:
    """Photos with mattes, masks and a third without masks, of all splits; an RGBA cut-out and a background too."""
    rng = np.random.default_rng(seed)
    samples = []

    def drawn(name: str, channels: int) -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIDE, SIDE, channels), np.uint8)
        if channels == 1:
            pixels = np.where(np.indices((SIDE, SIDE))[0][..., None] < SIDE // 2, 255, 0).astype(np.uint8)
            pixels[: 2 + len(samples)] = 0
        (folder / name).write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        return name

    for number, name in enumerate(ids):
        files = {"image": drawn(f"images/{number}.jpg", 3), "matte": drawn(f"mattes/{number}.PNG", 1)}
        if number % 3:
            files["mask"] = drawn(f"masks/{number}.png", 1)
        split = ("train", "train", "val", "test")[number % 4]
        about = {"hair": "curly"} if number % 2 else {}
        samples.append(
            Sample(name, split, "photo", "natural", **files, width=SIDE, height=SIDE, attributes=about)  # type: ignore[arg-type]
        )
    cutout = drawn("cutouts/a b.png", 4)
    samples.append(Sample("cut-out", "train", "cutout", foreground=cutout, matte=cutout, width=SIDE, height=SIDE))
    samples.append(Sample("scene", "train", "background", image=drawn("scenes/s.jpg", 3), width=SIDE, height=SIDE))
    return Manifest(folder, samples).hashed()
