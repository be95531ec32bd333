"""Colours, value noise and the materials that things are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SKIN_TONES: Array = np.array(
    [
        [0.96, 0.80, 0.70],
        [0.92, 0.72, 0.58],
        [0.84, 0.63, 0.47],
        [0.73, 0.52, 0.38],
        [0.57, 0.38, 0.27],
        [0.42, 0.28, 0.20],
        [0.32, 0.21, 0.16],
    ],
    np.float32,
)
HAIR_COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.09, 0.08, 0.08),
    "dark brown": (0.17, 0.11, 0.08),
    "brown": (0.31, 0.19, 0.11),
    "light brown": (0.47, 0.31, 0.18),
    "auburn": (0.50, 0.21, 0.11),
    "red": (0.70, 0.33, 0.14),
    "dark blond": (0.62, 0.46, 0.27),
    "blond": (0.82, 0.66, 0.40),
    "grey": (0.60, 0.59, 0.58),
    "white": (0.86, 0.85, 0.83),
    "dyed": (0.55, 0.25, 0.60),
}
PATTERNS = ("plain", "stripes", "plaid", "dots", "knit", "print")


def hsv(hue: float, saturation: float, value: float) -> Array:
    """One RGB colour (3,) from hue, saturation and value in [0, 1]."""
    pixel = np.array([[[hue * 360 % 360, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def any_colour(
    rng: np.random.Generator, saturation: float = 0.8, darkest: float = 0.18, lightest: float = 0.92
) -> Array:
    """A random colour (3,), muted more often than vivid."""
    return hsv(rng.random(), saturation * rng.random() ** 1.4, rng.uniform(darkest, lightest))


def value_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cells: int,
    octaves: int = 3,
    persistence: float = 0.55,
    channels: int = 1,
) -> Array:
    """Value noise (height, width, channels) in about [0, 1]: random grids of `cells`, 2 `cells`, ... summed."""
    out = np.zeros((height, width, channels), np.float32)
    amplitude, total = 1.0, 0.0
    for octave in range(octaves):
        n = cells * 2**octave
        grid = rng.random((min(n, height) + 1, min(n, width) + 1, channels), dtype=np.float32)
        out += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).reshape(out.shape)
        total += amplitude
        amplitude *= persistence
    return out / total


@dataclass(frozen=True)
class Material:
    """A surface: one colour, a pattern of two, and uneven brightness (folds, grain)."""

    colour: Array
    pattern: str = "plain"
    second: Array | None = None
    frequency: float = 5.0
    angle: float = 0.0
    fold: float = 0.0
    fold_cells: int = 4
    seed: int = 0

    def colours(self, u: Array, v: Array) -> Array:
        """Colours (rows, columns, 3) at the grid of coordinates u (columns,), v (rows,) in units of the pen."""
        rng = np.random.default_rng(self.seed)
        shape = (len(v), len(u))
        base: Array = np.broadcast_to(self.colour.astype(np.float32), (*shape, 3))
        if self.second is not None and self.pattern != "plain":
            share = self._share(rng, u[None, :], v[:, None])
            base = base + (self.second - self.colour).astype(np.float32) * share[..., None]
        if self.fold:
            noise = value_noise(rng, *shape, self.fold_cells, 2)
            base = base * (1 - self.fold + 2 * self.fold * noise)
        return np.ascontiguousarray(base, np.float32)

    def _share(self, rng: np.random.Generator, u: Array, v: Array) -> Array:
        c, s = np.float32(np.cos(self.angle) * self.frequency), np.float32(np.sin(self.angle) * self.frequency)
        p, q = u * c + v * s, v * c - u * s
        if self.pattern == "stripes":
            return (np.sin(2.2 * p) > 0.1).astype(np.float32)
        if self.pattern == "plaid":
            return 0.5 * (np.sin(1.8 * p) > 0.3).astype(np.float32) + 0.5 * (np.sin(1.8 * q) > 0.3)
        if self.pattern == "dots":
            return (np.sin(2 * p) * np.sin(2 * q) > 0.55).astype(np.float32)
        if self.pattern == "knit":
            return (0.3 + 0.3 * np.sin(6 * p) * np.sin(5 * q)).astype(np.float32)
        if self.pattern == "argyle":
            lines = np.abs(np.sin(1.4 * p + 2.1 * q + 0.8)) < 0.06
            return np.where(lines, 0.5, (np.sin(1.4 * p + 2.1 * q) * np.sin(1.4 * p - 2.1 * q) > 0)).astype(np.float32)
        if self.pattern == "leopard":
            spots = value_noise(rng, p.shape[0], p.shape[1], 22, 1)[..., 0]
            return ((spots > 0.58) & (spots < 0.74)).astype(np.float32)
        if self.pattern == "sequins":
            return rng.random(p.shape, dtype=np.float32) ** 3
        if self.pattern == "fade":
            return np.clip(0.5 + 0.5 * np.sin(q / self.frequency * 1.6), 0, 1).astype(np.float32)
        return np.clip((value_noise(rng, p.shape[0], p.shape[1], 8)[..., 0] - 0.42) * 5, 0, 1)


def any_fabric(rng: np.random.Generator) -> Material:
    """A random fabric; plain ones are the commonest."""
    colour = any_colour(rng)
    second = any_colour(rng) if rng.random() < 0.4 else np.clip(colour * rng.uniform(0.45, 1.6), 0, 1)
    return Material(
        colour=colour,
        pattern=str(rng.choice(PATTERNS, p=[0.5, 0.14, 0.1, 0.07, 0.12, 0.07])),
        second=second,
        frequency=rng.uniform(3, 9),
        angle=rng.uniform(0, np.pi) if rng.random() < 0.2 else float(rng.choice([0, np.pi / 2])),
        fold=rng.uniform(0.08, 0.3),
        fold_cells=int(rng.integers(3, 7)),
        seed=int(rng.integers(1 << 30)),
    )


def plain(colour: Array, fold: float = 0.0, seed: int = 0) -> Material:
    """One colour, with slightly uneven brightness where `fold` > 0."""
    return Material(colour=np.asarray(colour, np.float32), fold=fold, seed=seed)
