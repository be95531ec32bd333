"""Folders of made-up mattes and predictions, for the tests of `bench evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsshm.data.pictures import write_png

HEIGHT, WIDTH = 30, 24
MEASURED_EVERYWHERE = ("sad", "mse", "mad", "grad", "conn")  # in every region but the boundary


@dataclass
class Said:
    code: int
    out: str
    err: str


def matte(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A soft blob, different for each seed."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((height, width), np.uint8)
    cv2.circle(drawn, (int(width * rng.uniform(0.3, 0.7)), int(height * rng.uniform(0.3, 0.7))), width // 4, 255, -1)
    return cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.8, 2.5))


def fill(root: Path, count: int, labels: str = "labels", predictions: str = "predictions") -> None:
    for index in range(count):
        write_png(root / labels / f"{index:03d}.png", matte(index))
        write_png(root / predictions / f"{index:03d}.png", cv2.GaussianBlur(matte(index), (0, 0), 1 + index % 3))


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def rows(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("image")
