"""What a camera does: defocus, motion blur, exposure, vignetting, sensor noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from wsshm.data.procedural.texture import Array


def to_8bit(picture: Array) -> Array:
    """Values in [0, 1] as uint8, rounded."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def defocus(picture: Array, sigma: float) -> Array:
    """Blur by a Gaussian of `sigma` pixels. Premultiplied RGBA stays consistent, so alpha stays exact."""
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.15 else picture


def motion(picture: Array, length: float, angle: float) -> Array:
    """Blur along a line of `length` pixels; premultiplied RGBA stays consistent."""
    reach = max(round(length), 1)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    for t in np.linspace(-1, 1, 8 * reach + 1):
        x, y = reach + dx * t, reach + dy * t
        column, row = int(x), int(y)
        kernel[row, column] += (1 - (x - column)) * (1 - (y - row))
        kernel[row, column + 1] += (x - column) * (1 - (y - row))
        kernel[row + 1, column] += (1 - (x - column)) * (y - row)
        kernel[row + 1, column + 1] += (x - column) * (y - row)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def photograph(rng: np.random.Generator, picture: Array, cast: Array) -> Array:
    """Light (H, W, 3), linear enough, to 8-bit RGB as a compressed photo has it; `cast` (3,) tints the whole."""
    height, width = picture.shape[:2]
    exposed = np.clip(picture * cast * rng.uniform(0.85, 1.15), 0, 1) ** rng.uniform(0.8, 1.12)
    yy = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xx = np.linspace(-1, 1, width, dtype=np.float32)[None]
    exposed = exposed * (1 - rng.uniform(0, 0.14) * (xx * xx + yy * yy))[..., None]
    grain = rng.standard_normal(exposed.shape, dtype=np.float32) * rng.uniform(0.002, 0.018)
    noisy = exposed + grain * (0.4 + np.sqrt(np.maximum(exposed, 0)))
    pixels = to_8bit(noisy)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 97))]
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], quality)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1])
