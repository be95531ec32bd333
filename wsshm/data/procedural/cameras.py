"""The cameras of the shifted test set, none of which took a picture to train on. Alpha is not theirs to change.

Each takes light (H, W, 3) in [0, 1] and gives what it makes of it, before it is compressed.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from wsshm.data.procedural.camera import to_8bit
from wsshm.data.procedural.texture import Array, value_noise

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
QUALITY = (28, 62)  # of JPEG; pictures to train on have 70 to 96


def photograph(rng: np.random.Generator, picture: Array, camera: str) -> Array:
    """Light (H, W, 3) to 8-bit RGB, as a camera of `CAMERAS` takes and compresses it."""
    taken = CAMERAS[camera](rng, np.clip(picture, 0, 1).astype(np.float32))
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITY))]
    _, packed = cv2.imencode(".jpg", to_8bit(taken)[..., ::-1], quality)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1])


def _phone(rng: np.random.Generator, picture: Array) -> Array:
    """Vivid, contrasty and sharpened until edges have halos."""
    grey = (picture @ LUMA)[..., None]
    vivid = grey + (picture - grey) * rng.uniform(1.3, 1.8)
    vivid = np.clip(vivid, 0, 1)
    vivid = vivid + rng.uniform(0.1, 0.35) * (vivid * vivid * (3 - 2 * vivid) - vivid)
    blurred = cv2.GaussianBlur(vivid, (0, 0), 0.008 * picture.shape[0])
    return vivid + rng.uniform(0.5, 1.1) * (vivid - blurred)


def _high_iso(rng: np.random.Generator, picture: Array) -> Array:
    """Noise of brightness, and coarser noise of colours."""
    height, width = picture.shape[:2]
    level = rng.uniform(0.025, 0.06)
    fine = rng.standard_normal((height, width, 1), dtype=np.float32) * level
    coarse = cv2.resize(
        rng.standard_normal((height // 2, width // 2, 3), dtype=np.float32),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    return picture * rng.uniform(0.9, 1.15) + fine + coarse * level * rng.uniform(0.5, 0.9)


def _monochrome(rng: np.random.Generator, picture: Array) -> Array:
    """Black and white film: grain that spans pixels, contrast, dark corners."""
    weights = np.array([rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.6), rng.uniform(0.05, 0.2)], np.float32)
    grey = picture @ (weights / weights.sum())
    grey = grey + rng.uniform(0.2, 0.8) * (grey * grey * (3 - 2 * grey) - grey)
    grain = cv2.GaussianBlur(rng.standard_normal(grey.shape, dtype=np.float32), (0, 0), 0.7)
    grey = (grey + grain * rng.uniform(0.03, 0.09)) * _corners(grey.shape, rng.uniform(0.15, 0.4))
    return np.repeat(grey[..., None], 3, axis=2)


def _faded_film(rng: np.random.Generator, picture: Array) -> Array:
    """Blacks that are not black, shadows of one colour and lights of another."""
    grey = (picture @ LUMA)[..., None]
    hue = rng.uniform(-0.09, 0.09, 3).astype(np.float32)
    toned = picture + hue * (1 - grey) - hue * grey
    lifted = rng.uniform(0.1, 0.2) + toned * rng.uniform(0.62, 0.78)
    grain = rng.standard_normal(grey.shape, dtype=np.float32) * rng.uniform(0.01, 0.03)
    return (lifted + grain) * _corners(grey.shape[:2], rng.uniform(0.1, 0.35))[..., None]


def _glare(rng: np.random.Generator, picture: Array) -> Array:
    """Light from outside of the frame, on the lens: a veil from one side, bright parts that bleed."""
    height, width = picture.shape[:2]
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    at = rng.uniform(-0.2, 1.2), rng.choice([-0.2, 0.1])
    veil = np.exp(-(((xx - at[0]) ** 2 + (yy - at[1]) ** 2) / rng.uniform(0.25, 0.6)))[..., None]
    tint = np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.65, 0.95)], np.float32)
    bright = cv2.GaussianBlur(np.clip(picture - 0.6, 0, 1), (0, 0), 0.05 * width)
    return picture * (1 - 0.35 * veil) + veil * tint * rng.uniform(0.25, 0.45) + bright * rng.uniform(0.6, 1.2)


def _old_sensor(rng: np.random.Generator, picture: Array) -> Array:
    """Few tones, a wrong white balance, uneven brightness and stripes along rows."""
    height, width = picture.shape[:2]
    cast = np.array([rng.uniform(0.75, 1.25), 1.0, rng.uniform(0.75, 1.25)], np.float32)
    uneven = 0.85 + 0.3 * value_noise(rng, height, width, 2, 1)
    rows = rng.standard_normal((height, 1, 1), dtype=np.float32) * rng.uniform(0.005, 0.015)
    levels = int(rng.integers(14, 28))
    dithered = (
        picture * rng.uniform(1.0, 1.2) * cast * uneven
        + rows
        + (rng.random(picture.shape, dtype=np.float32) - 0.5) / levels
    )
    return np.round(dithered * levels) / levels


def _corners(shape: tuple[int, ...], dark: float) -> Array:
    """Brightness (H, W) that falls to 1 - 2 `dark` in the corners."""
    yy = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    xx = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    return 1 - dark * (xx * xx + yy * yy)


CAMERAS: dict[str, Callable[[np.random.Generator, Array], Array]] = {
    "phone": _phone,
    "high ISO": _high_iso,
    "monochrome": _monochrome,
    "faded film": _faded_film,
    "glare": _glare,
    "old sensor": _old_sensor,
}
