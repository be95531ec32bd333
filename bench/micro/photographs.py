"""Pictures as cameras make them, in sizes that published sets have, to time loading with: the same every time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.micro.mattes import hair
from wsshm.data.manifest import Manifest, Sample

QUALITY = 92  # of the JPEGs; phones write 90 to 96
ASPECT = 3 / 4
SHAPES = 40
STRANDS = 400

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Photographs:
    """A folder's manifests as the section `data` of a configuration has them, and the bits a pixel of its photos."""

    data: dict[str, Any]
    bits: float


def write(folder: Path, megapixels: float, photos: int = 3, cutouts: int = 2, backgrounds: int = 3) -> Photographs:
    """Write JPEG photos with PNG masks and mattes, RGBA PNG cut-outs and JPEG backgrounds of so many pixels each."""
    width = round(math.sqrt(megapixels * 1e6 * ASPECT))
    height = round(width / ASPECT)
    rng = np.random.default_rng(round(1000 * megapixels))
    colours = _scene(height, width, rng)  # of all people
    people, scenery, photographed = [], [], []
    of: dict[str, Any] = {"width": width, "height": height}
    size = 0
    for number in range(photos):
        matte = _person(height, width, number)
        alpha = matte[..., None].astype(np.float32) / 255
        photo = (alpha * colours + (1 - alpha) * _scene(height, width, rng)).astype(np.uint8)
        size += _jpeg(folder / f"photo{number}.jpg", photo)
        _png(folder / f"matte{number}.png", matte)
        _png(folder / f"mask{number}.png", ((matte > 127) * 255).astype(np.uint8))
        files: dict[str, Any] = {
            "image": f"photo{number}.jpg",
            "matte": f"matte{number}.png",
            "mask": f"mask{number}.png",
        }
        photographed.append(Sample(f"photo{number}", "train", "photo", "natural", **files, **of))
    for number in range(cutouts):
        name = f"cutout{number}.png"
        _png(folder / name, np.dstack([colours, _person(height, width, photos + number)]))
        people.append(Sample(name[:-4], "train", "cutout", "synthetic", foreground=name, matte=name, **of))
    for number in range(backgrounds):
        name = f"background{number}.jpg"
        _jpeg(folder / name, _scene(height, width, rng))
        scenery.append(Sample(name[:-4], "train", "background", image=name, **of))
    held_out = replace(photographed[0], id="val", split="val")
    for part, samples in {"mattes": people + scenery, "masks": photographed, "val": [held_out]}.items():
        Manifest(folder, samples).hashed().write(folder / f"{part}.parquet")
    data: dict[str, Any] = {
        "root": str(folder),
        **{part: f"{part}.parquet" for part in ("mattes", "masks", "val")},
        "test": [],
    }
    return Photographs(data, 8 * size / (photos * width * height))


def _scene(height: int, width: int, rng: np.random.Generator) -> UInt8:
    """A scene (H,W,3): detail whose amplitude falls with its frequency as in photographs, sharp edges, a sensor's noise."""
    drawn = np.full((height, width, 3), rng.uniform(70, 170, 3), np.uint8)
    for _ in range(SHAPES):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        across, down = (rng.uniform(0.02, 0.25, 2) * width).astype(int).tolist()
        colour = rng.uniform(20, 235, 3).tolist()
        cv2.ellipse(drawn, centre, (across, down), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    picture: NDArray[Any] = drawn.astype(np.float32)
    cells, amplitude = 4, 40.0
    while cells < width:
        rows = max(2, round(cells * height / width))
        grey = rng.normal(0, amplitude, (rows, cells, 1)) + rng.normal(0, amplitude / 4, (rows, cells, 3))
        picture += cv2.resize(grey.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        cells, amplitude = 2 * cells, amplitude / 2
    picture += rng.standard_normal((height, width, 1), np.float32) * 3
    return picture.clip(0, 255).astype(np.uint8)


def _person(height: int, width: int, seed: int) -> UInt8:
    """A matte (H,W): a figure with strands of hair, standing on the lower edge."""
    side = min(height, width)
    drawn: NDArray[Any] = hair(min(side, 1024), STRANDS + seed)[1]
    drawn = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_LINEAR)
    matte: NDArray[Any] = np.zeros((height, width), np.float32)
    top = (height - side) // 2
    matte[top : top + side, :side] = drawn[:, :width]
    shoulders = (int(width * 0.2), height // 2 + side // 5), (int(width * 0.8), height)
    cv2.rectangle(matte, *shoulders, 1.0, -1)
    return np.rint(255 * matte).astype(np.uint8)


def _jpeg(path: Path, rgb: UInt8) -> int:
    cv2.imwrite(str(path), rgb, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return path.stat().st_size


def _png(path: Path, pixels: UInt8) -> None:
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])
