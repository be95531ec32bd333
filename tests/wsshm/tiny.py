"""A handful of 64 px pictures with soft-edged discs as people: real files, real manifests, no drawing to wait for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from wsshm.config import RunConfig, parse
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_size, write_png
from wsshm.training.planning import plan_run, resolved
from wsshm.training.run_plan import RunPlan

SIZE = 64


def disc(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """A matte (H,W) in [0,1]: a disc with an edge a few pixels soft."""
    y, x = np.mgrid[:size, :size]
    centre, radius = rng.uniform(0.4, 0.6, 2) * size, rng.uniform(0.2, 0.35) * size
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.clip((radius - distance) / 4 + 0.5, 0, 1)


def picture(rng: np.random.Generator, matte: np.ndarray) -> np.ndarray:
    """A picture (H,W,3) uint8 of a bright disc on dark noise."""
    noise = rng.uniform(0, 0.3, (*matte.shape, 3))
    person = rng.uniform(0.6, 0.9, 3)
    return np.round(255 * (matte[..., None] * person + (1 - matte[..., None]) * noise)).astype(np.uint8)


def make(root: Path, cutouts: int = 6, photos: int = 8, held_out: int = 2) -> Path:
    """Write manifests mattes, masks, val and test under `root`."""
    rng = np.random.default_rng(0)

    def save(name: str, array: np.ndarray) -> str:
        write_png(root / name, array)
        return name

    def labelled(kind: str, index: int) -> Sample:
        matte = disc(rng)
        return Sample(
            id=f"{kind}{index}",
            split="train" if kind == "photo" else kind,
            kind="photo",
            domain="natural",
            image=save(f"{kind}/{index}.png", picture(rng, matte)),
            matte=save(f"{kind}/{index}_matte.png", np.round(matte * 255).astype(np.uint8)),
            mask=save(f"{kind}/{index}_mask.png", ((matte > 0.5) * 255).astype(np.uint8)),
            width=SIZE,
            height=SIZE,
        )

    mattes = []
    for index in range(cutouts):
        matte = disc(rng)
        mattes.append(
            Sample(
                id=f"cutout{index}",
                split="train",
                kind="cutout",
                domain="synthetic",
                foreground=save(f"cutout/{index}.png", picture(rng, np.ones_like(matte))),
                matte=save(f"cutout/{index}_matte.png", np.round(matte * 255).astype(np.uint8)),
            )
        )
    for index in range(3):
        plain = save(f"background/{index}.png", picture(rng, np.zeros((SIZE, SIZE))))
        mattes.append(Sample(id=f"background{index}", split="train", kind="background", image=plain))
    parts = {
        "mattes": mattes,
        "masks": [labelled("photo", i) for i in range(photos)],
        "val": [labelled("val", i) for i in range(held_out)],
        "test": [labelled("test", i) for i in range(held_out)],
    }
    for name, samples in parts.items():
        Manifest(root, samples).hashed().write(root / f"{name}.parquet")
    return root


def enlarge(root: Path, width: int, height: int) -> None:
    """Make the second photo with a mask a picture of another size; the manifest keeps the old one."""
    for name in ("1.png", "1_mask.png", "1_matte.png"):
        picture = cv2.imread(str(root / "photo" / name), cv2.IMREAD_UNCHANGED)
        assert cv2.imwrite(str(root / "photo" / name), cv2.resize(picture, (width, height)))


def measure(root: Path) -> None:
    """Give the manifest of photos with masks the sizes that their files have."""
    samples = Manifest.read(root / "masks.parquet").samples
    sizes = {sample.id: read_size(root / str(sample.image)) for sample in samples}
    measured = [replace(s, width=sizes[s.id][0], height=sizes[s.id][1]) for s in samples]
    Manifest(root, measured).hashed().write(root / "masks.parquet")


def make_folders(root: Path) -> None:
    """Folders as `wsshm data import` takes them: 14 photos (4 train, 10 val with mattes), 10 cut-outs, 5 backgrounds."""
    rng = np.random.default_rng(1)
    rows = ["id,split"]
    for index in range(14):
        matte, name = disc(rng), f"{index:02d}"
        write_png(root / "photos" / "images" / f"{name}.png", picture(rng, matte))
        write_png(root / "photos" / "masks" / f"{name}.png", ((matte > 0.5) * 255).astype(np.uint8))
        if index >= 4:
            write_png(root / "photos" / "mattes" / f"{name}.png", np.round(matte * 255).astype(np.uint8))
        rows.append(f"{name},{'train' if index < 4 else 'val'}")
    (root / "photos" / "photos.csv").write_text("\n".join(rows))
    for index in range(10):
        matte = disc(rng)
        rgba = np.dstack([picture(rng, np.ones_like(matte)), np.round(matte * 255).astype(np.uint8)])
        write_png(root / "cutouts" / f"{index:02d}.png", rgba)
    for index in range(5):
        write_png(root / "backgrounds" / f"{index:02d}.png", picture(rng, np.zeros((SIZE, SIZE))))


def config(root: Path, method: str = "mlb", **train: object) -> RunConfig:
    """A run on the tiny pictures that takes seconds in this process."""
    options = {
        "steps": 4, "teacher_steps": 2, "batch": 4, "epoch_steps": 2, "precision": "fp32", "workers": 0, "lr": 1e-3
    } | train  # fmt: skip
    return parse(
        {
            "data": {
                "root": str(root), "mattes": "mattes.parquet", "masks": "masks.parquet", "val": "val.parquet",
                "test": ["test.parquet"], "size": SIZE,
            },
            "model": {"backbone": "test_efficientnet", "weights": "none"},
            "method": {"name": method},
            "train": options,
        }
    )  # fmt: skip


def planned(config: RunConfig) -> RunPlan:
    """The run of a configuration, ready to be trained."""
    return plan_run(resolved(config))
