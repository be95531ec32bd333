"""Pictures without people and without meaning, for composites: noise, dead leaves, stripes, gradients, bokeh."""

from __future__ import annotations

import cv2
import numpy as np

from wsshm.data.procedural.texture import Array, any_colour, value_noise

KINDS = ("noise", "dead leaves", "confetti", "stripes", "gradient", "bokeh")


def background(rng: np.random.Generator, kind: str, size: int) -> Array:
    """One unrelated background of a kind of `KINDS`, float32 (size, size, 3) in [0, 1]."""
    side = 2 * size
    image = _ground(rng, side)
    if kind == "dead leaves":
        _shapes(rng, image, int(rng.integers(60, 220)), 0.02, 0.16)
    elif kind == "confetti":
        _shapes(rng, image, int(rng.integers(8, 40)), 0.02, 0.25)
    elif kind == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.04, 0.3)
        line = np.arange(side, dtype=np.float32) / side
        phase = (line[None] * np.cos(angle) + line[:, None] * np.sin(angle)) * (2 * np.pi / period)
        image *= np.where(np.sin(phase) > 0, 1.0, rng.uniform(0.5, 0.9)).astype(np.float32)[..., None]
    elif kind == "gradient":
        corners = np.stack([any_colour(rng) for _ in range(4)]).reshape(2, 2, 3)
        image = 0.25 * image + 0.75 * cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR)
    elif kind == "bokeh":
        image *= 0.6
        for _ in range(int(rng.integers(15, 60))):
            spot = np.zeros_like(image)
            centre = tuple(int(v) for v in rng.integers(0, side, 2))
            cv2.circle(spot, centre, int(side * rng.uniform(0.015, 0.06)), any_colour(rng, 0.7, 0.5).tolist(), -1)
            image += spot * rng.uniform(0.2, 0.7)
    blur = rng.uniform(0.002, 0.02) * side if rng.random() < 0.6 else 0.0
    if blur > 0.5:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    return np.clip(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), 0, 1)


def _ground(rng: np.random.Generator, side: int) -> Array:
    noise = value_noise(rng, side, side, int(rng.integers(1, 5)), 5, rng.uniform(0.4, 0.8), 3)
    first, second = any_colour(rng), any_colour(rng)
    share = np.clip((noise - 0.5) * rng.uniform(1, 4) + 0.5, 0, 1)
    return np.ascontiguousarray(first + (second - first) * share, np.float32)


def _shapes(rng: np.random.Generator, image: Array, count: int, smallest: float, largest: float) -> None:
    side = image.shape[0]
    for _ in range(count):
        colour = any_colour(rng).tolist()
        centre = rng.integers(0, side, 2)
        radius = side * rng.uniform(smallest, largest)
        kind = rng.integers(4)
        if kind == 0:
            cv2.circle(image, centre.tolist(), int(radius), colour, -1)
        elif kind == 1:
            axes = (int(radius), max(int(radius / 3), 1))
            cv2.ellipse(image, centre.tolist(), axes, rng.uniform(0, 180), 0, 360, colour, -1)
        elif kind == 2:
            corners = centre + rng.normal(0, radius * 0.7, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], colour)
        else:
            end = rng.integers(0, side, 2).tolist()
            cv2.line(image, centre.tolist(), end, colour, max(1, int(side * rng.uniform(0.002, 0.02))))
